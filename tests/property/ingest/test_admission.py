from hypothesis import given
from hypothesis import strategies as st

from core.market.block import decode_block
from core.market.tick import LATEST_NS, NO_ID, Tick
from ingest.admission import Admission, AdmissionLimits, Reason, Verdict
from ingest.blocks import Moment, ShardBlocks
from ingest.feed_clock import NEVER, ClockKind, FeedClock
from tests.unit.ingest.ticks import START_NS, S, tick

LIMITS = AdmissionLimits(max_future_ns=2 * S, max_lateness_ns=8 * S, dedup_horizon_ns=4 * S)

KEPT_NS = LIMITS.dedup_horizon_ns + LIMITS.max_future_ns

# A small grid around the edges of the limits: random nanoseconds never land on one.
seconds = st.integers(0, 24).map(lambda n: n / 2)
ticks = st.builds(
    tick,
    seconds,
    trade_id=st.sampled_from([NO_ID, 1, 2, 3, 4, 5, 6]),
    symbol=st.sampled_from(["X:A", "X:B", "X:C"]),
    price=st.sampled_from([1.0, 2.5, 0.0, -1.0, float("nan"), float("inf")]),
)
batches = st.lists(st.tuples(seconds, st.lists(ticks, max_size=5)), max_size=8)
kinds = st.sampled_from(ClockKind)


@given(kinds, batches, st.lists(st.booleans(), min_size=8, max_size=8))
def test_every_tick_is_admitted_refused_or_a_duplicate_and_judged_by_the_rules(
    kind: ClockKind, batches: list[tuple[float, list[Tick]]], reconnects: list[bool]
) -> None:
    clock = FeedClock(kind)
    admission = Admission(clock, LIMITS)
    seen_ns: dict[tuple[str, int], int] = {}  # by id, the feed time
    monotonic_ns = 0

    for (after_s, batch), reconnected in zip(batches, reconnects, strict=False):
        monotonic_ns += round(after_s * S) // 4
        if reconnected:
            clock.reconnected()
        newest_before, now_before_ns = clock.newest_ns, clock.now_ns(monotonic_ns)
        verdict = admission.judge(batch, monotonic_ns=monotonic_ns, wall_ns=START_NS + monotonic_ns)

        kept_out = len(verdict.refused) + verdict.duplicates
        assert len(verdict.admitted) + kept_out == len(batch)
        hold_against_ids(batch, verdict, newest_before, seen_ns)
        for bad, reason in verdict.refused:
            if reason is Reason.FUTURE:
                assert kind is not ClockKind.REPLAY or bad.event_ns >= LATEST_NS
            if reason is Reason.LATE:
                # Feed time goes back when an event shows that the time since was quiet.
                latest_ns = max(now_before_ns, clock.now_ns(monotonic_ns))
                assert bad.event_ns < latest_ns - LIMITS.max_lateness_ns
        assert clock.newest_ns >= newest_before
        assert clock.newest_ns == NEVER or clock.now_ns(monotonic_ns) >= clock.newest_ns


def hold_against_ids(
    batch: list[Tick], verdict: Verdict, newest_ns: int, seen_ns: dict[tuple[str, int], int]
) -> None:
    """Each id of *batch* was admitted once, as far as ids are kept; *seen_ns* goes on with it."""
    admitted, refused = list(verdict.admitted), {id(bad) for bad, _ in verdict.refused}
    for one in (one for one in batch if id(one) not in refused):
        is_old = one.event_ns < newest_ns - LIMITS.dedup_horizon_ns
        newest_ns = max(newest_ns, one.event_ns)  # a duplicate tells the time, too
        if not admitted or admitted[0] is not one:
            continue
        assert 0 < admitted.pop(0).price < float("inf")
        key = (one.symbol, one.trade_id)
        if one.trade_id != NO_ID and key in seen_ns and not is_old:  # the id is used anew
            assert newest_ns - seen_ns[key] > KEPT_NS
        seen_ns[key] = newest_ns
    assert admitted == []


@given(batches, st.integers(1, 4), st.data())
def test_a_replay_cut_anywhere_and_resumed_stores_what_an_uncut_one_does(
    batches: list[tuple[float, list[Tick]]], shards: int, data: st.DataObject
) -> None:
    rows = [t for _, batch in batches for t in batch]
    whole = replayed(rows, shards, cuts=[])

    cuts = data.draw(st.lists(st.integers(0, len(rows)), max_size=3).map(sorted))
    shown = [data.draw(st.lists(st.booleans(), min_size=shards, max_size=shards)) for _ in cuts]

    assert replayed(rows, shards, cuts=list(zip(cuts, shown, strict=True))) == whole


def replayed(
    rows: list[Tick], shards: int, cuts: list[tuple[int, list[bool]]]
) -> list[list[tuple[float, int]]]:
    """Per shard, what its stream holds at the end, as a reader that drops known ids counts it.

    At each cut the run dies; of the blocks not yet stored only those of the chosen shards are.
    """
    streams: list[list[bytes]] = [[] for _ in range(shards)]
    for upto, survivors in [*cuts, (len(rows), [True] * shards)]:
        resume = {n: decode_block(s[-1]).meta for n, s in enumerate(streams) if s}
        blocks = ShardBlocks(shards=shards, resume=resume, grace_ns=S)
        first = min(resume.values(), key=lambda m: m.position) if len(resume) == shards else None
        clock = FeedClock(ClockKind.REPLAY, newest_ns=first.feed_time_ns if first else NEVER)
        admission = Admission(clock, LIMITS)
        for position in range(blocks.position, upto):
            verdict = admission.judge([rows[position]], monotonic_ns=0, wall_ns=0)
            now = Moment(clock.now_ns(0), 0, 0)
            blocks.add(verdict.admitted, position=position + 1, now=now)
        for block in blocks.take(Moment(clock.now_ns(0), 10 * S, 0), idle_ns=S):
            if survivors[block.shard]:
                streams[block.shard].append(block.payload)
    return [counted_once(stream) for stream in streams]


def counted_once(stream: list[bytes]) -> list[tuple[float, int]]:
    metas = [decode_block(payload).meta for payload in stream]
    assert [meta.number for meta in metas] == list(range(1, len(metas) + 1))
    seen: set[tuple[str, int]] = set()
    counted = []
    for found in (t for payload in stream for t in decode_block(payload).ticks()):
        key = (found.symbol, found.trade_id)
        if found.trade_id == NO_ID or key not in seen:
            seen.add(key)
            counted.append((found.price, found.event_ns))
    return counted
