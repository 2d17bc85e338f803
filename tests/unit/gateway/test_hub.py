from typing import Any

import pytest

from core.market.symbol import Symbol
from core.market.tick import Tick
from gateway.channels import Channel, Codec
from gateway.messages import RequestError
from tests.unit.gateway.listeners import Desk, Listener

A, B = "X:A-USD", "X:B-USD"


def test_a_quiet_client_is_served_at_once_and_then_at_the_boundary() -> None:
    desk, client = Desk(A), Listener()
    desk.subscribe(client, A)

    desk.trade(A)
    desk.lead()
    desk.trade(A)
    desk.lead()
    assert client.ids == [1]

    desk.trade(A)
    desk.flush(after_ms=40)
    assert client.ids == [1, 2, 3]
    assert not desk.hub.pending


def test_a_client_that_was_served_lately_waits() -> None:
    desk, client = Desk(A), Listener()
    desk.subscribe(client, A)
    desk.trade(A)
    desk.flush()

    desk.now_ns += 99_000_000
    desk.trade(A)
    desk.lead()
    assert client.ids == [1]
    desk.flush()
    desk.now_ns += 100_000_000
    desk.trade(A)
    desk.lead()

    assert client.ids == [1, 2, 3]


def test_clients_with_the_same_subscriptions_share_their_frame() -> None:
    desk, clients = Desk(A, B), [Listener(), Listener(), Listener(Codec.MSGPACK)]
    for client in clients:
        desk.subscribe(client, A, B)
    desk.trade(A, B)

    sends = desk.hub.flush(desk.now_ns)

    assert sorted(len(send.clients) for send in sends) == [1, 2]
    assert [send.messages for send in sends] == [2, 2]


def test_what_nobody_subscribes_to_is_not_kept() -> None:
    desk, client = Desk(A, B), Listener()
    desk.trade(A, B)
    assert not desk.hub.pending

    desk.subscribe(client, B)
    desk.trade(A, B)
    desk.flush()

    assert client.ids == [4]


def test_who_joins_in_the_middle_of_a_window_gets_nothing_older() -> None:
    desk, early, late = Desk(A), Listener(), Listener()
    desk.subscribe(early, A)
    desk.trade(A)

    desk.subscribe(late, A)
    desk.trade(A)
    desk.flush()
    desk.trade(A)

    (send,) = desk.hub.flush(desk.now_ns)  # from the next window on they share again
    assert (early.ids, late.ids) == ([1, 2], [2])
    assert len(send.clients) == 2


def test_a_change_of_subscription_neither_loses_nor_repeats() -> None:
    desk, client = Desk(A, B), Listener()
    desk.subscribe(client, A)
    desk.trade(A)
    desk.lead()
    desk.trade(A)

    desk.subscribe(client, B)
    assert client.ids == [1, 2]
    desk.trade(A, B)
    desk.unsubscribe(client, A)
    desk.trade(A, B)
    desk.flush()

    assert client.seen == [(A, 1), (A, 2), (A, 3), (B, 4), (B, 6)]


def test_subscribing_again_changes_nothing() -> None:
    desk, client = Desk(A), Listener()
    desk.subscribe(client, A)
    group = client.group

    desk.subscribe(client, A)
    desk.unsubscribe(client, B)

    assert client.group is group
    assert desk.hub.names(client) == {(Channel.TRADES, A)}


def test_a_client_that_left_gets_nothing_and_leaves_nothing_behind() -> None:
    desk, client, other = Desk(A), Listener(), Listener()
    desk.subscribe(client, A, "*", "WAITS-FOR")
    desk.subscribe(other, "WAITS-FOR", "ALSO")
    desk.trade(A)
    desk.hub.leave(client)
    desk.hub.leave(client)
    desk.flush()
    desk.trade(A)
    desk.unsubscribe(client, A)
    desk.unsubscribe(other, "ALSO", "WAITS-FOR")

    assert not desk.hub.pending
    assert client.batches == []
    assert desk.hub.names(client) == desk.hub.names(other) == set()
    assert desk.hub.snapshot(client, [(Channel.TRADES, A)]) == []


