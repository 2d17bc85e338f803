"""Limits per minute: leases, windows, and what happens while Redis is away."""

import asyncio
from collections.abc import Callable

import pytest
from limits.aio.storage import Storage
from limits.aio.strategies import FixedWindowRateLimiter

from core.market.timeframe import MINUTE_NS, SECOND_NS
from gateway.access.rates import Allowance, Rates, lease_of
from gateway.tally import KEY_WORDS, Layout, Tally
from storage.errors import StreamUnavailable

START_NS = 1_700_000_000 * SECOND_NS


class Counts(Storage):
    """Shared counts in memory that end after a minute of a clock that is told; may be away."""

    STORAGE_SCHEME = None

    def __init__(self, now_ns: Callable[[], int]) -> None:
        super().__init__()
        self.counts: dict[str, int] = {}
        self.ends_s: dict[str, float] = {}
        self.trips = 0
        self.is_away = False
        self._now_ns = now_ns

    @property
    def base_exceptions(self) -> type[Exception]:
        return StreamUnavailable

    async def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        self.trips += 1
        if self.is_away:
            raise StreamUnavailable("test", "away")
        now_s = self._now_ns() / SECOND_NS
        if self.ends_s.get(key, 0.0) <= now_s:
            self.counts[key], self.ends_s[key] = 0, now_s + expiry
        self.counts[key] += amount
        return self.counts[key]

    async def get(self, key: str) -> int:
        return self.counts[key]

    async def get_expiry(self, key: str) -> float:
        return self.ends_s[key]

    async def check(self) -> bool:
        return not self.is_away

    async def reset(self) -> None:
        self.counts.clear()

    async def clear(self, key: str) -> None:
        del self.counts[key]


class Bench:
    """Gateways that share counts, and the clock of all."""

    def __init__(self) -> None:
        self.now_ns = START_NS
        self.counts = Counts(lambda: self.now_ns)

    def gateway(self, *, shared: bool = True) -> Rates:
        layout = Layout(1, buckets=16)
        words = memoryview(bytearray(8 * layout.words)).cast("Q")
        words[:KEY_WORDS] = memoryview(b"s" * 8 * KEY_WORDS).cast("Q")
        return Rates(
            FixedWindowRateLimiter(self.counts) if shared else None,
            Tally(words, layout, 0),
            now_ns=lambda: self.now_ns,
            monotonic_ns=lambda: self.now_ns,
        )

    async def request(self, gateway: Rates, name: str = "alice", limit: int = 3) -> Allowance:
        return gateway.take(name, limit) or await gateway.ask(name, limit)


@pytest.fixture
def bench() -> Bench:
    return Bench()


