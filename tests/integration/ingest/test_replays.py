import asyncio
import gzip
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from core.market.tick import NO_ID
from ingest.errors import ReplayFileError
from ingest.limits import IngestLimits
from ingest.replay_file import ReplayFile
from storage.redis import command
from storage.registry import FeedRegistry
from tests.conftest import Eventually
from tests.integration.ingest.rig import FAST, SHARDS, Stored, make_service, running

HEADER = "symbol,trade_id,event_ns,side,price,size\n"
START_NS = 1_570_752_000 * 10**9


def row(n: int, *, name: str = "ABC", trade_id: str | None = None, step_ns: int = 10**9) -> str:
    """The n-th trade, from 1."""
    shown = str(n) if trade_id is None else trade_id
    return f"{name}{n % 5},{shown},{START_NS + n * step_ns},buy,{n}.5,1\n"


def write(path: Path, rows: list[str], *, header: str = HEADER) -> Path:
    text = header + "".join(rows)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(text.encode()))
    else:
        path.write_bytes(text.encode())
    return path


async def consume(stored: Stored) -> None:
    """Stand in for the readers, until cancelled."""
    while True:
        await stored.consume_all()
        await asyncio.sleep(0.01)


async def replay(
    stored: Stored, *specs: str, limits: IngestLimits = FAST, readers: bool = True
) -> None:
    """Run the specs to their end."""
    service = make_service(specs, stored.url, stored.namespace, limits=limits, exit_at_end=True)
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(consume(stored), name="readers") if readers else None
        await service.run()
        if reader:
            reader.cancel()


@pytest.mark.parametrize("name", ["trades.csv", "trades.csv.gz"])
async def test_a_file_is_replayed_in_order_to_its_end(
    name: str, tmp_path: Path, stored: Stored
) -> None:
    path = write(tmp_path / name, [row(n) for n in range(1, 3_001)])

    await replay(stored, f"replay:{path}?speed=max&venue=lab")

    ticks = await stored.ticks()
    assert sorted(tick.trade_id for tick in ticks) == list(range(1, 3_001))
    for k in range(5):
        mine = [t.trade_id for t in ticks if t.symbol == f"LAB:ABC{k}"]
        assert mine == sorted(mine)
        assert len(mine) == 600
    for blocks in (await stored.blocks()).values():
        assert [block.meta.end for block in blocks] == [False] * (len(blocks) - 1) + [True]
        assert blocks[-1].meta.watermark_ns == 2**63 - 1
        assert blocks[-1].meta.position == 3_000


async def test_bad_rows_are_quarantined_with_their_line_and_the_rest_goes_on(
    tmp_path: Path, stored: Stored
) -> None:
    rows = [
        row(1), "only,three,fields\n", row(3), f"ABC,4,{START_NS},buy,-1,1\n", "\n",
        f"A B,6,{START_NS},buy,1,1\n", f'"ABC3","7",{START_NS},"sell","2.5","1"\n', row(8),
        f'"{"x" * 200_000}\n', row(10),
    ]  # fmt: skip
    path = write(tmp_path / "trades.csv", rows)

    await replay(stored, f"replay:{path}?speed=max")

    assert sorted(tick.trade_id for tick in await stored.ticks()) == [1, 3, 7, 8, 10]
    found = sorted((r.reason, r.detail.partition(":")[0]) for r in await stored.quarantined())
    assert found == [
        ("ill_formed", "line 10"), ("ill_formed", "line 3"), ("ill_formed", "line 6"),
        ("ill_formed", "line 7"),
        ("price_not_positive", ""),
    ]  # fmt: skip


async def test_text_ids_order_trades_of_equal_times_and_empty_ids_are_kept(
    tmp_path: Path, stored: Stored
) -> None:
    rows = [f"A,{name},{START_NS},buy,1,1\n" for name in ("b", "10", "", "a", "b", "")]
    path = write(tmp_path / "trades.csv", rows)

    await replay(stored, f"replay:{path}?speed=max")

    ticks = await stored.ticks()
    assert [tick.seq for tick in ticks] == [3, 1, 0, 2, 0]  # the second "b" is a duplicate
    assert [tick.trade_id for tick in ticks].count(NO_ID) == 2


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "no such file"),
        (b"", "first line must be"),
        (b"a,b,c\n1,2,3\n", "first line must be"),
        (b"\x1f\x8b\x08 broken", "gzip"),
        (gzip.compress((HEADER + row(1) * 1000).encode())[:40], "broken off"),
    ],
    ids=range(5),
)
async def test_a_file_that_cannot_be_read_is_refused_at_the_start_in_words(
    content: bytes | None, reason: str, tmp_path: Path, stored: Stored
) -> None:
    path = tmp_path / "trades.csv"
    if content is not None:
        path.write_bytes(content)
    service = make_service([f"replay:{path}"], stored.url, stored.namespace)

    with pytest.raises(ReplayFileError) as failure:
        await service.run()

    assert str(path) in str(failure.value)
    assert reason in str(failure.value)


