"""Who gets which messages: topics, the spellings they go out under, and groups of clients. Pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from types import MappingProxyType
from typing import Final, NamedTuple, Protocol

from core.market.errors import SymbolError, TickgateError
from core.market.symbol import Symbol, fold
from gateway.access.entitlement import Entitlement
from gateway.channels import CHANNELS, RANK, WILDCARD, Channel, Codec, Mode
from gateway.frames import Fragment, frame_batch
from gateway.market import MarketState
from gateway.sheet import CURSOR, packed
from gateway.topics import Topic, new_topic
from gateway.wire import PLAIN, Client, Wire

_NO_MARKS: Final[Mapping[Topic, int]] = MappingProxyType({})


class Style(NamedTuple):
    """How a session wants its data; sessions differ in a few styles, which are shared."""

    codec: Codec
    interval_ms: int
    mode: Mode = Mode.ALL
    cursor: bool = False
    deflate: bool = False
    phase: int = 0  # chosen by the hub: when within an interval the windows end


class Variant:
    """One channel and symbol under one spelling and codec; ``*`` spells each as the codec does.

    ``scope`` bounds the symbols that it may lead to, while they are not known yet; None: all.
    """

    __slots__ = (
        *("_sees", "channel", "code", "codec", "groups"),
        *("scope", "spelling", "symbol", "topic"),
    )

    def __init__(
        self,
        channel: Channel,
        spelling: str,
        codec: Codec,
        symbol: Symbol | None,
        scope: Entitlement | None = None,
    ) -> None:
        self.channel, self.spelling, self.codec = channel, spelling, codec
        self.symbol = symbol  # None: ``*``, or a name that nobody carries yet
        self.scope = scope
        self._sees: dict[Symbol, bool] = {}  # what the scope said; no more than there are symbols
        self.code = CURSOR  # a small number of its own while some group has this variant
        self.topic: Topic | None = None  # set while some group has this variant
        self.groups: dict[Group, None] = {}

    def sees(self, symbol: Symbol) -> bool:
        """May *symbol* come by this name? Asked again and again."""
        if self.scope is None:
            return True
        seen = self._sees.get(symbol)
        if seen is None:
            seen = self._sees[symbol] = self.scope.permits(symbol)
        return seen


_Key = tuple[Channel, str, Codec, Symbol | None, Entitlement | None]


def _key(variant: Variant) -> _Key:
    return variant.channel, variant.spelling, variant.codec, variant.symbol, variant.scope


class NotPermitted(TickgateError):
    """A name stands for a symbol that whoever names it may not read."""

    def __init__(self, spelling: str) -> None:
        self.spelling = spelling
        super().__init__(spelling)


class Group:
    """Clients with the same subscriptions and style: their frames are joined and framed once.

    ``marks`` says how many of a topic's messages of the running window are not (or no more) to
    be sent to this group; ``parts`` is filled and taken within one call of the lane.
    """

    __slots__ = (
        "clients",
        "codes",
        "has_star",
        "marks",
        "parts",
        "sent_ns",
        "solo",
        "style",
        "variants",
    )

    def __init__(self, variants: tuple[Variant, ...], style: Style, *, sent_ns: int) -> None:
        """*variants* in canonical order: see :func:`canonical`."""
        self.variants, self.style = variants, style
        self.codes = b""  # of the variants, packed, while they know the group
        self.has_star = any(variant.spelling == WILDCARD for variant in variants)
        self.clients: dict[Client, None] = {}
        self.marks: Mapping[Topic, int] = _NO_MARKS
        self.parts: list[Fragment] = []
        self.sent_ns = sent_ns
        self.solo = False

    def mark(self, topic: Topic, count: int) -> None:
        """The first *count* messages of *topic* in this window are not for this group."""
        if self.marks is _NO_MARKS:
            self.marks = {}
        self.marks[topic] = count  # type: ignore[index]  # it is a dict of its own by now

    def unmark(self) -> None:
        """A new window begins."""
        self.marks = _NO_MARKS

    def names(self) -> set[tuple[Channel, str]]:
        """The subscriptions, as the clients spell them."""
        return {(variant.channel, variant.spelling) for variant in self.variants}


def canonical(variants: Iterable[Variant]) -> tuple[Variant, ...]:
    """Equal sets become equal tuples, which take a fifth of a set's memory; channels by rank."""
    return tuple(sorted(variants, key=_place))


def _place(variant: Variant) -> tuple[int, str]:
    return RANK[variant.channel], variant.spelling


class Served(NamedTuple):
    """What was handed over: batches, one per client, and the messages in them."""

    batches: int
    messages: int


