"""Coinbase Exchange: ``/products/{product}/trades``, by id, newest first before ``after``.

Source: docs.cdp.coinbase.com, Exchange REST (product trades, pagination, rate limits).
"""

from typing import Annotated, Final
from urllib.parse import quote

import msgspec

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from ingest.errors import HistoryError
from ingest.history.protocol import Page, Want
from ingest.times import StampReader
from ingest.venues.protocol import MAX_ID, SymbolCache, excerpt

_LIMIT: Final = 1_000
_TAKER: Final = {"buy": Side.SELL, "sell": Side.BUY}  # by the maker's side, as in the frames


class _Trade(msgspec.Struct, gc=False):
    trade_id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
    price: float
    size: float
    side: str
    time: str


class CoinbaseHistory:
    """The matches of a product; public addresses may be asked ten times a second."""

    name: str = "coinbase"
    url: str = "https://api.exchange.coinbase.com"
    requests_per_s: float = 5.0
    is_by_time: bool = False

    def __init__(self) -> None:
        self._symbols = SymbolCache("COINBASE")
        self._stamps = StampReader()
        # strict=False: the decimal strings become the nearest float while decoding
        self._decoder = msgspec.json.Decoder(list[_Trade], strict=False)

    def symbol(self, ticker: str) -> Symbol:
        return self._symbols.get(ticker)

    def newest_path(self, ticker: str) -> str:
        return f"/products/{quote(ticker)}/trades?limit=1"

    def path(self, want: Want) -> str:
        """Ids are counted up, so the page that begins with the first one is known beforehand."""
        last = _last_of_page(want)
        query = f"after={last + 1}&limit={last - want.first + 1}"
        return f"/products/{quote(want.ticker)}/trades?{query}"

    def read(self, want: Want, body: bytes) -> Page:
        try:
            trades = self._decoder.decode(body)
            ticks = [
                self._tick(want.ticker, trade)
                for trade in reversed(trades)
                if want.first <= trade.trade_id <= want.last
            ]
        except (ValueError, KeyError) as exc:  # msgspec's errors are ValueErrors
            raise HistoryError(self.name, f"{exc}: {excerpt(body)}") from exc
        last = _last_of_page(want)
        if last == want.last:
            return Page(ticks, None)
        return Page(ticks, Want(want.ticker, last + 1, want.last, want.since_ns))

    def _tick(self, ticker: str, trade: _Trade) -> Tick:
        return Tick(
            self._symbols.get(ticker),
            trade.trade_id,
            trade.price,
            trade.size,
            self._stamps.read_ns(trade.time),
            _TAKER[trade.side],
            trade.trade_id,
        )


def _last_of_page(want: Want) -> int:
    return min(want.last, want.first + _LIMIT - 1)
