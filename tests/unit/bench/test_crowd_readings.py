"""What crowd scenarios read: the kernel's queues, metrics, a database's log."""

from collections import Counter

from tests.bench.crowd.comeback import beyond_a_start
from tests.bench.crowd.processes import parse_samples
from tests.bench.crowd.statements import count_statements
from tests.bench.crowd.usage import Watch, parse_queues

TCP = """\
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1
   1: 0100007F:1F90 0200007F:D431 01 00012345:00000000 01:00000014 00000000     0        0 2 1
   2: 0100007F:1F90 0200007F:D432 04 00000001:00000000 01:00000014 00000000     0        0 3 1
   3: 0200007F:D431 0100007F:1F90 01 00000000:00000010 00:00000000 00000000     0        0 4 1
"""


def test_queues_are_those_of_open_connections_to_the_port() -> None:
    assert parse_queues(TCP.splitlines(), 8080) == {54321: 0x12345}


def test_a_watch_notes_the_last_change_and_the_end_of_each_queue() -> None:
    watch = Watch()

    watch.look({1: 10, 2: 20}, 100)
    watch.look({1: 15, 2: 20}, 200)
    watch.look({1: 15}, 300)
    watch.look({}, 400)
    watch.look({}, 500)

    assert watch.changed_ns == {1: 200, 2: 100}
    assert watch.gone_ns == {1: 400, 2: 300}


def test_samples_of_a_metric_are_found_by_their_labels() -> None:
    text = (
        '# TYPE a counter\na_total{reason="x"} 3.0\na_total{reason="y"} 1.0\na_total_b 7.0\nc 2.0\n'
    )

    assert parse_samples(text, "a_total") == {'reason="x"': 3.0, 'reason="y"': 1.0}
    assert parse_samples(text, "c") == {"": 2.0}


def test_statements_of_both_protocols_are_counted_by_their_first_line() -> None:
    log = """\
2026-01-01 00:00:00.000 UTC [7] LOG:  statement: SELECT 1
2026-01-01 00:00:00.000 UTC [7] LOG:  execute <unnamed>: SELECT 1
2026-01-01 00:00:00.000 UTC [7] DETAIL:  parameters: $1 = 'LOG'
2026-01-01 00:00:00.000 UTC [7] LOG:  execute _pg3_0: SELECT a::text
\tFROM b
2026-01-01 00:00:00.000 UTC [7] LOG:  checkpoint starting: time
"""

    assert count_statements(log.splitlines()) == {"SELECT 1": 2, "SELECT a::text": 1}


def test_beyond_a_start_is_what_was_asked_more_often_but_for_pings() -> None:
    asked = Counter({"SELECT 1": 9, "SELECT a": 2, "SELECT b": 1, "SELECT c": 1})
    alone = Counter({"SELECT 1": 3, "SELECT a": 1, "SELECT b": 1})

    assert beyond_a_start(asked, alone) == {"SELECT a": 1, "SELECT c": 1}
