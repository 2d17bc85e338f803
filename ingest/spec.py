"""Feed specs: what to connect to, on one line.

Grammar::

    SPEC    = FEED [ ":" SOURCE ] [ "?" OPTION *( "&" OPTION ) ]
    OPTION  = name "=" value          ; %XX in a value is decoded: write %26 for "&"

============  =============================  =====================================================
feed          source                         options
============  =============================  =====================================================
``coinbase``  products: ``BTC-USD,ETH-USD``  ``url`` ``rest_url`` ``silence``
``binance``   symbols: ``BTCUSDT``           ``url`` ``rest_url`` ``silence``
``kraken``    pairs: ``BTC/USD``             ``url`` ``rest_url`` ``silence``
``alpaca``    symbols, or ``*``              ``url`` ``silence`` ``key`` ``secret`` ``venue``
                                             ``encoding`` ``ids``
``sim``       none                           ``symbols`` ``rate`` ``seed`` ``history``
``replay``    a file's path                  ``speed`` ``venue`` ``start``
``poll``      an http(s) URL                 ``symbols`` ``venue`` ``every`` ``items`` ``symbol``
                                             ``price`` ``size`` ``time`` ``unit`` ``id``
============  =============================  =====================================================

Feeds but those of coinbase, binance and kraken take ``class`` as well: ``crypto`` or ``stock``.
The options begin at the first ``?``; for ``replay`` and ``poll`` at the last one, because a path
or URL may hold others. Nothing may be named twice. `docs/feeds.md` explains every option.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, TypeAlias
from urllib.parse import unquote, urlsplit

import msgspec

from ingest import spec_values as values
from ingest.errors import SpecError
from ingest.times import UNITS

VENUES: Final = ("coinbase", "binance", "kraken")
FEEDS: Final = (*VENUES, "alpaca", "sim", "replay", "poll")
MAX_RATE: Final = 200_000  # ticks/s: what one ingest process is built for
MAX_SIM_SYMBOLS: Final = 10_000
MAX_HISTORY: Final = 7 * 1_440  # minutes of a sim


class VenueOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A live venue. ``symbols`` as the venue writes them; ``silence_s`` None: the default."""

    symbols: tuple[str, ...]
    url: str | None = None
    rest_url: str | None = None
    silence_s: float | None = None


class AlpacaOptions(VenueOptions, frozen=True, kw_only=True):
    """A stream of the Alpaca protocol. ``venue`` is that of symbols that come without one.

    ``ids``: who counts a symbol's trades, the stream or each exchange for itself.
    """

    venue: str = "ALPACA"
    key: str = ""
    secret: str = ""
    encoding: Literal["json", "msgpack"] = "json"
    ids: Literal["stream", "exchange"] = "stream"


class SimOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The simulated market; ``rate`` in ticks/s over all symbols, ``history`` in minutes."""

    symbols: int = 50
    rate: float = 1_000.0
    seed: int = 1
    history: int = 0


class ReplayOptions(msgspec.Struct, frozen=True, kw_only=True):
    """A file of trades. ``speed`` None: as fast as the readers keep up."""

    path: str
    speed: float | None = 1.0
    venue: str = "REPLAY"
    start: Literal["subscribed"] | float = 0.0


class PollOptions(msgspec.Struct, frozen=True, kw_only=True):
    """An HTTP endpoint that answers JSON; the paths are explained in `docs/feeds.md`."""

    url: str
    price: str
    symbols: tuple[str, ...] = ()
    venue: str = "POLL"
    every_s: float = 1.0
    items: str = ""
    symbol: str = ""
    size: str = ""
    time: str = ""
    unit: str = "ms"
    id: str = ""


Options: TypeAlias = VenueOptions | SimOptions | ReplayOptions | PollOptions


class FeedSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One parsed feed spec. ``text`` is what the user wrote; ``stocks``: the venue is of stocks."""

    text: str
    feed: str
    options: Options
    stocks: bool = False

    @property
    def has_end(self) -> bool:
        """Does this feed ever end by itself? Only a replay does."""
        return isinstance(self.options, ReplayOptions)

    @property
    def name(self) -> str:
        """The stream name's base; :func:`name_feeds` makes it unique."""
        match self.options:
            case ReplayOptions(venue=venue):
                return f"replay-{venue}"
            case PollOptions(url=url):
                return f"poll-{_host(url)}"
        return self.feed

    @property
    def venue(self) -> str:
        """The part of the symbols before the colon."""
        match self.options:
            case ReplayOptions(venue=venue) | PollOptions(venue=venue) | AlpacaOptions(venue=venue):
                return venue
        return self.feed.upper()

    @classmethod
    def parse(cls, text: str) -> "FeedSpec":
        """Read one spec (grammar: this module's docstring).

        Raises:
            SpecError: names the part, what was given and what is accepted.
        """
        feed, _, rest = text.strip().partition(":")
        feed = feed.lower()
        if "?" in feed:  # "sim?rate=1", without the colon
            feed, _, query = feed.partition("?")
            rest = "?" + text.strip()[len(feed) + 1 :]
        if feed not in FEEDS:
            raise SpecError(text, "the feed", feed, ", ".join(FEEDS))
        cut = rest.rpartition if feed in ("replay", "poll") else rest.partition
        source, mark, query = cut("?")
        source, query = (source, query) if mark else (rest, "")
        read = _Options(text, query)
        if feed in VENUES:
            found = cls(text=text, feed=feed, options=_venue(read, feed, source))
        else:
            options = _OTHERS[feed](read, source)
            found = cls(text=text, feed=feed, options=options, stocks=_is_of_stocks(read))
        read.refuse_the_rest()
        return found


