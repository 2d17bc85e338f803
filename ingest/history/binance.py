"""Binance spot: ``historicalTrades``, by id, oldest first.

Source: developers.binance.com, Spot, REST market data (old trade lookup; limits).
"""

from typing import Annotated, Final
from urllib.parse import quote

import msgspec

from core.market.symbol import Symbol
from core.market.tick import Side, Tick
from ingest.errors import HistoryError
from ingest.history.protocol import Page, Want
from ingest.venues.protocol import MAX_ID, SymbolCache, excerpt

_LIMIT: Final = 1_000


class _Trade(msgspec.Struct, gc=False):
    id: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID)]
    price: float
    qty: float
    time: Annotated[int, msgspec.Meta(ge=0, le=MAX_ID // 10**6)]  # ms
    buyer_is_maker: bool = msgspec.field(name="isBuyerMaker")


class BinanceHistory:
    """The trades of the spot market; a page of 1,000 weighs 25 of 6,000 a minute."""

    name: str = "binance"
    url: str = "https://api.binance.com"
    requests_per_s: float = 3.0
    is_by_time: bool = False

    def __init__(self) -> None:
        self._symbols = SymbolCache("BINANCE")
        # strict=False: the decimal strings become the nearest float while decoding
        self._decoder = msgspec.json.Decoder(list[_Trade], strict=False)

    def symbol(self, ticker: str) -> Symbol:
        return self._symbols.get(ticker)

    def newest_path(self, ticker: str) -> str:
        return f"/api/v3/trades?symbol={quote(ticker)}&limit=1"

    def path(self, want: Want) -> str:
        limit = min(_LIMIT, want.last - want.first + 1)
        query = f"symbol={quote(want.ticker)}&fromId={want.first}&limit={limit}"
        return f"/api/v3/historicalTrades?{query}"

    def read(self, want: Want, body: bytes) -> Page:
        try:
            trades = self._decoder.decode(body)
        except msgspec.DecodeError as exc:
            raise HistoryError(self.name, f"{exc}: {excerpt(body)}") from exc
        symbol = self.symbol(want.ticker)
        ticks = [
            Tick(
                symbol,
                trade.id,
                trade.price,
                trade.qty,
                trade.time * 1_000_000,
                Side.SELL if trade.buyer_is_maker else Side.BUY,
                trade.id,
            )
            for trade in trades
            if want.first <= trade.id <= want.last
        ]
        asked = max([want.first + _LIMIT - 1, *(trade.id for trade in trades)])
        if not trades or asked >= want.last:
            return Page(ticks, None)
        return Page(ticks, Want(want.ticker, asked + 1, want.last, want.since_ns))
