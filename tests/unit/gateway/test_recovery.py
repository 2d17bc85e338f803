"""Catching up with the live end, case by case; the model of resuming tries them at random."""

from core.market.symbol import Symbol
from gateway.access.entitlement import Entitlement
from gateway.channels import Channel, Codec, Mode
from gateway.cursor import Cursor
from gateway.market import MarketState
from gateway.plans import Bounds as PlanBounds
from gateway.plans import Plans
from gateway.recovery import Recovery
from gateway.resumer import Bounds, Resumer
from storage.entry_id import ZERO_ID
from storage.keys import shard_of
from tests.property.gateway.streams import KEYS, SHARDS, Client, Gateway, World

A = (Channel.TRADES, "X:A")
STAR = (Channel.TRADES, "*")
PART = PlanBounds(scope=Entitlement(["X:A"]))
STREAM = KEYS.ticks("x", shard_of("X:A", SHARDS))


def house(*, gateways: int = 1, bounds: Bounds | None = None) -> tuple[World, list[Gateway]]:
    world = World()
    world.gateways = [Gateway(world, bounds or Bounds()) for _ in range(gateways)]
    return world, world.gateways


def client(*names: tuple[Channel, str], mode: Mode = Mode.ALL) -> Client:
    return Client(names or (A,), Codec.JSON, mode)


def go_and_come(gateway: Gateway, *clients: Client, back: Gateway | None = None) -> None:
    for each in clients:
        gateway.cut(each)
        (back or gateway).connect(each)


def back_after_failover(*clients: Client) -> tuple[World, Gateway]:
    """*clients* got one trade and lost a second; that was read, and the new master lacks it."""
    world, (gateway,) = house()
    for each in clients:
        gateway.connect(each)
    world.trade("X:A")
    gateway.read()
    gateway.flush()
    for each in clients:
        gateway.cut(each)
    world.trade("X:A")
    gateway.read()
    world.tear(STREAM, 1)
    for each in clients:
        gateway.connect(each)
    return world, gateway


def ids(client: Client) -> list[int]:
    return [message["i"] for message in client.log if message["T"] == "t"]


def symbols(client: Client) -> list[str]:
    return [message["S"] for message in client.log if message["T"] == "t"]


def gaps(client: Client) -> list[str]:
    return [message["S"] for message in client.log if message["T"] == "gap"]


def test_a_gateway_that_lags_waits_and_sends_nothing_twice() -> None:
    world, (first, second) = house(gateways=2)
    visitor = client()
    first.connect(visitor)
    world.trade("X:A")
    first.read()
    first.flush()

    go_and_come(first, visitor, back=second)
    second.round([])
    assert visitor in second.resumers
    second.read()
    world.trade("X:A")
    second.read()
    second.round([])
    second.flush(after_ms=200)

    assert (ids(visitor), gaps(visitor)) == ([1, 2], [])


def test_who_is_ahead_of_a_stream_that_was_lost_gets_a_gap() -> None:
    world, (first, second) = house(gateways=2)
    visitor = client()
    first.connect(visitor)
    world.trade("X:A")
    first.read()
    first.flush()
    world.streams.clear()

    go_and_come(first, visitor, back=second)
    second.round([])
    assert gaps(visitor) == []  # its writer may repeat it
    second.round([], waited=True)

    assert gaps(visitor) == ["X:A"]


def test_what_a_new_master_lacks_is_waited_for() -> None:
    visitor, newest = client(), client(mode=Mode.LATEST)
    world, gateway = back_after_failover(visitor, newest)

    gateway.round([])
    assert {visitor, newest} == set(gateway.resumers)
    world.mend(STREAM)
    gateway.round([])

    assert not gateway.resumers
    assert [(ids(each), gaps(each)) for each in (visitor, newest)] == [([1, 2], [])] * 2


def test_what_is_repeated_between_the_reading_and_the_state_is_read_again() -> None:
    visitor = client()
    world, gateway = back_after_failover(visitor)

    gateway.round([], meanwhile=lambda: world.mend(STREAM))
    assert ids(visitor) == [1]
    gateway.round([])

    assert (ids(visitor), gaps(visitor)) == ([1, 2], [])


def test_what_no_writer_repeats_is_a_gap_after_a_while() -> None:
    visitor = client()
    _, gateway = back_after_failover(visitor)

    gateway.round([])
    assert gaps(visitor) == []
    gateway.round([], waited=True)

    assert (ids(visitor), gaps(visitor)) == ([1], ["X:A"])


def test_a_resume_that_takes_too_long_is_a_gap_for_what_is_left() -> None:
    world, (gateway,) = house()
    visitor, newest = client(), client(mode=Mode.LATEST)
    for each in (visitor, newest):
        gateway.connect(each)
    for _ in range(9):
        world.trade("X:A")
    gateway.read()
    go_and_come(gateway, visitor, newest)

    gateway.round([], over=True)

    assert gaps(visitor) == gaps(newest) == ["X:A"]
    assert not gateway.resumers


