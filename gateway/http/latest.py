"""How things stand now: newest bars and trades, snapshots, the list of symbols."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from core.market.symbol import Symbol
from gateway.access.caller import caller_of
from gateway.http.answers import (
    SnapshotAnswer,
    bar_answer,
    day_answer,
    encode,
    encode_all,
    symbol_answer,
    trade_answer,
)
from gateway.http.days import Standing
from gateway.http.middlewares import json_response
from gateway.http.params import Params, matches, resolver
from gateway.http.ports import Market
from gateway.http.present import MAX_STANDINGS, Present
from gateway.http.recent import Recent
from gateway.http.serving import JSON, Answer, DataRoute, Life


class _Written(NamedTuple):
    """A standing as JSON, and its day before alone, which is the same all day."""

    standing: Standing
    text: msgspec.Raw
    day_before: msgspec.Raw


@dataclass(frozen=True, kw_only=True, slots=True)
class LatestApi:
    """Answers from memory where it knows, else from the database: a bounded number of queries."""

    market: Market
    present: Present
    _written: Recent[Symbol, _Written] = field(
        default_factory=functools.partial(Recent, MAX_STANDINGS), init=False
    )

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
        standings = await self.present.standings(symbols)
        self._write(standings)
        found = {
            spelling: self._written[symbol].text
            for symbol, spelling in symbols.items()
            if symbol in standings
        }
        self._written.cut()
        return Answer(encode({"snapshots": found}), JSON, tuple(symbols), Life.RUNNING)

    def _write(self, standings: Mapping[Symbol, Standing]) -> None:
        """As JSON, those that are not written yet: all at once takes two thirds of the time."""
        new: list[tuple[Symbol, Standing, msgspec.Raw]] = []
        for symbol, now in standings.items():
            before = self._written.get(symbol)
            if before is None or before.standing.previous_day is not now.previous_day:
                new.append((symbol, now, _day_before(now)))
            elif before.standing is not now:
                new.append((symbol, now, before.day_before))
        texts = encode_all([_snapshot(standing, day_before) for _, standing, day_before in new])
        for (symbol, standing, day_before), text in zip(new, texts, strict=True):
            self._written[symbol] = _Written(standing, msgspec.Raw(text), day_before)

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


def _snapshot(standing: Standing, day_before: Any) -> SnapshotAnswer:
    """*day_before* is written already."""
    trade, minute, day = standing.trade, standing.minute, standing.day
    return SnapshotAnswer(  # by place: 500 are an answer
        None if trade is None else trade_answer(trade),
        None,  # no feed carries quotes yet
        None if minute is None else bar_answer(minute),
        None if day is None else day_answer(day),
        day_before,
    )


def _day_before(standing: Standing) -> msgspec.Raw:
    day = standing.previous_day
    return msgspec.Raw(encode(None if day is None else day_answer(day)))
