from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from ingest.spec import FeedSpec
from tickgate.banner import banner, gateway_url
from tickgate.board import Board, Line, cells, number
from tickgate.client import (
    Bar,
    Gap,
    Heartbeat,
    RunningBar,
    Shutdown,
    Stale,
    Trade,
    UpdatedBar,
)
from tickgate.disk_plan import MIN_DISK_BYTES, share
from tickgate.settings import Settings
from tickgate.watch import draw

MIB = 1 << 20


@given(st.integers(MIN_DISK_BYTES, 1 << 50))
def test_the_shares_of_the_disk_stay_within_it(disk: int) -> None:
    plan = share(disk)

    valkey = 3 * (plan.stream_max_bytes * 1.25 + 64 * MIB)
    stored = plan.bars_max_bytes + plan.tick_log_max_bytes
    assert valkey + 256 * MIB + 64 * MIB + stored <= disk
    assert plan.stream_max_bytes >= 16 * MIB
    assert plan.bars_max_bytes >= 16 * MIB
    assert plan.tick_log_max_bytes >= 16 * MIB


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8080/"),
        ("localhost", "http://127.0.0.1:8080/"),
        ("0.0.0.0", "http://127.0.0.1:8080/"),
        ("::", "http://[::1]:8080/"),
        ("::1", "http://[::1]:8080/"),
    ],
)
def test_the_address_can_be_opened_on_this_machine(host: str, url: str) -> None:
    assert gateway_url(Settings(host=host)) == url


def test_the_banner_tells_address_feeds_data_access_and_how_to_stop() -> None:
    specs = [FeedSpec.parse("sim"), FeedSpec.parse("coinbase:BTC-USD?url=ws://u:pw@h/")]

    text = banner(Settings(), specs, data_dir=Path("/data"))

    assert "open    http://127.0.0.1:8080/" in text
    assert "u:***@h" in text
    assert "/data, at most 2 GiB" in text
    assert "from this machine only" in text
    assert "Ctrl-C" in text


def test_the_banner_of_own_servers_and_keys() -> None:
    settings = Settings(redis_url="redis://h", database_url="postgresql://h/d", api_keys="a:b")

    text = banner(settings, [], data_dir=Path("/data"))

    assert "/data" not in text
    assert "with an API key" in text


def test_an_uncapped_disk_is_not_called_capped() -> None:
    assert "at most" not in banner(Settings(disk_max_bytes=0), [], data_dir=Path("/data"))


def trade(price: float, **more: Any) -> Trade:
    return Trade("A:X", price, 2.0, 1_500_000_000, **more)


def bar(kind: type[Bar], start_s: int, close: float) -> Bar:
    values = {"open": 1.0, "high": 2.0, "low": 0.5, "close": close, "volume": 10.0, "trades": 3}
    return kind("A:X", "1Min", start_s * 10**9, vwap=1.0, **values)


def test_a_stale_feed_is_kept_in_words_until_its_trades_come_again() -> None:
    board = Board(("A:X",))
    since_ns = 1_710_239_804 * 10**9

    said = [
        board.hear(Stale("sim", "SIM", True, None, since_ns)),
        *board.stale.values(),
        board.hear(Stale("sim", "SIM", False, None, since_ns)),
        board.hear(Stale("sim", "SIM", False, None, since_ns, ended=True)),
    ]

    stale = "sim is stale: no trade since 2024-03-12T10:36:44Z"
    assert said == [stale, stale, "sim has trades again", "sim has ended"]
    assert board.stale == {}
    assert board.apply(Heartbeat(since_ns, {}), 0) is None


def test_a_trade_moves_the_last_price_and_its_delay() -> None:
    board = Board(("A:X",))

    first = board.apply(trade(4.0), now_ms=1600)
    board.apply(trade(5.0, taker="B"), now_ms=1510)
    board.refer("A:X", 4.0)
    board.refer("B:Y", 4.0)

    line = board.lines["A:X"]
    assert first == "A:X trade 1970-01-01T00:00:01.5Z 4.0 2.0 -"
    assert (line.last, line.move, line.trades, line.latency_ms) == (5.0, 1, 2, 10)
    assert cells(line)[:3] == ("A:X", "▲ 5", "+25.00 %")
    board.apply(trade(4.0), now_ms=1510)
    assert line.move == -1
    board.apply(trade(4.0), now_ms=1510)
    assert line.move == -1


