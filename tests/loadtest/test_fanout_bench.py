"""The benchmark of fan-out in small: its programs compile, count right, and find no loss."""

import shutil

import pytest

from tests.bench.fanout import load
from tests.bench.fanout.contenders import InProcess, Tickgate
from tests.bench.fanout.load import Work
from tests.bench.fanout.measure import Timing
from tests.bench.fanout.plan import Entry
from tests.bench.fanout.results import Results
from tests.bench.fanout.runner import bench, run

ALL, ROUTED = Work("all", 20, 1, 50), Work("routed", 20, 20, 2_000)
SHORT = Timing(warm_s=0.1, measure_s=0.3)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler for the programs")
def test_the_floor_and_the_gateway_deliver_the_same_bytes_and_lose_none() -> None:
    with bench() as (programs, backend, folder):
        floor = InProcess("floor", "floor", (str(programs.floor),))
        tickgate = Tickgate("tickgate", "tickgate", programs.player, backend)
        results = run(
            [Entry(floor, ALL), Entry(floor, ROUTED), Entry(tickgate, ALL)],
            rounds=1,
            timing=SHORT,
            receiver=programs.receiver,
            folder=folder,
            say=print,
        )

    assert (results.failures, results.missing) == ([], {})
    assert [s.lost for s in results.samples] == [0, 0, 0]
    assert all(s.cpu_s > 0 and s.receiver.measured > 0 for s in results.samples)
    assert _frame_bytes(results, "floor") == load.FRAME_BYTES
    # Where the machine stalls a heartbeat is among them.
    assert _frame_bytes(results, "tickgate") == pytest.approx(load.FRAME_BYTES, rel=0.01)


def _frame_bytes(results: Results, contender: str) -> float:
    (sample,) = results.of(contender, ALL.key).samples
    return sample.receiver.window_bytes * load.PER_FRAME / sample.receiver.window_items