def test_a_feed_that_comes_up_while_others_resume_is_theirs_too() -> None:
    world, (gateway,) = house()
    clients = [client(STAR), client(STAR, A)]
    for each in clients:
        gateway.connect(each)
    go_and_come(gateway, *clients)
    world.trade("Y:D")

    gateway.round([])  # the feed is found between the first and the second
    gateway.read()
    gateway.flush()

    assert [ids(each) for each in clients] == [[1], [1]]


def from_one_to_another() -> tuple[Client, Gateway]:
    """A client that was told a trade of a feed which the gateway it comes back to does not know."""
    world, (first, second) = house(gateways=2)
    visitor = client(STAR)
    first.connect(visitor)
    world.trade("Y:D")
    first.read()
    first.flush()
    go_and_come(first, visitor, back=second)
    return visitor, second


def test_a_feed_that_is_found_in_the_middle_of_a_round_is_not_taken_for_read() -> None:
    visitor, second = from_one_to_another()

    second.round([], meanwhile=lambda: second.read(most=0))  # found, and nothing of it read
    second.read()
    second.round([])
    second.flush(after_ms=200)

    assert (ids(visitor), gaps(visitor)) == ([1], [])


def test_a_feed_that_only_the_cursor_knows_is_waited_for() -> None:
    visitor, second = from_one_to_another()
    second.round([])
    assert visitor in second.resumers

    second.read()
    second.round([])

    assert (ids(visitor), gaps(visitor)) == ([1], [])


def test_a_feed_that_nobody_finds_is_a_gap() -> None:
    _, (gateway,) = house()
    recovery = Recovery(keys=KEYS, market=gateway.market, positions=gateway.positions)
    at = Cursor({"gone": [ZERO_ID] * SHARDS}, [ZERO_ID] * SHARDS).positions(KEYS)
    wanted = (A, (Channel.BARS, "X:A"))
    resumers = [Resumer(recovery.plans.enter(wanted), Codec.JSON, at, time_ms=0) for _ in range(2)]
    recovery.begin(resumers)
    recovery.learn({})

    assert recovery.serve(resumers[0]).waits
    served = [recovery.serve(resumer, waited=True) for resumer in resumers]

    assert [(gap.spelling, gap.channels) for each in served for gap in each.gaps] == [
        ("X:A", [Channel.TRADES])
    ] * 2
    assert all(each.complete for each in served)
    assert resumers[0].at is resumers[1].at


def test_what_began_at_a_gap_still_does_under_other_rights() -> None:
    _, (gateway,) = house()
    recovery = Recovery(keys=KEYS, market=gateway.market, positions=gateway.positions)
    at = Cursor({"gone": [ZERO_ID] * SHARDS}, [ZERO_ID] * SHARDS).positions(KEYS)
    resumer = Resumer(recovery.plans.enter((A, STAR)), Codec.JSON, at, time_ms=0)
    recovery.begin([resumer])
    recovery.learn({})
    recovery.serve(resumer, waited=True)
    floor = resumer.floors[resumer.plan.wanted[0]]

    resumer.follow(recovery.plans.enter((A,), PART))

    assert resumer.plan.bounds is PART
    assert resumer.floors == {resumer.plan.wanted[0]: floor}


def test_who_may_read_less_on_the_way_gets_the_rest_once_and_whole() -> None:
    world, (gateway,) = house(bounds=Bounds(stop_messages=3))
    visitor = client(STAR)
    gateway.connect(visitor)
    go_and_come(gateway, visitor)
    for _ in range(20):
        world.trade("X:A")
        world.trade("X:B")
    gateway.read()
    gateway.round([])
    before = symbols(visitor)
    resumer = gateway.resumers[visitor]

    def turn() -> None:
        gateway.recovery.turn(resumer, resumer.plan.names, PART)

    gateway.round([], meanwhile=turn)
    while gateway.resumers:
        gateway.round([])

    assert 0 < before.count("X:B") < 20
    assert symbols(visitor).count("X:B") == before.count("X:B")
    assert symbols(visitor).count("X:A") == 20
    assert len(set(ids(visitor))) == len(ids(visitor))


def test_the_same_is_made_once() -> None:
    world, (gateway,) = house()
    clients = [client() for _ in range(3)]
    for each in clients:
        gateway.connect(each)
    world.trade("X:A")
    gateway.read()
    go_and_come(gateway, *clients)
    recovery = gateway.recovery
    resumers = list(gateway.resumers.values())
    begun, _ = recovery.begin(resumers)

    for wanted in begun:
        recovery.take(wanted, world.streams[wanted.key].read(wanted), is_all=True)
    recovery.learn({wanted.key: world.state(wanted.key) for wanted in begun})
    served = [recovery.serve(resumer) for resumer in resumers]

    assert served[0] is served[1]
    assert served[0].complete
    for resumer in resumers:
        recovery.advance(resumer)
    assert resumers[1].at is resumers[2].at


