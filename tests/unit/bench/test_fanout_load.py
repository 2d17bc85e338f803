import itertools

import msgspec
import pytest

from core.market.block import decode_block
from storage.streams import StreamKeys, shard_of
from tests.bench.fanout import feeds, load
from tests.bench.fanout.load import FIRST_ID, Tick, Work
from tests.bench.fanout.script import Window, in_process, played, read_in_process

START_NS = 1_772_000_000 * 10**9
BROADCAST = Work("all", 3, 1, 100)
ROUTED = Work("routed", 50, 20, 5_000)


def test_a_frame_for_everybody_has_512_bytes() -> None:
    ticks = BROADCAST.ticks(START_NS, 1.0)
    frames = [load.batch([t.text() for t in some]) for _, some in BROADCAST.windows(ticks)]

    assert {len(frame) for frame in frames} == {load.FRAME_BYTES}
    assert len(frames) == 100


def test_a_trade_is_json_with_its_schedule_as_its_time() -> None:
    tick = Tick(START_NS + 1_000_001, 7, 12, 71856.25, 0.5, buy=False)

    assert msgspec.json.decode(tick.text()) == {
        "T": "t",
        "S": "SIM:S007",
        "p": 71856.25,
        "s": 0.5,
        "t": "2026-02-25T06:13:20.001000001Z",
        "i": 12,
        "tks": "S",
    }


def test_routed_ticks_come_at_a_steady_rate_with_ids_that_count_by_symbol() -> None:
    ticks = ROUTED.ticks(START_NS, 0.5)
    gaps = {after.due_ns - before.due_ns for before, after in itertools.pairwise(ticks)}
    ids: dict[int, list[int]] = {}
    for tick in ticks:
        ids.setdefault(tick.symbol, []).append(tick.trade_id)

    assert gaps == {200_000}
    assert len(ticks) == 2_500
    assert all(found == list(range(FIRST_ID, FIRST_ID + len(found))) for found in ids.values())


def test_the_schedule_and_the_subscriptions_are_the_same_each_time() -> None:
    assert ROUTED.ticks(START_NS, 0.1) == ROUTED.ticks(START_NS, 0.1)
    assert ROUTED.subscriptions() == ROUTED.subscriptions()
    assert {len(set(symbols)) for symbols in ROUTED.subscriptions()} == {20}


def test_a_window_is_due_at_its_end() -> None:
    ticks = ROUTED.ticks(START_NS, 0.3)
    windows = list(ROUTED.windows(ticks))

    assert [len(some) for _, some in windows] == [500, 500, 500]
    assert all(
        due_ns - load.WINDOW_NS <= t.due_ns < due_ns for due_ns, some in windows for t in some
    )


def test_a_quiet_stretch_has_no_window() -> None:
    ticks = [Tick(at, 0, 1, 1.0, 1.0, buy=True) for at in (0, 5, 1_000)]

    assert [(due, len(some)) for due, some in load.windows(ticks, 10)] == [(10, 2), (1_010, 1)]
    assert list(load.windows([], 10)) == []


def test_deliveries_count_every_reader_of_a_symbol() -> None:
    ticks = [Tick(0, symbol, 1, 1.0, 1.0, buy=True) for symbol in (1, 1, 2, 3)]

    assert load.deliveries(ticks, [[1, 2], [1], [4]]) == 2 + 2 + 1


def test_a_script_reads_back_as_it_was_written() -> None:
    windows = [Window(5, {1: [b"a", b"bc"], 3: [b"d"]}), Window(9, {2: [b""]})]

    assert read_in_process(in_process(windows, routed=True)) == (True, windows)


def test_what_is_played_keeps_to_eight_bytes() -> None:
    script = played([[(7, b"abc")], [(8, b"defgh"), (9, b"i")]], hello=b"hi")

    assert len(script) % 8 == 0
    assert b"hiabc" in script
    assert b"hidefghi" in script


@pytest.mark.parametrize("work", [BROADCAST, ROUTED])
def test_the_streams_get_every_tick_once_in_blocks_numbered_without_a_hole(work: Work) -> None:
    ticks = work.ticks(START_NS, 0.1)
    keys = StreamKeys("bench", feeds.SHARDS)
    numbers: dict[str, list[int]] = {}
    found = []
    for due_ns, commands in feeds.for_tickgate(work, ticks, keys):
        for words in _commands(commands):
            block = decode_block(words[-1])
            numbers.setdefault(words[1].decode(), []).append(block.meta.number)
            found += block.ticks()
            assert words[0] == b"XADD"
            assert all(tick.event_ns <= due_ns + 4 for tick in block.ticks())
            assert {keys.ticks("sim", shard_of(s, feeds.SHARDS)) for s in block.symbols} == {
                words[1].decode()
            }

    assert sorted((t.symbol, t.trade_id) for t in found) == sorted(
        (load.name(t.symbol), t.trade_id) for t in ticks
    )
    assert all(seen == list(range(1, len(seen) + 1)) for seen in numbers.values())


def test_nats_gets_each_tick_singly_or_each_symbols_window() -> None:
    ticks = ROUTED.ticks(START_NS, 0.2)
    singly = feeds.for_nats(ROUTED, ticks, batched=False)
    batches = feeds.for_nats(ROUTED, ticks, batched=True)

    assert len(singly) == 1_000
    assert singly[0][1] == b"PUB S%03d %d\r\n%s\r\n" % (
        ticks[0].symbol,
        len(ticks[0].text()),
        ticks[0].text(),
    )
    assert b"".join(payload for _, payload in batches).count(b"{") == 1_000
    assert len({due_ns for due_ns, _ in batches}) == 2


def test_a_symbols_posts_stay_on_one_connection() -> None:
    ticks = ROUTED.ticks(START_NS, 0.1)
    connections = feeds.for_nchan(ROUTED, ticks, batched=False)
    where: dict[bytes, set[int]] = {}
    for number, records in enumerate(connections):
        for _, request in records:
            where.setdefault(request.partition(b" HTTP")[0], set()).add(number)

    assert sum(map(len, connections)) == 500
    assert all(len(numbers) == 1 for numbers in where.values())


def _commands(data: bytes) -> list[list[bytes]]:
    """RESP arrays of bulk strings."""
    found, at = [], 0

    def line() -> bytes:
        nonlocal at
        end = data.index(b"\r\n", at)
        taken, at = data[at:end], end + 2
        return taken

    while at < len(data):
        words = []
        for _ in range(int(line()[1:])):
            length = int(line()[1:])
            words.append(data[at : at + length])
            at += length + 2
        found.append(words)
    return found
