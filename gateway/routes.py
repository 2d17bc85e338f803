"""Who gets which messages: topics, the spellings they go out under, and groups of clients. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Protocol

from core.market.bar import Bar
from core.market.block import Row
from core.market.symbol import Symbol, fold
from gateway import encode
from gateway.channels import CHANNELS, CONFLATED, TYPES, WILDCARD, Channel, Codec
from gateway.frames import Fragment
from gateway.market import MarketState

Message = Row | Bar  # what a topic carries: rows of ticks on trades, bars on all other channels


class Client(Protocol):
    """A subscriber as the hub sees it. ``group`` is the hub's own; set it to None at first."""

    codec: Codec
    group: "Group | None"

    def deliver(self, framed: bytes) -> None:
        """Send finished frames, in order. Does not block; a slow client is its owner's trouble."""
        ...


class Variant:
    """One channel and symbol under one spelling and codec; ``*`` spells every symbol in full."""

    __slots__ = ("channel", "codec", "groups", "prefix", "spelling", "symbol", "topic")

    def __init__(
        self, channel: Channel, spelling: str, codec: Codec, symbol: Symbol | None
    ) -> None:
        self.channel, self.spelling, self.codec = channel, spelling, codec
        self.prefix = encode.prefix(TYPES[channel], spelling, codec)
        self.symbol = symbol  # None: ``*``, or a name that nobody carries yet
        self.topic: Topic | None = None  # set while some group has this variant
        self.groups: dict[Group, None] = {}


class Group:
    """Clients with the same subscriptions: their frames are joined and framed once.

    ``marks`` says how many of a topic's messages of the running window are not (or no more) to
    be sent to this group; ``parts`` is filled and emptied within one call of the hub.
    """

    __slots__ = ("clients", "codec", "marks", "parts", "sent_ns", "solo", "variants")

    def __init__(self, variants: frozenset[Variant], codec: Codec, *, sent_ns: int) -> None:
        self.variants, self.codec = variants, codec
        self.clients: dict[Client, None] = {}
        self.marks: dict[Topic, int] = {}
        self.parts: list[Fragment] = []
        self.sent_ns = sent_ns
        self.solo = False

    def names(self) -> set[tuple[Channel, str]]:
        """The subscriptions, as the clients spell them."""
        return {(variant.channel, variant.spelling) for variant in self.variants}


class Topic:
    """The messages of one channel and symbol in the running window, encoded when first needed."""

    __slots__ = ("_tails", "channel", "messages", "symbol", "variants")

    def __init__(self, channel: Channel, symbol: Symbol) -> None:
        self.channel, self.symbol = channel, symbol
        self.messages: list[Any] = []
        self.variants: dict[Variant, None] = {}
        self._tails: dict[Codec, list[encode.Tail]] = {}

    def fragment(self, prefix: bytes, codec: Codec, start: int) -> Fragment | None:
        """The window's messages from *start* on; None when there are none."""
        if start >= len(self.messages):
            return None
        tails = self.encoded(codec)
        wanted = tails[-1:] if self.channel in CONFLATED else tails[start:]
        return Fragment(encode.items(prefix, wanted), codec)

    def encoded(self, codec: Codec) -> list[encode.Tail]:
        """The window's messages for *codec*, as far as they have come; each is encoded once."""
        tails = self._tails.setdefault(codec, [])
        tails += self._encoded(self.messages[len(tails) :], codec)
        return tails

    def clear(self) -> None:
        """Begin a new window."""
        self.messages.clear()
        self._tails.clear()

    def _encoded(self, messages: Sequence[Any], codec: Codec) -> list[encode.Tail]:
        if self.channel is Channel.TRADES:
            return encode.trade_tails(messages, codec)
        return encode.bar_tails(messages, codec)


class Routes:
    """Finds topics by symbol and subscriptions by name; binds names once a venue carries them.

    Holds what has subscribers, so memory is bounded by the clients' limits.
    """

    def __init__(self, market: MarketState) -> None:
        self._market = market
        self._variants: dict[tuple[Channel, str, Codec], Variant] = {}
        self._waiting: dict[str, dict[Variant, None]] = {}  # by folded name, nobody carries it
        self.topics: dict[Channel, dict[Symbol, Topic]] = {channel: {} for channel in CHANNELS}
        self.wild: dict[Channel, dict[Variant, None]] = {channel: {} for channel in CHANNELS}

    def variant(self, channel: Channel, spelling: str, codec: Codec) -> Variant:
        """The variant of that name; one that has groups is shared.

        Raises:
            SymbolError: a new name is ill-formed, or carried by several venues.
        """
        known = self._variants.get((channel, spelling, codec))
        if known is not None:
            return known
        symbol = None if spelling == WILDCARD else self._market.resolve(spelling)
        return Variant(channel, spelling, codec, symbol)

    def link(self, group: Group) -> None:
        """Let *group*'s variants know it; those that are new become reachable."""
        for variant in group.variants:
            if not variant.groups:
                self._register(variant)
            variant.groups[group] = None

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
                for variant in self._waiting.pop(name, ()):
                    variant.symbol = symbol
                    self._attach(variant, symbol)

    def wanted(self, channel: Channel, symbol: Symbol) -> Topic | None:
        """The topic to publish to; None when nobody listens."""
        topic = self.topics[channel].get(symbol)
        if topic is None and self.wild[channel]:
            topic = self._topic(channel, symbol)
        return topic

    def receivers(self, topic: Topic) -> Iterator[tuple[bytes, Codec, Iterable[Group]]]:
        """Prefix and codec, with the groups that get *topic* so; each group and spelling once.

        A group that names the symbol gets it as named, not by its ``*`` as well.
        """
        for variant in topic.variants:
            yield variant.prefix, variant.codec, variant.groups
        for star in self.wild[topic.channel]:
            groups = [g for g in star.groups if g.variants.isdisjoint(topic.variants)]
            if groups:
                kind = TYPES[topic.channel]
                yield encode.prefix(kind, topic.symbol, star.codec), star.codec, groups

    def codecs(self, topic: Topic) -> set[Codec]:
        """The codecs that *topic* goes out in."""
        return {v.codec for v in topic.variants} | {v.codec for v in self.wild[topic.channel]}

    def retire(self, topic: Topic) -> None:
        """Forget *topic* unless a name leads to it."""
        if not topic.variants:
            self.topics[topic.channel].pop(topic.symbol, None)

    def _topic(self, channel: Channel, symbol: Symbol) -> Topic:
        topics = self.topics[channel]
        return topics.get(symbol) or topics.setdefault(symbol, Topic(channel, symbol))

    def _register(self, variant: Variant) -> None:
        self._variants[variant.channel, variant.spelling, variant.codec] = variant
        if variant.spelling == WILDCARD:
            self.wild[variant.channel][variant] = None
        elif variant.symbol is None:
            self._waiting.setdefault(fold(variant.spelling), {})[variant] = None
        else:
            self._attach(variant, variant.symbol)

    def _attach(self, variant: Variant, symbol: Symbol) -> None:
        variant.topic = self._topic(variant.channel, symbol)
        variant.topic.variants[variant] = None

    def _forget(self, variant: Variant) -> None:
        del self._variants[variant.channel, variant.spelling, variant.codec]
        if variant.topic is not None:
            topic, variant.topic = variant.topic, None
            del topic.variants[variant]
            if not topic.messages:
                self.retire(topic)
        elif variant.spelling == WILDCARD:
            del self.wild[variant.channel][variant]
        else:
            name = fold(variant.spelling)
            del self._waiting[name][variant]
            if not self._waiting[name]:
                del self._waiting[name]
