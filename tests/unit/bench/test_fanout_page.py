import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from tests.bench.fanout import page, plan, sections
from tests.bench.fanout.chart import Bar, Panel, draw
from tests.bench.fanout.measure import PlayerReport, ReceiverReport, Sample
from tests.bench.fanout.plan import Programs
from tests.bench.fanout.results import Results
from tests.bench.section import Section

PROGRAMS = Programs(Path("receiver"), Path("player"), Path("floor"))


def sample(contender: str, work: str, number: int = 0, **fields: Any) -> Sample:
    """A second in which 100,000 frames took half a core; *fields* differ."""
    receiver = {
        "clients": 1_000,
        "closed": 0,
        "items": 500_000,
        "expected": 500_000,
        "full_items": 500_000,
        "missing": 0,
        "repeated": 0,
        "window_items": 500_000,
        "window_bytes": 51_200_000,
        "window_frames": 100_000,
        "measured": 500_000,
        "p50_ms": 2.0,
        "p99_ms": 4.0,
        "p999_ms": 5.0,
        "max_ms": 6.0,
        "busy": 0.5,
    }
    own = {
        "seconds": 1.0,
        "user_s": 0.1,
        "system_s": 0.4,
        "others_s": 0.0,
        "steal_s": 0.0,
        "client_core": 0.6,
        "resident_bytes": 10_000_000,
    }
    receiver |= {k: v for k, v in fields.items() if k in receiver}
    own |= {k: v for k, v in fields.items() if k in own}
    return Sample(
        contender=contender,
        work=work,
        round=number,
        receiver=ReceiverReport(**receiver),
        player=PlayerReport(),
        **own,
    )


def entries() -> tuple[list[plan.Entry], list[plan.Entry]]:
    backend: Any = None  # nothing is started
    return plan.broadcast(PROGRAMS, backend), plan.routed(PROGRAMS, backend)


def results() -> Results:
    """Three rounds of everything."""
    return Results(
        [
            sample(entry.contender.key, entry.work.key, number)
            for number in range(3)
            for some in entries()
            for entry in some
        ]
    )


def test_processor_time_is_by_frame_of_five_trades() -> None:
    found = sample("floor", "any")

    assert found.us_per_frame(found.cpu_s) == pytest.approx(5.0)
    assert found.deliveries_per_cpu_s == pytest.approx(1e6)


def test_what_did_not_come_or_came_twice_is_lost() -> None:
    assert sample("a", "b").lost == 0
    assert sample("a", "b", items=499_990).lost == 10
    assert sample("a", "b", repeated=3, missing=2).lost == 5
    assert not sample("a", "b", p99_ms=1_500.0).sustained
    assert not sample("a", "b", closed=1).sustained


def test_samples_with_saturated_clients_are_left_out_but_what_they_lost_is_not() -> None:
    found = Results([sample("a", "b", 0, busy=0.99, items=1), sample("a", "b", 1, user_s=0.6)])
    row = found.of("a", "b")

    assert row.median(lambda s: s.user_s) == 0.6
    assert row.lost == 499_999


def test_ratios_pair_the_rounds_that_both_rows_have() -> None:
    found = Results(
        [
            sample("a", "b", 0, user_s=9.9),
            sample("a", "b", 1, user_s=0.6),
            sample("c", "b", 1, user_s=0.1),
        ]
    )
    ratio = found.ratio(lambda s: s.cpu_s, ("a", "b"), ("c", "b"))

    assert ratio is not None
    assert ratio.median == pytest.approx(2.0)
    assert found.ratio(lambda s: s.cpu_s, ("a", "b"), ("none", "b")) is None


def test_every_server_has_a_row_and_every_goal_a_verdict() -> None:
    broadcast, routed = entries()
    first = sections.broadcast_section(results(), broadcast)
    second = sections.routed_section(results(), routed)

    assert first.sound
    assert second.sound
    assert first.text.count("nats-server") == 2
    assert first.text.count("| met |") == 2  # as cheap as the floor
    assert second.text.count("**missed**") == 3  # as good as all others
    assert second.text.count("| 150,000 |") == 3
    assert "3 rounds; what is in brackets holds the true median with 75%." in second.text


def test_a_server_that_is_not_there_says_so_in_its_row() -> None:
    broadcast, _ = entries()
    found = results()
    found.samples[:] = [s for s in found.samples if s.contender not in ("nchan", "ws")]
    found.missing["nchan"] = "no nginx on this machine"
    found.failures.append(("ws", plan.THOUSAND.key, "it | ended"))
    text = sections.broadcast_section(found, broadcast).text

    assert "| nginx with nchan | not measured: no nginx on this machine |" in text
    assert "| npm `ws` | failed: it / ended |" in text


def test_a_loss_of_ours_fails_the_run_and_one_of_others_is_shown() -> None:
    broadcast, _ = entries()
    theirs = Results([sample("ws", plan.THOUSAND.key, items=7)])
    ours = Results([sample(plan.TICKGATE, plan.THOUSAND.key, items=7)])
    shown = sections.broadcast_section(theirs, broadcast)

    assert shown.sound
    assert "499,993 (behind in 1 of 1)" in shown.text
    assert not sections.broadcast_section(ours, broadcast).sound


def test_a_failure_of_ours_fails_the_run_even_where_other_rounds_went_well() -> None:
    broadcast, _ = entries()
    found = results()
    found.failures.append((plan.TICKGATE, plan.THOUSAND.key, "exit code 1"))
    shown = sections.broadcast_section(found, broadcast)

    assert not shown.sound
    assert "Failed: tickgate, broadcast-1000: exit code 1" in shown.text


def test_rounds_go_forth_and_back() -> None:
    broadcast, _ = entries()

    assert plan.order(broadcast, 0) == broadcast
    assert plan.order(broadcast, 1) == broadcast[::-1]


def test_the_chart_is_an_image_whose_longest_bar_fits() -> None:
    bars = [Bar("<a & b>", (1.0, 3.0), "4", "ours"), Bar("c", (0.0,), "0")]
    drawn = ET.fromstring(draw([Panel("one", "note", bars), Panel("two", "", [])], title="t"))
    rects = [e for e in drawn.iter() if e.tag.endswith("rect")]
    right = max(float(r.get("x", 0)) + float(r.get("width", 0)) for r in rects[1:])

    assert len(rects) == 1 + 3
    assert right < float(drawn.get("width", 0))
    assert "<a & b>" in "".join(drawn.itertext())


def test_the_chart_shows_every_row() -> None:
    panels = sections.panels(results(), *entries())

    assert [len(panel.bars) for panel in panels] == [8, 13]


def test_a_section_replaces_its_old_self_and_leaves_the_others() -> None:
    old = "Not measured yet.\n\n### One\n\nfirst\n\n#### part\n\n### Two\n\nsecond\n"
    new = page.render(Section("One", "third\n", {}), "Measured today.")

    assert page.merged(old, {"One": new}) == (
        "### One\n\nMeasured today.\n\nthird\n\n### Two\n\nsecond"
    )
    assert page.merged(old, {"Three": "### Three"}).endswith("### Three")
    assert page.split("") == {}


def test_the_page_needs_both_marks() -> None:
    assert page.between_marks(f"a{page.BEGIN}b{page.END}c") == "b"
    with pytest.raises(ValueError, match="needs the lines"):
        page.between_marks("nothing")


def test_the_page_in_docs_has_both_marks() -> None:
    text = Path(__file__).parents[3].joinpath("docs", "benchmarks.md").read_text()

    assert page.between_marks(text)
