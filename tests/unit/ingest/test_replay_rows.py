import pytest

from core.market.tick import NO_ID, Side, Tick
from ingest.errors import RowError
from ingest.replay_rows import RowReader, TradeIdRanks, is_int64

GOOD = ["xrpeth", "13519807", "1570752011620000000", "sell", "0.00141342", "23.0"]


def changed(**fields: str) -> list[str]:
    names = ("symbol", "trade_id", "event_ns", "side", "price", "size")
    return [fields.get(name, value) for name, value in zip(names, GOOD, strict=True)]


def test_a_row_becomes_a_tick_with_its_own_name_in_upper_case() -> None:
    tick = RowReader("BINANCE", None).read(GOOD, 2)

    assert tick == Tick(
        tick.symbol, 13519807, 0.00141342, 23.0, 1570752011620000000, Side.SELL, 13519807
    )
    assert tick.symbol == "BINANCE:XRPETH"


@pytest.mark.parametrize(
    ("text", "side"), [("BUY", Side.BUY), ("", Side.UNKNOWN), ("unknown", Side.UNKNOWN)]
)
def test_a_side_may_be_missing(text: str, side: Side) -> None:
    assert RowReader("X", None).read(changed(side=text), 2).side is side


def test_an_empty_id_means_none() -> None:
    tick = RowReader("X", None).read(changed(trade_id=""), 2)

    assert (tick.trade_id, tick.seq) == (NO_ID, 0)


def test_ids_that_are_no_integers_are_hashed_and_ordered_by_their_texts() -> None:
    ranks = TradeIdRanks(["b", "a", "10", "9", "a"])
    reader = RowReader("X", ranks)

    ticks = {name: reader.read(changed(trade_id=name), 2) for name in ("a", "b", "10", "9")}

    assert [ticks[name].seq for name in ("10", "9", "a", "b")] == [1, 2, 3, 4]
    assert len({tick.trade_id for tick in ticks.values()}) == 4
    assert all(0 <= tick.trade_id < 2**63 for tick in ticks.values())
    assert reader.read(changed(trade_id="a"), 9) == ticks["a"]


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        (GOOD[:5], "5 fields, expected 6"),
        ([], "0 fields"),
        ([*GOOD, "x"], "7 fields"),
        (changed(symbol=""), "expected VENUE"),
        (changed(symbol="A B"), "expected VENUE"),
        (changed(trade_id="x1"), "no integer"),
        (changed(event_ns="1e9"), "event_ns"),
        (changed(event_ns="9223372036854775808"), "event_ns"),
        (changed(side="hold"), "side"),
        (changed(price="ten"), "price 'ten' is no number"),
        (changed(size=""), "size '' is no number"),
    ],
    ids=range(11),
)
def test_a_row_that_is_no_trade_is_refused_with_its_line(fields: list[str], reason: str) -> None:
    with pytest.raises(RowError) as failure:
        RowReader("X", None).read(fields, 17)

    assert reason in str(failure.value)
    assert "line 17" in str(failure.value)


@pytest.mark.parametrize(
    ("text", "whole"),
    [("0", True), ("-5", True), ("9223372036854775807", True), ("9223372036854775808", False),
     ("-9223372036854775808", False), ("", False), ("-", False), ("1.0", False), ("٣", False),
     ("99999999999999999999", False)],
)  # fmt: skip
def test_an_integer_fits_64_bits(text: str, *, whole: bool) -> None:
    assert is_int64(text) == whole


def test_any_number_of_names_is_read_in_bounded_memory() -> None:
    reader = RowReader("X", None)

    for n in range(50_010):
        reader.read(changed(symbol=f"S{n}"), 2)

    assert len(reader._symbols) <= 50_000


@pytest.mark.parametrize("price", ["1_0", "\uff11", "1.5 x", ""])
def test_what_only_python_takes_for_a_number_is_no_price(price: str) -> None:
    with pytest.raises(RowError):
        RowReader("X", None).read(changed(price=price), 2)
