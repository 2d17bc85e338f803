"""Trades of the past, as they stand after corrections and cancels: ``/v1/trades``."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from core.market.symbol import Symbol
from core.market.tick import Tick
from core.runtime.ports import Clock
from gateway.access.caller import caller_of
from gateway.encode import rfc3339
from gateway.http.answers import TradesPage, encode, trades_by_spelling
from gateway.http.formats import Format, chosen
from gateway.http.params import resolver
from gateway.http.ports import Market, Trades
from gateway.http.serving import Answer, DataRoute, Life
from gateway.http.tables import encode_table, page_headers, trades_table
from gateway.http.tokens import encode_token
from gateway.http.trade_query import TradesQuery, trades_query
from gateway.http.validators import listed
from storage.trade_order import TradeCursor

_MAX_SAID: Final = 2_000  # characters of a header


@dataclass(frozen=True, kw_only=True, slots=True)
class TradesApi:
    """Answers from the log of ticks, page by page. Keeps nothing."""

    market: Market
    log: Trades
    now_ns: Clock

    def routes(self) -> list[DataRoute]:
        return [DataRoute("/v1/trades", self.page, vary=("Accept",), closes=False)]

    async def page(self, request: web.Request) -> Answer:
        """A page of trades, by symbol, then time, with the token that leads to the next."""
        resolve = resolver(self.market, caller_of(request))
        query = trades_query(request.query.items(), resolve, now_ns=self.now_ns())
        form = chosen(listed(request.headers, "Accept"), query.format)
        trades, token = await trades_page(self.log, query)
        covers = await self.log.covered_from(list(query.symbols))
        said = missing(query, covers)
        headers: tuple[tuple[str, str], ...] = ()
        if form is Format.JSON:
            body = encode(TradesPage(trades_by_spelling(trades, query.symbols), token, said))
        else:
            body = encode_table(trades_table(trades, query.symbols), form)
            headers = page_headers(token)
            if said:
                lines = (f"{spelling}: {what}" for spelling, what in said.items())
                headers += (("X-Missing", "; ".join(lines)[:_MAX_SAID]),)
        return Answer(body, form.value, tuple(query.symbols), Life.NEVER, headers=headers)


async def trades_page(log: Trades, query: TradesQuery) -> tuple[list[Tick], str | None]:
    """The trades of a page, and the token that leads on."""
    if not query.symbols or query.start_ns > query.end_ns:
        return [], None
    at = query.after
    found = await log.page(
        symbols=list(query.symbols),
        start_ns=query.start_ns,
        end_ns=query.end_ns,
        limit=query.limit,
        descending=query.descending,
        after=None if at is None else TradeCursor(at.symbol, at.key, at.count),
    )
    if found.after is None:
        return found.trades, None
    return found.trades, encode_token(query.position(*found.after), query.binding)


def missing(query: TradesQuery, covers: Mapping[Symbol, int]) -> dict[str, str]:
    """What the log does not have of the range asked for, in words, by the caller's spelling."""
    said: dict[str, str] = {}
    for symbol, spelling in query.symbols.items():
        from_ns = covers.get(symbol)
        if from_ns is None:
            said[spelling] = "its trades are not kept, or none came yet; here is what there is"
        elif query.start_ns < from_ns:
            said[spelling] = f"trades before {rfc3339(from_ns)} are not kept, or not all of them"
    return said
