"""The hub: collects a window's messages per symbol and makes one batch per group of clients.

Pure: it is told the time and hands over what is to be sent. Windows are the same for everybody,
so that clients with the same subscriptions share their frames.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from core.market.bar import Bar
from core.market.block import Row
from core.market.errors import SymbolError
from core.market.symbol import Symbol
from gateway.channels import CONFLATED, Channel, Codec, channel_of
from gateway.frames import Fragment, frame_batch
from gateway.market import MarketState
from gateway.messages import DEFAULTS, INVALID_SYNTAX, SYMBOL_LIMIT, Name, Options, RequestError
from gateway.routes import Client, Group, Routes, Topic, Variant
from gateway.snapshot import snapshot_fragments


@dataclass(frozen=True, slots=True)
class Send:
    """Finished frames for some clients, and how many messages they hold."""

    clients: tuple[Client, ...]
    framed: bytes
    messages: int


class Hub:
    """Routes messages to groups of clients. One task owns it: the gateway's event loop.

    A window's messages are held until :meth:`flush`; nothing but older running bars is dropped,
    so memory grows with the feeds' rate times one window.
    """

    def __init__(
        self, *, market: MarketState, interval_ns: int, max_message_bytes: int, max_symbols: int
    ) -> None:
        """*max_symbols* bounds the different spellings that one client subscribes to."""
        self.subscribers = 0  # clients with a channel that carries something by now
        self._market = market
        self._interval_ns = interval_ns
        self._max_message_bytes = max_message_bytes
        self._max_symbols = max_symbols
        self._routes = Routes(market)
        self._groups: dict[frozenset[Variant], Group] = {}
        self._dirty: list[Topic] = []  # topics with messages, in order of their first one
        self._fresh: list[Topic] = []  # those of _dirty that lead() has not looked at
        self._marked: dict[Group, None] = {}  # groups with marks, to be cleared by flush()
        self._turn = 0

    @property
    def pending(self) -> bool:
        """Are there messages that the next flush will send?"""
        return bool(self._dirty)

    def carry(self, symbols: Iterable[Symbol]) -> None:
        """Venues carry *symbols* from now on."""
        self._routes.bind(symbols)

    def publish_trades(self, symbols: Sequence[Symbol], rows: Iterable[Row]) -> None:
        """Take in a block's ticks; those that nobody subscribes to cost next to nothing."""
        topics = [self._routes.wanted(Channel.TRADES, symbol) for symbol in symbols]
        if not any(topics):
            return
        for row in rows:
            topic = topics[row[0]]
            if topic is not None:
                self._add(topic, row)

    def publish_bar(self, bar: Bar) -> None:
        """Take in a running, closed or revised bar."""
        topic = self._routes.wanted(channel_of(bar), bar.symbol)
        if topic is not None:
            self._add(topic, bar)

    def prepare(self) -> None:
        """Encode what has come so far, so that little is left to do when the window ends."""
        for topic in self._dirty:
            if topic.channel not in CONFLATED:
                for codec in self._routes.codecs(topic):
                    topic.encoded(codec)

    def lead(self, now_ns: int) -> list[Send]:
        """Batches for clients that were sent nothing for a whole window: they do not wait."""
        touched: dict[Group, None] = {}
        idle_since_ns = now_ns - self._interval_ns
        for topic in self._fresh:
            led: dict[Group, None] = {}  # marked last: a group may have the topic by two spellings
            for prefix, codec, groups in self._routes.receivers(topic):
                idle = [group for group in groups if group.sent_ns <= idle_since_ns]
                _spread(topic, topic_prefix=(prefix, codec), groups=idle, touched=touched)
                led |= dict.fromkeys(idle)
            self._mark(led, topic)
        self._fresh.clear()
        return self._sends(touched, now_ns)

    def flush(self, now_ns: int) -> list[Send]:
        """End the window: one batch for each group that has something to get."""
        touched: dict[Group, None] = {}
        for topic in self._dirty:
            for prefix, codec, groups in self._routes.receivers(topic):
                _spread(topic, topic_prefix=(prefix, codec), groups=groups, touched=touched)
        sends = self._sends(touched, now_ns)
        for topic in self._dirty:
            topic.clear()
            self._routes.retire(topic)
        self._dirty.clear()
        self._fresh.clear()
        self._clear_marks()
        return sends

    def names(self, client: Client) -> set[Name]:
        """What *client* is subscribed to."""
        return client.group.names() if client.group else set()

    def subscribe(
        self, client: Client, names: Sequence[Name], now_ns: int, options: Options = DEFAULTS
    ) -> list[Send]:
        """Add *names* to what *client* gets; the batch that must go out before the reply, if any.

        *options* hold for the whole session from then on.

        Raises:
            RequestError: a name is ill-formed or ambiguous (400), or there would be too many
                (405); nothing has changed then.
        """
        current = client.group.variants if client.group else frozenset()
        held = {(variant.channel, variant.spelling) for variant in current}
        added = [name for name in names if name not in held]
        spellings = {spelling for _, spelling in held} | {spelling for _, spelling in added}
        if len(spellings) > self._max_symbols:
            raise RequestError(
                SYMBOL_LIMIT,
                f"{len(spellings)} symbols are more than the {self._max_symbols} that one "
                "connection may have; nothing was added",
            )
        try:
            new = [self._routes.variant(*name, client.codec) for name in added]
        except SymbolError as exc:
            raise RequestError(INVALID_SYNTAX, str(exc)) from exc
        return self._regroup(client, current.union(new), now_ns)

    def unsubscribe(self, client: Client, names: Iterable[Name], now_ns: int) -> list[Send]:
        """Take *names* away; the batch that must go out before the reply, if any."""
        if client.group is None:
            return []
        unwanted = set(names)
        current = client.group.variants
        kept = frozenset(v for v in current if (v.channel, v.spelling) not in unwanted)
        return self._regroup(client, kept, now_ns)

    def leave(self, client: Client) -> None:
        """Forget *client*; what was pending for it is dropped."""
        group, client.group = client.group, None
        if group is None:
            return
        self.subscribers -= _listens(group)
        del group.clients[client]
        if not group.clients:
            self._routes.unlink(group)
            self._marked.pop(group, None)
            if not group.solo:
                del self._groups[group.variants]

    def snapshot(self, client: Client, names: Sequence[Name]) -> list[Send]:
        """The last trades and the running bars of *names*, which *client* is subscribed to."""
        if client.group is None:
            return []
        by_name = {(v.channel, v.spelling): v for v in client.group.variants}
        wanted = [by_name[name] for name in names if name in by_name]
        fragments = snapshot_fragments(self._market, wanted, client.codec)
        return [self._send((client,), fragments)] if fragments else []

    def _add(self, topic: Topic, message: Row | Bar) -> None:
        if not topic.messages:
            self._dirty.append(topic)
            self._fresh.append(topic)
        topic.messages.append(message)

    def _regroup(self, client: Client, variants: frozenset[Variant], now_ns: int) -> list[Send]:
        before = client.group
        if before is not None and before.variants == variants:
            return []
        sends = self._pending_of(client)
        group = self._group_for(client, variants, now_ns) if variants else None
        self.leave(client)
        if group is not None:
            group.clients[client] = None
            client.group = group
            self.subscribers += _listens(group)
        return sends

    def _group_for(self, client: Client, variants: frozenset[Variant], now_ns: int) -> Group:
        """The group to join: in the middle of a window one of its own, told apart by its marks."""
        group = None if self._dirty else self._groups.get(variants)
        if group is None:
            sent_ns = client.group.sent_ns if client.group else now_ns - self._interval_ns
            group = Group(variants, client.codec, sent_ns=sent_ns)
            self._routes.link(group)  # before the old group is left, so that nothing is unbound
            if self._dirty:
                group.solo = True
                group.marks = {topic: len(topic.messages) for topic in self._dirty}
                self._marked[group] = None
            else:
                self._groups[variants] = group
        return group

    def _pending_of(self, client: Client) -> list[Send]:
        """What the next flush would have sent to *client*, now and to it alone."""
        own, touched = client.group, dict[Group, None]()
        if own is None:
            return []
        for topic in self._dirty:
            for prefix, codec, groups in self._routes.receivers(topic):
                if own in groups:
                    _spread(topic, topic_prefix=(prefix, codec), groups=(own,), touched=touched)
        parts, own.parts = own.parts, []
        return [self._send((client,), parts)] if parts else []

    def _sends(self, touched: dict[Group, None], now_ns: int) -> list[Send]:
        sends = []
        for group in touched:
            group.sent_ns = now_ns
            parts, group.parts = group.parts, []
            sends.append(self._send(tuple(group.clients), parts))
        self._turn += 1  # who is served first changes from window to window
        turn = self._turn % len(sends) if sends else 0
        return sends[turn:] + sends[:turn]

    def _send(self, clients: tuple[Client, ...], fragments: Sequence[Fragment]) -> Send:
        framed = frame_batch(fragments, clients[0].codec, self._max_message_bytes)
        return Send(clients, framed, sum(fragment.count for fragment in fragments))

    def _mark(self, groups: Iterable[Group], topic: Topic) -> None:
        for group in groups:
            group.marks[topic] = len(topic.messages)
            self._marked[group] = None

    def _clear_marks(self) -> None:
        marked, self._marked = self._marked, {}
        for group in marked:
            group.marks.clear()
            if group.solo:
                self._merge(group)

    def _merge(self, solo: Group) -> None:
        """A new window begins: *solo* differs no more from others with its subscriptions."""
        shared = self._groups.setdefault(solo.variants, solo)
        solo.solo = False
        if shared is not solo:
            for client in solo.clients:
                client.group = shared
                shared.clients[client] = None
            self._routes.unlink(solo)


def _spread(
    topic: Topic,
    *,
    topic_prefix: tuple[bytes, Codec],
    groups: Iterable[Group],
    touched: dict[Group, None],
) -> None:
    """Give each of *groups* what it has not had of *topic*; equal parts are made once."""
    made: dict[int, Fragment | None] = {}
    for group in groups:
        start = group.marks.get(topic, 0)
        if start not in made:
            made[start] = topic.fragment(*topic_prefix, start)
        fragment = made[start]
        if fragment is not None:
            group.parts.append(fragment)
            touched[group] = None


def _listens(group: Group) -> bool:
    return any(variant.channel is not Channel.QUOTES for variant in group.variants)
