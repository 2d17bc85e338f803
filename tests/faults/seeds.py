"""One seed of one fault, from the start of the roles to the verdict; bounded in time."""

import asyncio
import contextlib
import random
import shutil
import tempfile
import traceback
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.faults.checker import Verdict
from tests.faults.installation import Installation, Plan
from tests.faults.kinds import Fault, Rig
from tests.faults.load import make_load
from tests.faults.proxy import Proxy
from tests.faults.servers import Servers
from tests.redis_servers import Watched, watched

SEED_S = 150.0
COMPLETE_S = 60.0
_DOWN_MS = 400  # Sentinels take a master for dead after so long


@dataclass
class Outcome:
    """What came of a seed. ``error`` says what went wrong besides the verdict, or is empty."""

    fault: str
    seed: int
    hits: dict[str, int] = field(default_factory=dict)
    verdict: Verdict = field(default_factory=Verdict)
    recovered_s: float | None = None
    seconds: float = 0.0
    error: str = ""
    logs: str = ""
    """Where the logs of a failed seed are."""

    @property
    def hit(self) -> bool:
        return any(self.hits.values())

    @property
    def passed(self) -> bool:
        return self.verdict.clean and self.hit and not self.error

    def __str__(self) -> str:
        how = "ok  " if self.passed else "FAIL"
        hits = ", ".join(f"{what} {count}" for what, count in self.hits.items()) or "NO HIT"
        took = "" if self.recovered_s is None else f"; recovered in {self.recovered_s:.2f} s"
        lines = [f"{how} {self.fault} seed {self.seed}: {hits}{took} ({self.seconds:.1f} s)"]
        if not self.passed:
            lines += [f"     {n} {count}" for n, count in self.verdict.counts.items() if count]
            lines += [f"     {text}" for text in self.verdict.examples]
            lines += [f"     {text}" for text in self.error.splitlines()]
            lines += [f"     logs: {self.logs}"] if self.logs else []
        return "\n".join(lines)


async def run_seed(
    kind: type[Fault],
    seed: int,
    servers: Servers,
    *,
    without: str = "",
    complete_s: float = COMPLETE_S,
    keep: Path | None = None,
) -> Outcome:
    """Run it; whatever goes wrong is in the outcome.

    Args:
        kind: the fault.
        seed: decides the load, the moment and what the fault does.
        servers: of this lane; mended and emptied at the end.
        without: a part of the product that is taken out, see :mod:`tests.faults.sabotage`.
        complete_s: how long everything may take to be there after the fault.
        keep: a folder for the logs of a failed seed.
    """
    outcome = Outcome(kind.name, seed)
    began_s = asyncio.get_running_loop().time()
    database = f"seed_{uuid.uuid4().hex[:12]}"
    with tempfile.TemporaryDirectory(
        prefix=f"tickgate-{kind.name}-{seed}-", ignore_cleanup_errors=True
    ) as folder:
        try:
            async with asyncio.timeout(SEED_S):
                await _run(kind, outcome, servers, Path(folder), database, without, complete_s)
        except TimeoutError:
            outcome.error += f"not done within {SEED_S:g} s\n{traceback.format_exc(limit=-3)}"
        except Exception:  # noqa: BLE001 - the other seeds go on
            outcome.error += traceback.format_exc()
        finally:
            with contextlib.suppress(Exception):
                await asyncio.wait_for(servers.mend(database), 30)
        outcome.seconds = asyncio.get_running_loop().time() - began_s
        if not outcome.passed and keep is not None:
            outcome.logs = str(keep / f"{kind.name}-{seed}")
            shutil.copytree(folder, outcome.logs, dirs_exist_ok=True)
    return outcome


async def _run(
    kind: type[Fault],
    outcome: Outcome,
    servers: Servers,
    folder: Path,
    database: str,
    without: str,
    complete_s: float,
) -> None:
    dice = random.Random(f"{kind.name} {outcome.seed}")
    fault = kind(dice)
    plan = Plan(folder=folder, load=make_load(outcome.seed))
    fault.arrange(plan)
    if without:
        for role in ("ingest", "aggregator", "gateway"):
            plan.module[role] = ("-m", "tests.faults.launch", "--without", without)
    async with _watched(kind.rig, folder) as sentinels:
        system = Installation(
            plan=plan,
            servers=servers,
            database_url=await servers.new_database(database),
            namespace=database,
            watched=sentinels,
        )
        try:
            async with system.running():
                await fault.strike(system)
                if not await system.complete(timeout_s=complete_s):
                    outcome.error += f"not complete {complete_s:g} s after the fault\n"
                outcome.recovered_s = system.recovered_s
                outcome.verdict = await system.judge()
        finally:
            outcome.hits = {what: count for what, count in system.hits.items() if count}
            complaints = [text for role in system.roles.values() for text in role.faults]
            complaints += [text for reader in system.readers for text in reader.told[:3]]
            outcome.error += "".join(f"{text}\n" for text in complaints)


@contextlib.asynccontextmanager
async def _watched(rig: Rig, folder: Path) -> AsyncIterator[Watched | None]:
    if rig is not Rig.SENTINEL:
        yield None
        return
    async with contextlib.AsyncExitStack() as stack:

        async def proxied(url: str) -> Proxy:
            return await stack.enter_async_context(Proxy(url, host="127.0.0.1").running())

        servers = folder / "servers"
        running = watched("redis", servers, down_ms=_DOWN_MS, proxied=proxied)
        yield await stack.enter_async_context(running)
