"""/v1/bars of any length, and flat bars for windows without trades."""

from typing import Any

import pytest

from core.market.block import BlockMeta
from core.market.symbol import Symbol
from core.market.tick import Tick
from core.market.timeframe import Timeframe
from gateway.market import FeedNews
from tests.integration.gateway_http.rig import DAY, NOON, Rig, bar

BTC, ETH = "COINBASE:BTC-USD", "COINBASE:ETH-USD"
MINUTE_NS = 60_000_000_000
FIFTEEN = Timeframe.MIN_15


async def starts(rig: Rig, **params: str) -> list[str]:
    """Day and time of the first page's bars of one symbol."""
    rig.pass_s(1.1)  # an answer about the present is kept for a second
    status, answer = await rig.get("/v1/bars", symbols="BTC-USD", **params)
    assert status == 200, answer
    return [one["t"][8:16] for one in answer["bars"].get("BTC-USD", [])]


async def test_a_bar_of_another_length_is_made_of_the_longest_stored_ones_that_fit(
    both: Rig,
) -> None:
    await both.save(
        bar(BTC, 30, timeframe=FIFTEEN, volume=1.0, rev=2),
        bar(BTC, 45, timeframe=FIFTEEN, volume=3.0, gap=True),
        bar(BTC, 60, timeframe=FIFTEEN),
        bar(BTC, 31),  # 1-minute bars are no part of it
    )

    _, answer = await both.get("/v1/bars", symbols="BTC-USD", timeframe="1H", start="2021-07-03")

    assert answer["bars"]["BTC-USD"][0] == {
        "t": "2021-07-03T00:00:00Z",
        "o": 130.0,
        "h": 146.0,
        "l": 129.0,
        "c": 145.5,
        "v": 4.0,
        "n": 6,
        "vw": (130.0 + 3 * 145.0) / 4,
        "rev": 2,
        "final": True,
        "gap": True,
    }
    assert [one["t"][11:16] for one in answer["bars"]["BTC-USD"]] == ["00:00", "01:00"]


async def test_start_and_end_are_compared_with_the_start_of_the_longer_window(rig: Rig) -> None:
    await rig.save(*(bar(BTC, minute) for minute in range(-1, 30)))

    span = {"start": "2021-07-03T00:07:00Z", "end": "2021-07-03T00:21:00Z"}
    assert await starts(rig, timeframe="7Min", **span) == ["03T00:07", "03T00:14", "03T00:21"]
    later = {"start": "2021-07-03T00:07:00.1Z", "end": "2021-07-03T00:20:59Z"}
    assert await starts(rig, timeframe="7Min", **later) == ["03T00:14"]
    # The last window of a day is the shorter one: 23:55 to midnight.
    day = {"start": "2021-07-02", "end": "2021-07-03"}
    assert await starts(rig, timeframe="7Min", **day) == ["02T23:55", "03T00:00"]


async def test_a_rolled_bar_is_there_once_its_window_is_over(rig: Rig) -> None:
    await rig.save(*(bar(BTC, minute, timeframe=FIFTEEN) for minute in (660, 675, 690)))

    rig.now_ns = NOON + 4_000_000_000  # the last minute may be on its way still
    assert await starts(rig, timeframe="1Hour") == []
    rig.now_ns = NOON + 5_000_000_000
    assert await starts(rig, timeframe="1Hour") == ["03T11:00"]
    assert await starts(rig, timeframe="30Min") == ["03T11:00", "03T11:30"]
    rig.market.apply_bar(bar(BTC, 705, timeframe=FIFTEEN, final=False))
    assert await starts(rig, timeframe="1Hour") == []
    assert await starts(rig, timeframe="30Min") == ["03T11:00"]


