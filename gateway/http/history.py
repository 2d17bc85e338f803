"""Closed bars of the past: ``/v1/bars``."""

from dataclasses import dataclass
from typing import Final

from aiohttp import web

from core.market.bar_columns import BarColumns, columns_of
from core.market.bar_range import BarRange
from core.market.timeframe import SECOND_NS
from core.runtime.ports import Clock
from gateway.access.caller import caller_of
from gateway.http.answers import encode_bars
from gateway.http.formats import Format, chosen
from gateway.http.metrics import HttpMetrics
from gateway.http.params import BarsQuery, bars_query, resolver
from gateway.http.past import Past
from gateway.http.ports import Market
from gateway.http.serving import Answer, DataRoute, Life
from gateway.http.tables import bars_table, encode_table, page_headers
from gateway.http.tokens import encode_token
from gateway.http.validators import listed

SETTLED_NS: Final = 120 * SECOND_NS  # by then a window's bar is stored, unless something is away


@dataclass(frozen=True, kw_only=True, slots=True)
class HistoryApi:
    """Answers from the database, one query a page. Keeps nothing."""

    market: Market
    past: Past
    now_ns: Clock
    metrics: HttpMetrics

    def routes(self) -> list[DataRoute]:
        return [DataRoute("/v1/bars", self.page, vary=("Accept",))]

    async def page(self, request: web.Request) -> Answer:
        """A page of closed bars, by symbol, then time, with the token that leads to the next."""
        now_ns = self.now_ns()
        resolve = resolver(self.market, caller_of(request))
        query = bars_query(request.query.items(), resolve, now_ns=now_ns)
        form = chosen(listed(request.headers, "Accept"), query.format)
        bars, token, going_on = await page_of(self.past, query)
        self.metrics.history_bars.inc(len(bars))
        if form is Format.JSON:
            body = encode_bars(bars, query.symbols, token)
        else:
            body = encode_table(bars_table(bars, query.symbols), form)
        return Answer(
            body,
            form.value,
            tuple(query.symbols),
            life_of(query, now_ns, going_on=going_on),
            span_of(query),
            () if form is Format.JSON else page_headers(token),
        )


async def page_of(past: Past, query: BarsQuery) -> tuple[BarColumns, str | None, bool]:
    """The bars of the page that *query* asks for, the token that leads on, and may windows go on?

    Raises:
        DatabaseUnavailable: it is away, or too slow.
    """
    if not query.symbols or query.start_ns > query.end_ns:
        return columns_of(()), None, False
    wanted = BarRange(
        symbols=list(query.symbols),
        resolution=query.resolution,
        start_ns=query.start_ns,
        end_ns=query.end_ns,
        limit=query.limit + 1,  # one more tells whether another page follows
        descending=query.descending,
        after=query.after,
    )
    bars, going_on = await past.columns(wanted, fill=query.fill)
    if len(bars) <= query.limit:
        return bars, None, going_on
    bars = bars.part(0, query.limit)
    return bars, encode_token(query.position(*bars.last()), query.binding), going_on


def span_of(query: BarsQuery) -> tuple[int, int] | None:
    """Where bars lie that may change the page: flat bars have the close of one before the range."""
    return None if query.fill else (query.start_ns, query.last_ns())


def life_of(query: BarsQuery, now_ns: int, *, going_on: bool) -> Life:
    """How long the page that answers *query* stays right.

    Where windows may be *going_on*, whatever the clock, that they are over is told by no bar.

    A range with a default start or end is another one tomorrow, and one that ends not long ago
    may have bars that are on their way to the database still.
    """
    over = query.last_ns() < now_ns - SETTLED_NS
    # Which windows are flat depends on bars before and after the range.
    closed = over and query.fixed and not query.fill and not going_on
    return Life.CLOSED if closed else Life.RUNNING
