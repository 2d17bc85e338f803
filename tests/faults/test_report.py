"""What a run keeps, and the table that it writes."""

from pathlib import Path

from tests.faults import report
from tests.faults.checker import Verdict
from tests.faults.kinds import FAULTS
from tests.faults.seeds import Outcome


def outcome(seed: int, **values: object) -> Outcome:
    known = {"hits": {"killed": 1}, "recovered_s": 1.0, "seconds": 5.0}
    return Outcome("kill_ingest", seed, **{**known, **values})  # type: ignore[arg-type]


def test_a_seed_that_did_not_hit_or_ended_in_an_error_has_not_passed() -> None:
    assert outcome(1).passed
    assert not outcome(1, hits={}).passed
    assert not outcome(1, hits={"held": 0}).passed
    assert not outcome(1, error="the gateway ended by itself").passed
    assert not outcome(1, verdict=Verdict(lost=1)).passed


def test_the_table_adds_up_the_seeds_of_a_fault(tmp_path: Path) -> None:
    report.add(tmp_path, outcome(1, verdict=Verdict(lost=7)))
    report.add(tmp_path, outcome(2, verdict=Verdict(lost=2, undetected=1), recovered_s=3.0))
    report.add(tmp_path, outcome(1, hits={}))  # run again

    row = report.table(report.load(tmp_path)).splitlines()[-1]

    cells = [cell.strip() for cell in row.strip("|").split("|")]
    about = FAULTS["kill_ingest"].about
    assert cells == ["`kill_ingest`", about, "2", "1", "2", "0", "0", "0", "1", "0", "2.0, 3.0"]


def test_a_run_can_be_gone_on_with(tmp_path: Path) -> None:
    report.add(tmp_path, outcome(1))
    report.add(tmp_path, outcome(2, error="no"))

    assert report.passed(tmp_path) == {("kill_ingest", 1)}
    report.forget(tmp_path, ["kill_ingest"])

    assert report.load(tmp_path) == {}


def test_a_fault_that_is_not_permitted_is_shown_as_such(tmp_path: Path) -> None:
    report.note_not_permitted(tmp_path, "disk_full", "mount: not permitted")

    assert "mount: not permitted" in report.table(report.load(tmp_path))


def test_every_fault_says_what_it_does() -> None:
    assert len(FAULTS) >= 30
    for name, fault in FAULTS.items():
        assert (fault.name, bool(fault.about)) == (name, True)