async def test_in_a_replay_a_window_is_over_when_a_later_one_has_closed(rig: Rig) -> None:
    rig.now_ns = DAY + 365 * 24 * 60 * MINUTE_NS
    bars = [bar(BTC, minute, timeframe=FIFTEEN) for minute in (600, 660, 675)]
    await rig.save(*bars)
    come(rig, minute=690)
    for one in bars:
        rig.market.apply_bar(one)  # no window is open: the next trade is yet to come

    span = {"start": "2021-07-03", "end": "2021-07-04"}
    assert await starts(rig, timeframe="1Hour", **span) == ["03T10:00"]
    assert await starts(rig, timeframe="1Day", **span) == []
    assert await starts(rig, timeframe="15Min", **span) == ["03T10:00", "03T11:00", "03T11:15"]
    _, answer = await rig.get("/v1/bars/latest", symbols="BTC-USD", timeframe="1Hour")
    assert answer["bars"]["BTC-USD"]["final"] is False

    come(rig, minute=731)  # a quarter of an hour, and 10 minutes, later
    assert await starts(rig, timeframe="1Hour", **span) == ["03T10:00", "03T11:00"]
    assert await starts(rig, timeframe="1Day", **span) == []
    come(rig, minute=731, end=True)
    assert await starts(rig, timeframe="1Day", **span) == ["03T00:00"]


async def test_after_a_replay_a_window_is_over_when_it_holds_the_last_trade(rig: Rig) -> None:
    rig.now_ns = DAY + 365 * 24 * 60 * MINUTE_NS
    bars = [bar(BTC, minute, timeframe=FIFTEEN) for minute in (600, 660, 675)]
    await rig.save(*bars)
    for one in bars:
        rig.market.apply_bar(one)
    rig.market.apply_trade(Tick(Symbol(BTC), 1, 7.0, 1.0, DAY + 700 * MINUTE_NS))
    come(rig, minute=700, end=True)

    span = {"start": "2021-07-03", "end": "2021-07-04"}
    assert await starts(rig, timeframe="1Hour", **span) == ["03T10:00"]
    assert await starts(rig, timeframe="1Day", **span) == []
    url = f"{rig.base}/v1/bars?symbols=BTC-USD&timeframe=1Hour&start=2021-07-03&end=2021-07-04"
    async with rig.session.get(url) as response:
        assert response.headers["Cache-Control"] == "public, no-cache"

    await rig.save(bar(BTC, 690, timeframe=FIFTEEN))  # it is not told yet
    assert await starts(rig, timeframe="1Hour", **span) == ["03T10:00", "03T11:00"]
    assert await starts(rig, timeframe="1Day", **span) == ["03T00:00"]


async def test_in_a_fast_replay_a_window_waits_for_the_bars_of_trades_that_came(rig: Rig) -> None:
    rig.now_ns = DAY + 365 * 24 * 60 * MINUTE_NS
    await rig.save(*(bar(BTC, minute, timeframe=FIFTEEN) for minute in (600, 660)))
    rig.market.apply_trade(Tick(Symbol(BTC), 1, 7.0, 1.0, DAY + 1_000 * MINUTE_NS))
    rig.market.apply_bar(bar(BTC, 990, timeframe=FIFTEEN, final=False))
    come(rig, minute=1_000)
    span = {"start": "2021-07-03", "end": "2021-07-04"}

    assert await starts(rig, timeframe="1Hour", **span) == ["03T10:00"]  # none is told yet
    rig.market.apply_bar(bar(BTC, 660, timeframe=FIFTEEN))
    rig.market.apply_bar(bar(BTC, 990, timeframe=FIFTEEN, final=False))
    assert await starts(rig, timeframe="1Hour", **span) == ["03T10:00"]

    await rig.save(bar(BTC, 705, timeframe=FIFTEEN))
    assert await starts(rig, timeframe="1Hour", **span) == ["03T10:00", "03T11:00"]


async def test_a_gateway_that_starts_in_a_replay_takes_no_window_for_over(rig: Rig) -> None:
    rig.now_ns = DAY + 365 * 24 * 60 * MINUTE_NS
    await rig.save(*(bar(BTC, minute, timeframe=FIFTEEN) for minute in (600, 660)))
    rig.market.apply_trade(Tick(Symbol(BTC), 1, 7.0, 1.0, DAY + 674 * MINUTE_NS))  # as is stored
    span = {"start": "2021-07-03", "end": "2021-07-04"}

    come(rig, minute=680)
    assert await starts(rig, timeframe="1Hour", **span) == ["03T10:00"]

    come(rig, minute=731)
    assert await starts(rig, timeframe="1Hour", **span) == ["03T10:00", "03T11:00"]


