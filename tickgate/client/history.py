"""History, latest values and symbols over HTTP. Calls block; nothing is kept between them.

From asyncio: ``bars = await asyncio.to_thread(client.bars, "BTC/USD", "5Min")``.
"""

import operator
import ssl as tls
from collections.abc import Iterable, Iterator
from dataclasses import KW_ONLY, dataclass
from typing import Any, Final, TypeVar

import msgspec

from tickgate.client.address import Credentials, shown
from tickgate.client.answers import (
    BarsAnswer,
    BarsPage,
    Snapshot,
    SnapshotsAnswer,
    SymbolInfo,
    SymbolsAnswer,
    TradesAnswer,
    TradesPage,
    read_bars,
    read_snapshots,
    read_symbols,
    read_trades,
)
from tickgate.client.errors import HistoryError
from tickgate.client.http import Requests
from tickgate.client.messages import ONE_MINUTE, Bar, Trade
from tickgate.client.rows import Rows
from tickgate.client.times import Time, to_text
from tickgate.client.wanted import Names

T = TypeVar("T")
_PAGE: Final = 10_000  # the most that a gateway gives at once
_SYMBOLS_AT_ONCE: Final = 200  # so that the line of a request stays short


@dataclass
class Client:
    """Asks a gateway for history and latest values; each call blocks until all has come.

    Args:
        url: as ``http://127.0.0.1:8080``; that of the stream will do as well.
        key: the API key's id, where the gateway wants one.
        secret: its secret.
        token: instead of a key.
        timeout_s: how long one request may take.
        retries: how often a request is made again when the gateway cannot be reached, asks to
            slow down or cannot answer just now.
        ssl: for ``https``, where the system's certificates will not do.

    Symbols are one name or several. Answers have the spelling that was asked for. Times are aware
    datetimes, dates, UNIX nanoseconds or RFC 3339 text. Each call raises :class:`AuthFailed`,
    :class:`HistoryError` (refused: its words say what is accepted) or :class:`Unreachable`; a time
    or a limit that makes no sense is a :class:`ValueError` or a :class:`TypeError`.
    """

    url: str
    _: KW_ONLY
    key: str = ""
    secret: str = ""
    token: str = ""
    timeout_s: float = 30.0
    retries: int = 3
    ssl: tls.SSLContext | None = None

    def __post_init__(self) -> None:
        self._requests = Requests(
            url=self.url,
            credentials=Credentials(self.key, self.secret, self.token),
            timeout_s=self.timeout_s,
            retries=self.retries,
            ssl=self.ssl,
        )

    def __repr__(self) -> str:
        return f"Client({shown(self.url)!r})"

    def bars(
        self,
        symbols: Names,
        timeframe: str = ONE_MINUTE,
        start: Time | None = None,
        end: Time | None = None,
        **parameters: str | int,
    ) -> Rows[Bar]:
        """Closed bars whose window begins from *start* to *end*, both included.

        By symbol, then by time. Without *start* from the begin of the current day (UTC), without
        *end* up to now. *parameters* are those of ``/v1/bars``: ``sort="desc"``,
        ``fill="previous"``, and ``limit``: so many in all, instead of all there are.
        """
        span = {"timeframe": timeframe, "start": _text(start), "end": _text(end)}
        found: Rows[Bar] = Rows(Bar)
        for page in self._pages("/v1/bars", symbols, span, parameters, BarsPage):
            found += read_bars(page.bars, timeframe)
        return found

    def trades(
        self,
        symbols: Names,
        start: Time | None = None,
        end: Time | None = None,
        **parameters: str | int,
    ) -> Rows[Trade]:
        """Trades from *start* to *end*, both included, as they stand now.

        They come from the log of ticks; what it does not hold is said in ``missing``.

        *parameters* are those of ``/v1/trades``, and ``limit``: so many in all.
        """
        span = {"start": _text(start), "end": _text(end)}
        found: Rows[Trade] = Rows(Trade)
        for page in self._pages("/v1/trades", symbols, span, parameters, TradesPage):
            found += read_trades(page.trades)
            found.missing |= page.missing
        return found

    def latest_bars(self, symbols: Names, timeframe: str = ONE_MINUTE) -> dict[str, Bar]:
        """The newest bar of each symbol; where a window is open, the running one."""
        found: dict[str, Bar] = {}
        for some in _chunks(symbols):
            parameters = {"symbols": some, "timeframe": timeframe}
            answer = self._get("/v1/bars/latest", parameters, BarsAnswer)
            rows = {symbol: [bar] for symbol, bar in answer.bars.items()}
            found |= {bar.symbol: bar for bar in read_bars(rows, timeframe)}
        return found

    def latest_trades(self, symbols: Names) -> dict[str, Trade]:
        """The last trade of each symbol."""
        found: dict[str, Trade] = {}
        for some in _chunks(symbols):
            answer = self._get("/v1/trades/latest", {"symbols": some}, TradesAnswer)
            rows = {symbol: [trade] for symbol, trade in answer.trades.items()}
            found |= {trade.symbol: trade for trade in read_trades(rows)}
        return found

    def snapshots(self, symbols: Names) -> dict[str, Snapshot]:
        """Last trade, minute, day and day before of each symbol."""
        found: dict[str, Snapshot] = {}
        for some in _chunks(symbols):
            answer = self._get("/v1/snapshots", {"symbols": some}, SnapshotsAnswer)
            found |= read_snapshots(answer)
        return found

    def symbols(self, query: str = "") -> list[SymbolInfo]:
        """The symbols that venues carry; *query* is a part of the name, in any case."""
        parameters = {"query": query} if query else {}
        return read_symbols(self._get("/v1/symbols", parameters, SymbolsAnswer))

    def status(self) -> dict[str, Any]:
        """What ``/v1/status`` says of feeds, roles, lag and clients."""
        status: dict[str, Any] = self._get("/v1/status", {}, dict[str, Any])
        return status

    def _pages(
        self,
        path: str,
        symbols: Names,
        span: dict[str, str | None],
        parameters: dict[str, str | int],
        kind: type[T],
    ) -> Iterator[T]:
        """Page after page; ``limit`` bounds the rows of all of them."""
        limit = _limit(parameters["limit"]) if "limit" in parameters else None
        rest = {name: str(value) for name, value in parameters.items() if name != "limit"}
        for some in _chunks(symbols):
            token: str | None = None
            while limit is None or limit > 0:
                size = _PAGE if limit is None else min(limit, _PAGE)
                query = {"symbols": some, **span, **rest, "limit": str(size), "page_token": token}
                page: Any = self._get(path, query, kind)
                yield page
                if limit is not None:
                    limit -= page.count
                token = page.next_page_token
                if token is None:
                    break

    def _get(self, path: str, parameters: dict[str, str | None] | dict[str, str], kind: Any) -> Any:
        body = self._requests.get(path, parameters)
        try:
            return msgspec.json.decode(body, type=kind)
        except msgspec.DecodeError as exc:
            raise HistoryError(
                200, f"{path} answered what is no answer of a gateway: {exc}"
            ) from exc