class Batches(Protocol):
    """What is to be written: to be served in slices, so that nothing else waits."""

    @property
    def done(self) -> bool:
        """Is everybody served?"""
        ...

    def serve(self, most: int, wire: Wire) -> Served:
        """Hand over to about *most* more clients through *wire*."""
        ...

    def settle(self, client: Client) -> None:
        """Hand over to *client* now, if it is still to be served."""
        ...


class Send:
    """A batch for some clients. It is framed when it is first wanted, once for all of them."""

    __slots__ = ("_at", "_framed", "_limit_bytes", "clients", "messages", "parts", "style")

    def __init__(
        self,
        clients: tuple[Client, ...],
        style: Style,
        parts: Sequence[Fragment],
        *,
        messages: int,
        limit_bytes: int,
    ) -> None:
        """*messages* counts those in *parts* that are data."""
        self.clients, self.style, self.parts, self.messages = clients, style, parts, messages
        self._limit_bytes = limit_bytes
        self._framed = b""
        self._at = 0

    @property
    def done(self) -> bool:
        return self._at >= len(self.clients)

    def serve(self, most: int, wire: Wire = PLAIN) -> Served:
        some = self.clients[self._at : self._at + most]
        self._at += len(some)
        self.write(some, wire)
        return Served(len(some), self.messages * len(some))

    def settle(self, client: Client) -> None:
        if client in self.clients[self._at :]:
            self.clients = tuple(other for other in self.clients if other is not client)
            self.write((client,))

    def framed(self) -> bytes:
        """The frames, ready for the socket."""
        if not self._framed:
            self._framed = self.frame(self.parts)
        return self._framed

    def frame(self, parts: Sequence[Fragment]) -> bytes:
        """Frame *parts* as this batch would be."""
        return frame_batch(parts, self.style.codec, self._limit_bytes, deflate=self.style.deflate)

    def write(self, clients: Sequence[Client], wire: Wire = PLAIN) -> None:
        """Hand the batch over to *clients*, which are some of its own."""
        if self.style.mode is Mode.LATEST:
            for client in clients:
                client.offer(self)
        else:
            wire.one_to_all(self.framed(), clients)


