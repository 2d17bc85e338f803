"""Clients that may read a part: what their names lead to in the hub and while they resume."""

import pytest

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from gateway.access.entitlement import Entitlement
from gateway.access.grant import Caller
from gateway.channels import Channel
from gateway.deadlines import Deadlines
from gateway.market import MarketState
from gateway.messages import INSUFFICIENT, INVALID_SYNTAX, RequestError
from gateway.origins import Origins
from gateway.plans import Bounds, Plans, spelled
from storage.keys import StreamKeys
from tests.unit.gateway.listeners import START_NS, Desk, Listener

SIM = Entitlement(["SIM:*"])
PART = Caller(key_id="part", symbols=SIM)


def names(*spellings: str) -> list[tuple[Channel, str]]:
    return [(Channel.TRADES, spelling) for spelling in spellings]


def subscribe(desk: Desk, client: Listener, *spellings: str, caller: Caller = PART) -> None:
    desk.hub.subscribe(client, names(*spellings), START_NS, caller=caller)


def symbols(client: Listener) -> list[str]:
    return sorted(message["S"] for message in client.messages)


def test_a_star_and_a_waiting_name_lead_to_what_is_permitted() -> None:
    desk, star, waiting = Desk("SIM:A", "X:B"), Listener(), Listener()
    subscribe(desk, star, "*")
    subscribe(desk, waiting, "C")

    desk.carry("X:C")
    desk.trade("SIM:A", "X:B", "X:C")
    desk.flush()
    desk.carry("SIM:C")
    desk.trade("SIM:C", "X:C")
    desk.flush()

    assert symbols(star) == ["SIM:A", "SIM:C"]
    assert symbols(waiting) == ["C"]


@pytest.mark.parametrize("spelling", ["X:B", "B", "X:NEW"])
def test_a_name_of_somebody_elses_symbol_is_refused(spelling: str) -> None:
    desk, client = Desk("SIM:A", "X:B"), Listener()

    with pytest.raises(RequestError, match="insufficient subscription") as caught:
        subscribe(desk, client, "SIM:A", spelling)

    assert caught.value.code == INSUFFICIENT
    assert desk.hub.names(client) == set()


def test_what_is_left_of_a_set_is_what_may_be_read_and_what_is_wrong_otherwise() -> None:
    desk, client = Desk("SIM:A", "X:A", "X:B"), Listener()
    part = Caller(key_id="part", symbols=SIM, channels=frozenset({"trades"}))
    wanted = [*names("*", "SIM:A", "X:A", "A", "B", "NEW"), (Channel.BARS, "SIM:A")]

    left = desk.hub.permitted(client, wanted, part)

    assert left == names("*", "SIM:A", "A", "NEW")  # A is said to be ambiguous when it is asked for
    assert desk.hub.due_ns is None


def test_a_name_of_several_venues_is_told_of_those_that_are_permitted_only() -> None:
    desk, client = Desk("SIM:A", "X:A", "X:B", "Y:B"), Listener()

    with pytest.raises(RequestError, match=r"carried by several venues, say which: SIM:A$"):
        subscribe(desk, client, "A")
    with pytest.raises(RequestError, match="insufficient subscription") as caught:
        subscribe(desk, client, "B")

    assert "X:B" not in str(caught.value)
    assert desk.hub.names(client) == set()


def test_a_name_that_went_to_another_venue_than_for_others_stays_there() -> None:
    desk, client, other = Desk(), Listener(), Listener()
    subscribe(desk, client, "A")
    desk.carry("X:A")
    subscribe(desk, other, "A", caller=Caller())
    desk.carry("SIM:A")

    subscribe(desk, client, "SIM:B")
    desk.trade("X:A", "SIM:A")
    desk.flush()

    assert client.seen == [("A", 2)]
    assert other.seen == [("A", 1)]


def test_a_name_that_waits_goes_on_waiting_whatever_else_is_subscribed() -> None:
    desk, client = Desk(), Listener()
    subscribe(desk, client, "A")
    desk.carry("X:A")

    subscribe(desk, client, "SIM:B")
    desk.carry("SIM:A")
    desk.trade("X:A", "SIM:A")
    desk.flush()

    assert client.seen == [("A", 2)]


