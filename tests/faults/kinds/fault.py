"""What a fault is: a way to break a running installation, at a moment and for a time by dice."""

import random
from enum import Enum
from typing import ClassVar

from tests.faults.installation import Installation, Plan


class Rig(Enum):
    """The servers that a fault needs."""

    SINGLE = "one Valkey, one PostgreSQL"
    SENTINEL = "a master, a replica and three Sentinels; one PostgreSQL"
    SMALL_DISK = "one Valkey, one PostgreSQL on a small disk"


class Fault:
    """Made for one seed; all that differs between seeds comes from *dice*."""

    name: ClassVar[str]
    about: ClassVar[str]
    rig: ClassVar[Rig] = Rig.SINGLE

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice

    def arrange(self, plan: Plan) -> None:
        """Change what is started."""

    async def strike(self, system: Installation) -> None:
        """Do it, take down that it hit, say when it is lifted."""
        raise NotImplementedError

    def share(self) -> float:
        """How much of the load is through when it strikes."""
        return self.dice.uniform(0.05, 0.6)
