"""Deadlines, budget, positions, and the look at a first request."""

import pytest

from core.market.bar import Bar
from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from gateway.budget import Budget
from gateway.channels import TIMEFRAMES_OF, TYPES, Channel, channel_of, running_channel
from gateway.deadlines import Deadlines, Wheel
from gateway.positions import Positions
from gateway.sniff import MAX_HEAD_BYTES, First, Upgrade, sniff

S_NS = 1_000_000_000


def test_deadlines_come_due_once_in_order() -> None:
    deadlines: Deadlines[str] = Deadlines(10)
    for at, name in enumerate("abcd"):
        deadlines.start(name, at)
    deadlines.stop("b")
    deadlines.stop("unknown")
    deadlines.start("a", 5)

    assert len(deadlines) == 3
    assert deadlines.due(11) == []
    assert deadlines.due(12) == ["c"]
    assert deadlines.due(100) == ["d", "a"]
    assert deadlines.due(100) == []


def test_a_wheel_gives_each_its_turn_once_a_round() -> None:
    wheel: Wheel[str] = Wheel(4)
    wheel.add("a")
    wheel.step()
    wheel.add("b")
    wheel.add("gone")
    wheel.discard("gone")
    wheel.discard("unknown")

    turns = [wheel.step() for _ in range(8)]

    assert len(wheel) == 2
    assert turns == [[[]], [[]], [["a"]], [["b"]], [[]], [[]], [["a"]], [["b"]]]


def test_rounds_of_several_lengths_share_a_wheel() -> None:
    wheel: Wheel[str] = Wheel(2, 3)
    wheel.add("a")
    wheel.step()
    wheel.add("b")

    turns = [wheel.step() for _ in range(6)]

    assert [pair[0] for pair in turns] == [["a"], ["b"], ["a"], ["b"], ["a"], ["b"]]
    assert [pair[1] for pair in turns] == [[], ["a"], ["b"], [], ["a"], ["b"]]


def test_a_budget_is_a_rate_with_one_second_saved() -> None:
    budget = Budget(2, now_ns=0)

    assert [budget.take(0) for _ in range(3)] == [True, True, False]
    assert [budget.take(S_NS // 2) for _ in range(2)] == [True, False]
    assert [budget.take(100 * S_NS) for _ in range(3)] == [True, True, False]


def test_positions_count_what_is_missing() -> None:
    positions = Positions()
    positions.follow("s", "replay-x")

    orders = [(3, 5), (3, 6), (3, 9), (4, 1), (4, 2), (5, 4)]
    assert [positions.take("s", order) for order in orders] == [0, 0, 2, 0, 0, 1]
    assert positions.read() == {}
    positions.advance("s", 2)
    assert positions.feed_of("s") == "replay-x"
    assert positions.read() == {"s": 2}


def test_a_block_is_a_repeat_unless_its_number_or_its_writer_is_newer() -> None:
    positions = Positions()
    orders = [(3, 7), (3, 8), (3, 7), (3, 8), (4, 8), (3, 9), (4, 9)]

    found = [positions.take("s", order) for order in orders]

    assert found == [0, 0, None, None, 0, None, 0]
    assert positions.take("t", (0, 0)) == 0


def test_only_replays_wait_for_deliveries() -> None:
    positions = Positions()
    for key, feed in (("r", "replay-x"), ("s", "sim")):
        positions.follow(key, feed)

    positions.advance("s", 1)
    positions.deliver()
    assert not positions.replay_waits({})
    positions.advance("r", 1)
    assert not positions.replay_waits({})
    positions.deliver()
    assert positions.replay_waits({})
    assert not positions.replay_waits(positions.delivered())


def test_an_unreadable_stream_is_news_once() -> None:
    positions = Positions()

    assert [positions.first_unreadable(key) for key in "aab"] == [True, False, True]


GET = b"GET /v1/stream?x=1 HTTP/1.1\r\nHost: x\r\n"


@pytest.mark.parametrize(
    ("head", "first"),
    [
        (GET, First.INCOMPLETE),
        (GET + b"\r\n", First.HTTP),
        (GET.replace(b"stream", b"other") + b"Upgrade: websocket\r\n\r\n", First.HTTP),
        (b"nonsense\r\n\r\n", First.HTTP),
        (b"x" * (MAX_HEAD_BYTES + 1), First.HTTP),
        (b"", First.INCOMPLETE),
        (b"\r\n" + GET, First.INCOMPLETE),
        (b"\x16\x03\x01", First.HTTP),  # TLS
        (b"\r\n\x00", First.HTTP),
    ],
)
def test_the_first_request_decides(head: bytes, first: First) -> None:
    assert sniff(head, {"/v1/stream"}) is first


def test_an_upgrade_to_the_stream_is_read_as_it_came() -> None:
    fields = b"UPGRADE : h2c, WebSocket\r\nA: 1 \r\na:2\r\n"

    found = sniff(GET + fields + b"\r\n", {"/v1/stream"})

    assert isinstance(found, Upgrade)
    assert (found.method, found.version) == ("GET", "HTTP/1.1")
    assert found.target.startswith("/v1/stream")
    assert found.fields["upgrade"] == "h2c, WebSocket"
    assert found.fields["a"] == "1, 2"


@pytest.mark.parametrize("timeframe", list(Timeframe))
def test_each_bar_has_its_channel_and_type(timeframe: Timeframe) -> None:
    for fields, kind in (({}, "b"), ({"rev": 1}, "u"), ({"final": False, "rev": 1}, "r")):
        bar = Bar(Symbol("A:B"), timeframe, 0, 1, 1, 1, 1, 1, 1, 1, **fields)  # type: ignore[arg-type]
        channel = channel_of(bar)
        assert TYPES[channel] == kind
        assert TIMEFRAMES_OF[channel] is timeframe
    assert channel is running_channel(timeframe)
    assert TYPES[Channel.TRADES] == "t"
