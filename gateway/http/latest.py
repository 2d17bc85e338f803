"""How things stand now: newest bars and trades, snapshots, the list of symbols."""

from dataclasses import dataclass

from aiohttp import web

from gateway.access.caller import caller_of
from gateway.http.answers import bar_answer, encode, symbol_answer, trade_answer
from gateway.http.middlewares import json_response
from gateway.http.params import Params, matches, resolver
from gateway.http.ports import Market
from gateway.http.present import Present
from gateway.http.serving import JSON, Answer, DataRoute, Life
from gateway.http.snapshots import Snapshots


@dataclass(frozen=True, kw_only=True, slots=True)
class LatestApi:
    """Answers from memory where it knows, else from the database: a bounded number of queries."""

    market: Market
    present: Present
    shown: Snapshots

    def data_routes(self) -> list[DataRoute]:
        return [
            DataRoute("/v1/bars/latest", self.bars, closes=False),
            DataRoute("/v1/trades/latest", self.trades, closes=False),
            DataRoute("/v1/snapshots", self.snapshots, closes=False),
        ]

    def routes(self) -> list[web.RouteDef]:
        return [web.get("/v1/symbols", self.symbols)]

    async def bars(self, request: web.Request) -> Answer:
        """The newest bar of each symbol; of the window that is still open, where there is one."""
        params = Params(request.query.items(), accepted=("symbols", "timeframe"))
        symbols = params.symbols(resolver(self.market, caller_of(request)))
        bars = await self.present.newest(symbols, params.resolution())
        found = {spelling: bar_answer(bars[s]) for s, spelling in symbols.items() if s in bars}
        return Answer(encode({"bars": found}), JSON, tuple(symbols), Life.RUNNING)

    async def trades(self, request: web.Request) -> Answer:
        """The last trade of each symbol that had one."""
        params = Params(request.query.items(), accepted=("symbols",))
        symbols = params.symbols(resolver(self.market, caller_of(request)))
        found = {
            spelling: trade_answer(tick)
            for symbol, spelling in symbols.items()
            if (tick := self.market.last_trade(symbol))
        }
        return Answer(encode({"trades": found}), JSON, tuple(symbols), Life.NEVER)

    async def snapshots(self, request: web.Request) -> Answer:
        """Last trade, minute, day and day before, of each symbol that has any of these."""
        params = Params(request.query.items(), accepted=("symbols",))
        symbols = params.symbols(resolver(self.market, caller_of(request)))
        snapshots = await self.shown.of(symbols)
        found = {spelling: snapshots[s] for s, spelling in symbols.items() if s in snapshots}
        return Answer(encode({"snapshots": found}), JSON, tuple(symbols), Life.RUNNING)

    async def symbols(self, request: web.Request) -> web.StreamResponse:
        """The symbols that venues carry and the caller may read, with the last trades it may."""
        wanted = Params(request.query.items(), accepted=("query",)).search()
        caller = caller_of(request)
        may_trades = caller.permits_channel("trades")
        found = [
            symbol_answer(symbol, self.market.last_trade(symbol) if may_trades else None)
            for symbol in self.market.symbols()
            if matches(symbol, wanted) and caller.permits(symbol)
        ]
        return json_response(encode({"symbols": found}))
