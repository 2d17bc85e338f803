"""Corrections, cancels and gaps: as messages, in their place among the trades, and in memory."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest

from core.market.bar import Bar
from core.market.notice import Cancel, CancelAction, Correction, Gap, GapState, Notice
from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from core.market.timeframe import MINUTE_NS, Timeframe
from gateway.channels import Channel, Codec, Mode
from gateway.conflation import Conflation
from gateway.market import MarketState
from gateway.messages import Options, RequestError, Subscribe, decode_request
from gateway.notices import NoticeRun, notice_item
from gateway.recall import TRIES, TRIES_UNTOLD, Recall
from gateway.routes import Send
from gateway.session import subscription
from storage.rows import SymbolRow
from tests.unit.gateway.listeners import START_NS, Desk, Listener, block_of

A, B = Symbol("X:A-USD"), Symbol("X:B-USD")
CORRECTION = Correction(A, START_NS + 5, 7, 10.0, 2.0, 8, 10.5, 3.0)
CANCEL = Cancel(A, START_NS, 7, 10.0, 2.0, Side.SELL, CancelAction.ERROR)
EXPECTED = {
    "c": {
        "T": "c", "S": "A/USD", "x": "E", "oi": 7, "op": 10.0, "os": 2.0, "oc": [], "ci": 8,
        "cp": 10.5, "cs": 3.0, "cc": [], "t": "2023-11-14T22:13:20.000000005Z", "z": "O",
    },
    "x": {
        "T": "x", "S": "A/USD", "i": 7, "x": "E", "p": 10.0, "s": 2.0, "a": "E",
        "t": "2023-11-14T22:13:20Z", "z": "O", "tks": "S",
    },
}  # fmt: skip


@pytest.mark.parametrize("notice", [CORRECTION, CANCEL])
def test_a_message_has_the_fields_of_the_published_protocol_type_first(notice: Notice) -> None:
    text = notice_item(notice, "A/USD", Codec.JSON)
    packed = notice_item(notice, "A/USD", Codec.MSGPACK)

    message = msgspec.json.decode(text)
    assert message == EXPECTED[message["T"]]
    assert text.startswith(b'{"T":')
    decoded = msgspec.msgpack.decode(packed)
    assert next(iter(decoded)) == "T"
    assert int(decoded.pop("t").timestamp()) == START_NS // 10**9
    assert decoded.items() <= message.items()


def test_a_cancel_of_an_unknown_side_names_none() -> None:
    notice = Cancel(A, START_NS, 7, 10.0, 2.0)

    assert "tks" not in msgspec.json.decode(notice_item(notice, "A", Codec.JSON))


@pytest.mark.parametrize(("ids", "shown"), [((5, 9), {"first": 5, "last": 9}), ((), {})])
def test_a_gap_names_its_times_its_state_and_the_ids_where_they_are_known(
    ids: tuple[int, ...], shown: dict[str, int]
) -> None:
    notice = Gap(A, GapState.OPEN, START_NS, START_NS + 10**9, *ids)

    assert msgspec.json.decode(notice_item(notice, "A", Codec.JSON)) == {
        "T": "gap", "S": "A", "from": "2023-11-14T22:13:20Z", "to": "2023-11-14T22:13:21Z",
        "state": "open", "channels": ["trades"],
    } | shown  # fmt: skip


@pytest.mark.parametrize("codec", list(Codec))
def test_many_stand_in_one_body(codec: Codec) -> None:
    run = NoticeRun((CORRECTION, CANCEL))
    head = b"[" if codec.is_text else b"\x92"
    tail = b"]" if codec.is_text else b""
    decode = msgspec.json.decode if codec.is_text else msgspec.msgpack.decode

    assert len(run) == 2
    found = decode(head + run.body("A", codec) + tail)
    assert [message["T"] for message in found] == ["c", "x"]
    assert [decode(item) for item in run.items("A", codec)] == found


def test_a_notice_stands_between_the_trades_before_and_after_it() -> None:
    desk, clients = Desk(A, B), [Listener(), Listener(Codec.MSGPACK)]
    for client in clients:
        desk.subscribe(client, "*")

    desk.trade(A, A)
    desk.cancel(A)
    desk.trade(A, B)
    desk.flush()

    for client in clients:
        kinds = [(m["T"], m["i"]) for m in client.messages if m["S"] == A]
        assert kinds == [("t", 1), ("t", 2), ("x", 3), ("t", 4)]


def test_a_window_may_begin_with_a_notice() -> None:
    desk, client = Desk(A), Listener()
    desk.subscribe(client, A)

    desk.cancel(A)
    desk.trade(A)
    desk.flush()

    assert [(m["T"], m["i"]) for m in client.messages] == [("x", 1), ("t", 2)]


def test_mode_latest_gets_the_newest_trade_and_what_is_said_around_it() -> None:
    desk, client = Desk(A), Listener()
    desk.subscribe(client, A, options=Options(mode=Mode.LATEST))

    desk.trade(A)
    desk.cancel(A)
    desk.trade(A, A)
    desk.cancel(A)
    desk.flush()

    assert [(m["T"], m["i"]) for m in client.messages] == [("x", 2), ("t", 4), ("x", 5)]


class Behind(Listener):
    """Takes nothing for now."""

    def __init__(self) -> None:
        super().__init__()
        self.missed = Conflation()

    def offer(self, send: Send) -> None:
        self.missed.add(send.parts)


def test_who_is_behind_in_mode_latest_gets_the_newest_trade_though_news_of_it_came_since() -> None:
    desk, client = Desk(A, B), Behind()
    desk.subscribe(client, "*", options=Options(mode=Mode.LATEST))

    desk.trade(A, B)
    desk.flush(after_ms=100)
    desk.cancel(A)
    desk.cancel(B)
    desk.flush(after_ms=100)
    desk.trade(B)
    desk.flush(after_ms=100)
    client.deliver(desk.hub.frame(client.style, client.missed.take()))

    by_symbol: dict[str, list[Any]] = {A: [], B: []}
    for message in client.messages:
        by_symbol[message["S"]].append((message["T"], message["i"]))
    assert by_symbol == {A: [("t", 1), ("x", 3)], B: [("t", 5)]}


def test_many_notices_are_cut_into_messages_like_trades() -> None:
    desk, client = Desk(A), Listener()
    desk.subscribe(client, A)

    for _ in range(1_000):
        desk.cancel(A)
    desk.flush()

    assert client.ids == list(range(1, 1_001))
    assert len(client.batches) > 1


def test_who_has_not_the_trades_gets_none() -> None:
    desk, client = Desk(A, B), Listener()
    desk.subscribe(client, B)
    desk.subscribe(client, A, channel=Channel.BARS)

    desk.cancel(A)

    assert not desk.hub.pending


def test_the_reply_names_what_comes_with_trades() -> None:
    reply = subscription({(Channel.TRADES, "A"), (Channel.BARS, "B")})

    assert reply["corrections"] == reply["cancelErrors"] == ["A"]


def asked(**fields: Any) -> Any:
    return decode_request(msgspec.json.encode({"action": "subscribe", **fields}), binary=False)


def test_what_comes_with_trades_may_be_named_with_them_and_not_alone() -> None:
    request = asked(trades=["A", "B"], corrections=["A"], cancelErrors=[])

    assert isinstance(request, Subscribe)
    assert request.names == ((Channel.TRADES, "A"), (Channel.TRADES, "B"))
    for key in ("corrections", "cancelErrors"):
        with pytest.raises(RequestError, match=f"{key}.*under trades"):
            asked(trades=["B"], **{key: ["A"]})


# -- what the gateway holds


def market_of(*trades: tuple[int, int]) -> MarketState:
    """Ids and seconds of trades of A."""
    market = MarketState()
    market.apply_trade(tick(*trades[0]))
    block = block_of([tick(*each) for each in trades[1:]])
    market.apply_blocks([("f", block.meta, len(block))], block)
    return market


def tick(ident: int, second: int) -> Tick:
    return Tick(A, ident, 10.0, 2.0, second * 10**9, Side.BUY, ident)


def test_a_corrected_last_trade_keeps_its_place_and_side() -> None:
    market = market_of((6, 1), (7, 2))

    assert market.apply_notices([CORRECTION]) == []
    assert market.last_trade(A) == Tick(A, 8, 10.5, 3.0, 2 * 10**9, Side.BUY, 7)
    market.apply_notices([CORRECTION])  # again
    assert market.last_trade(A) == Tick(A, 8, 10.5, 3.0, 2 * 10**9, Side.BUY, 7)


def test_what_is_said_of_older_trades_or_symbols_without_any_changes_no_last_trade() -> None:
    market = market_of((7, 1), (9, 2))
    gap = Gap(A, GapState.LOST, 0, 1)

    assert market.apply_notices([CORRECTION, CANCEL, gap]) == []
    assert market.apply_notices([msgspec.structs.replace(CANCEL, symbol=B)]) == [B]

    assert market.last_trade(A) == tick(9, 2)
    assert market.last_trade(B) is None
    assert not market.revoked


def test_a_cancelled_last_trade_leaves_none_until_a_newer_one_comes() -> None:
    market = market_of((6, 1), (7, 2))

    market.apply_notices([CANCEL])
    assert market.last_trade(A) is None
    market.apply_trade(tick(5, 1))  # late: older than the one that was cancelled
    assert market.last_trade(A) is None
    assert market.revoked == {A: 7}
    market.apply_trade(tick(9, 3))

    assert market.last_trade(A) == tick(9, 3)
    assert not market.revoked


class Store:
    """What the database knows of the last trades."""

    def __init__(self, *rows: SymbolRow) -> None:
        self.rows: Sequence[SymbolRow] = rows
        self.asked = 0

    async def load(self) -> Sequence[SymbolRow]:
        self.asked += 1
        return self.rows


async def test_the_trade_before_a_cancelled_one_is_recalled_once_the_database_knows() -> None:
    market = market_of((6, 1), (7, 2))
    store = Store(SymbolRow(A, tick(7, 2)), SymbolRow(B, None))
    recall = Recall(market, store.load)
    await recall.look()
    assert not store.asked

    market.apply_notices([CANCEL])
    await recall.look()
    assert market.last_trade(A) is None  # it has the cancelled one still
    store.rows = [SymbolRow(A, tick(6, 1)), SymbolRow(B, tick(3, 3))]
    await recall.look()

    assert market.last_trade(A) == tick(6, 1)
    assert market.last_trade(B) is None
    await recall.look()
    assert store.asked == 2


async def test_a_trade_that_came_meanwhile_is_newer_than_what_is_recalled() -> None:
    market = market_of((6, 1), (7, 2))
    market.apply_notices([CANCEL])
    market.apply_trade(tick(9, 3))

    market.recall(tick(6, 1))

    assert market.last_trade(A) == tick(9, 3)


async def test_a_database_that_never_learns_is_not_asked_for_ever() -> None:
    market = market_of((7, 1), (7, 2))
    market.apply_notices([CANCEL])
    store = Store(SymbolRow(A, None))
    recall = Recall(market, store.load)

    for _ in range(TRIES + 5):
        await recall.look()

    assert store.asked == TRIES


async def test_the_last_trade_of_a_symbol_whose_trades_were_imported_is_asked_for() -> None:
    market, imported = MarketState(), trade_at(MINUTE_NS, price=1.0)
    store = Store(SymbolRow(A, None), SymbolRow(B, tick(3, 3)))
    recall = Recall(market, store.load)
    market.add_symbols((B,))
    await recall.look()
    assert not store.asked

    market.apply_bar(bar(trades=1))
    await recall.look()
    store.rows = [SymbolRow(A, imported), SymbolRow(B, tick(3, 3))]
    await recall.look()
    await recall.look()

    assert market.last_trade(A) == imported
    assert market.last_trade(B) is None
    assert store.asked == 2


async def test_a_last_trade_that_nobody_knows_is_asked_for_a_few_times() -> None:
    market, store = MarketState(), Store(SymbolRow(A, None))
    recall = Recall(market, store.load)
    market.apply_bar(bar(trades=1))

    for _ in range(TRIES):
        await recall.look()

    assert store.asked == TRIES_UNTOLD


async def test_a_newer_trade_that_is_imported_later_becomes_the_last_one() -> None:
    market, store = MarketState(), Store()
    recall = Recall(market, store.load)
    first, later = trade_at(MINUTE_NS, price=1.0), trade_at(3 * MINUTE_NS, price=1.0)
    same_minute = trade_at(3 * MINUTE_NS + 1, price=1.5)
    for newest, as_bar in [
        (first, bar(trades=1)),
        (later, bar(trades=1, minute=3)),
        (same_minute, bar(trades=2, minute=3, rev=1, close=1.5)),
    ]:
        for _ in range(TRIES_UNTOLD + 1):  # nobody knew, and it was given up
            await recall.look()
        market.apply_bar(as_bar)
        store.rows = [SymbolRow(A, newest)]

        await recall.look()

        assert market.last_trade(A) == newest
    assert store.asked == 3


async def test_a_corrected_last_trade_is_not_undone_by_what_the_database_has_still() -> None:
    market, store = MarketState(), Store(SymbolRow(A, trade_at(MINUTE_NS, price=1.0)))
    recall = Recall(market, store.load)
    market.apply_trade(trade_at(MINUTE_NS, price=1.0))
    market.apply_notices([Correction(A, MINUTE_NS, 1, 1.0, 1.0, 1, 2.0, 1.0)])
    market.apply_bar(bar(trades=1))

    await recall.look()

    assert store.asked == 1
    assert market.last_trade(A) == trade_at(MINUTE_NS, price=2.0)


async def test_bars_whose_trades_were_streamed_ask_for_nothing() -> None:
    market, store = MarketState(), Store()
    market.apply_trade(trade_at(MINUTE_NS, price=1.0))

    market.apply_bar(bar(trades=1))
    await Recall(market, store.load).look()

    assert not store.asked


def trade_at(event_ns: int, *, price: float) -> Tick:
    return Tick(A, 1, price, 1.0, event_ns)


def bar(
    *, trades: int, rev: int = 0, final: bool = True, minute: int = 1, close: float = 1.0
) -> Bar:
    values = (1.0, max(1.0, close), 1.0, close, float(trades), trades, 1.0)
    return Bar(A, Timeframe.MIN_1, minute * MINUTE_NS, *values, rev, final)


def test_a_bar_that_lost_all_its_trades_is_none_any_more() -> None:
    market = MarketState()
    market.apply_bar(bar(trades=1, final=False))
    market.apply_bar(bar(trades=0, final=False))
    assert market.running_bar(A, Timeframe.MIN_1) is None

    market.apply_bar(bar(trades=1))
    assert market.revisions(A) == 0
    market.apply_bar(bar(trades=0, rev=1))

    assert market.closed_bar(A, Timeframe.MIN_1) is None
    assert market.revisions(A) == 1
    market.apply_bar(bar(trades=1, rev=2))
    assert market.closed_bar(A, Timeframe.MIN_1) == bar(trades=1, rev=2)