def name_feeds(specs: Sequence[FeedSpec]) -> list[str]:
    """A stream name for each of *specs*: the second feed of a name gets ``-2``, by order."""
    taken: dict[str, int] = {}
    names = []
    for spec in specs:
        taken[spec.name] = count = taken.get(spec.name, 0) + 1
        names.append(spec.name if count == 1 else f"{spec.name}-{count}")
    return names


class _Options:
    """The ``name=value`` pairs of a spec; each is taken once, what is left is refused."""

    def __init__(self, spec: str, query: str) -> None:
        self.spec = spec
        self._values: dict[str, str] = {}
        self._known: list[str] = []
        for pair in filter(None, query.split("&")):
            name, equals, value = pair.partition("=")
            if not equals:
                raise SpecError(spec, "an option", pair, "name=value")
            if name in self._values:
                raise SpecError(spec, f"option {name}", "given twice", "once")
            self._values[name] = unquote(value)

    def take(self, name: str, read: Callable[[str], Any], default: Any, accepted: str) -> Any:
        """The value of option *name* read by *read* (which raises ValueError), or *default*."""
        self._known.append(name)
        value = self._values.pop(name, None)
        if value is None:
            return default
        try:
            return read(value)
        except ValueError as exc:
            raise SpecError(self.spec, f"option {name}", value, accepted) from exc

    def refuse_the_rest(self) -> None:
        for name in self._values:
            raise SpecError(self.spec, "an option", name, ", ".join(self._known))


def _is_of_stocks(read: _Options) -> bool:
    kind = read.take("class", values.one_of("crypto", "stock"), "crypto", "crypto, stock")
    return bool(kind == "stock")


def _venue(read: _Options, feed: str, source: str) -> VenueOptions:
    shape, example, separator = _TICKERS[feed]
    symbols = [_respell(part, separator) for part in source.split(",") if part.strip()]
    for symbol in symbols:
        if not re.fullmatch(shape, symbol):
            raise SpecError(read.spec, "a symbol", symbol, f"names such as {example}")
    _refuse_repeats(read.spec, symbols)
    if not symbols:
        raise SpecError(read.spec, "the list of symbols", source, f"at least one, as {example}")
    return VenueOptions(
        symbols=tuple(symbols),
        url=_stream_url(read),
        rest_url=read.take("rest_url", values.url("http", "https"), None, "an http(s):// address"),
        silence_s=_silence_s(read),
    )


def _stream_url(read: _Options) -> Any:
    return read.take("url", values.url("ws", "wss"), None, "a ws:// or wss:// address")


def _silence_s(read: _Options) -> Any:
    return read.take("silence", values.number(0.1, 3_600), None, "0.1 to 3600 seconds")


def _alpaca(read: _Options, source: str) -> AlpacaOptions:
    symbols = [part.strip().upper() for part in source.split(",") if part.strip()]
    for symbol in symbols or [source]:
        if symbol != "*" and not re.fullmatch(_ALPACA, symbol):
            raise SpecError(read.spec, "a symbol", symbol, "names such as AAPL or BTC/USD, or *")
    _refuse_repeats(read.spec, symbols)
    url = _stream_url(read)
    many = bool(url) and urlsplit(url).path.rstrip("/").endswith("sip")
    options = AlpacaOptions(
        symbols=tuple(symbols),
        url=url,
        silence_s=_silence_s(read),
        venue=read.take(
            "venue", values.venue_name, "ALPACA", "a letter, then letters, digits and _"
        ),
        key=read.take("key", str, "", "the key's id"),
        secret=read.take("secret", str, "", "the key's secret"),
        encoding=read.take("encoding", values.one_of("json", "msgpack"), "json", "json, msgpack"),
        ids=read.take(
            "ids",
            values.one_of("stream", "exchange"),
            "exchange" if many else "stream",
            "stream, exchange",
        ),
    )
    if bool(options.key) != bool(options.secret):
        raise SpecError(read.spec, "option key", "one of key and secret", "both, or none")
    return options