def test_the_newest_of_two_feeds_is_the_newest() -> None:
    world, (gateway,) = house()
    visitor = client(mode=Mode.LATEST)
    gateway.connect(visitor)
    for feed in ("x", "z", "x", "z"):
        world.trade("X:A", feed=feed)
    gateway.read()
    go_and_come(gateway, visitor)

    gateway.round([])
    gateway.round([])

    assert ids(visitor) == [4]


def test_who_comes_before_the_gateway_knows_its_streams_loses_nothing() -> None:
    world, (gateway,) = house()
    visitor = client()
    gateway.connect(visitor)
    world.trade("X:A")
    gateway.read()
    gateway.flush()
    world.trade("X:A")
    late = Gateway(world, Bounds())
    world.gateways = [late]
    known = dict(late.positions.reached())
    late.positions = type(late.positions)()  # it has just started
    late.cursors = type(late.cursors)(late.positions, KEYS)
    go_and_come(gateway, visitor, back=late)
    for key, start in known.items():
        late.follow(key, start)
    late.positions.complete = True
    world.trade("X:A")
    late.read()

    late.round([])
    late.round([])

    assert (ids(visitor), gaps(visitor)) == ([1, 2, 3], [])


def test_what_was_read_without_a_state_after_it_is_not_served() -> None:
    world, (gateway,) = house()
    visitor = client()
    gateway.connect(visitor)
    world.trade("X:A")
    gateway.read()
    go_and_come(gateway, visitor)
    recovery, resumer = gateway.recovery, gateway.resumers[visitor]
    begun, heads = recovery.begin([resumer])
    (wanted,) = begun
    assert heads == [STREAM]
    recovery.take(wanted, world.streams[STREAM].read(wanted), is_all=True)

    served = recovery.serve(resumer)
    assert (served.parts, served.complete) == ([], False)
    recovery.advance(resumer)
    assert recovery.begin([resumer]) == ([wanted], [STREAM])


def test_who_stands_elsewhere_waits_until_what_was_read_is_used_up() -> None:
    world, (gateway,) = house(bounds=Bounds(read_bytes=100, stop_messages=1))
    early, late = client(), client()
    gateway.connect(early)
    for _ in range(3):
        world.trade("X:A")
    gateway.read()
    gateway.connect(late)
    for _ in range(6):
        world.trade("X:A")
    gateway.read()
    go_and_come(gateway, early, late)

    for _ in range(20):
        gateway.round([])
    gateway.flush(after_ms=200)

    assert ids(early) == list(range(1, 10))
    assert ids(late) == list(range(4, 10))


def test_an_entry_that_cannot_be_read_is_skipped() -> None:
    world, (gateway,) = house()
    visitor = client()
    gateway.connect(visitor)
    world.trade("X:A")
    stream = world.streams[STREAM]
    stream.entries[0] = (stream.entries[0][0], b"garbage")
    stream.number = 0  # as if it had none
    world.trade("X:A")
    gateway.positions.reach(STREAM, stream.last)
    go_and_come(gateway, visitor)

    gateway.round([])

    assert ids(visitor) == [2]


def test_a_plan_follows_feeds_and_symbols() -> None:
    market = MarketState()
    plans = Plans(market, KEYS)
    plan = plans.enter(((Channel.TRADES, "a"), (Channel.BARS, "X:A"), (Channel.QUOTES, "X:A")))
    plans.refresh(["x"])
    assert plan.is_loose
    assert len(plan.streams) == 2 * SHARDS  # it may be anywhere

    market.add_symbols([Symbol("X:A")])
    plans.refresh(["x", "y"])
    shard = shard_of("X:A", SHARDS)
    assert not plan.is_loose
    assert plan.streams == {KEYS.ticks("x", shard), KEYS.ticks("y", shard), KEYS.bars(shard)}
    plans.refresh(["x", "y"])
    assert plans.enter(plan.names) is plan
    for _ in range(2):
        plans.leave(plan)
    assert plans.enter(plan.names) is not plan


def test_a_name_that_has_become_ambiguous_stands_for_nothing() -> None:
    market = MarketState()
    market.add_symbols([Symbol("X:A"), Symbol("Y:A")])
    plans = Plans(market, KEYS)
    plan = plans.enter(((Channel.TRADES, "a"),))

    plans.refresh(["x"])

    assert plan.wanted[0].symbol is None
    assert plan.is_loose
