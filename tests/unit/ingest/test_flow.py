from ingest.flow import FlowLedger
from storage.roles import RoleName, RoleReport


def report(
    role: RoleName, at_ms: int, consumed: dict[str, int], subscribers: int = 0
) -> RoleReport:
    return RoleReport(
        role=role, name=f"h:{at_ms}", pid=1, reported_ms=at_ms, started_ms=0, consumed=consumed,
        subscribers=subscribers,
    )  # fmt: skip


def ledger() -> FlowLedger:
    flow = FlowLedger(["a", "b"])
    flow.wrote(0, 1, 10)
    flow.wrote(0, 2, 0)
    flow.wrote(0, 3, 5)
    flow.wrote(1, 1, 7)
    return flow


def test_without_an_aggregator_nothing_is_known() -> None:
    reports = [report("gateway", 9, {"a": 3, "b": 1})]

    assert ledger().in_flight(reports, fresh_since_ms=0) is None


def test_what_an_aggregator_has_not_read_is_in_flight_over_all_shards() -> None:
    for consumed, behind in (
        ({}, 22), ({"a": 1}, 12), ({"a": 2, "b": 1}, 5), ({"a": 3, "b": 1}, 0), ({"a": 9}, 7),
    ):  # fmt: skip
        reports = [report("aggregator", 0, consumed)]

        assert ledger().in_flight(reports, fresh_since_ms=5) == behind


def test_the_newest_report_of_a_stream_counts_however_old_it_is() -> None:
    dead = report("aggregator", 1, {"a": 3, "b": 1})
    for consumed, behind in (({"a": 1, "b": 1}, 5), ({"a": 3, "b": 1}, 0), ({}, 0)):
        reports = [report("aggregator", 2, consumed), dead]

        assert ledger().in_flight(reports, fresh_since_ms=1_000) == behind


def test_several_aggregators_report_each_its_own_streams() -> None:
    for first, second, behind in (
        ({"a": 3}, {"b": 1}, 0),
        ({"a": 1}, {"b": 1}, 5),
        ({"a": 3}, {}, 7),
    ):
        reports = [report("aggregator", 8, first), report("aggregator", 9, second)]

        assert ledger().in_flight(reports, fresh_since_ms=5) == behind


def test_a_gateway_counts_while_its_report_is_fresh() -> None:
    done = report("aggregator", 1, {"a": 3, "b": 1})

    assert ledger().in_flight([done, report("gateway", 9, {"a": 3})], fresh_since_ms=9) == 7
    assert ledger().in_flight([done, report("gateway", 8, {"a": 3})], fresh_since_ms=9) == 0


def test_a_feed_is_awaited_by_a_fresh_gateway_with_clients_that_reads_all_its_streams() -> None:
    flow = ledger()
    both = {"a": 1, "b": 1}

    assert flow.wanted([report("gateway", 9, both, 1)], fresh_since_ms=9)
    assert not flow.wanted([report("gateway", 8, both, 1)], fresh_since_ms=9)
    assert not flow.wanted([report("gateway", 9, both, 0)], fresh_since_ms=9)
    assert not flow.wanted([report("gateway", 9, {"a": 1}, 1)], fresh_since_ms=9)
    assert not flow.wanted([report("aggregator", 9, both, 1)], fresh_since_ms=9)