async def test_a_replay_at_full_speed_never_runs_far_ahead_of_its_readers(
    tmp_path: Path, stored: Stored, eventually: Eventually
) -> None:
    path = write(tmp_path / "trades.csv", [row(n) for n in range(1, 5_001)])
    limits = IngestLimits(in_flight_ticks=500, idle_block_ns=100_000_000)
    spec = f"replay:{path}?speed=max"

    async with running([spec], stored.url, stored.namespace, limits=limits):

        async def waiting() -> bool:
            return any(f.state == "waiting" for f in await stored.statuses())

        await eventually(waiting)  # for an aggregator
        assert await stored.ticks() == []
        await stored.consume_all()

        async def some() -> int:
            return len(await stored.ticks())

        await eventually(some)
        await eventually(waiting)  # for the readers to catch up
        assert 0 < len(await stored.ticks()) <= 500 + 250

        async def all_there() -> bool:
            await stored.consume_all()
            return len(await stored.ticks()) == 5_000

        await eventually(all_there)


async def test_a_replay_that_waits_for_a_client_starts_when_one_has_subscribed(
    tmp_path: Path, stored: Stored, eventually: Eventually
) -> None:
    path = write(tmp_path / "trades.csv", [row(n) for n in range(1, 11)])
    spec = f"replay:{path}?speed=max&start=subscribed"

    async with running([spec], stored.url, stored.namespace):

        async def waiting() -> bool:
            return any("subscribe" in f.detail for f in await stored.statuses())

        await eventually(waiting)
        assert await stored.ticks() == []

        async def all_there() -> bool:
            await stored.consume_all()
            return len(await stored.ticks()) == 10

        await eventually(all_there)


async def test_a_paced_replay_keeps_the_distances_of_the_events(
    tmp_path: Path, stored: Stored
) -> None:
    path = write(tmp_path / "trades.csv", [row(n) for n in range(1, 11)])
    loop = asyncio.get_running_loop()
    start_s = loop.time()

    await replay(stored, f"replay:{path}?speed=20", readers=False)

    assert 0.45 <= loop.time() - start_s < 5
    assert len(await stored.ticks()) == 10


async def test_a_paced_replay_is_not_held_up_by_a_time_that_no_trade_has(
    tmp_path: Path, stored: Stored
) -> None:
    rows = [f"ABC,{n},{time},buy,1,1\n" for n, time in ((1, 0), (2, -5))]
    path = write(tmp_path / "trades.csv", [*rows, row(3), row(4)])

    await replay(stored, f"replay:{path}?speed=20", readers=False)

    assert sorted(tick.trade_id for tick in await stored.ticks()) == [3, 4]
    assert [record.reason for record in await stored.quarantined()] == ["before_1990"] * 2


async def test_a_paced_replay_says_which_row_it_waits_long_for(
    tmp_path: Path, stored: Stored, eventually: Eventually
) -> None:
    path = write(tmp_path / "trades.csv", [row(1), row(10_001)])

    async with running([f"replay:{path}?speed=1"], stored.url, stored.namespace):

        async def waits() -> bool:
            status = await stored.statuses()
            return bool(status and status[0].state == "waiting" and status[0].detail)

        await eventually(waits)
        detail = (await stored.status()).detail

    assert detail == "10,000 s until the event time of row 2"


async def test_a_replay_that_was_cut_goes_on_where_each_stream_ends(
    tmp_path: Path, stored: Stored, eventually: Eventually
) -> None:
    path = write(tmp_path / "trades.csv", [row(n, trade_id="") for n in range(1, 4_001)])
    spec = f"replay:{path}?speed=max"
    limits = IngestLimits(in_flight_ticks=300, idle_block_ns=20_000_000)

    for cut_at in (1, 700, 1_500, 2_900):
        service = make_service([spec], stored.url, stored.namespace, limits=limits)
        async with asyncio.TaskGroup() as group:
            task = group.create_task(service.run(), name="ingest")

            async def far_enough(least: int = cut_at) -> bool:
                await stored.consume_all()
                return len(await stored.ticks()) >= least

            await eventually(far_enough)
            task.cancel()
    await replay(stored, spec, limits=limits)
    await replay(stored, spec, limits=limits)  # it has ended: nothing is added

    prices = [tick.price for tick in await stored.ticks()]  # there are no ids to tell repeats by
    assert sorted(prices) == [n + 0.5 for n in range(1, 4_001)]


