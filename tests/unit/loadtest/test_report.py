import pytest

from loadtest.latency import summarize
from loadtest.report import LoadReport, RequestReport, TicksReport, to_text


def ticks(*, count: int = 3, missing: int = 0, repeated: int = 0) -> TicksReport:
    return TicksReport(
        subscribers=2,
        ticks=count,
        missing=missing,
        repeated=repeated,
        findings=["a hole"] * missing,
        latency=summarize([1_000_000] * count) if count else None,
    )


def report(of: TicksReport, *errors: str) -> LoadReport:
    request = RequestReport(
        name="GET /v1/bars", requests=4, failures=0, median_ms=2, p99_ms=9, per_second=0.4
    )
    return LoadReport(seconds=10.0, ticks=of, requests=[request], errors=list(errors))


@pytest.mark.parametrize(
    "bad", [ticks(count=0), ticks(missing=1), ticks(repeated=1)], ids=["none", "hole", "repeat"]
)
def test_a_run_that_lost_repeated_or_got_nothing_has_not_passed(bad: TicksReport) -> None:
    assert not report(bad).passed
    assert to_text(report(bad)).endswith("FAILED")


def test_a_failed_request_fails_the_run() -> None:
    assert not report(ticks(), "GET: status 500").passed


def test_the_text_says_what_was_found() -> None:
    text = to_text(report(ticks(missing=1), "GET: status 500"))

    assert text.splitlines() == [
        "10 s, 2 subscribers: 3 ticks, 1 missing, 0 repeated",
        "latency, trade to client: p50 1.0 ms, p99 1.0 ms, p99.9 1.0 ms, max 1.0 ms",
        "GET /v1/bars: 4 requests (0.4/s), 0 failed, median 2 ms, p99 9 ms",
        "finding: a hole",
        "error: GET: status 500",
        "FAILED",
    ]
    assert report(ticks()).passed
    assert to_text(report(ticks())).endswith("passed")
