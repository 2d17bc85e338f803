from typing import Any

import msgspec
import pytest

from core.market.tick import NO_ID
from ingest.items import ItemReader, hashed_id
from ingest.spec import PollOptions

FULL: dict[str, Any] = {
    "items": "d.rows", "symbol": "s", "price": "p", "size": "q", "time": "t", "unit": "s", "id": "i"
}  # fmt: skip


def reader(**options: Any) -> ItemReader:
    return ItemReader(PollOptions(url="http://h/", **options))


def answer(*rows: dict[str, Any]) -> bytes:
    return msgspec.json.encode({"d": {"rows": rows}})


def row(**fields: Any) -> dict[str, Any]:
    return {"s": "a", "p": "1.5", "q": 2, "t": 1_700_000_000, "i": 7} | fields


def test_trades_are_found_by_the_paths_and_ordered_by_time() -> None:
    body = answer(row(t=1_700_000_002, i=9), row(), row(s="b", t="1700000001.25", i=8, q="3"))

    ticks, errors = reader(**FULL).read(body, symbol=None, arrived_ns=5)

    assert not errors
    assert [(t.symbol, t.trade_id, t.price, t.size, t.event_ns, t.seq) for t in ticks] == [
        ("POLL:A", 7, 1.5, 2.0, 1_700_000_000_000_000_000, 7),
        ("POLL:B", 8, 1.5, 3.0, 1_700_000_001_250_000_000, 8),
        ("POLL:A", 9, 1.5, 2.0, 1_700_000_002_000_000_000, 9),
    ]


def test_paths_lead_through_lists_and_the_symbol_may_come_from_the_address() -> None:
    body = msgspec.json.encode({"x": [{"last": ["4.5", "0.1"]}]})

    (tick,), _ = reader(price="x.0.last.0", size="x.0.last.1", venue="V").read(
        body, symbol="btc-usd", arrived_ns=5
    )

    assert (tick.symbol, tick.price, tick.size) == ("V:BTC-USD", 4.5, 0.1)
    assert (tick.event_ns, tick.trade_id) == (5, NO_ID)


def test_names_that_were_not_asked_for_are_left_out() -> None:
    ticks, errors = reader(**FULL, symbols=("b",)).read(
        answer(row(), row(s="b")), symbol=None, arrived_ns=5
    )

    assert [tick.symbol for tick in ticks] == ["POLL:B"]
    assert not errors


def test_what_the_last_answer_held_already_is_not_new() -> None:
    items = reader(**FULL)
    items.read(answer(row(i=1), row(i=2)), symbol=None, arrived_ns=5)

    ticks, _ = items.read(answer(row(i=2), row(i=3)), symbol=None, arrived_ns=5)

    assert [tick.trade_id for tick in ticks] == [3]


def test_ids_that_are_no_integers_become_hashes_and_empty_ones_none() -> None:
    big = 2**63
    body = answer(row(i="a-1"), row(i=big), row(i=""), row(i=None))

    ticks, _ = reader(**FULL).read(body, symbol=None, arrived_ns=5)

    assert [tick.trade_id for tick in ticks] == [hashed_id("a-1"), hashed_id(big), NO_ID, NO_ID]


def test_without_ids_equal_trades_of_one_answer_are_two_and_a_repeated_answer_is_none() -> None:
    options = FULL | {"id": ""}
    items = reader(**options)
    body = answer(row(), row(), row(p=2))

    first, _ = items.read(body, symbol=None, arrived_ns=5)
    again, _ = items.read(body, symbol=None, arrived_ns=6)
    restarted, _ = reader(**options).read(body, symbol=None, arrived_ns=7)

    assert len({tick.trade_id for tick in first}) == 3
    assert again == []
    assert restarted == first


def test_without_id_and_time_only_a_change_is_a_trade() -> None:
    items = reader(price="p")
    bodies = [{"p": 1}, {"p": 1}, {"p": 2}, {"p": 1}]

    found = [
        items.read(msgspec.json.encode(body), symbol="A", arrived_ns=n)[0]
        for n, body in enumerate(bodies)
    ]

    assert [[(t.price, t.event_ns) for t in ticks] for ticks in found] == [
        [(1.0, 0)], [], [(2.0, 2)], [(1.0, 3)],
    ]  # fmt: skip


def test_last_prices_of_any_number_of_names_are_kept_in_bounded_memory() -> None:
    items = reader(price="p", symbol="s")

    items.read(
        msgspec.json.encode([{"s": f"S{n}", "p": 1} for n in range(20_005)]),
        symbol=None,
        arrived_ns=1,
    )

    assert len(items._last) <= 20_000


@pytest.mark.parametrize(
    "body", [b"", b"{", b"7", b'{"d":[]}', b'{"d":{}}', b"\xff", b"[" * 200_000], ids=range(7)
)
def test_an_answer_without_the_items_is_an_error_in_words(body: bytes) -> None:
    ticks, errors = reader(**FULL).read(body, symbol=None, arrived_ns=5)

    assert not ticks
    assert "poll" in str(errors[0])


@pytest.mark.parametrize(
    "wrong",
    [{"p": None}, {"p": True}, {"p": "x"}, {"p": [1]}, {"s": "a b"}, {"t": "soon"}, {"t": 10**12},
     {"q": {}}],
    ids=range(8),
)  # fmt: skip
def test_a_malformed_item_leaves_the_others(wrong: dict[str, Any]) -> None:
    ticks, errors = reader(**FULL).read(
        answer(row(i=1), row(**wrong), row(i=3)), symbol=None, arrived_ns=5
    )

    assert [tick.trade_id for tick in ticks] == [1, 3]
    assert len(errors) == 1


def test_a_number_too_large_for_a_float_is_an_error() -> None:
    body = b'{"p": 1' + b"0" * 400 + b"}"

    ticks, errors = reader(price="p").read(body, symbol="A", arrived_ns=5)

    assert (ticks, len(errors)) == ([], 1)


def test_times_may_be_stamps() -> None:
    options = FULL | {"unit": "rfc3339"}
    (tick,), _ = reader(**options).read(
        answer(row(t="2023-11-14T22:13:20.5Z")), symbol=None, arrived_ns=5
    )

    assert tick.event_ns == 1_700_000_000_500_000_000