def _text(time: Time | None) -> str | None:
    return None if time is None else to_text(time)


def _limit(given: str | int) -> int:
    """How many rows in all.

    Raises:
        TypeError, ValueError: it is no whole number, or below 1.
    """
    try:
        limit = int(given) if isinstance(given, str) else operator.index(given)
    except (TypeError, ValueError) as exc:
        words = f"limit: expected a whole number from 1, was {given!r}"
        raise type(exc)(words) from None
    if limit < 1:
        raise ValueError(f"limit: expected 1 or more, was {limit}; leave it out for all there are")
    return limit


def _chunks(symbols: Names) -> Iterator[str]:
    """The symbols in lists of a request's length, in the order in which gateways answer.

    As far as names tell it: one without its venue stands where its letters do.
    """
    if not isinstance(symbols, Iterable):
        raise TypeError(f"symbols: expected text, or several of them, was {symbols!r}")
    names = [symbols] if isinstance(symbols, str) else sorted(dict.fromkeys(symbols), key=_folded)
    for begin in range(0, len(names), _SYMBOLS_AT_ONCE):
        yield ",".join(names[begin : begin + _SYMBOLS_AT_ONCE])


def _folded(name: str) -> str:
    if not isinstance(name, str):
        raise TypeError(f"symbols: expected text, was {name!r}")
    return name.upper().replace("/", "-")
