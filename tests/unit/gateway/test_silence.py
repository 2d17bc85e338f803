"""Which feeds are stale, and the messages of the gateway about itself."""

from datetime import datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.market.block import BlockMeta
from gateway.channels import Codec
from gateway.drain import Pace
from gateway.market import FeedNews
from gateway.silence import FeedState, Silence, heartbeats, shutdown, staleness

S_NS = 1_000_000_000
START_NS = 1_700_000_000 * S_NS
VENUES = {"sim": "SIM"}


def decoded(framed: dict[Codec, bytes], codec: Codec) -> Any:
    """The message in a frame of less than 64 KiB."""
    first, size, *_ = framed[codec]
    assert first == 0x80 | codec.opcode
    decoder = msgspec.json if codec.is_text else msgspec.msgpack
    return decoder.decode(framed[codec][2 if size < 126 else 4 :])


class Feeds:
    """What the streams told, and a clock that the test moves."""

    def __init__(self, **options: float) -> None:
        self.silence = Silence(**options)
        self.heard: dict[str, FeedNews] = {}

    def tick(self, feed: str = "sim", event_ns: int = START_NS) -> None:
        row = (0, event_ns, 1, 1, 1.0, 1.0, 1)
        self.block(feed, [row])

    def block(self, feed: str = "sim", rows: Any = (), **fields: Any) -> None:
        meta = {"number": 1, "watermark_ns": 0, "feed_time_ns": 0, "sealed_ns": 0} | fields
        newest_ns = max((row[1] for row in rows), default=None)
        self.heard.setdefault(feed, FeedNews()).take(BlockMeta(**meta), len(rows), newest_ns)

    def look(self, at_s: float) -> list[tuple[str, bool]]:
        """The feeds whose state has changed."""
        at_ns = int(at_s * S_NS)
        changed = self.silence.look(
            self.heard, VENUES, now_ns=START_NS + at_ns, monotonic_ns=5 + at_ns
        )
        return [(state.feed, state.stale) for state in changed]


def test_a_feed_without_ticks_is_stale_once_and_until_the_next_tick() -> None:
    feeds = Feeds()
    feeds.tick()

    assert feeds.look(0) == feeds.look(29.9) == []
    assert feeds.look(30) == [("sim", True)]
    assert feeds.look(31) == []
    (state,) = feeds.silence.stale()
    assert state == FeedState("sim", "SIM", START_NS, START_NS, START_NS, stale=True, ended=False)

    feeds.tick(event_ns=START_NS - 1)  # late, and yet a tick
    assert feeds.look(40) == [("sim", False)]
    assert feeds.silence.stale() == []
    assert feeds.silence.states()[0].newest_event_ns == START_NS
    assert feeds.silence.states()[0].last_tick_ns == START_NS + 40 * S_NS
    assert feeds.look(70) == [("sim", True)]


def test_a_live_feed_that_a_new_gateway_finds_silent_becomes_stale() -> None:
    feeds = Feeds(stale_after_s=2)
    feeds.block(feed_time_ns=START_NS)  # an empty block: it runs, and had ticks before

    assert feeds.look(0) == []
    assert feeds.look(2) == [("sim", True)]
    (state,) = feeds.silence.stale()
    assert (state.newest_event_ns, state.last_tick_ns) == (None, None)
    assert state.quiet_since_ns == START_NS


def test_a_feed_that_never_had_a_tick_waits_and_is_not_stale() -> None:
    feeds = Feeds()
    feeds.block(feed_time_ns=-(2**63))

    feeds.look(0)

    assert feeds.look(100) == []
    assert [state.feed for state in feeds.silence.states()] == ["sim"]


def test_a_feed_that_ended_is_not_stale() -> None:
    feeds = Feeds()
    feeds.tick()
    feeds.block(end=True)

    feeds.look(0)

    assert feeds.look(100) == []
    assert feeds.silence.states()[0].ended


def test_the_end_of_a_stale_feed_is_told() -> None:
    feeds = Feeds()
    feeds.tick()
    feeds.look(0)
    feeds.look(30)

    feeds.block(end=True)

    assert feeds.look(31) == [("sim", False)]
    (message,) = decoded(staleness(feeds.silence.states()[0]), Codec.JSON)
    assert (message["stale"], message["ended"]) == (False, True)


def test_a_feed_that_begins_anew_is_watched_again() -> None:
    feeds = Feeds()
    feeds.block(end=True)
    feeds.tick()

    feeds.look(0)

    assert feeds.look(30) == [("sim", True)]


@pytest.mark.parametrize("codec", list(Codec))
def test_messages_tell_times_in_the_way_of_their_codec(codec: Codec) -> None:
    def time(at_ns: int) -> Any:
        text = "2023-11-14T22:13:20" + (".500Z" if at_ns % S_NS else "Z")
        if codec.is_text:
            return text
        return datetime.fromisoformat(text)

    feeds = Feeds()
    feeds.tick()
    feeds.tick("done")
    feeds.block("done", end=True)
    feeds.block("quiet", feed_time_ns=1)
    feeds.look(0)
    feeds.look(30)
    sim, _, quiet = feeds.silence.states()

    assert decoded(heartbeats(feeds.silence.states(), START_NS + S_NS // 2), codec) == [
        {
            "T": "hb",
            "t": time(START_NS + S_NS // 2),
            "feeds": {"sim": time(START_NS), "quiet": None},
        }
    ]
    stale = {"T": "stale", "feed": "sim", "venue": "SIM", "stale": True}
    assert decoded(staleness(sim), codec) == [
        {**stale, "t": time(START_NS), "since": time(START_NS)}
    ]
    assert decoded(staleness(quiet), codec) == [
        {**stale, "feed": "quiet", "venue": "", "t": None, "since": time(START_NS)}
    ]
    (message,) = decoded(shutdown(3), codec)
    assert (message["T"], message["within_s"]) == ("shutdown", 3)


@given(
    st.integers(1, 20_000),
    st.floats(0.01, 100),
    st.floats(1, 10_000),
    st.lists(st.floats(0, 200), min_size=2),
)
def test_closes_are_spread_evenly_and_never_take_longer_than_said(
    clients: int, most_s: float, clients_per_s: float, times_s: list[float]
) -> None:
    pace = Pace(clients_per_s=clients_per_s, most_s=most_s)
    spread_s = pace.spread_s(clients)

    due = [pace.due(clients, at_s) for at_s in sorted(times_s)]

    assert spread_s <= min(most_s, clients / clients_per_s)
    assert due == sorted(due)
    assert pace.due(clients, spread_s) == clients
    assert 1 <= pace.due(clients, spread_s / 2) <= clients / 2 + 1


def test_without_a_time_to_spread_them_over_all_closes_are_due_at_once() -> None:
    assert Pace(most_s=0).due(7, 0) == 7