async def test_a_low_limit_is_kept_to_the_request_over_all_gateways(bench: Bench) -> None:
    one, other = bench.gateway(), bench.gateway()

    found = [await bench.request(gateway) for gateway in (one, other, one, other, one)]

    assert [each.allowed for each in found] == [True, True, True, False, False]
    assert [each.remaining for each in found] == [2, 1, 0, 0, 0]
    assert {each.reset_s for each in found} == {START_NS // SECOND_NS + 60}
    assert found[-1].retry_after_s == 60
    assert found[0].headers() == {
        "X-RateLimit-Limit": "3",
        "X-RateLimit-Remaining": "2",
        "X-RateLimit-Reset": str(START_NS // SECOND_NS + 60),
    }
    assert found[-1].headers()["Retry-After"] == "60"


async def test_who_was_refused_is_refused_from_memory_until_the_window_ends(bench: Bench) -> None:
    gateway = bench.gateway()
    for _ in range(4):
        await bench.request(gateway)
    trips = bench.counts.trips

    bench.now_ns += 59 * SECOND_NS
    refused = gateway.take("alice", 3)
    bench.now_ns += SECOND_NS
    after = await bench.request(gateway)

    assert refused is not None
    assert (refused.allowed, refused.retry_after_s) == (False, 1)
    assert bench.counts.trips == trips + 1
    assert (after.allowed, after.remaining) == (True, 2)


async def test_a_clock_that_is_set_back_makes_nobody_wait_longer(bench: Bench) -> None:
    gateway = bench.gateway()
    for _ in range(4):
        await bench.request(gateway)

    bench.now_ns -= 3_600 * SECOND_NS
    bench.counts.ends_s.clear()  # by the clock of Redis a minute has gone by
    after = await bench.request(gateway)

    assert (after.allowed, after.remaining) == (True, 2)


async def test_a_high_limit_is_leased_so_that_few_requests_ask(bench: Bench) -> None:
    one, other, limit = bench.gateway(), bench.gateway(), 10_000

    found = [await bench.request(gateway, limit=limit) for gateway in (one, other) * 5_000]

    assert all(each.allowed for each in found)
    assert bench.counts.trips == 1_000
    assert not (await bench.request(one, limit=limit)).allowed


@pytest.mark.parametrize(
    ("limit", "size"), [(1, 1), (100, 1), (1_999, 1), (2_000, 2), (10_007, 1), (600_000, 600)]
)
def test_a_lease_divides_the_limit(limit: int, size: int) -> None:
    assert lease_of(limit) == size


async def test_requests_at_the_same_time_lose_nothing_of_what_was_leased(bench: Bench) -> None:
    gateway = bench.gateway()

    found = await asyncio.wait_for(_at_once(bench, gateway, 20, limit=10_000), 5)

    assert all(each.allowed for each in found)
    held = bench.counts.trips * lease_of(10_000) - 20
    assert found[-1].remaining >= 10_000 - 20 - held


async def _at_once(bench: Bench, gateway: Rates, many: int, *, limit: int) -> list[Allowance]:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(bench.request(gateway, limit=limit)) for _ in range(many)]
    return [task.result() for task in tasks]


async def test_while_redis_is_away_each_gateway_counts_for_itself(bench: Bench) -> None:
    gateway = bench.gateway()
    bench.counts.is_away = True

    found = [await bench.request(gateway) for _ in range(4)]

    assert [each.allowed for each in found] == [True, True, True, False]
    assert gateway.is_local
    assert bench.counts.trips == 1  # and nobody else waits for it


async def test_when_redis_is_back_it_counts_again(bench: Bench) -> None:
    gateway = bench.gateway()
    bench.counts.is_away = True
    await bench.request(gateway)
    bench.counts.is_away = False

    bench.now_ns += 2 * SECOND_NS
    found = await bench.request(gateway)

    assert found.remaining == 2
    assert not gateway.is_local


async def test_without_a_shared_count_a_gateway_counts_in_whole_minutes(bench: Bench) -> None:
    gateway = bench.gateway(shared=False)
    bench.now_ns += MINUTE_NS - bench.now_ns % MINUTE_NS

    found = [gateway.take("alice", 1), gateway.take("alice", 1), await gateway.ask("alice", 1)]
    bench.now_ns += MINUTE_NS
    after = gateway.take("alice", 1)

    assert [each is not None and each.allowed for each in found] == [True, False, False]
    assert found[1] is not None
    assert found[1].retry_after_s == 60
    assert after is not None
    assert after.allowed


async def test_another_limit_of_the_same_caller_holds_at_once(bench: Bench) -> None:
    gateway = bench.gateway()
    for _ in range(4):
        await bench.request(gateway)

    assert (await bench.request(gateway, limit=10)).allowed


async def test_only_so_many_callers_are_remembered(bench: Bench) -> None:
    gateway = bench.gateway()

    for number in range(10_001):
        await bench.request(gateway, f"caller {number}", 1)

    assert len(gateway._windows) == 10_000
    assert (await bench.request(gateway, "caller 0", 1)).allowed is False  # Redis knows