def come(rig: Rig, *, minute: int, end: bool = False) -> None:
    """A replay has come that far into 2021-07-03."""
    meta = BlockMeta(number=1, watermark_ns=0, feed_time_ns=0, sealed_ns=0, end=end)
    news = FeedNews()
    news.take(meta, 1, DAY + minute * MINUTE_NS)
    rig.silence.look({"replay": news}, {"replay": "COINBASE"}, now_ns=rig.now_ns, monotonic_ns=1)


@pytest.mark.parametrize("sort", ["asc", "desc"])
async def test_a_page_of_long_bars_of_many_symbols_is_read_in_pieces(rig: Rig, sort: str) -> None:
    names = [f"SIM:S{n:02}" for n in range(12)]
    minutes = range(0, 1440, 15)
    days = [[bar(s, m - 1440 * d, timeframe=FIFTEEN) for m in minutes] for s in names
            for d in range(1, 12)]  # fmt: skip
    await rig.save(*(one for day in days for one in day))

    query = {"symbols": ",".join(names), "timeframe": "1Day", "start": "2021-06-01", "sort": sort}
    _, whole = await rig.get("/v1/bars", **query)
    _, first = await rig.get("/v1/bars", **query, limit="17")
    _, second = await rig.get("/v1/bars", **query, limit="17", page_token=first["next_page_token"])

    order = range(22, 33) if sort == "asc" else range(32, 21, -1)
    expected = [(name, f"{6 + (day > 30):02}-{day % 30 or 30:02}")
                for name in names for day in order]  # fmt: skip
    assert shown(whole) == expected
    assert shown(first) + shown(second) == expected[:34]
    assert {one["n"] for bars in whole["bars"].values() for one in bars} == {3 * 96}


def shown(page: dict[str, Any]) -> list[tuple[str, str]]:
    return [(name, one["t"][5:10]) for name, bars in page["bars"].items() for one in bars]


async def flats(rig: Rig, **params: str) -> list[tuple[str, float, int]]:
    """Minute, close and number of trades of the first page's bars."""
    query = {"symbols": "BTC-USD", "fill": "previous"} | params
    rig.pass_s(1.1)
    status, answer = await rig.get("/v1/bars", **query)
    assert status == 200, answer
    found = answer["bars"].get("BTC-USD", [])
    return [(one["t"][11:16], one["c"], one["n"]) for one in found]


async def test_flat_bars_stand_for_windows_without_trades(rig: Rig) -> None:
    await rig.save(bar(BTC, -100), bar(BTC, 2), bar(BTC, 4))
    span = {"start": "2021-07-03T00:01:00Z", "end": "2021-07-03T00:05:30Z"}

    _, answer = await rig.get("/v1/bars", symbols="BTC-USD", fill="previous", **span)

    assert await flats(rig, **span) == [
        ("00:01", 0.5, 0),
        ("00:02", 102.5, 3),
        ("00:03", 102.5, 0),
        ("00:04", 104.5, 3),
        ("00:05", 104.5, 0),
    ]
    assert answer["bars"]["BTC-USD"][0] == {
        "t": "2021-07-03T00:01:00Z",
        "o": 0.5,
        "h": 0.5,
        "l": 0.5,
        "c": 0.5,
        "v": 0.0,
        "n": 0,
        "vw": 0.5,
        "rev": 0,
        "final": True,
    }


async def test_flat_bars_begin_with_a_symbols_first_bar_and_end_with_its_last_when_it_is_gone(
    rig: Rig,
) -> None:
    day_before = -1440
    await rig.save(bar(BTC, day_before + 3), bar(BTC, day_before + 5))
    span = {"start": "2021-07-02", "end": "2021-07-04"}

    gone = await flats(rig, **span)
    rig.market.apply_trade(Tick(Symbol(BTC), 1, 1.0, 1.0, DAY - 1_380 * MINUTE_NS))
    await rig.save(bar(BTC, day_before + 60))
    traded_since = await flats(rig, **span)

    assert [minute for minute, _, _ in gone] == ["00:03", "00:04", "00:05"]
    assert [minute for minute, _, _ in traded_since[-2:]] == ["00:59", "01:00"]