def _sim(read: _Options, source: str) -> SimOptions:
    if source:
        raise SpecError(read.spec, "the source", source, "nothing: sim:?symbols=50&rate=1000")
    return SimOptions(
        symbols=read.take(
            "symbols", values.whole(1, MAX_SIM_SYMBOLS), 50, f"1 to {MAX_SIM_SYMBOLS}"
        ),
        rate=read.take("rate", values.number(0, MAX_RATE), 1_000.0, f"0 to {MAX_RATE} ticks/s"),
        seed=read.take("seed", values.whole(0, 2**63 - 1), 1, "0 to 2^63 - 1"),
        history=read.take(
            "history",
            values.whole(0, MAX_HISTORY),
            0,
            f"0 to {MAX_HISTORY} minutes before the start",
        ),
    )


def _replay(read: _Options, source: str) -> ReplayOptions:
    if not source:
        raise SpecError(read.spec, "the path", source, "a CSV file, plain or gzip")
    return ReplayOptions(
        path=source,
        speed=read.take("speed", values.speed, 1.0, "max, or a factor above 0, such as 1 or 60"),
        venue=read.take(
            "venue", values.venue_name, "REPLAY", "a letter, then letters, digits and _"
        ),
        start=read.take("start", values.start, 0.0, "subscribed, or seconds from 0 to 86400"),
    )


def _poll(read: _Options, source: str) -> PollOptions:
    try:
        source = values.url("http", "https")(source)
    except ValueError as exc:
        raise SpecError(read.spec, "the URL", source, "http(s)://HOST/…") from exc
    options = PollOptions(
        url=source,
        symbols=read.take("symbols", values.names, (), "names separated by commas"),
        venue=read.take("venue", values.venue_name, "POLL", "a letter, then letters, digits and _"),
        every_s=read.take("every", values.number(0.05, 86_400), 1.0, "0.05 to 86400 seconds"),
        items=read.take("items", values.path, "", "a path such as data.trades"),
        symbol=read.take("symbol", values.path, "", "a path such as s"),
        price=read.take("price", values.path, "", "a path such as p"),
        size=read.take("size", values.path, "", "a path such as q"),
        time=read.take("time", values.path, "", "a path such as T"),
        unit=read.take("unit", values.one_of(*UNITS, "rfc3339"), "ms", "s, ms, us, ns, rfc3339"),
        id=read.take("id", values.path, "", "a path such as id"),
    )
    _refuse_repeats(read.spec, options.symbols)
    if not options.price:
        raise SpecError(read.spec, "option price", "", "the path to it, such as price=p")
    if "{symbol}" in source and not options.symbols:
        raise SpecError(read.spec, "option symbols", "", "the names to put for {symbol}")
    if "{symbol}" not in source and not options.symbol and len(options.symbols) != 1:
        accepted = "symbol=PATH, or {symbol} in the URL, or exactly one name in symbols="
        raise SpecError(read.spec, "option symbol", "", accepted)
    return options


_OTHERS: Final[Mapping[str, Callable[[_Options, str], Options]]] = {
    "alpaca": _alpaca,
    "sim": _sim,
    "replay": _replay,
    "poll": _poll,
}
# feed -> shape of a name after respelling, an example, what stands between base and quote
_TICKERS: Final = {
    "coinbase": (r"[A-Z0-9]{1,16}-[A-Z0-9]{1,16}", "BTC-USD", "-"),
    "binance": (r"[A-Z0-9]{2,30}", "BTCUSDT", ""),
    "kraken": (r"[A-Z0-9.]{1,16}/[A-Z0-9.]{1,16}", "BTC/USD", "/"),
}


_ALPACA: Final = r"([A-Z][A-Z0-9_]{0,15}:)?[A-Z0-9][A-Z0-9._/-]{0,39}"  # with a venue, or without


def _respell(name: str, separator: str) -> str:
    return re.sub("[/-]", separator, name.strip().upper()) if separator else name.strip().upper()


def _refuse_repeats(spec: str, names: Sequence[str]) -> None:
    for at, name in enumerate(names):
        if name in names[:at]:
            raise SpecError(spec, "a symbol", f"{name} twice", "each symbol once")


def _host(url: str) -> str:
    return re.sub(r"[^A-Za-z0-9.]", "_", urlsplit(url).netloc.rpartition("@")[2])
