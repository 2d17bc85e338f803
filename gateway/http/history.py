"""Closed bars of the past: ``/v1/bars``."""

from dataclasses import dataclass

from aiohttp import web

from core.market.resolution import Resolution
from core.runtime.ports import Clock
from gateway.access.caller import caller_of
from gateway.http.answers import BarsPage, bars_by_spelling, encode
from gateway.http.metrics import HttpMetrics
from gateway.http.middlewares import json_response
from gateway.http.params import bars_query, resolver
from gateway.http.ports import History, Market
from gateway.http.tokens import encode_token


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryApi:
    """Answers from the database, one query a page. Keeps nothing."""

    market: Market
    bars: History
    now_ns: Clock
    metrics: HttpMetrics

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/bars", self.page)]

    async def page(self, request: web.Request) -> web.StreamResponse:
        """A page of closed bars, by symbol, then time, with the token that leads to the next."""
        query = bars_query(
            request.query.items(), resolver(self.market, caller_of(request)), now_ns=self.now_ns()
        )
        if not query.symbols or query.start_ns > query.end_ns:
            return json_response(encode(BarsPage({}, None)))
        bars = await self.bars.page(
            symbols=list(query.symbols),
            resolution=Resolution.of(query.timeframe),
            start_ns=query.start_ns,
            end_ns=query.end_ns,
            limit=query.limit + 1,  # one more tells whether another page follows
            descending=query.descending,
            after=query.after,
        )
        token = None
        if len(bars) > query.limit:
            del bars[query.limit :]
            last = bars[-1]
            token = encode_token(query.position(last.symbol, last.start_ns), query.binding)
        self.metrics.history_bars.inc(len(bars))
        return json_response(encode(BarsPage(bars_by_spelling(bars, query.symbols), token)))
