"""The simulated market: the n-th tick is a function of the spec and n alone. Pure.

So a restart goes on where it stopped: same prices, trade ids without a hole. Symbols trade in a
shuffled cycle, busy ones more often. A price is a sum of waves from seconds to weeks over nominal
time (n / rate), whose amplitudes grow with the square root of the period, as those of a random
walk do, plus a trade's own bounce between bid and ask. Sizes are log-normal.

Source of the waves: spectral synthesis of fractional Brownian motion (Saupe, "Algorithms for
random fractals", in The Science of Fractal Images, 1988, section 2.4).
"""

import zlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from core.market.symbol import Symbol, make_symbol
from core.market.tick import Side, Tick
from ingest.spec import SimOptions

VENUE: Final = "SIM"
_BUSIEST: Final = 8  # the busiest symbol trades so many times as often as the quietest
_WAVES: Final = 16
_SHORTEST_S: Final = 7.0
_LONGEST_S: Final = 30 * 86_400.0
_WAVE_AT_MINUTE: Final = 2.5e-4  # relative amplitude of a wave of one minute's period
_SIDES: Final = (Side.BUY, Side.SELL)

_Column = Any  # a numpy array; its operators' result types are too wide to be of use


class SimMarket:
    """The ticks of one sim spec, made in chunks."""

    def __init__(self, options: SimOptions) -> None:
        count = options.symbols
        self.rate = options.rate
        self.symbols: list[Symbol] = [make_symbol(VENUE, f"S{n:03d}") for n in range(1, count + 1)]
        random = np.random.default_rng([options.seed, count])
        weights = np.maximum(1, np.round(_BUSIEST / np.sqrt(np.arange(1, count + 1)))).astype(int)
        self._cycle = random.permutation(np.repeat(np.arange(count), weights))
        self._per_cycle = weights
        self._nth_in_cycle = _occurrences(self._cycle)
        base = 10 ** random.uniform(-0.5, 4.5, count)
        self._digits = 10.0 ** np.clip(4 - np.floor(np.log10(base)), 0, 8)  # five to six digits
        self._base_log = np.log(base)
        periods = np.geomspace(_SHORTEST_S, _LONGEST_S, _WAVES)
        jitter = random.uniform(0.8, 1.25, (_WAVES, count))  # no two symbols swing alike
        self._speeds = 2 * np.pi / (periods[:, None] * jitter)
        self._phases = random.uniform(0, 2 * np.pi, (_WAVES, count))
        self._heights = _WAVE_AT_MINUTE * np.sqrt(periods / 60.0)
        self._bounce = random.uniform(3e-5, 1.2e-4, count)
        self._typical_size = 2_000.0 / base
        self._salt = np.uint64(options.seed * 0x9E3779B97F4A7C15 % 2**64)

    @property
    def cycle(self) -> int:
        """After so many ticks every symbol has traded at least once."""
        return len(self._cycle)

    def ticks(self, first: int, count: int, event_ns: int) -> list[Tick]:
        """Ticks number *first* to *first* + *count* - 1 (from 0), all of the time *event_ns*."""
        n = np.arange(first, first + count, dtype=np.int64)
        turn, place = np.divmod(n, len(self._cycle))
        who = self._cycle[place]
        ids = turn * self._per_cycle[who] + self._nth_in_cycle[place] + 1
        noise = _hash(n.astype(np.uint64) ^ self._salt)
        buys = (noise & np.uint64(1)).astype(bool)
        logs = self._base_log[who] + self._waves(n / self.rate, who)
        logs += np.where(buys, self._bounce[who], -self._bounce[who]) * _uniform(noise)
        digits = self._digits[who]
        prices = np.maximum(1.0, np.rint(np.exp(logs) * digits)) / digits
        sizes = np.exp(0.9 * _normal(_hash(noise))) * self._typical_size[who]
        sizes = np.maximum(1.0, np.rint(sizes * 1e4)) / 1e4
        return list(self._as_ticks(who, ids, prices, sizes, ~buys, event_ns))

    def _waves(self, seconds: _Column, who: _Column) -> _Column:
        total = np.zeros(len(seconds))
        for speeds, phases, height in zip(self._speeds, self._phases, self._heights, strict=True):
            total += height * np.sin(seconds * speeds[who] + phases[who])
        return total

    def _as_ticks(
        self,
        who: _Column,
        ids: _Column,
        prices: _Column,
        sizes: _Column,
        sells: _Column,
        event_ns: int,
    ) -> Iterator[Tick]:
        symbols, sides = self.symbols, _SIDES
        for at, trade_id, price, size, sell in zip(
            who.tolist(), ids.tolist(), prices.tolist(), sizes.tolist(), sells.tolist(), strict=True
        ):
            yield Tick(symbols[at], trade_id, price, size, event_ns, sides[sell], trade_id)


class SimPosition:
    """A sim's position on the stream: its tick number, and a tag of the spec that counted it.

    A spec with other symbols or another seed counts other ids. It goes on at a number where every
    symbol's ids are beyond all that the former spec can have given, so that none is taken for a
    repeat; this leaves one hole in the ids.
    """

    _BITS: Final = 47  # of the tick number: 22 years at 200,000 ticks/s

    def __init__(self, options: SimOptions, *, cycle: int) -> None:
        self._tag = zlib.crc32(f"{options.seed}/{options.symbols}".encode()) & 0xFFFF
        self._cycle = cycle

    def pack(self, number: int) -> int:
        """The stored form of tick *number*, in the order of the numbers."""
        return number << 16 | self._tag

    def first_number(self, lowest: int, highest: int) -> int:
        """The tick to go on with, from the lowest and the highest stored position of a shard."""
        if highest & 0xFFFF != self._tag:
            number = highest >> 16
            jump = number * self._cycle + 1
            return (jump if jump < 2**self._BITS else number + 1) if highest else 0
        return (lowest if lowest & 0xFFFF == self._tag or not lowest else highest) >> 16


def _occurrences(cycle: _Column) -> _Column:
    """How many times each entry's value stood before it."""
    order = np.argsort(cycle, kind="stable")
    ordered = cycle[order]
    starts = np.r_[0, np.flatnonzero(np.diff(ordered)) + 1]
    ranks = np.arange(len(cycle)) - np.repeat(starts, np.diff(np.r_[starts, len(cycle)]))
    result = np.empty(len(cycle), dtype=np.int64)
    result[order] = ranks
    return result


def _hash(values: _Column) -> _Column:
    """SplitMix64's finalizer. Source: Steele, Lea, Flood, OOPSLA 2014."""
    z = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _uniform(noise: _Column) -> _Column:
    """In [0, 1), from the upper bits."""
    return (noise >> np.uint64(11)) * 2.0**-53


def _normal(noise: _Column) -> _Column:
    """Close to a standard normal: the scaled sum of four 16-bit uniforms (Irwin-Hall)."""
    mask = np.uint64(0xFFFF)
    total = sum((noise >> np.uint64(shift)) & mask for shift in (0, 16, 32, 48))
    return (total / 65_536.0 - 2.0) * 3.0**0.5