def test_the_newest_bar_is_shown_and_closed_ones_are_told() -> None:
    board = Board(("A:X",))

    told = [
        board.apply(bar(RunningBar, 1_735_689_660, 1.0), 0),
        board.apply(bar(Bar, 1_735_689_600, 1.5), 0),
        board.apply(bar(UpdatedBar, 1_735_689_660, 1.75), 0),
    ]

    assert told == [
        None,
        "A:X bar 2025-01-01T00:00:00Z 1.0 2.0 0.5 1.5 10.0 3",
        "A:X revised 2025-01-01T00:01:00Z 1.0 2.0 0.5 1.75 10.0 3",
    ]
    assert cells(board.lines["A:X"])[3:] == ("1", "2", "0.5", "1.75", "10", "3", "-")


def test_other_messages_change_nothing_and_a_star_brings_lines() -> None:
    board = Board(("*",))

    assert board.apply(Shutdown("drain", 1.0), 0) is None
    assert board.apply(Gap("A:X", 0, 1, "lost"), 0) is None
    assert board.lines == {}
    board.apply(trade(1.0), 0)
    assert list(board.lines) == ["A:X"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.00000123, "0.00000123"), (123456.789, "123456.79"), (3.0, "3"), (0.5, "0.5")],
)
def test_numbers_are_short_and_without_exponents(value: float | None, text: str) -> None:
    assert number(value) == text


ALL = ["symbol", "last", "change", "open", "high", "low", "close", "volume", "trades", "delay"]


def drawn(board: Board, width: int) -> list[list[str]]:
    """The texts of the table's cells, line by line, as a terminal of that width shows them."""
    console = Console(width=width, color_system=None)
    with console.capture() as captured:
        console.print(draw(board, "live from http://127.0.0.1:8080", width))
    lines = captured.get().splitlines()
    assert max(map(len, lines)) <= width
    rows = [line.replace("┃", "│").strip("│").split("│") for line in lines if line[:1] in "┃│"]
    return [[cell.strip() for cell in row] for row in rows]


def watched() -> Board:
    board = Board(("COINBASE:BTC-USD", "KRAKEN:XRP-USD"))
    board.refer("COINBASE:BTC-USD", 69_000.01)
    for price in (71_856.14, 71_856.15):
        board.apply(Trade("COINBASE:BTC-USD", price, 0.5, 1_500_000_000), now_ms=1612)
    prices = (71_801.11, 71_899.99, 71_788.42, 71_856.15)
    board.apply(RunningBar("COINBASE:BTC-USD", "1Min", 0, *prices, 12.345678, 4321, 71_800.0), 0)
    return board


@pytest.mark.parametrize(
    ("width", "columns"),
    [
        (140, ALL),
        (100, [name for name in ALL if name not in {"volume", "low"}]),
        (80, ["symbol", "last", "change", "close", "trades", "delay"]),
        (60, ["symbol", "last", "change", "delay"]),
        (50, ["symbol", "last", "change"]),
    ],
)
def test_a_narrow_terminal_has_fewer_columns_and_no_cut_digits(
    width: int, columns: list[str]
) -> None:
    texts = dict(
        zip(ALL, ("COINBASE:BTC-USD", "▲ 71856.15", "+4.14 %", "71801.11", "71899.99", "71788.42",
                  "71856.15", "12.345678", "4321", "112 ms"), strict=True)
    )  # fmt: skip

    header, first, second = drawn(watched(), width)

    assert header == columns
    assert first == [texts[name] for name in columns]
    assert second[:3] == ["KRAKEN:XRP-USD", "-", "-"]


def test_a_column_does_not_come_and_go_with_every_trade() -> None:
    board, width = watched(), 80
    columns, _ = board.table(width)
    line = board.lines["COINBASE:BTC-USD"]
    line.last, line.bar = 1.0, None

    assert board.table(width)[0] == columns
    assert board.table(140)[0] == tuple(ALL)


def test_the_table_of_all_symbols_begins_with_no_line() -> None:
    assert drawn(Board(("*",)), 140) == [ALL]


def test_a_line_without_a_trade_has_no_change() -> None:
    assert cells(Line("A:X")) == ("A:X", "  -", "-", *"------", "-")
