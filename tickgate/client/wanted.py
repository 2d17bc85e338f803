"""What a client wants of the stream: names by channel. Pure."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any, Final, TypedDict

Names = str | Iterable[str]
"""One symbol or several, as ``BTC/USD``, ``COINBASE:BTC-USD``, or ``*`` for all."""


class Channels(TypedDict, total=False):
    """The channels of the stream, each with the symbols that are wanted of it."""

    trades: Names
    bars: Names
    updated_bars: Names
    running_bars: Names
    bars_5min: Names
    updated_bars_5min: Names
    running_bars_5min: Names
    bars_15min: Names
    updated_bars_15min: Names
    running_bars_15min: Names


WIRE: Final = {
    "trades": "trades",
    "bars": "bars",
    "updated_bars": "updatedBars",
    "running_bars": "runningBars",
    "bars_5min": "bars5Min",
    "updated_bars_5min": "updatedBars5Min",
    "running_bars_5min": "runningBars5Min",
    "bars_15min": "bars15Min",
    "updated_bars_15min": "updatedBars15Min",
    "running_bars_15min": "runningBars15Min",
}
"""The channels by their names in Python and on the wire."""

ByChannel = dict[str, tuple[str, ...]]
"""Symbols by the channel's name on the wire; no channel without any."""


def by_channel(channels: Mapping[str, Any]) -> ByChannel:
    """The keywords of a call as the wire has them.

    Raises:
        TypeError: a channel that there is not, or symbols that are no text.
    """
    found: ByChannel = {}
    for channel, names in channels.items():
        if channel not in WIRE:
            raise TypeError(f"no channel {channel!r}; there are {', '.join(WIRE)}")
        if not isinstance(names, Iterable):
            raise TypeError(f"{channel}: expected symbols as text, was {names!r}")
        symbols = (names,) if isinstance(names, str) else tuple(names)
        for symbol in symbols:
            if not isinstance(symbol, str):
                raise TypeError(f"{channel}: expected symbols as text, was {symbol!r}")
        if symbols:
            found[WIRE[channel]] = tuple(dict.fromkeys(symbols))
    return found


class Wanted:
    """The set of subscriptions, which outlives connections."""

    def __init__(self) -> None:
        self._names: dict[tuple[str, str], None] = {}  # in the order of subscription

    def __bool__(self) -> bool:
        return bool(self._names)

    def replace(self, names: ByChannel) -> None:
        """The set is this from now on."""
        self._names = dict.fromkeys(_pairs(names))

    def is_after(self, names: ByChannel, *, adds: bool) -> bool:
        """Is the set as a change leaves it that adds *names*, or takes them away?"""
        return all((pair in self._names) == adds for pair in _pairs(names))

    def by_channel(self) -> ByChannel:
        """The whole set."""
        found: ByChannel = {}
        for channel, symbol in self._names:
            found[channel] = (*found.get(channel, ()), symbol)
        return found


def as_said(channels: Mapping[str, tuple[str, ...]]) -> ByChannel:
    """Channels by their names in Python as the wire has them; no channel without any symbol."""
    return {WIRE[channel]: names for channel, names in channels.items() if names}


def by_symbol(names: ByChannel) -> dict[str, tuple[str, ...]]:
    """The channels of each symbol."""
    found: dict[str, tuple[str, ...]] = {}
    for channel, symbol in _pairs(names):
        found[symbol] = (*found.get(symbol, ()), channel)
    return found


def without(names: ByChannel, symbols: Collection[str], channels: Collection[str]) -> ByChannel:
    """*names* without these *symbols*, and without these *channels*."""
    refused = frozenset(symbols)
    found = {
        channel: tuple(symbol for symbol in listed if symbol not in refused)
        for channel, listed in names.items()
        if channel not in channels
    }
    return {channel: listed for channel, listed in found.items() if listed}


def ended(before: ByChannel, left: ByChannel, taken_off: ByChannel) -> ByChannel:
    """What of *before* is not in *left*, though nobody took it off."""
    kept = {*_pairs(left), *_pairs(taken_off)}
    found = {
        channel: tuple(symbol for symbol in listed if (channel, symbol) not in kept)
        for channel, listed in before.items()
    }
    return {channel: listed for channel, listed in found.items() if listed}


def blamed(gone: ByChannel, left: ByChannel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The symbols of which nothing is *left*, and the channels that others have lost."""
    symbols = dict.fromkeys(symbol for _, symbol in _pairs(gone))
    for _, symbol in _pairs(left):
        symbols.pop(symbol, None)
    channels = (
        channel
        for channel, listed in gone.items()
        if channel not in left and not symbols.keys() >= set(listed)
    )
    return tuple(symbols), tuple(channels)


def _pairs(names: ByChannel) -> list[tuple[str, str]]:
    return [(channel, symbol) for channel, symbols in names.items() for symbol in symbols]
