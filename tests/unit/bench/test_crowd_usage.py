"""What a stretch of time has cost."""

import pytest

from tests.bench.crowd.usage import Used
from tests.bench.fanout.accounting import CoreReading, Reading


def used(at_s: float, reading: Reading, core: CoreReading) -> Used:
    return Used(at_s=at_s, reading=reading, core=core, rss_bytes=0)


def test_what_others_took_of_the_core_is_its_busy_and_stolen_time_but_ours() -> None:
    before = used(100.0, Reading(1.0, 0.5, 0.5), CoreReading(50.0, 1.0))
    after = used(110.0, Reading(5.0, 1.5, 3.5), CoreReading(55.0, 2.0))

    spent = after.since(before)

    assert spent.seconds == 10
    assert spent.cores == pytest.approx(0.4)
    assert spent.user == pytest.approx(0.1)
    assert spent.system == pytest.approx(0.3)
    assert spent.others == pytest.approx(0.2)


def test_coarse_counters_of_a_core_never_make_others_negative() -> None:
    before = used(0.0, Reading(0.0, 0.0, 0.0), CoreReading(0.0, 0.0))
    after = used(1.0, Reading(1.0, 0.5, 0.5), CoreReading(0.99, 0.0))

    assert after.since(before).others == 0
