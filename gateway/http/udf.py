"""``/udf``: the data feed of charts made with TradingView's library, over HTTP."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp.typedefs import Handler

from core.market.bar import Bar
from core.market.bar_range import BarRange
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import SECOND_NS, TIMEFRAMES, Timeframe
from core.runtime.ports import Clock
from gateway.access.caller import caller_of
from gateway.http import udf_answers as answers
from gateway.http.answers import encode, newest
from gateway.http.cache import SingleFlight
from gateway.http.days import Standing
from gateway.http.errors import ApiError
from gateway.http.history import SETTLED_NS
from gateway.http.metrics import HttpMetrics
from gateway.http.middlewares import json_response
from gateway.http.params import Resolve, not_read_yet, resolver
from gateway.http.ports import History, Market
from gateway.http.present import Present
from gateway.http.serving import JSON, Answer, DataRoute, Life
from gateway.http.udf_requests import (
    MAX_BARS,
    SpanQuery,
    UdfParams,
    UnknownSymbol,
    history_query,
    marks_query,
    quotes_query,
    search_query,
)

FOLDER: Final = "/udf/"
_SAMPLE: Final = 200  # bars that show how fine a symbol's prices are
_MINUTE: Final = Resolution(1)


@dataclass(frozen=True, kw_only=True, slots=True)
class UdfApi:
    """Answers a chart: stored bars and, last, the running one. Keeps nothing but samples."""

    market: Market
    bars: History
    present: Present
    samples: SingleFlight[Symbol, list[Bar]]
    now_ns: Clock
    metrics: HttpMetrics

    def data_routes(self) -> list[DataRoute]:
        return [
            DataRoute("/udf/symbols", self.symbol, closes=False),
            DataRoute("/udf/symbol_info", self.group, closes=False),
            DataRoute("/udf/history", self.history),
            DataRoute("/udf/marks", self.marks),
            DataRoute("/udf/timescale_marks", self.timescale_marks),
            DataRoute("/udf/quotes", self.quotes, closes=False),
        ]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/udf/config", self.config),
            web.get("/udf/search", self.search),
            web.get("/udf/time", self.time),
        ]

    async def config(self, request: web.Request) -> web.StreamResponse:
        """What this feed offers."""
        return json_response(encode(answers.config_answer(self._visible(request))))

    async def search(self, request: web.Request) -> web.StreamResponse:
        """The symbols that fit what was typed."""
        query = search_query(request.query.items())
        kinds = {symbol: self._kind(symbol) for symbol in self._visible(request)}
        return json_response(encode(answers.found_symbols(kinds, query)))

    async def time(self, request: web.Request) -> web.StreamResponse:
        """The server's clock in seconds."""
        return json_response(encode(self.now_ns() // SECOND_NS))

    async def symbol(self, request: web.Request) -> Answer:
        """What the library has to know of a symbol."""
        symbol = UdfParams(request.query.items()).symbol(self._resolve(request))
        if self.market.resolve(symbol) is None:
            if not self.market.complete:
                raise not_read_yet(symbol, "try again")
            raise UnknownSymbol(symbol)
        sample = await self.samples.get(symbol, lambda: self._sample(symbol))
        return _present(answers.symbol_answer(self._info(symbol, sample)), symbol)

    async def group(self, request: web.Request) -> Answer:
        """All symbols of a venue as a table, by what memory holds of them."""
        shape = "expected a venue, such as COINBASE"
        venue = UdfParams(request.query.items()).required("group", shape).upper()
        symbols = [name for name in self._visible(request) if answers.venue_of(name) == venue]
        table = answers.symbol_table([self._info(name, ()) for name in symbols])
        return _present(table, *symbols)

    async def history(self, request: web.Request) -> Answer:
        """Bars before ``to``: the last ``countback`` ones, or those from ``from`` on."""
        query = history_query(request.query.items(), self._resolve(request))
        bars = await self._bars(query)
        self.metrics.history_bars.inc(len(bars))
        if bars:
            return self._past(answers.history_answer(bars), query, bars)
        closest_ns = None if query.countback else await self._closest_ns(query)
        return self._past(answers.no_data_answer(closest_ns), query, bars)

    async def marks(self, request: web.Request) -> Answer:
        """Which bars miss trades or were revised."""
        query = marks_query(request.query.items(), self._resolve(request))
        bars = await self._bars(query)
        return self._past(answers.marks_answer(bars), query, bars)

    async def timescale_marks(self, request: web.Request) -> Answer:
        """Where spans of bars with missing trades begin."""
        query = marks_query(request.query.items(), self._resolve(request))
        bars = await self._bars(query)
        return self._past(answers.timescale_marks(bars, query.resolution), query, bars)

    async def quotes(self, request: web.Request) -> Answer:
        """Prices now, each with the day's change; a name that has none does not harm the others."""
        names = quotes_query(request.query.items())
        resolve = self._resolve(request)
        found = {name: _named(name, resolve) for name in names}
        symbols = [one for one in found.values() if not isinstance(one, ApiError)]
        standings = await self.present.standings(symbols)
        quotes = [_quote(name, found[name], standings) for name in names]
        return _present(answers.QuotesAnswer(quotes), *symbols)

    def _past(self, body: Any, query: SpanQuery, bars: Sequence[Bar]) -> Answer:
        """An answer made of *bars*; it stays right when none of them can still grow."""
        end_ns = query.end_ns + query.resolution.ns
        over = end_ns <= self.now_ns() - SETTLED_NS and all(bar.final for bar in bars)
        first_ns = query.start_ns if bars else 0  # without a bar any older one changes it
        if query.countback:
            first_ns = bars[0].start_ns if len(bars) == query.countback else 0
        life = Life.CLOSED if over else Life.RUNNING
        return Answer(encode(body), JSON, (query.symbol,), life, (first_ns, end_ns))

    def _resolve(self, request: web.Request) -> Resolve:
        return resolver(self.market, caller_of(request))

    def _visible(self, request: web.Request) -> list[Symbol]:
        """The carried symbols that the caller may see."""
        caller = caller_of(request)
        return [symbol for symbol in self.market.symbols() if caller.permits(symbol)]

    def _info(self, symbol: Symbol, sample: Iterable[Bar]) -> answers.SymbolInfo:
        bars = [*sample, *(bar for t in TIMEFRAMES for bar in self._held(symbol, t))]
        trade = self.market.last_trade(symbol)
        prices = [price for bar in bars for price in (bar.open, bar.high, bar.low, bar.close)]
        sizes = [bar.volume for bar in bars]
        if trade is not None:
            prices.append(trade.price)
            sizes.append(trade.size)
        return answers.symbol_info(symbol, self._kind(symbol), prices, sizes)

    def _kind(self, symbol: Symbol) -> answers.Kind:
        return "stock" if self.market.is_stock(symbol) else "crypto"

    async def _sample(self, symbol: Symbol) -> list[Bar]:
        now_ns = self.now_ns()
        return await self.bars.page(
            BarRange(
                symbols=[symbol],
                resolution=_MINUTE,
                start_ns=0,
                end_ns=now_ns,
                limit=_SAMPLE,
                descending=True,
            )
        )

    def _held(self, symbol: Symbol, timeframe: Timeframe) -> list[Bar]:
        """The newest bars in memory, which the store may not have yet, or never in this form.

        Of open windows the oldest alone: the library asks for a bar once more when the next one
        is there, and never again, so that one is shown when this one has its last form.
        """
        closed, *still_open = self.market.held(symbol, timeframe)
        return [bar for bar in (closed, *still_open[:1]) if bar is not None]

    async def _bars(self, query: SpanQuery) -> list[Bar]:
        """The latest bars of *query*, at most as many as an answer may have, the running one last.

        What is stored is read before what memory holds: a bar is told only once it is stored.
        """
        limit = min(query.countback or MAX_BARS, MAX_BARS)
        start_ns = 0 if query.countback else query.start_ns
        if query.resolution.is_stored:
            stored = await self._stored(query, start_ns, query.end_ns, limit)
            bars = answers.with_present(stored, self._held(query.symbol, query.resolution.base))
        else:
            bars = await self._rolled(query, start_ns, limit)
        return [bar for bar in bars if start_ns <= bar.start_ns < query.end_ns][-limit:]

    async def _rolled(self, query: SpanQuery, start_ns: int, limit: int) -> list[Bar]:
        """Bars that the store rolls up; that of the open window is made of its parts here.

        Memory may be behind the store, while the streams cannot be read: then windows follow.
        """
        base, resolution = query.resolution.base, query.resolution
        held = newest(*self._held(query.symbol, base))
        open_ns = query.end_ns if held is None else resolution.floor_ns(held.start_ns)
        stored = await self._stored(query, start_ns, query.end_ns, limit)
        if open_ns >= query.end_ns:
            return stored
        parts = await self.bars.page(
            BarRange(
                symbols=[query.symbol],
                resolution=Resolution(base.minutes),
                start_ns=open_ns,
                end_ns=resolution.end_ns(open_ns) - 1,
                limit=resolution.minutes,
            )
        )
        held_now = [bar for bar in self._held(query.symbol, base) if bar.start_ns >= open_ns]
        made = answers.rolled_windows(answers.with_present(parts, held_now), resolution)
        by_start = {bar.start_ns: bar for bar in (*stored, *made)}
        return [by_start[at_ns] for at_ns in sorted(by_start)]

    async def _stored(self, query: SpanQuery, start_ns: int, end_ns: int, limit: int) -> list[Bar]:
        """The latest stored bars that start in ``[start_ns, end_ns)``, oldest first."""
        if start_ns >= end_ns:
            return []
        bars = await self.bars.page(
            BarRange(
                symbols=[query.symbol],
                resolution=query.resolution,
                start_ns=start_ns,
                end_ns=end_ns - 1,
                limit=limit,
                descending=True,
            )
        )
        return bars[::-1]

    async def _closest_ns(self, query: SpanQuery) -> int | None:
        """Where the closest bar before the asked range begins."""
        resolution, before_ns = query.resolution, query.start_ns
        stored_ns = await self.bars.closest_before(query.symbol, resolution, before_ns)
        held = [resolution.floor_ns(b.start_ns) for b in self._held(query.symbol, resolution.base)]
        known = [stored_ns, *(start_ns for start_ns in held if start_ns < before_ns)]
        return max((start_ns for start_ns in known if start_ns is not None), default=None)


@web.middleware
async def udf_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give errors below ``/udf/`` the shape that the library reads, whatever they come from."""
    return as_udf(request.path, await handler(request))


def as_udf(path: str, response: web.StreamResponse) -> web.StreamResponse:
    """*response*; errors below ``/udf/`` in the shape that the library reads."""
    is_error = response.status >= HTTPStatus.BAD_REQUEST and path.startswith(FOLDER)
    if is_error and isinstance(response, web.Response) and isinstance(response.body, bytes):
        response.body = answers.error_body(response.body)
    return response


def _quote(
    name: str, found: Symbol | ApiError, standings: Mapping[Symbol, Standing]
) -> answers.Quote | answers.NoQuote:
    if isinstance(found, ApiError):
        return answers.no_quote(name, found.message)
    return answers.quote(name, found, standings.get(found))


def _named(name: str, resolve: Resolve) -> Symbol | ApiError:
    """The symbol that *name* names, or why it names none."""
    try:
        return UdfParams([("symbol", name)]).symbol(resolve)
    except ApiError as error:
        return error


def _present(body: Any, *symbols: Symbol) -> Answer:
    """An answer that shows how things stand with *symbols* now."""
    return Answer(encode(body), JSON, symbols, Life.RUNNING)