def test_the_others_of_a_group_stay_when_one_leaves() -> None:
    desk, leaving, staying, different = Desk(A), Listener(), Listener(), Listener()
    for client in (leaving, staying, different):
        desk.subscribe(client, A)
    desk.subscribe(different, B)
    desk.hub.leave(leaving)
    desk.trade(A)
    desk.flush()

    assert (leaving.ids, staying.ids, different.ids) == ([], [1], [1])


def test_a_solo_client_may_leave_before_the_window_ends() -> None:
    desk, early, late = Desk(A), Listener(), Listener()
    desk.subscribe(early, A)
    desk.trade(A)
    desk.subscribe(late, A)
    desk.hub.leave(late)

    desk.flush()

    assert (early.ids, late.ids) == ([1], [])


def test_a_bare_name_goes_to_the_first_that_carries_it_for_good() -> None:
    desk, early, late = Desk(), Listener(), Listener()
    desk.subscribe(early, "btc/usd", "V2:BTC/USD")
    desk.carry("V1:BTC-USD")
    desk.carry("V2:BTC-USD")

    desk.trade("V1:BTC-USD", "V2:BTC-USD")
    desk.flush()
    desk.subscribe(early, "btc/usd")
    with pytest.raises(RequestError, match="V1:BTC-USD, V2:BTC-USD") as caught:
        desk.subscribe(late, "BTC-USD")

    assert early.seen == [("btc/usd", 1), ("V2:BTC/USD", 2)]
    assert caught.value.code == 400
    assert late.group is None


def test_whether_a_bare_name_is_refused_does_not_depend_on_who_else_has_it() -> None:
    desk, early, late = Desk("V1:BTC-USD"), Listener(), Listener()
    desk.subscribe(early, "BTC-USD")
    desk.carry("V2:BTC-USD")

    with pytest.raises(RequestError, match="V1:BTC-USD, V2:BTC-USD") as caught:
        desk.subscribe(late, "BTC-USD")
    desk.subscribe(early, A)
    desk.trade("V1:BTC-USD", "V2:BTC-USD")
    desk.flush()

    assert caught.value.code == 400
    assert late.group is None
    assert early.seen == [("BTC-USD", 1)]


def test_one_symbol_under_two_spellings_comes_twice() -> None:
    desk, client = Desk(A), Listener()
    desk.subscribe(client, "A/USD", "a-usd")
    desk.trade(A)
    desk.flush()

    assert sorted(client.seen) == [("A/USD", 1), ("a-usd", 1)]


def test_a_quiet_client_is_served_at_once_under_both_its_spellings() -> None:
    desk, client = Desk("X:A"), Listener()
    desk.subscribe(client, "X:A")
    desk.subscribe(client, "A")

    desk.trade("X:A")
    desk.lead()

    assert sorted(client.seen) == [("A", 1), ("X:A", 1)]


def test_what_was_encoded_ahead_goes_out_once_and_whole() -> None:
    desk, client, packed = Desk(A), Listener(), Listener(Codec.MSGPACK)
    desk.subscribe(client, "A-USD")
    desk.subscribe(client, A, channel=Channel.RUNNING_BARS)
    desk.subscribe(packed, "*")
    desk.trade(A)
    desk.hub.prepare()
    desk.trade(A)
    desk.bar(A, 7.0)
    desk.hub.prepare()
    desk.flush()

    assert client.seen == [("A-USD", 1), ("A-USD", 2), (A, 7.0)]
    assert packed.seen == [(A, 1), (A, 2)]


