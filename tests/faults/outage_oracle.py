"""Bars from the bytes of the streams, the plainest way: imports nothing of the product."""

import math
import struct
from array import array
from typing import NamedTuple

ALLOWED_VWAP = 1e-12  # relative: products are rounded here, and exact in the product
_HEADER = struct.Struct("<BBHIQqqqQQ")
_MINUTE_NS = 60 * 10**9
Key = tuple[str, int, int]  # symbol, minutes, start in s


class Row(NamedTuple):
    """One bar."""

    open: float
    high: float
    low: float
    close: float
    trades: int
    volume: float
    vwap: float


Bars = dict[Key, Row]


class _Window:
    __slots__ = ("close", "close_key", "high", "low", "notionals", "open", "open_key", "sizes")

    def __init__(self) -> None:
        self.open = self.close = 0.0
        self.open_key, self.close_key = (2**63, 0), (-1, 0)
        self.high, self.low = -math.inf, math.inf
        self.sizes, self.notionals = array("d"), array("d")

    def add(self, key: tuple[int, int], price: float, size: float) -> None:
        if key < self.open_key:
            self.open_key, self.open = key, price
        if key >= self.close_key:
            self.close_key, self.close = key, price
        self.high, self.low = max(self.high, price), min(self.low, price)
        self.sizes.append(size)
        self.notionals.append(price * size)


class Oracle:
    """Takes the blocks of a sim as they are on its streams; trade ids count up by symbol."""

    def __init__(self) -> None:
        self.ticks = 0
        self.holes = 0
        self.watermark_ns = -(2**63)
        self._last_id: dict[str, int] = {}
        self._windows: dict[tuple[str, int], _Window] = {}  # minutes by symbol and start

    def add(self, payload: bytes) -> None:
        """Take in the next block of its stream."""
        _, flags, _, n, _, watermark_ns, *_ = _HEADER.unpack_from(payload)
        self.watermark_ns = max(self.watermark_ns, watermark_ns)
        at, columns = _HEADER.size, []
        for kind in "qddq" + ("" if flags & 1 else "q") + "HB":
            columns.append(struct.unpack_from(f"<{n}{kind}", payload, at))
            at += struct.calcsize(f"<{n}{kind}")
        names = payload[at:].decode().split("\n")
        times, prices, sizes, ids = columns[:4]
        for time_ns, price, size, number, seq, who in zip(
            times, prices, sizes, ids, columns[-3], columns[-2], strict=True
        ):
            self._add(names[who], time_ns, price, size, number, seq)

    def _add(
        self, symbol: str, time_ns: int, price: float, size: float, number: int, seq: int
    ) -> None:
        last = self._last_id.get(symbol, 0)
        if number <= last:
            return  # a repeat
        self.holes += number - last - 1
        self._last_id[symbol] = number
        self.ticks += 1
        key = (symbol, time_ns // _MINUTE_NS)
        window = self._windows.get(key)
        if window is None:
            window = self._windows[key] = _Window()
        window.add((time_ns, seq), price, size)

    def closed_bars(self) -> Bars:
        """The bars of every window that is over by the watermark."""
        bars: Bars = {}
        for minutes in (1, 5, 15):
            groups: dict[tuple[str, int], list[_Window]] = {}
            for (symbol, minute), window in self._windows.items():
                groups.setdefault((symbol, minute // minutes * minutes), []).append(window)
            for (symbol, minute), parts in groups.items():
                if (minute + minutes) * _MINUTE_NS <= self.watermark_ns:
                    bars[symbol, minutes, minute * 60] = _bar(parts)
        return bars


def _bar(parts: list[_Window]) -> Row:
    volume = math.fsum(size for part in parts for size in part.sizes)
    notional = math.fsum(product for part in parts for product in part.notionals)
    return Row(
        min(parts, key=lambda part: part.open_key).open,
        max(part.high for part in parts),
        min(part.low for part in parts),
        max(parts, key=lambda part: part.close_key).close,
        sum(len(part.sizes) for part in parts),
        volume,
        notional / volume,
    )
