"""A lane: the windows of one length, and the groups of clients that share them. Pure.

Windows are the same for everybody in a lane, so that clients with the same subscriptions share
their frames. Where there are very many clients they are in several, which end at other moments.
The lane is told the time and hands over what is to be sent.
"""

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Final, TypeVar, cast

from core.market.bar import Bar
from core.market.block import Ticks
from core.market.notice import Notice
from gateway.burst import Burst, Crowds, look_up, spread
from gateway.channels import RANK, Channel, Codec, Mode, channel_of
from gateway.conflation import cursor_fragment
from gateway.frames import Fragment
from gateway.notices import NoticeRun
from gateway.routes import Batches, Group, Routes, Send, Style, Variant, canonical
from gateway.runs import UNWANTED, Coded, runs
from gateway.sheet import Shelf
from gateway.topics import NO_SLOT, BarTopic, Topic, TradeTopic
from gateway.wire import Client

T = TypeVar("T")
_EARLY_NS: Final = 1_000_000  # timers fire up to this much early: that boundary is past

_MANY: Final = 8_000  # messages, about 4 ms of encoding: not to be left to the window's end


class Lane:
    """Routes messages to its groups. Owned by the hub.

    A window's messages are held until it ends; nothing but older running bars is dropped, so
    memory grows with the feeds' rate times one window.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        interval_ns: int,
        offset_ns: int = 0,
        limit_bytes: int,
        cursor: Callable[[], str],
        crowds: Crowds,
    ) -> None:
        """Windows end *offset_ns* behind whole intervals; *limit_bytes* bounds a message.

        *cursor* is asked for at the moment of each batch.
        """
        self.clients = 0
        self.due_ns: int | None = None  # end of the running window; None: nothing is pending
        self.routes = routes
        self.interval_ns, self._offset_ns = interval_ns, offset_ns
        self._limit_bytes, self._cursor = limit_bytes, cursor
        self._groups: dict[Style, dict[tuple[Variant, ...], Group]] = {}
        self._crowds = crowds
        self._dirty: list[Topic] = []  # topics with messages, in order of their first one
        self._fresh: list[Topic] = []  # those of _dirty that lead() has not looked at
        self._marked: dict[Group, None] = {}  # groups with marks, to be cleared by flush()
        self._blocks: list[Coded] = []  # of ticks, not yet brought to their topics
        self._slots: list[TradeTopic] = []  # those of _dirty with ticks: a tick's code is a place
        self._waiting = 0  # ticks published since they were last encoded
        self._turn = 0
        self._bursting: list[Burst] = []  # those that may not be served yet

    @property
    def pending(self) -> bool:
        """Are there messages that the next flush will send?"""
        return bool(self._dirty)

    @property
    def empty(self) -> bool:
        """Has it no group, so that it may be forgotten?"""
        return not self._groups and not self._dirty

    def publish_ticks(self, ticks: Ticks) -> None:
        """Take in ticks; symbols that nobody subscribes to cost next to nothing."""
        topics = self.routes.wanted_of(Channel.TRADES, ticks.symbols)
        if any(topics):
            codes = [UNWANTED if topic is None else self._slot(topic) for topic in topics]
            self._blocks.append((ticks, codes))
            self._waiting += len(ticks)

    def publish_notices(self, notices: Iterable[Notice]) -> None:
        """Take in *notices*, behind all ticks that were published before."""
        for notice in notices:
            topic = self.routes.wanted(Channel.TRADES, notice.symbol)
            if topic is not None:
                self._sort()
                if not topic.is_dirty:
                    self._begin(topic)
                cast("TradeTopic", topic).add(NoticeRun((notice,)))

    def publish_bar(self, bar: Bar) -> None:
        """Take in a running, closed or revised bar."""
        topic = self.routes.wanted(channel_of(bar), bar.symbol)
        if topic is not None:
            if not topic.is_dirty:
                self._begin(topic)
            cast("BarTopic", topic).add(bar)

    def step(self, now_ns: int, *, may_lead: bool = True) -> list[Batches]:
        """What is to be sent now: all if the window is over, else to those that need not wait.

        *may_lead*: nothing waits to be written. Else a gateway that is behind would serve everybody
        more often the longer it takes.
        """
        if not self._dirty:
            return []
        if self.due_ns is None:
            self.due_ns = now_ns + self.interval_ns
            if self.interval_ns:
                self.due_ns -= (self.due_ns - self._offset_ns) % self.interval_ns
                if self.due_ns - now_ns < _EARLY_NS:
                    self.due_ns += self.interval_ns
        if now_ns >= self.due_ns:
            return self.flush(now_ns)
        sends = self.lead(now_ns) if may_lead else []
        if self._waiting > _MANY:
            self.prepare()
        return sends

    def prepare(self) -> None:
        """Encode what has come so far, so that little is left to do when the window ends."""
        self._sort()
        self._waiting = 0
        for topic in self._dirty:
            for spelling, codec, _ in self.routes.receivers(topic):
                topic.prepare(spelling, codec)

    def lead(self, now_ns: int) -> list[Batches]:
        """Batches for clients that were sent nothing for a whole window: they do not wait.

        They get all that is pending for them, so that order is kept between channels as well.
        """
        idle = self._idle(now_ns - self.interval_ns)
        self._fresh.clear()
        if not idle:
            return []
        self._sort()
        touched = self._collect(idle)
        for group in touched:
            for topic in self._dirty if group.has_star else _topics_of(group):
                self._mark(group, topic)
        return self._sends(touched, now_ns)

    def flush(self, now_ns: int) -> list[Batches]:
        """End the window: one batch for each group that has something to get."""
        self._sort()
        styles = self._in_bursts()
        others = self._not_in(styles) if styles else None
        bursts = self._bursts(styles, others or (), now_ns)
        self._bursting = [burst for burst in self._bursting if not burst.done] + bursts
        made = bursts + self._sends(self._collect(others), now_ns)
        for topic in self._dirty:
            topic.clear()
            topic.slot = NO_SLOT
            self.routes.retire(topic)
        self._dirty.clear()
        self._slots.clear()
        self._fresh.clear()
        self._clear_marks()
        self._waiting, self.due_ns = 0, None
        return made

    def join(self, client: Client, variants: Iterable[Variant], sent_ns: int) -> None:
        """Put *client*, which has no group, where it is sent what is published from now on.

        It was sent data last at *sent_ns*; clients that join a group there is take over its time.
        """
        group = self._group_for(canonical(variants), client.style, sent_ns)
        group.clients[client] = None
        client.group = group
        self.clients += 1
        self._leave_out(client)

    def leave(self, client: Client) -> None:
        """Forget *client*; what was pending for it is dropped."""
        group, client.group = client.group, None
        assert group is not None  # the hub asks for members only
        del group.clients[client]
        self.clients -= 1
        if not group.clients:
            self.routes.unlink(group)
            self._marked.pop(group, None)
            if not group.solo:
                alike = self._groups[group.style]
                del alike[group.variants]
                if not alike:
                    del self._groups[group.style]

    def pending_of(self, client: Client) -> list[Send]:
        """What the next flush would send to *client*, now and to it alone."""
        own = client.group
        assert own is not None  # the hub asks for members only
        self._sort()
        self._collect((own,))
        parts, own.parts = own.parts, []
        return [self._batch((client,), own.style, parts, {})] if parts else []

    def _begin(self, topic: Topic) -> None:
        self._dirty.append(topic)
        self._fresh.append(topic)

    def _slot(self, topic: Topic) -> int:
        if topic.slot == NO_SLOT:
            if not topic.is_dirty:  # no notice came before
                self._begin(topic)
            topic.slot = len(self._slots)
            self._slots.append(cast("TradeTopic", topic))
        return topic.slot

    def _sort(self) -> None:
        """Bring the ticks of the blocks that came to their topics."""
        if self._blocks:
            for code, run in runs(self._blocks).items():
                self._slots[code].add(run)
            self._blocks = []

    def _idle(self, since_ns: int) -> dict[Group, None]:
        """The receivers of fresh topics that were sent nothing since then."""
        found: dict[Group, None] = {}
        for topic in self._fresh:
            for _, _, groups in self.routes.receivers(topic):
                found |= dict.fromkeys([g for g in groups if g.sent_ns <= since_ns])
        return found

    def _collect(self, some: Collection[Group] | None) -> list[Group]:
        """Let *some* groups (None: all) have what is pending for them; those that got any.

        Few are led to their own topics; all are found by the topics, as are those with a ``*``.
        """
        touched: list[Group] = []
        if some is not None:
            look_up([group for group in some if not group.has_star], touched)
            some = [group for group in some if group.has_star]
            if not some:
                return touched
        for topic in sorted(self._dirty, key=_rank):
            for spelling, codec, groups in self.routes.receivers(topic):
                own = groups if some is None else [group for group in some if group in groups]
                spread(topic, spelling, codec, groups=own, touched=touched)
        return touched

    def _group_for(self, variants: tuple[Variant, ...], style: Style, sent_ns: int) -> Group:
        """The group to join: in the middle of a window one of its own, told apart by its marks."""
        group = None if self._dirty else self._groups.get(style, {}).get(variants)
        if group is None:
            group = Group(variants, style, sent_ns=sent_ns)
            self.routes.link(group)
            if self._dirty:
                self._sort()
                group.solo = True
                for topic in self._dirty:
                    self._mark(group, topic)
            else:
                self._groups.setdefault(style, {})[variants] = group
        return group

    def _in_bursts(self) -> list[Style]:
        """Styles with so many groups that each of these rather looks up its own fragments."""
        return [
            style
            for style, groups in self._groups.items()
            if len(groups) >= self._crowds.groups and style.mode is Mode.ALL and not style.deflate
        ]

    def _not_in(self, styles: Sequence[Style]) -> dict[Group, None]:
        """The groups that no burst of *styles* serves, as it knows nothing of marks and ``*``."""
        found = dict(self._marked)
        for style, groups in self._groups.items():
            if style not in styles:
                found |= dict.fromkeys(groups.values())
        for stars in self.routes.wild.values():
            for star in stars:
                found |= star.groups
        return found

    def _bursts(
        self, styles: Sequence[Style], others: Collection[Group], now_ns: int
    ) -> list[Burst]:
        """The batches of the groups of *styles*, but for *others*."""
        found: list[Burst] = []
        for style in styles:
            fragments: dict[Variant, Fragment] = {}
            for topic in self._dirty:
                for variant in topic.variants:
                    if variant.codec is style.codec:
                        fragments[variant] = topic.whole(variant.spelling, variant.codec)
            cursor = cursor_fragment(self._cursor(), style.codec) if style.cursor else None
            all_groups = tuple(self._groups[style].values())
            found.append(
                Burst(
                    Shelf(fragments, cursor, codec=style.codec, limit_bytes=self._limit_bytes),
                    [group for group in self._turned(all_groups) if group not in others],
                    now_ns=now_ns,
                    turned=self._turned,
                )
            )
        return found

    def _sends(self, touched: Sequence[Group], now_ns: int) -> list[Batches]:
        sends: list[Batches] = []
        cursors: dict[Codec, Fragment] = {}
        for group in touched:
            group.sent_ns = now_ns
            parts, group.parts = group.parts, []
            clients = self._turned(tuple(group.clients))
            sends.append(self._batch(clients, group.style, parts, cursors))
        self._turn += 1  # who is served first changes from window to window
        turn = self._turn % len(sends) if sends else 0
        return sends[turn:] + sends[:turn]

    def _batch(
        self,
        clients: tuple[Client, ...],
        style: Style,
        parts: list[Fragment],
        cursors: dict[Codec, Fragment],
    ) -> Send:
        """*parts*, with the cursor last where it is wanted; *cursors* has those made just now."""
        messages = sum([part.count for part in parts])
        if style.cursor:
            if style.codec not in cursors:
                cursors[style.codec] = cursor_fragment(self._cursor(), style.codec)
            parts.append(cursors[style.codec])
        return Send(clients, style, parts, messages=messages, limit_bytes=self._limit_bytes)

    def _turned(self, some: tuple[T, ...]) -> tuple[T, ...]:
        if len(some) < 2:
            return some
        turn = self._turn * _STRIDE % len(some)
        return some[turn:] + some[:turn]

    def _mark(self, group: Group, topic: Topic) -> None:
        group.mark(topic, topic.count)
        self._marked[group] = None

    def _leave_out(self, client: Client) -> None:
        """Bursts under way are of before *client* was in its group."""
        for burst in self._bursting:
            burst.leave_out(client)

    def _clear_marks(self) -> None:
        marked, self._marked = self._marked, {}
        for group in marked:
            group.unmark()
            if group.solo:
                self._merge(group)

    def _merge(self, solo: Group) -> None:
        """A new window begins: *solo* differs no more from others with its subscriptions."""
        shared = self._groups.setdefault(solo.style, {}).setdefault(solo.variants, solo)
        solo.solo = False
        if shared is not solo:
            for client in solo.clients:
                client.group = shared
                shared.clients[client] = None
                self._leave_out(client)
            self.routes.unlink(solo)


_STRIDE: Final = 997  # a prime: the first of a large group changes far, not to its neighbour


def _rank(topic: Topic) -> int:
    return RANK[topic.channel]


def _topics_of(group: Group) -> list[Topic]:
    """Those with messages in this window."""
    topics = (variant.topic for variant in group.variants)
    return [topic for topic in topics if topic is not None and topic.is_dirty]
