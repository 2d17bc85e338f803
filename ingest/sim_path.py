"""Where the simulated prices go: log price, and how busy it is, over market time. Pure.

Both are sums of value noise in octaves: each octave draws a level per symbol for every moment of
its lattice, from a hash, and goes straight from one to the next. With amplitudes that grow as the
square root of the period this moves as a random walk does on every scale from seconds to weeks,
and any moment of it can be computed alone. The fast octaves are scaled by a slow volatility, which
busy times share, so that quiet and wild hours come in clusters.

Source: value noise summed to fractional Brownian motion, Ebert et al., "Texturing and Modeling",
3rd ed., 2003, chapters 2 and 16; volatility clusters and volume that goes with it, R. Cont,
"Empirical properties of asset returns", Quantitative Finance 1 (2001), section 2.2.
"""

from typing import Any, Final

import numpy as np

Column = Any  # a numpy array; its operators' result types are too wide to be of use

_OCTAVES: Final = 15
_FIRST_S: Final = 5.0  # the shortest period
_RATIO: Final = 2.5  # of an octave's period to the one before: the longest takes three weeks
_AT_MINUTE: Final = 3.5e-4  # amplitude of one minute's octave, relative: 0.05 % a minute in all
_PERSISTENCE: Final = 0.53  # Hurst exponent: a little above a random walk's, for trends
_FAST_S: Final = 1_500.0  # octaves below this period feel the volatility
_MOOD_S: Final = (40.0, 150.0, 540.0, 2_700.0, 14_400.0)  # periods of the octaves of how busy it is
_VOLATILITY: Final = (0.0, 0.2, 0.35, 0.5, 0.6)  # weights of the moods in the log of volatility
_ACTIVITY: Final = (1.0, 0.5, 0.5, 0.6, 0.6)  # and in the log of traded volume
_JITTER: Final = (0.8, 1.25)  # no two symbols swing alike


class SimPath:
    """The paths of all symbols of one seed."""

    def __init__(self, seed: int, symbols: int) -> None:
        random = np.random.default_rng([seed, symbols, 1])
        periods = _FIRST_S * _RATIO ** np.arange(_OCTAVES)
        shape = (_OCTAVES + len(_MOOD_S), symbols)
        lengths = np.r_[periods, _MOOD_S][:, None] * random.uniform(*_JITTER, shape)
        self._speeds = 1.0 / lengths
        self._keys = random.integers(0, 2**64, shape, dtype=np.uint64)
        heights = _AT_MINUTE * (periods / 60.0) ** _PERSISTENCE
        self._fast = np.where(periods < _FAST_S, heights, 0.0)
        self._slow = heights - self._fast
        self._volatility, self._activity = np.array(_VOLATILITY), np.array(_ACTIVITY)

    def at(self, seconds: Column, who: Column) -> tuple[Column, Column, Column]:
        """Log price (about 0 on average), volatility and volume (both about 1) of each moment.

        Args:
            seconds: of market time, from 0.
            who: the symbol's index for each of them.
        """
        levels = self._levels(seconds, who)
        prices, moods = levels[:_OCTAVES], levels[_OCTAVES:]
        volatility = np.exp(self._volatility @ moods)
        logs = (self._fast @ prices) * volatility + self._slow @ prices
        return logs, volatility, np.exp(self._activity @ moods)

    def _levels(self, seconds: Column, who: Column) -> Column:
        """Of each octave (rows) at each moment, in [-1, 1)."""
        at = seconds * self._speeds[:, who]
        step = np.floor(at)
        before = step.astype(np.uint64) + self._keys[:, who]
        left = uniform(scramble(before))
        right = uniform(scramble(before + np.uint64(1)))
        return 2.0 * (left + (right - left) * (at - step)) - 1.0


def scramble(values: Column) -> Column:
    """SplitMix64's finalizer. Source: Steele, Lea, Flood, OOPSLA 2014."""
    z = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def uniform(noise: Column) -> Column:
    """In [0, 1), from the upper bits."""
    return (noise >> np.uint64(11)) * 2.0**-53


def normal(noise: Column) -> Column:
    """Close to a standard normal: the scaled sum of four 16-bit uniforms (Irwin-Hall)."""
    mask = np.uint64(0xFFFF)
    total = sum((noise >> np.uint64(shift)) & mask for shift in (0, 16, 32, 48))
    return (total / 65_536.0 - 2.0) * 3.0**0.5
