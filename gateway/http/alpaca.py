"""The published market-data API over HTTP: bars and how things stand, as its SDKs ask for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from aiohttp import web

from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from core.runtime.ports import Clock
from gateway.access.caller import caller_of
from gateway.endpoints import NAME
from gateway.http.alpaca_answers import CRYPTO, STOCKS, Shapes
from gateway.http.alpaca_params import bars_pairs, history_pairs, latest_pairs
from gateway.http.answers import encode
from gateway.http.errors import ApiError, shown
from gateway.http.history import life_of, page_of
from gateway.http.metrics import HttpMetrics
from gateway.http.params import Params, Resolve, bars_query, resolver
from gateway.http.past import Past
from gateway.http.ports import Market, Trades
from gateway.http.present import Present
from gateway.http.serving import JSON, Answer, DataRoute, Handle, Life
from gateway.http.trade_query import trades_query
from gateway.http.trades import trades_page

STOCK_PATH: Final = "/v2/stocks"
CRYPTO_PATH: Final = f"/v1beta3/crypto/{{loc:{NAME}}}"


class _Stocks:
    """Finds stocks only, as far as it is known which symbols are some; for one request."""

    def __init__(self, market: Market) -> None:
        self.complete, self._market = market.complete, market

    def resolve(
        self, text: str, *, permits: Callable[[Symbol], bool] | None = None
    ) -> Symbol | None:
        found = self._market.resolve(text, stocks=True, permits=permits)
        return self._market.resolve(text, permits=permits) if found is None else found


@dataclass(frozen=True, kw_only=True, slots=True)
class AlpacaApi:
    """Answers for one kind of symbols, in its shapes. Keeps nothing."""

    market: Market
    past: Past
    log: Trades | None  # None: there are no paths of past trades
    present: Present
    now_ns: Clock
    metrics: HttpMetrics
    stocks: bool

    def routes(self) -> list[DataRoute]:
        """All paths of this kind; those of one symbol are there for stocks only."""
        stem, paths = STOCK_PATH, self._of_stocks()
        if not self.stocks:
            stem, paths = CRYPTO_PATH, self._crypto()
        return [
            DataRoute(stem + path, handler, closes=path.endswith("/bars"))
            for path, handler in paths
            if self.log is not None or not path.endswith("/trades")
        ]

    def _crypto(self) -> list[tuple[str, Handle]]:
        return [
            ("/bars", self.bars),
            ("/latest/bars", self.latest_bars),
            ("/latest/trades", self.latest_trades),
            ("/latest/quotes", self.latest_quotes),
            ("/latest/orderbooks", self.latest_orderbooks),
            ("/trades", self.trades),
            ("/quotes", self.quotes),
            ("/snapshots", self.snapshots),
        ]

    def _of_stocks(self) -> list[tuple[str, Handle]]:
        return [
            ("/bars", self.bars),
            ("/bars/latest", self.latest_bars),
            ("/trades/latest", self.latest_trades),
            ("/quotes/latest", self.latest_quotes),
            ("/trades", self.trades),
            ("/quotes", self.quotes),
            ("/snapshots", self.snapshots),
            ("/{symbol}/bars", self.bars),
            ("/{symbol}/bars/latest", self.latest_bars),
            ("/{symbol}/trades/latest", self.latest_trades),
            ("/{symbol}/quotes/latest", self.latest_quotes),
            ("/{symbol}/trades", self.trades),
            ("/{symbol}/quotes", self.quotes),
            ("/{symbol}/snapshot", self.snapshots),
        ]

    async def bars(self, request: web.Request) -> Answer:
        """A page of closed bars, by symbol, then time, with the token that leads to the next."""
        name = _named(request)
        pairs = bars_pairs(request.query.items(), stocks=self.stocks, symbol=name)
        now_ns = self.now_ns()
        query = bars_query(pairs, self._resolve(request), now_ns=now_ns)
        found, token, going_on = await page_of(self.past, query)
        grouped = self._shapes.bars(found, query.symbols)
        self.metrics.history_bars.inc(len(found))
        return Answer(
            encode(_listed("bars", name, grouped) | {"next_page_token": token}),
            JSON,
            tuple(query.symbols),
            life_of(query, now_ns, going_on=going_on),
            (query.start_ns, query.last_ns()),
        )

    async def trades(self, request: web.Request) -> Answer:
        """A page of trades as they stand now, by symbol, then time."""
        assert self.log is not None  # else there is no such path
        name = _named(request)
        pairs = history_pairs(request.query.items(), stocks=self.stocks, symbol=name)
        query = trades_query(pairs, self._resolve(request), now_ns=self.now_ns())
        found, token = await trades_page(self.log, query)
        grouped = self._shapes.trades(found, query.symbols)
        answer = _listed("trades", name, grouped) | {"next_page_token": token}
        return Answer(encode(answer), JSON, tuple(query.symbols), Life.NEVER)

    async def latest_bars(self, request: web.Request) -> Answer:
        """The newest minute that is over, of each symbol that has one."""
        name, symbols = self._asked(request)
        bars = await self.present.closed(symbols, Timeframe.MIN_1)
        found = {symbols[symbol]: self._shapes.bar(bar) for symbol, bar in bars.items()}
        return _newest("bar", name, found, symbols, Life.RUNNING)

    async def latest_trades(self, request: web.Request) -> Answer:
        """The last trade of each symbol that had one."""
        name, symbols = self._asked(request)
        found = {
            spelling: self._shapes.trade(tick)
            for symbol, spelling in symbols.items()
            if (tick := self.market.last_trade(symbol))
        }
        return _newest("trade", name, found, symbols, Life.NEVER)

    async def latest_quotes(self, request: web.Request) -> Answer:
        """None: no feed carries quotes."""
        name, symbols = self._asked(request)
        return _newest("quote", name, {}, symbols, Life.NEVER)

    async def latest_orderbooks(self, request: web.Request) -> Answer:
        """None: no feed carries them."""
        name, symbols = self._asked(request)
        return _newest("orderbook", name, {}, symbols, Life.NEVER)

    async def quotes(self, request: web.Request) -> Answer:
        """None, of whatever time."""
        name = _named(request)
        pairs = history_pairs(request.query.items(), stocks=self.stocks, symbol=name)
        bars_query(pairs, self._resolve(request), now_ns=self.now_ns())  # says what is wrong
        found = _listed("quotes", name, {}) | {"next_page_token": None}
        return Answer(encode(found), JSON, (), Life.NEVER)

    async def snapshots(self, request: web.Request) -> Answer:
        """How each symbol stands that has a trade or a minute."""
        name, symbols = self._asked(request)
        standings = await self.present.standings(symbols)
        found = {
            spelling: self._shapes.snapshot(standings[symbol])
            for symbol, spelling in symbols.items()
            if symbol in standings
        }
        answer: Any
        if not self.stocks:
            answer = {"snapshots": found}
        elif not name:
            answer = found
        elif name in found:
            answer = msgspec.structs.replace(found[name], symbol=name)
        else:
            raise _nothing("snapshot", name)
        return Answer(encode(answer), JSON, tuple(symbols), Life.RUNNING)

    @property
    def _shapes(self) -> Shapes:
        return STOCKS if self.stocks else CRYPTO

    def _resolve(self, request: web.Request) -> Resolve:
        directory = _Stocks(self.market) if self.stocks else self.market
        return resolver(directory, caller_of(request))

    def _asked(self, request: web.Request) -> tuple[str, dict[Symbol, str]]:
        """The symbol that the path names, and all that are asked for."""
        name = _named(request)
        pairs = latest_pairs(request.query.items(), stocks=self.stocks, symbol=name)
        symbols = Params(pairs, accepted=("symbols",)).symbols(self._resolve(request))
        return name, symbols


def _named(request: web.Request) -> str:
    """The symbol that the path names; none for paths of many."""
    return request.match_info.get("symbol", "")


def _listed(kind: str, name: str, found: Mapping[str, list[Any]]) -> dict[str, Any]:
    """Lists by symbol; the one list of the symbol that the path names."""
    return {kind: found.get(name, []), "symbol": name} if name else {kind: found}


def _newest(
    kind: str, name: str, found: Mapping[str, Any], symbols: Mapping[Symbol, str], life: Life
) -> Answer:
    """Values by symbol; the one of the symbol that the path names."""
    if not name:
        answer: dict[str, Any] = {f"{kind}s": found}
    elif name in found:
        answer = {"symbol": name, kind: found[name]}
    else:
        raise _nothing(kind, name)
    return Answer(encode(answer), JSON, tuple(symbols), life)


def _nothing(kind: str, name: str) -> ApiError:
    return ApiError(404, f"no {kind} of {shown(name)} is known")
