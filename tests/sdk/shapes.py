"""What each SDK's handlers and calls must give for a trade, a bar or what is said of a trade."""

from datetime import UTC, datetime, timedelta
from typing import Any, Final, Literal

from core.market.bar import Bar
from core.market.notice import Cancel, Correction
from core.market.tick import Side, Tick

Shape = dict[str, Any]
Way = Literal["stream", "history", "latest"]
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TAKERS = {Side.BUY: "B", Side.SELL: "S"}


def micros(time_ns: int) -> str:
    """As Python's datetime has it."""
    return (_EPOCH + timedelta(microseconds=time_ns // 1_000)).isoformat()


def millis(time_ns: int) -> str:
    """As JavaScript's Date has it."""
    return f"{_second(time_ns)}.{time_ns // 10**6 % 1_000:03}Z"


def nanos(time_ns: int) -> str:
    """All nine digits."""
    return f"{_second(time_ns)}.{time_ns % 10**9:09}Z"


def rfc3339(time_ns: int) -> str:
    """As few digits as JSON needs, in threes."""
    fraction = f"{time_ns % 10**9:09}"
    while fraction.endswith("000"):
        fraction = fraction[:-3]
    return _second(time_ns) + (f".{fraction}Z" if fraction else "Z")


def _second(time_ns: int) -> str:
    return (_EPOCH + timedelta(seconds=time_ns // 10**9)).strftime("%Y-%m-%dT%H:%M:%S")


class PythonShapes:
    """alpaca-py's models."""

    @staticmethod
    def trade(name: str, tick: Tick, *, stocks: bool, way: Way = "stream") -> Shape:
        market = ("E", [], "O") if stocks else (None, None, None)
        return {
            "symbol": name,
            "timestamp": micros(tick.event_ns),
            "exchange": market[0],
            "price": tick.price,
            "size": tick.size,
            "id": tick.trade_id,
            "conditions": market[1],
            "tape": market[2],
        }

    @staticmethod
    def bar(name: str, bar: Bar, *, way: Way = "stream") -> Shape:
        return {
            "symbol": name,
            "timestamp": micros(bar.start_ns),
            "open": bar.open,
            "high": bar.high,
            "low": bar.low,
            "close": bar.close,
            "volume": bar.volume,
            "trade_count": bar.trades,
            "vwap": bar.vwap,
        }

    @staticmethod
    def correction(name: str, said: Correction) -> Shape:
        return {
            "symbol": name,
            "timestamp": micros(said.event_ns),
            "exchange": "E",
            "original_id": said.trade_id,
            "original_price": said.price,
            "original_size": said.size,
            "original_conditions": [],
            "corrected_id": said.new_id,
            "corrected_price": said.new_price,
            "corrected_size": said.new_size,
            "corrected_conditions": [],
            "tape": "O",
        }

    @staticmethod
    def cancel(name: str, said: Cancel) -> Shape:
        return {
            "symbol": name,
            "timestamp": micros(said.event_ns),
            "exchange": "E",
            "price": said.price,
            "size": said.size,
            "id": said.trade_id,
            "action": said.action.value,
            "tape": "O",
        }


_RAW: Final = {"stream": nanos, "history": rfc3339, "latest": millis}


class JsShapes:
    """The shapes that the JavaScript SDK has for streams and history alike.

    Its numbers are floats: ids beyond 2**53 are whole in their text only. Newest values lose what
    is below the millisecond in the SDK itself.
    """

    @staticmethod
    def trade(name: str, tick: Tick, *, stocks: bool, way: Way = "stream") -> Shape:
        shape = {
            "symbol": name,
            "id": int(float(tick.trade_id)),
            "idRaw": str(tick.trade_id),
            "price": tick.price,
            "size": tick.size,
            "timestamp": millis(tick.event_ns),
            "timestampRaw": _RAW[way](tick.event_ns),
        }
        if stocks:
            return shape | {"exchange": "E", "conditions": [], "tape": "O"}
        taker = {"takerSide": _TAKERS[tick.side]}
        return shape | taker | ({"conditions": []} if way == "stream" else {})

    @staticmethod
    def bar(name: str, bar: Bar, *, way: Way = "stream") -> Shape:
        return {
            "symbol": name,
            "open": bar.open,
            "high": bar.high,
            "low": bar.low,
            "close": bar.close,
            "volume": bar.volume,
            "timestamp": millis(bar.start_ns),
            "timestampRaw": _RAW[way](bar.start_ns),
            "vwap": bar.vwap,
            "tradeCount": bar.trades,
        }

    @staticmethod
    def correction(name: str, said: Correction) -> Shape:
        return {
            "symbol": name,
            "exchange": "E",
            "originalId": int(float(said.trade_id)),
            "originalIdRaw": str(said.trade_id),
            "originalPrice": said.price,
            "originalSize": said.size,
            "originalConditions": [],
            "correctedId": int(float(said.new_id)),
            "correctedIdRaw": str(said.new_id),
            "correctedPrice": said.new_price,
            "correctedSize": said.new_size,
            "correctedConditions": [],
            "timestamp": millis(said.event_ns),
            "timestampRaw": nanos(said.event_ns),
            "tape": "O",
        }

    @staticmethod
    def cancel(name: str, said: Cancel) -> Shape:
        return {
            "symbol": name,
            "id": int(float(said.trade_id)),
            "idRaw": str(said.trade_id),
            "exchange": "E",
            "price": said.price,
            "size": said.size,
            "action": said.action.value,
            "tape": "O",
            "timestamp": millis(said.event_ns),
            "timestampRaw": nanos(said.event_ns),
        }
