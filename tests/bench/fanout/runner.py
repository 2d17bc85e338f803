"""The rounds: every server under every load, in turn, on the two cores."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from tests.bench.fanout import plan
from tests.bench.fanout.backend import Backend, backend, stay_on
from tests.bench.fanout.measure import Sample, Timing, sample
from tests.bench.fanout.plan import Entry, Programs
from tests.bench.fanout.process import CLIENT_CORE, CORES, SERVER_CORE, Failed
from tests.bench.fanout.programs import build
from tests.bench.fanout.results import Results
from tests.bench.fanout.tools import Missing

Say = Callable[[str], None]


class TooFewCores(Exception):
    """The benchmark needs two cores of its own."""


@contextlib.contextmanager
def bench() -> Iterator[tuple[Programs, Backend, Path]]:
    """Compiled programs, servers behind the gateway, a folder; this process leaves one core.

    Raises:
        TooFewCores: there is only one.
        CompileFailed: there is no C compiler, or it refuses.
    """
    if SERVER_CORE == CLIENT_CORE:
        raise TooFewCores("it needs two cores: one for the server alone, one for all else")
    stay_on({CLIENT_CORE})
    try:
        with tempfile.TemporaryDirectory(prefix="tickgate-fanout-") as name:
            folder = Path(name)
            programs = Programs(*(build(p, folder) for p in ("receiver", "player", "floor")))
            with backend(folder / "data") as behind:
                yield programs, behind, folder
    finally:
        stay_on(CORES)


def run(
    entries: Sequence[Entry],
    *,
    rounds: int,
    timing: Timing,
    receiver: Path,
    folder: Path,
    say: Say,
) -> Results:
    """All rounds; what fails is noted and the run goes on."""
    results = Results()
    for number in range(rounds):
        for entry in plan.order(entries, number):
            if entry.contender.key in results.missing:
                continue
            own = folder / f"{entry.contender.key}-{entry.work.key}"
            own.mkdir(exist_ok=True)
            with _noted(results, entry, say):
                found = sample(
                    entry.contender,
                    entry.work,
                    number=number,
                    timing=timing,
                    receiver=receiver,
                    folder=own,
                )
                results.samples.append(found)
                say(_line(found, rounds))
    return results


@contextlib.contextmanager
def _noted(results: Results, entry: Entry, say: Say) -> Iterator[None]:
    contender, work = entry.contender.key, entry.work.key
    try:
        yield
    except Missing as exc:
        results.missing[contender] = str(exc)
        say(f"{contender}: left out: {exc}")
    except (Failed, OSError) as exc:
        results.failures.append((contender, work, str(exc)))
        say(f"{contender}, {work}: failed: {exc}")


def _line(s: Sample, rounds: int) -> str:
    receiver = s.receiver
    return (
        f"{s.round + 1}/{rounds} {s.work:16}{s.contender:14} {s.cpu_s / s.seconds:6.1%} of a core, "
        f"{s.deliveries_per_cpu_s / 1e6:6.2f} M deliveries a core-second, p50 "
        f"{receiver.p50_ms:.1f} ms, p99 {receiver.p99_ms:.1f} ms, lost {s.lost}, clients "
        f"{receiver.busy:.0%} busy{'' if s.valid else ' (too busy)'}, beside it "
        f"{s.others_s / s.seconds:.0%}"
    )
