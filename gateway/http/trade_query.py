"""The query parameters of ``/v1/trades``. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from core.market.symbol import Symbol
from gateway.http.params import Params, Resolve, time_range, token_binding, token_position
from gateway.http.tokens import TradePosition, decode_trade_token

_TRADES_PARAMS: Final = ("symbols", "start", "end", "limit", "sort", "page_token", "format")


class TradesQuery(msgspec.Struct, frozen=True, kw_only=True):
    """A checked request for trades: ``start_ns`` and ``end_ns`` inclusive, nanoseconds, UTC."""

    symbols: dict[Symbol, str]  # to the spelling that the answer uses
    start_ns: int
    end_ns: int
    limit: int
    descending: bool
    after: TradePosition | None  # where the page before ended
    binding: tuple[str, ...]  # what a page token is bound to
    format: str  # empty: by the Accept header

    def position(self, symbol: Symbol, key: tuple[int, int, int], count: int) -> TradePosition:
        """Where the next page goes on when this one ends behind *count* trades of that key."""
        return TradePosition(symbol, key, count, self.start_ns, self.end_ns)


def trades_query(pairs: Iterable[tuple[str, str]], resolve: Resolve, *, now_ns: int) -> TradesQuery:
    """Read the parameters of ``/v1/trades``.

    Raises:
        ApiError: whatever is wrong with them first.
    """
    params = Params(pairs, accepted=_TRADES_PARAMS)
    symbols, limit = params.symbols(resolve), params.limit()
    descending = params.choice("sort", "asc", "desc") == "desc"
    start_ns, end_ns = params.time_ns("start"), params.time_ns("end")
    binding = token_binding(params, "trades", start_ns, end_ns)
    position = token_position(params, binding, decode_trade_token)
    if position is not None:
        start_ns, end_ns = position.start_ns, position.end_ns
    start_ns, end_ns = time_range(start_ns, end_ns, now_ns)
    return TradesQuery(
        symbols=symbols,
        start_ns=start_ns,
        end_ns=end_ns,
        limit=limit,
        descending=descending,
        after=position,
        binding=binding,
        format=params.format(),
    )
