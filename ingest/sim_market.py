"""The simulated market: the n-th tick is a function of the spec and n alone. Pure.

Only its time is its own. So a restart goes on where it stopped: same prices, trade ids without a
hole. Symbols trade in a shuffled cycle, busy ones more often. Prices follow a path over market
time, with a trade's own bounce between bid and ask. In a history, which has fewer ticks, market
time goes as it does live, and a tick stands for as many as it replaces: candles have the same
moves and volumes.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np

from core.market.symbol import Symbol, make_symbol
from core.market.tick import Side, Tick
from ingest.sim_history import SimHistory
from ingest.sim_path import Column, SimPath, normal, scramble, uniform
from ingest.spec import SimOptions

VENUE: Final = "SIM"
_BUSIEST: Final = 8  # the busiest symbol trades so many times as often as the quietest
_SIZE_SPREAD: Final = 0.9  # sigma of the log-normal sizes
_REACH: Final = 2.5e-4  # relative: how far a third of a history's ticks are off the path at most
_SIDES: Final = (Side.BUY, Side.SELL)


class SimMarket:
    """The ticks of one sim spec, made in chunks."""

    def __init__(self, options: SimOptions, history: SimHistory, *, stocks: bool = False) -> None:
        """*stocks* trade whole, as typed clients of the published protocol read them."""
        count = options.symbols
        self.rate = options.rate
        self.symbols: list[Symbol] = [make_symbol(VENUE, f"S{n:03d}") for n in range(1, count + 1)]
        random = np.random.default_rng([options.seed, count])
        self._per_cycle = _weights(count)
        self._cycle = random.permutation(np.repeat(np.arange(count), self._per_cycle))
        self._nth_in_cycle = _occurrences(self._cycle)
        self._order = random.permutation(count)
        base = 10 ** random.uniform(-0.5, 4.5, count)
        self._digits = 10.0 ** np.clip(5 - np.floor(np.log10(base)), 0, 8)  # six digits
        self._base_log = np.log(base)
        self._path = SimPath(options.seed, count)
        self._bounce = random.uniform(3e-5, 1.2e-4, count)
        self._typical_size = 2_000.0 / base
        self._lots = 1.0 if stocks else 1e4  # that a size of 1 has
        self._salt = np.uint64(options.seed * 0x9E3779B97F4A7C15 % 2**64)
        self._history = history
        live_rates = self.rate * self._per_cycle / len(self._cycle)
        self._past_factor, self._past_spread = _summed(live_rates * count / history.rate)

    def ticks(self, first: int, event_times: Sequence[int]) -> list[Tick]:
        """One tick for each of the times, from number *first* (the very first is 0).

        All belong to the history, or none.
        """
        n = np.arange(first, first + len(event_times), dtype=np.int64)
        past = first < self._history.ticks
        who, ids, seconds = self._past(n) if past else self._live(n - self._history.ticks)
        noise = scramble(n.astype(np.uint64) ^ self._salt)
        more = scramble(noise)
        buys = (noise & np.uint64(1)).astype(bool)
        logs, volatility, activity = self._path.at(seconds, who)
        logs += self._base_log[who]
        logs += np.where(buys, self._bounce[who], -self._bounce[who]) * uniform(noise)
        if past:
            logs += volatility * _excursions(scramble(more))
        digits = self._digits[who]
        prices = np.maximum(1.0, np.rint(np.exp(logs) * digits)) / digits
        sizes = self._typical_size[who] * activity
        draw = normal(more)
        if past:
            sizes *= self._past_factor[who] * np.exp(self._past_spread[who] * draw)
        else:
            sizes *= np.exp(_SIZE_SPREAD * draw)
        sizes = np.maximum(1.0, np.rint(sizes * self._lots)) / self._lots
        symbols = self.symbols
        return [
            Tick(symbols[at], trade_id, price, size, time_ns, _SIDES[sell], trade_id)
            for at, trade_id, price, size, time_ns, sell in zip(
                who.tolist(),
                ids.tolist(),
                prices.tolist(),
                sizes.tolist(),
                event_times,
                (~buys).tolist(),
                strict=True,
            )
        ]

    def _past(self, n: Column) -> tuple[Column, Column, Column]:
        """Symbol, trade id and market time of each tick of the history; every symbol in turn."""
        turn, place = np.divmod(n, len(self._order))
        return self._order[place], turn + 1, n / self._history.rate

    def _live(self, n: Column) -> tuple[Column, Column, Column]:
        """The same of ticks after the history, counted from its end."""
        turn, place = np.divmod(n, len(self._cycle))
        who = self._cycle[place]
        ids = self._history.rounds + turn * self._per_cycle[who] + self._nth_in_cycle[place] + 1
        return who, ids, self._history.seconds + n / self.rate


def cycle_of(symbols: int) -> int:
    """After so many ticks every symbol has traded at least once."""
    return int(_weights(symbols).sum())


def _weights(symbols: int) -> Column:
    """Trades per cycle, the busiest symbol first."""
    return np.maximum(1, np.round(_BUSIEST / np.sqrt(np.arange(1, symbols + 1)))).astype(int)


def _summed(counts: Column) -> tuple[Column, Column]:
    """Factor and sigma of sizes that stand for *counts* sizes each; also log-normal.

    Source: L. F. Fenton, "The sum of log-normal probability distributions in scatter transmission
    systems", IRE Trans. Commun. Syst. 8 (1960): mean and variance are matched.
    """
    variance = np.log1p(np.expm1(_SIZE_SPREAD**2) / np.maximum(1.0, counts))
    return counts * np.exp((_SIZE_SPREAD**2 - variance) / 2), np.sqrt(variance)


def _excursions(noise: Column) -> Column:
    """Off the path, to both sides: the highs and lows that fewer ticks would not have met."""
    return np.where(noise % 3 == 0, _REACH * (2.0 * uniform(noise) - 1.0), 0.0)


def _occurrences(cycle: Column) -> Column:
    """How many times each entry's value stood before it."""
    order = np.argsort(cycle, kind="stable")
    ordered = cycle[order]
    starts = np.r_[0, np.flatnonzero(np.diff(ordered)) + 1]
    ranks = np.arange(len(cycle)) - np.repeat(starts, np.diff(np.r_[starts, len(cycle)]))
    result = np.empty(len(cycle), dtype=np.int64)
    result[order] = ranks
    return result