def test_a_channel_that_is_not_permitted_is_refused_and_an_ill_formed_name_is_400() -> None:
    desk, client = Desk("SIM:A"), Listener()
    with pytest.raises(RequestError) as caught:
        subscribe(desk, client, "A", caller=Caller(channels=frozenset({"bars"})))
    assert caught.value.code == INSUFFICIENT

    with pytest.raises(RequestError) as caught:
        subscribe(desk, client, "no name")
    assert caught.value.code == INVALID_SYNTAX


def test_a_refusal_lists_all_that_it_is_about_as_they_were_spelled() -> None:
    desk, client = Desk("SIM:A", "X:B", "Y:B"), Listener()

    with pytest.raises(RequestError) as caught:
        subscribe(desk, client, "x:b", "SIM:A", "no name", "B")

    assert caught.value.code == INSUFFICIENT  # that of the first
    assert caught.value.reason.startswith("insufficient subscription: symbol 'x:b'")
    assert caught.value.reason.endswith("; refused as well: 2 more")
    assert caught.value.refused == {"symbols": ["x:b", "no name", "B"]}

    few = Caller(channels=frozenset({"bars"}))
    wanted = [(channel, "A") for channel in (Channel.TRADES, Channel.BARS, Channel.BARS_5)]
    with pytest.raises(RequestError, match=r"channel trades$") as caught:
        desk.hub.subscribe(client, wanted, START_NS, caller=few)
    assert caught.value.refused == {"channels": ["trades", "bars5Min"]}


def test_what_is_permitted_no_more_ends_and_the_rest_goes_on() -> None:
    desk, client = Desk("SIM:A", "X:B"), Listener()
    subscribe(desk, client, "*", "SIM:A", "X:B", "X:NEW", "Z", caller=Caller())

    assert desk.hub.regrant(Listener(), PART, START_NS) == []
    desk.send(desk.hub.regrant(client, PART, START_NS))
    desk.trade("SIM:A", "X:B")
    desk.flush()

    assert desk.hub.names(client) == set(names("*", "SIM:A", "Z"))
    assert symbols(client) == ["SIM:A"]
    desk.hub.regrant(client, Caller(channels=frozenset()), START_NS)
    assert desk.hub.names(client) == set()


def test_a_snapshot_shows_what_is_permitted() -> None:
    desk, client = Desk(), Listener()
    for number, symbol in enumerate(("SIM:A", "X:B"), start=1):
        tick = Tick(Symbol(symbol), number, 1.0, 1.0, START_NS, Side.BUY)
        desk.market.apply_trade(tick)
    subscribe(desk, client, "*")

    sends = desk.hub.snapshot(client, names("*"))
    client.deliver(b"".join(send.framed() for send in sends))

    assert symbols(client) == ["SIM:A"]


def test_a_plan_to_resume_is_within_its_scope() -> None:
    market = MarketState()
    market.add_symbols([Symbol("SIM:A"), Symbol("X:B")])
    plans = Plans(market, StreamKeys("test", 2))
    plan = plans.enter(tuple(names("*", "A", "B")), Bounds(scope=SIM))
    plans.refresh(["x"])

    star, own, foreign = plan.wanted

    assert (own.symbol, foreign.symbol) == ("SIM:A", None)
    assert list(spelled(plan, star, [Symbol("SIM:A"), Symbol("SIM:C"), Symbol("X:B")])) == [
        ("SIM:C", "SIM:C")
    ]
    assert plans.enter(plan.names) is not plan
    plans.leave(plan)


def test_it_can_be_asked_whether_a_deadline_runs() -> None:
    deadlines: Deadlines[str] = Deadlines(10)
    deadlines.start("a", 0)

    assert "a" in deadlines
    assert "b" not in deadlines


def test_origins_tell_pages_of_the_settings_from_their_own() -> None:
    origins = Origins(["https://desk.example.com"])

    assert origins.others
    assert not origins.anywhere
    assert origins.allows("https://DESK.example.com")
    assert not origins.allows("https://other.example.com")
    assert not Origins().others
    assert Origins(["*"]).allows("https://other.example.com")


def test_names_that_nobody_wants_any_more_are_forgotten_when_they_are_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("gateway.plans._MOST_WANTED", 3)
    plans = Plans(Desk("SIM:A").market, StreamKeys("test", 2))
    stays = plans.enter(tuple(names("SIM:A")))
    for number in range(50):
        plans.leave(plans.enter(tuple(names("SIM:A", f"SIM:B{number}", f"SIM:C{number}"))))

    assert len(plans._wanted) <= 5
    assert plans.enter(tuple(names("SIM:A", "X:D"))).wanted[0] is stays.wanted[0]