async def test_a_file_that_is_being_opened_as_its_replay_is_cut_is_closed(
    tmp_path: Path, stored: Stored, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    done: list[str] = []

    def slowly(file: ReplayFile, _open: Callable[[ReplayFile], str] = ReplayFile.open) -> str:
        begun.set()
        go_on.wait(10)
        return _open(file)

    def let_go(file: ReplayFile, _close: Callable[[ReplayFile], None] = ReplayFile.close) -> None:
        _close(file)
        done.append("closed" if file._lines is not None else "closed before it was open")

    monkeypatch.setattr(ReplayFile, "open", slowly)
    monkeypatch.setattr(ReplayFile, "close", let_go)
    path = write(tmp_path / "trades.csv", [row(1)])
    service = make_service([f"replay:{path}"], stored.url, stored.namespace)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(service.run(), name="ingest")
        await eventually(begun.is_set)
        task.cancel()
    go_on.set()

    await eventually(lambda: "closed" in done)


async def test_another_file_of_the_same_venue_is_another_replay(
    tmp_path: Path, stored: Stored
) -> None:
    first = write(tmp_path / "a.csv", [row(1)])
    second = write(tmp_path / "b.csv", [row(2)])

    await replay(stored, f"replay:{first}?speed=max")
    await replay(stored, f"replay:{second}?speed=max")

    assert sorted(tick.trade_id for tick in await stored.ticks()) == [1, 2]


async def test_a_gzip_file_that_breaks_off_while_it_is_read_ends_there_and_is_shown_as_failed(
    tmp_path: Path, stored: Stored, eventually: Eventually
) -> None:
    """The ids are looked at first, so the break must come later: the file is cut meanwhile."""
    noisy = [
        f"ABC{n % 5},{n},{START_NS + n},buy,{n * 7919 % 10007}.5,1\n" for n in range(1, 40_001)
    ]
    path = write(tmp_path / "trades.csv.gz", noisy)
    spec = f"replay:{path}?speed=max&start=subscribed"

    async with running([spec], stored.url, stored.namespace):

        async def waiting() -> bool:
            return any("subscribe" in f.detail for f in await stored.statuses())

        await eventually(waiting)
        with path.open("r+b") as file:
            file.truncate(path.stat().st_size // 2)

        async def failed() -> bool:
            await stored.consume_all()
            return any(
                f.state == "failed" and "broken" in f.detail for f in await stored.statuses()
            )

        await eventually(failed)

        async def ended() -> bool:
            blocks = await stored.blocks()
            return all(found and found[-1].meta.end for found in blocks.values())

        await eventually(ended)
    assert 0 < len(await stored.ticks()) < 40_000


async def test_the_end_of_a_replay_is_stored_again_when_a_failover_lost_it(
    tmp_path: Path, stored: Stored, eventually: Eventually
) -> None:
    path = write(tmp_path / "trades.csv", [row(n) for n in range(1, 301)])
    async with asyncio.TaskGroup() as group:
        reader = group.create_task(consume(stored), name="readers")
        async with running([f"replay:{path}?speed=max&venue=lab"], stored.url, stored.namespace):

            async def ended() -> bool:
                blocks = (await stored.blocks()).values()
                return all(some and some[-1].meta.end for some in blocks) if blocks else False

            await eventually(ended)
            before = await stored.blocks()
            for shard in range(SHARDS):
                await lose_last(stored, shard)
            assert not await ended()

            await eventually(ended)
        reader.cancel()

    assert [len(some) for some in (await stored.blocks()).values()] == [
        len(some) for some in before.values()
    ]
    assert sorted(tick.trade_id for tick in await stored.ticks()) == list(range(1, 301))


LOSE_LAST = """
local entries = redis.call('XRANGE', KEYS[1], '-', '+')
redis.call('DEL', KEYS[1])
for at = 1, #entries - 1 do
  redis.call('XADD', KEYS[1], entries[at][1], unpack(entries[at][2]))
  redis.call('HSET', KEYS[2], 'last', entries[at][1])
end
"""


async def lose_last(stored: Stored, shard: int) -> None:
    """As on a new master that had not got the newest block of a stream."""
    (info,) = await FeedRegistry(stored.redis, stored.keys).feeds()
    keys = [of(info.feed, shard) for of in (stored.keys.ticks, stored.keys.fence)]
    await command(stored.redis, "EVAL", LOSE_LAST, 2, *keys)
