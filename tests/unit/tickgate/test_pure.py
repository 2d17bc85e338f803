from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ingest.spec import FeedSpec
from tickgate.banner import banner, gateway_url
from tickgate.board import Board, Line, cells, number
from tickgate.disk_plan import MIN_DISK_BYTES, share
from tickgate.settings import Settings

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


def trade(price: float, **more: Any) -> dict[str, Any]:
    base = {"T": "t", "S": "A:X", "p": price, "s": 2.0, "t": "1970-01-01T00:00:01.5Z"}
    return {**base, **more}


def bar(kind: str, start: str, close: float) -> dict[str, Any]:
    return {"T": kind, "S": "A:X", "t": start, "o": 1.0, "h": 2.0, "l": 0.5, "c": close} | {
        "v": 10.0,
        "n": 3,
    }


def test_a_stale_feed_is_kept_in_words_until_its_trades_come_again() -> None:
    board = Board(("A:X",))
    message = {"T": "stale", "feed": "sim", "venue": "SIM", "stale": True, "t": None}

    said = [
        board.hear({**message, "since": "2024-03-12T10:36:44Z"}),
        *board.stale.values(),
        board.hear({**message, "stale": False}),
        board.hear({**message, "stale": False, "ended": True}),
    ]

    stale = "sim is stale: no trade since 2024-03-12T10:36:44Z"
    assert said == [stale, stale, "sim has trades again", "sim has ended"]
    assert board.stale == {}
    assert board.apply({"T": "hb", "t": "2024-03-12T10:36:44Z", "feeds": {}}, 0) is None


def test_a_trade_moves_the_last_price_and_its_delay() -> None:
    board = Board(("A:X",))

    first = board.apply(trade(4.0), now_ms=1600)
    board.apply(trade(5.0, tks="B"), now_ms=1510)
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
        board.apply(bar("r", "2025-01-01T00:01:00Z", 1.0), 0),
        board.apply(bar("b", "2025-01-01T00:00:00Z", 1.5), 0),
        board.apply(bar("u", "2025-01-01T00:01:00Z", 1.75), 0),
    ]

    assert told == [
        None,
        "A:X bar 2025-01-01T00:00:00Z 1.0 2.0 0.5 1.5 10.0 3",
        "A:X revised 2025-01-01T00:01:00Z 1.0 2.0 0.5 1.75 10.0 3",
    ]
    assert cells(board.lines["A:X"])[3:] == ("1", "2", "0.5", "1.75", "10", "3", "-")


def test_other_messages_change_nothing_and_a_star_brings_lines() -> None:
    board = Board(("*",))

    assert board.apply({"T": "success", "msg": "connected"}, 0) is None
    assert board.apply({"T": "hb", "S": "A:X"}, 0) is None
    assert board.lines == {}
    board.apply(trade(1.0), 0)
    assert list(board.lines) == ["A:X"]


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), (0.00000123, "0.00000123"), (123456.789, "123456.79"), (3.0, "3"), (0.5, "0.5")],
)
def test_numbers_are_short_and_without_exponents(value: float | None, text: str) -> None:
    assert number(value) == text


def test_a_line_without_a_trade_has_no_change() -> None:
    assert cells(Line("A:X")) == ("A:X", "  -", "-", *"------", "-")
