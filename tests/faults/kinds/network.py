"""The ways between two: slow, silent, reset, cut in the middle of a reply."""

import asyncio
import contextlib
from typing import ClassVar

from tests.faults.installation import (
    AGGREGATOR,
    CLIENT,
    DATABASE,
    GATEWAY,
    INGEST,
    REDIS,
    Installation,
)
from tests.faults.kinds.fault import Fault
from tests.faults.proxy import Proxy

_WAYS = (
    f"{INGEST}-{REDIS}",
    f"{AGGREGATOR}-{REDIS}",
    f"{AGGREGATOR}-{DATABASE}",
    f"{GATEWAY}-{REDIS}",
    f"{GATEWAY}-{DATABASE}",
    f"{CLIENT}-{GATEWAY}",
)


class OnAWay(Fault):
    """Something happens on one way, or on all ways of one end, for a time."""

    least_s: ClassVar[float] = 0.2
    most_s: ClassVar[float] = 4.0

    async def strike(self, system: Installation) -> None:
        links = self.links(system)
        await system.reaches(self.share())
        for link in links:
            self.begin(link)
        await asyncio.sleep(self.dice.uniform(self.least_s, self.most_s))
        await self.proven(system, links)
        for link in links:
            link.heal()
        system.lifted()
        for link in links:
            for what, count in link.hits.items():
                system.hit(what, count)

    def links(self, system: Installation) -> list[Proxy]:
        """One way, or all that lead to one end."""
        if self.dice.random() < 0.7:
            return [system.links[self.dice.choice(_WAYS)]]
        return system.links_to(self.dice.choice((REDIS, DATABASE, INGEST, AGGREGATOR, GATEWAY)))

    def begin(self, link: Proxy) -> None:
        raise NotImplementedError

    async def proven(self, system: Installation, links: list[Proxy]) -> None:
        """A way may be quiet for a second: wait until something was on it."""
        with contextlib.suppress(TimeoutError):
            await system.until(lambda: any(link.hits for link in links), timeout_s=6)


class Cut(OnAWay):
    name = "cut"
    about = "no connection between two for 0.2 to 4 s: what is there is reset, new ones are refused"

    def begin(self, link: Proxy) -> None:
        link.refuse()


class BlackHole(OnAWay):
    name = "black_hole"
    about = "silence between two for 0.2 to 5 s: nothing arrives, nothing ends"
    most_s = 5.0

    def begin(self, link: Proxy) -> None:
        link.black_hole()


class Delay(OnAWay):
    name = "delay"
    about = "each piece between two comes 20 to 400 ms late, for 1 to 3 s"
    least_s, most_s = 1.0, 3.0

    def begin(self, link: Proxy) -> None:
        least_s = self.dice.uniform(0.02, 0.2)
        link.delay(least_s, least_s * 2)


class Throttle(OnAWay):
    name = "throttle"
    about = "2 to 50 kB/s between two, for 1 to 3 s"
    least_s, most_s = 1.0, 3.0

    def begin(self, link: Proxy) -> None:
        link.slow_down(self.dice.uniform(2e3, 50e3))


class Reset(OnAWay):
    """Connections are reset again and again; new ones work."""

    name = "reset"
    about = "all connections between two are reset (RST), one to five times"

    async def strike(self, system: Installation) -> None:
        links = self.links(system)
        for share in sorted(self.share() for _ in range(self.dice.randint(1, 5))):
            await system.reaches(share)
            for link in links:
                link.reset()
        for link in links:
            system.hit("reset", link.hits["reset"])
        system.lifted()


class CutReply(OnAWay):
    """A reply arrives in part, and the connection ends."""

    name = "cut_reply"
    about = "the connection ends in the middle of a reply, one to five times"

    async def strike(self, system: Installation) -> None:
        links = self.links(system)
        for share in sorted(self.share() for _ in range(self.dice.randint(1, 5))):
            await system.reaches(share)
            for link in links:
                link.cut_reply(self.dice.randrange(200))
        with contextlib.suppress(TimeoutError):
            await system.until(lambda: any(link.hits["cut"] for link in links), timeout_s=6)
        for link in links:
            link.heal()
            system.hit("bytes_cut", link.hits["cut"])
        system.lifted()