def test_a_star_carries_what_is_not_named() -> None:
    desk, client, other = Desk(A, B), Listener(Codec.MSGPACK), Listener()
    desk.subscribe(client, "*", "A-USD")
    desk.subscribe(other, "*")
    desk.trade(A, B)
    desk.carry("X:NEW")
    desk.trade("X:NEW")
    desk.flush()

    assert sorted(client.seen) == [("A-USD", 1), (B, 2), ("X:NEW", 3)]
    assert sorted(other.seen) == [(A, 1), (B, 2), ("X:NEW", 3)]


def test_of_running_bars_only_the_newest_is_sent() -> None:
    desk, client = Desk(A), Listener()
    desk.subscribe(client, A, channel=Channel.RUNNING_BARS)
    desk.bar(A, 1.0)
    desk.lead()
    for value in (2.0, 3.0, 4.0):
        desk.bar(A, value)
    desk.flush()
    desk.bar(A, 5.0, final=True)
    desk.flush()

    assert client.seen == [(A, 1.0), (A, 4.0)]


def test_too_many_symbols_change_nothing() -> None:
    desk, client = Desk(max_symbols=2), Listener()
    desk.subscribe(client, "A", "B")
    desk.subscribe(client, "A", "B", channel=Channel.BARS)

    with pytest.raises(RequestError) as caught:
        desk.subscribe(client, "C")

    assert caught.value.code == 405
    assert len(desk.hub.names(client)) == 4


def test_only_clients_of_trades_and_bars_count_as_subscribers() -> None:
    desk, client = Desk(), Listener()
    desk.subscribe(client, "A", channel=Channel.QUOTES)
    assert desk.hub.subscribers == 0
    desk.subscribe(client, "A")
    assert desk.hub.subscribers == 1
    desk.unsubscribe(client, "A")
    assert desk.hub.subscribers == 0


def test_a_snapshot_has_the_newest_values_once_per_spelling() -> None:
    desk, client = Desk(A, B), Listener()
    desk.market.apply_trade(Tick(Symbol(A), 77, 1.0, 1.0, 5))
    desk.bar(A, 3.0)
    names: list[Any] = [
        (Channel.TRADES, "A-USD"),
        (Channel.BARS, "A-USD"),
        (Channel.RUNNING_BARS, "A-USD"),
        (Channel.QUOTES, "A-USD"),
        (Channel.TRADES, "*"),
        (Channel.TRADES, "UNKNOWN"),
        (Channel.BARS_5, A),
    ]
    desk.send(desk.hub.subscribe(client, names, desk.now_ns))

    desk.send(desk.hub.snapshot(client, [*names, (Channel.TRADES, "not subscribed")]))
    nothing = desk.hub.snapshot(client, [(Channel.TRADES, "UNKNOWN")])

    assert client.seen == [("A-USD", 77), ("A-USD", 3.0)]
    assert nothing == []


def test_a_snapshot_of_a_star_has_each_symbol_once_as_it_is_named() -> None:
    desk, client = Desk(A, B), Listener()
    for number, symbol in enumerate((A, B), start=1):
        desk.market.apply_trade(Tick(Symbol(symbol), number, 1.0, 1.0, 5))
        desk.bar(symbol, float(number))
    desk.subscribe(client, "A/USD", "a-usd", "*")
    desk.subscribe(client, B, "*", channel=Channel.BARS)

    stars: list[Any] = [(Channel.TRADES, "*"), (Channel.BARS, "*")]
    desk.send(desk.hub.snapshot(client, stars))

    assert client.seen == [("A/USD", 1), ("a-usd", 1), (B, 2), (A, 1.0), (B, 2.0)]


def test_who_is_served_first_changes_from_window_to_window() -> None:
    desk = Desk(A, B)
    clients = [Listener(), Listener()]
    for client, name in zip(clients, (A, B), strict=True):
        desk.subscribe(client, name)
    first = []
    for _ in range(4):
        desk.trade(A, B)
        first.append(desk.hub.flush(desk.now_ns)[0].clients[0])

    assert len(set(first)) == 2