class Routes:
    """Finds topics by symbol and subscriptions by name; binds names once a venue carries them.

    Holds what has subscribers, so memory is bounded by the clients' limits.
    """

    def __init__(self, market: MarketState) -> None:
        self._market = market
        self._variants: dict[_Key, Variant] = {}
        self._codes = count(1)
        self._free: list[int] = []  # codes that were in use
        self._waiting: dict[str, dict[Variant, None]] = {}  # by folded name, nobody carries it
        self.topics: dict[Channel, dict[Symbol, Topic]] = {channel: {} for channel in CHANNELS}
        self.wild: dict[Channel, dict[Variant, None]] = {channel: {} for channel in CHANNELS}

    def variant(
        self,
        name: tuple[Channel, str],
        codec: Codec,
        *,
        held: Variant | None = None,
        scope: Entitlement | None = None,
    ) -> Variant:
        """The variant of that name; one that has groups is shared by all who mean that symbol.

        What its owner has *held* by that name stays: the symbol that it is bound to, or that it
        waits. A new name is judged by what venues carry, whatever others have subscribed to. What
        is not bound, and ``*``, leads to symbols within *scope* only.

        Raises:
            SymbolError: a new name is ill-formed, carried by several venues, or no stock where
                *codec* is for stocks only.
            NotPermitted: its symbol is not within *scope*.
        """
        channel, spelling = name
        symbol = held.symbol if held is not None else self._meant(spelling, codec, scope)
        named = symbol or (spelling if ":" in spelling else None)
        if scope is not None and named is not None:
            if not scope.permits(named):
                raise NotPermitted(spelling)
            scope = None  # there is nothing left for it to bound
        shared = self._variants.get((channel, spelling, codec, symbol, scope))
        return shared or Variant(channel, spelling, codec, symbol, scope)

    def _meant(self, spelling: str, codec: Codec, scope: Entitlement | None) -> Symbol | None:
        if spelling == WILDCARD:
            return None
        if scope is not None:
            return self._resolve_within(scope, spelling, stocks=codec.stocks)
        return self._market.resolve(spelling, stocks=codec.stocks)

    def _resolve_within(self, scope: Entitlement, spelling: str, *, stocks: bool) -> Symbol | None:
        """As the market resolves it; what is wrong is told of symbols within *scope* only."""
        try:
            return self._market.resolve(spelling, stocks=stocks)
        except SymbolError:
            found = self._market.resolve(spelling, stocks=stocks, permits=scope.permits)
            if found is None or not scope.permits(found):
                raise NotPermitted(spelling) from None
            # Clients share what they mean by a bare name, whatever each of them may read.
            reason = f"carried by several venues, say which: {found}"
            raise SymbolError(spelling, reason) from None

    def link(self, group: Group) -> None:
        """Let *group*'s variants know it; those that are new become reachable."""
        for variant in group.variants:
            if not variant.groups:
                self._register(variant)
            variant.groups[group] = None
        codes = [variant.code for variant in group.variants]
        group.codes = packed([*codes, CURSOR] if group.style.cursor else codes)

    def unlink(self, group: Group) -> None:
        """The reverse of :meth:`link`; what nobody subscribes to any more is forgotten."""
        for variant in group.variants:
            del variant.groups[group]
            if not variant.groups:
                self._forget(variant)

    def bind(self, symbols: Iterable[Symbol]) -> None:
        """*symbols* are carried now: names that waited for them go there, for good."""
        for symbol in symbols:
            for name in (fold(symbol), fold(symbol.partition(":")[2])):
                for variant in list(self._waiting.get(name, ())):
                    if self._offers(variant.codec, symbol) and variant.sees(symbol):
                        self._bind(variant, symbol)

    def wanted(self, channel: Channel, symbol: Symbol) -> Topic | None:
        """The topic to publish to; None when nobody listens."""
        return self.wanted_of(channel, (symbol,))[0]

    def wanted_of(self, channel: Channel, symbols: Iterable[Symbol]) -> list[Topic | None]:
        """:meth:`wanted` for each of *symbols*."""
        if self.wild[channel]:
            return [self._topic(channel, symbol) for symbol in symbols]
        return list(map(self.topics[channel].get, symbols))

    def receivers(self, topic: Topic) -> Iterator[tuple[str, Codec, Iterable[Group]]]:
        """Spelling and codec, with the groups that get *topic* so; each group and spelling once.

        A group that names the symbol gets it as named, not by its ``*`` as well.
        """
        named = topic.variants
        for variant in named:
            yield variant.spelling, variant.codec, variant.groups
        for star in self.wild[topic.channel]:
            if not self._offers(star.codec, topic.symbol) or not star.sees(topic.symbol):
                continue
            groups: Iterable[Group] = star.groups
            if named:
                groups = [g for g in groups if named.keys().isdisjoint(g.variants)]
            codec = star.codec
            name = self._market.star_name(topic.symbol, plain=codec.plain, stocks=codec.stocks)
            yield name, codec, groups

    def retire(self, topic: Topic) -> None:
        """Forget *topic* unless a name leads to it."""
        if not topic.variants:
            self.topics[topic.channel].pop(topic.symbol, None)

    def _topic(self, channel: Channel, symbol: Symbol) -> Topic:
        topics = self.topics[channel]
        return topics.get(symbol) or topics.setdefault(symbol, new_topic(channel, symbol))

    def _register(self, variant: Variant) -> None:
        self._variants[_key(variant)] = variant
        variant.code = self._free.pop() if self._free else next(self._codes)
        if variant.spelling == WILDCARD:
            self.wild[variant.channel][variant] = None
        elif variant.symbol is None:
            self._waiting.setdefault(fold(variant.spelling), {})[variant] = None
        else:
            self._attach(variant, variant.symbol)

    def _bind(self, variant: Variant, symbol: Symbol) -> None:
        self._wait_no_more(variant)
        del self._variants[_key(variant)]
        variant.symbol = symbol
        self._variants.setdefault(_key(variant), variant)  # one may be there: then that is shared
        self._attach(variant, symbol)

    def _attach(self, variant: Variant, symbol: Symbol) -> None:
        variant.topic = self._topic(variant.channel, symbol)
        variant.topic.variants[variant] = None

    def _forget(self, variant: Variant) -> None:
        if self._variants.get(_key(variant)) is variant:
            del self._variants[_key(variant)]
        self._free.append(variant.code)
        if variant.topic is not None:
            topic, variant.topic = variant.topic, None
            del topic.variants[variant]
            if not topic.is_dirty:
                self.retire(topic)
        elif variant.spelling == WILDCARD:
            del self.wild[variant.channel][variant]
        else:
            self._wait_no_more(variant)

    def _wait_no_more(self, variant: Variant) -> None:
        name = fold(variant.spelling)
        del self._waiting[name][variant]
        if not self._waiting[name]:
            del self._waiting[name]

    def _offers(self, codec: Codec, symbol: Symbol) -> bool:
        return not codec.stocks or self._market.is_stock(symbol)
