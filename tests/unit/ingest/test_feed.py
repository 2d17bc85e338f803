from prometheus_client import CollectorRegistry, generate_latest

from core.market.symbol import Symbol
from core.market.tick import NO_ID, Tick
from ingest.admission import Reason
from ingest.errors import ConnectionLost, ParseError, PollError, ReplayFileError, RowError
from ingest.feed import FeedJournal, WarnLimiter, describe
from ingest.metrics import IngestMetrics


def journal() -> FeedJournal:
    return FeedJournal(feed="sim", venue="SIM", now_ns=lambda: 5_000_000)


def test_a_journal_says_when_its_state_changed_and_counts_the_changes() -> None:
    found = journal()

    found.enter("live")
    found.enter("live")
    found.enter("live", "1 of 2 addresses fail")
    found.refuse(Reason.LATE, 2)
    found.refuse(Reason.LATE)

    status = found.status()
    assert (status.state, status.detail, status.since_ms) == ("live", "1 of 2 addresses fail", 5)
    assert found.changes == 2
    assert status.quarantined == {"late": 3}


def test_a_reason_that_keeps_changing_is_no_change_of_state_each_time() -> None:
    found = journal()

    for n in range(100):
        found.enter("failed", f"attempt {n}")

    assert found.changes <= 2
    assert found.detail == "attempt 99"


def test_warnings_are_let_through_at_a_limited_rate_and_counted() -> None:
    limiter = WarnLimiter(every_s=1.0)

    allowed = [limiter.allows(n * 250_000_000) for n in range(6)]

    assert allowed == [True, False, False, False, True, False]
    assert (limiter.more(), limiter.more()) == (" (4 more since the last such line)", "")


def test_a_refused_tick_is_described_whatever_its_numbers() -> None:
    def told(event_ns: int, trade_id: int = NO_ID) -> str:
        return describe(Tick(Symbol("X:A"), trade_id, float("nan"), 0.25, event_ns))

    assert told(1_500_000_000, 7) == (
        "trade 7 of X:A, price nan, size 0.25, event time 1970-01-01T00:00:01.500000+00:00"
    )
    assert told(2**63 - 2).endswith("event time 2262-04-11T23:47:16.854775+00:00")
    assert told(10**30).startswith("a trade without id of X:A")
    assert told(10**30).endswith(f"event time {10**30} ns")


def test_metrics_are_the_journals_numbers() -> None:
    registry = CollectorRegistry()
    metrics = IngestMetrics(registry)
    found = journal()
    metrics.watch(found)

    found.enter("live")
    found.ticks, found.newest_event_ns = 12, 1_500_000_000
    found.refuse(Reason.FUTURE)

    text = generate_latest(registry).decode()
    for line in (
        'ingest_ticks_total{feed="sim"} 12.0',
        'ingest_quarantined_total{feed="sim",reason="future"} 1.0',
        'ingest_feed_up{feed="sim"} 1.0',
        'ingest_newest_event_timestamp_seconds{feed="sim"} 1.5',
    ):
        assert line in text


def test_errors_say_who_did_what() -> None:
    for error, words in (
        (ParseError("kraken", "no side", "x" * 500), "kraken sent"),
        (ConnectionLost("binance", "reset"), "binance connection lost: reset"),
        (PollError("http://h", "status 500", retryable=True), "http://h failed: status 500"),
        (ReplayFileError("a.csv", "no such file"), "a.csv: no such file"),
        (RowError(3, "5 fields", "a,b"), "line 3: 5 fields: a,b"),
    ):
        assert words in str(error)
        assert len(str(error)) < 300
