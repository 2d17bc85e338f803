import msgspec

from core.market.bar import Bar
from core.market.block import BlockMeta, decode_block, encode_block
from core.market.notice import Cancel
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from gateway.market import MarketState

A, B, C = Symbol("X:A"), Symbol("X:B"), Symbol("X:C")


def tick(symbol: Symbol, ident: int, *, event_ns: int, seq: int = 0) -> Tick:
    return Tick(symbol, ident, 1.5, 2.5, event_ns, Side.SELL, seq)


def apply(market: MarketState, *ticks: Tick, feed: str = "f") -> list[Symbol]:
    meta = BlockMeta(number=1, watermark_ns=0, feed_time_ns=0, sealed_ns=0)
    block = decode_block(encode_block(meta, ticks))
    return market.apply_blocks([(feed, block.meta, len(block))], block)


def bar(minute: int, *, rev: int = 0, final: bool = True) -> Bar:
    start_ns = minute * MINUTE_NS
    return Bar(A, Timeframe.MIN_1, start_ns, 1, 1, 1, 1, 1, 1, 1, rev, final)


def test_the_last_trade_is_the_newest_by_event_time_then_sequence_then_arrival() -> None:
    market = MarketState()
    newest = tick(A, 3, event_ns=20, seq=5)
    apply(market, tick(A, 1, event_ns=20, seq=4), newest, tick(A, 2, event_ns=20, seq=4))
    apply(market, tick(A, 4, event_ns=10, seq=9))

    assert market.last_trade(A) == newest
    apply(market, tick(A, 5, event_ns=20, seq=5))
    assert market.last_trade(A) == tick(A, 5, event_ns=20, seq=5)


def test_new_symbols_are_told_once_and_found_by_any_spelling() -> None:
    market = MarketState()

    assert apply(market, tick(B, 1, event_ns=1), tick(A, 1, event_ns=1)) == [B, A]
    assert apply(market, tick(A, 2, event_ns=2)) == []
    assert market.apply_trade(tick(C, 1, event_ns=1)) == [C]
    assert market.symbols() == [A, B, C]
    assert market.resolve("b") == B
    assert market.resolve("X:D") is None


def test_a_symbol_without_a_trade_has_no_last_one() -> None:
    market = MarketState()
    market.add_symbols([A])

    assert market.last_trade(A) is None
    assert market.last_trade(B) is None


def test_symbols_beyond_the_limit_are_refused_and_counted() -> None:
    market = MarketState(max_symbols=1)

    assert apply(market, tick(A, 1, event_ns=1), tick(B, 1, event_ns=1)) == [A]
    assert market.apply_bar(Bar(B, Timeframe.MIN_1, 0, 1, 1, 1, 1, 1, 1, 1)) == []
    assert market.refused_symbols == 2
    assert market.symbols() == [A]
    assert market.closed_bar(B, Timeframe.MIN_1) is None


def test_a_minute_that_is_over_but_not_closed_stays_beside_the_one_that_runs() -> None:
    market = MarketState()
    minute = Timeframe.MIN_1
    for number in (2, 1, 3):
        market.apply_bar(bar(number, final=False))

    assert market.running_bar(A, minute) == bar(3, final=False)
    assert market.open_bars(A, minute) == [bar(n, final=False) for n in (1, 2, 3)]
    market.apply_bar(bar(2))
    assert market.open_bars(A, minute) == [bar(3, final=False)]


def test_open_windows_of_a_symbol_are_bounded() -> None:
    market = MarketState()
    for number in range(100):
        market.apply_bar(bar(number, final=False))

    kept = market.open_bars(A, Timeframe.MIN_1)
    assert len(kept) == 64
    assert kept[-1] == bar(99, final=False)


def test_a_closed_minute_has_trades_that_no_stream_told_where_it_ends_otherwise() -> None:
    market = MarketState()
    apply(market, tick(A, 1, event_ns=MINUTE_NS))  # at 1.5, and the bar closes at 1
    market.apply_bar(bar(1, rev=4))

    assert market.untold() == {A: (MINUTE_NS, 4)}


def test_of_a_minute_that_lost_its_last_trade_nothing_is_untold() -> None:
    market = MarketState()
    apply(market, tick(A, 1, event_ns=MINUTE_NS))
    market.apply_notices([Cancel(A, MINUTE_NS, 1, 1.5, 2.5)])
    market.apply_bar(bar(1))

    assert market.untold() == {}


def test_a_running_bar_gives_way_to_its_closed_form() -> None:
    market = MarketState()
    minute = Timeframe.MIN_1

    market.apply_bar(bar(1, final=False))
    assert market.running_bar(A, minute) == bar(1, final=False)
    market.apply_bar(bar(1))
    assert market.running_bar(A, minute) is None
    market.apply_bar(bar(1, final=False))
    assert market.running_bar(A, minute) is None
    market.apply_bar(bar(2, final=False))
    market.apply_bar(bar(1, rev=1))

    assert market.running_bar(A, minute) == bar(2, final=False)
    assert market.closed_bar(A, minute) == bar(1, rev=1)
    market.apply_bar(bar(0, rev=7))
    assert market.closed_bar(A, minute) == bar(1, rev=1)


def test_a_minute_that_lost_its_trades_is_held_no_more_and_open_ones_are() -> None:
    market, minute = MarketState(), Timeframe.MIN_1
    market.apply_bar(bar(1))
    market.apply_bar(bar(2, final=False))
    assert market.held(A, minute) == (bar(1), bar(2, final=False))

    market.apply_bar(msgspec.structs.replace(bar(1, rev=1), trades=0))

    assert market.closed_bar(A, minute) is None
    assert market.held(A, minute) == (None, bar(2, final=False))


def test_the_newest_event_time_of_each_feed_is_known() -> None:
    market = MarketState()
    apply(market, tick(A, 1, event_ns=50), tick(A, 2, event_ns=40))
    apply(market, tick(A, 3, event_ns=30))
    apply(market, feed="empty")
    apply(market, tick(A, 3, event_ns=7), feed="g")

    assert market.feed_times_ns() == {"f": 50, "g": 7}
    assert {feed: news.ticks for feed, news in market.feeds().items()} == {
        "f": 3,
        "empty": 0,
        "g": 1,
    }