async def test_flat_bars_of_a_symbol_that_trades_go_up_to_now_and_not_into_open_windows(
    rig: Rig,
) -> None:
    await rig.save(bar(BTC, 715))
    span = {"start": "2021-07-03T11:50:00Z"}

    assert (await flats(rig, **span))[-1] == ("11:58", 815.5, 0)  # 12:00 has just come
    rig.now_ns = NOON + 5_000_000_000
    assert (await flats(rig, **span))[-1] == ("11:59", 815.5, 0)
    rig.market.apply_bar(bar(BTC, 718, final=False))
    assert (await flats(rig, **span))[-1] == ("11:57", 815.5, 0)
    assert (await flats(rig, timeframe="2Min", **span))[-1][0] == "11:56"
    rig.market.apply_bar(bar(BTC, 719, final=False))  # beside the one before, open for the grace
    assert (await flats(rig, **span))[-1] == ("11:57", 815.5, 0)


async def test_no_bar_is_flat_where_a_trade_came_that_no_bar_has_yet(rig: Rig) -> None:
    await rig.save(bar(BTC, 715))
    rig.market.apply_bar(bar(BTC, 715))
    rig.now_ns = NOON + 5_000_000_000
    span = {"start": "2021-07-03T11:50:00Z"}
    assert (await flats(rig, **span))[-1] == ("11:59", 815.5, 0)

    # While no aggregator runs it is in no running bar either.
    rig.market.apply_trade(Tick(Symbol(BTC), 1, 7.0, 1.0, DAY + 717 * MINUTE_NS))
    assert await flats(rig, **span) == [("11:55", 815.5, 3)]
    assert await flats(rig, timeframe="2Min", **span) == [("11:54", 815.5, 3)]

    await rig.save(bar(BTC, 717))
    rig.market.apply_bar(bar(BTC, 717))
    assert (await flats(rig, **span))[1:] == [
        ("11:56", 815.5, 0),
        ("11:57", 817.5, 3),
        ("11:58", 817.5, 0),
        ("11:59", 817.5, 0),
    ]


@pytest.mark.parametrize(("newest", "last"), [(600, "11:34"), (700, "11:40")])
async def test_no_bar_is_flat_that_a_feed_behind_the_clock_has_yet_to_come_to(
    rig: Rig, newest: int, last: str
) -> None:
    await rig.save(bar(BTC, newest))
    rig.market.apply_bar(bar(BTC, newest))
    span = {"start": "2021-07-03T09:00:00Z"}

    assert (await flats(rig, **span))[-1][0] == "11:58"
    come(rig, minute=705)  # a quarter of an hour ago
    assert (await flats(rig, **span))[-1][0] == last
    come(rig, minute=705, end=True)
    assert (await flats(rig, **span))[-1][0] == "11:58"


async def test_flat_bars_count_for_the_limit_and_pages_go_on_within_them(both: Rig) -> None:
    await both.save(bar(BTC, 0), bar(BTC, 9), bar(ETH, 2), bar(ETH, 3))
    query = {"symbols": "BTC-USD,ETH-USD", "fill": "previous", "limit": "4"}
    query |= {"start": "2021-07-03", "end": "2021-07-03T00:10:00Z"}
    for sort in ("asc", "desc"):
        found: list[tuple[str, str, int]] = []
        token: dict[str, str] = {}
        sizes = []
        while True:
            _, page = await both.get("/v1/bars", **query, sort=sort, **token)
            rows = [(s, one["t"][14:16], one["n"]) for s, some in page["bars"].items()
                    for one in some]  # fmt: skip
            found += rows
            sizes.append(len(rows))
            if page["next_page_token"] is None:
                break
            token = {"page_token": page["next_page_token"]}
        step = 1 if sort == "asc" else -1
        expected = [("BTC-USD", f"{n:02}", 3 * (n in (0, 9))) for n in range(11)[::step]]
        expected += [("ETH-USD", f"{n:02}", 3 * (n in (2, 3))) for n in range(2, 11)[::step]]
        assert found == expected
        assert sizes == [4, 4, 4, 4, 4]
