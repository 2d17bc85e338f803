"""The hub: who is subscribed to what, in which style; lanes for each length of window. Pure."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from core.market.bar import Bar
from core.market.block import Ticks
from core.market.errors import SymbolError
from core.market.notice import Notice
from core.market.symbol import Symbol
from gateway.access.entitlement import Entitlement
from gateway.access.grant import ANYBODY, Caller
from gateway.burst import Crowds
from gateway.channels import SILENT, Codec
from gateway.conflation import cursor_fragment
from gateway.frames import Fragment
from gateway.lane import Lane
from gateway.market import MarketState, NotAStock
from gateway.messages import (
    DEFAULTS,
    INSUFFICIENT,
    INVALID_SYNTAX,
    NOT_ON_THIS_FEED,
    SYMBOL_LIMIT,
    Name,
    Options,
    RequestError,
)
from gateway.routes import Batches, Group, NotPermitted, Routes, Send, Style, Variant
from gateway.snapshot import snapshot_fragments
from gateway.wire import Client

_MS_NS: Final = 1_000_000
_PHASES: Final = (0.0, 0.5, 0.25, 0.75)
"""Where in an interval the windows of its lanes end: when one is full the next is begun, so that
very many clients are not all served at the same moment, and the last of them late."""

_CROWDS: Final = Crowds()

LaneKey = tuple[int, int]
"""Milliseconds of a window, and which of the phases it has."""


def _no_cursor() -> str:
    return ""


class Hub:
    """Routes messages to groups of clients. One task owns it: the gateway's event loop."""

    def __init__(
        self,
        *,
        market: MarketState,
        interval_ms: int,
        max_message_bytes: int,
        max_symbols: int,
        cursor: Callable[[], str] = _no_cursor,
        crowds: Crowds = _CROWDS,
    ) -> None:
        """*interval_ms* is the window of clients that ask for none.

        *max_symbols* bounds the different spellings that one client subscribes to; *cursor* gives
        the text of a cursor behind everything that was published up to the call.
        """
        self.subscribers = 0  # clients with a channel that carries something by now
        self._market = market
        self._interval_ms = interval_ms
        self._max_message_bytes, self._max_symbols = max_message_bytes, max_symbols
        self._cursor, self._crowds = cursor, crowds
        self._lanes: dict[LaneKey, Lane] = {}
        self._styles: dict[Style, Style] = {}

    @property
    def pending(self) -> bool:
        """Are there messages that the next flush will send?"""
        return any(lane.pending for lane in self._lanes.values())

    @property
    def due_ns(self) -> int | None:
        """When the next window ends of those that have something to send."""
        due = [lane.due_ns for lane in self._lanes.values() if lane.due_ns is not None]
        return min(due, default=None)

    def style(self, codec: Codec, *, deflate: bool = False) -> Style:
        """The style of a new client."""
        return self._shared(Style(codec, self._interval_ms, deflate=deflate))

    def carry(self, symbols: Iterable[Symbol]) -> None:
        """Venues carry *symbols* from now on."""
        found = list(symbols)
        for lane in self._lanes.values():
            lane.routes.bind(found)

    def publish_ticks(self, ticks: Ticks) -> None:
        """Take in ticks, one at least."""
        for lane in self._lanes.values():
            lane.publish_ticks(ticks)

    def publish_notices(self, notices: Sequence[Notice]) -> None:
        """Take in *notices* about ticks that were published before."""
        for lane in self._lanes.values():
            lane.publish_notices(notices)

    def publish_bar(self, bar: Bar) -> None:
        """Take in a running, closed or revised bar."""
        for lane in self._lanes.values():
            lane.publish_bar(bar)

    def step(self, now_ns: int, *, may_lead: bool = True) -> list[Batches]:
        """What is to be sent now that something was published, or a window is over.

        *may_lead*: nothing waits to be written, so that quiet clients are served at once.
        """
        return self._sends(lambda lane: lane.step(now_ns, may_lead=may_lead))

    def prepare(self) -> None:
        """Encode what has come so far; lanes do so themselves when much has come."""
        for lane in self._lanes.values():
            lane.prepare()

    def flush(self, now_ns: int) -> list[Batches]:
        """End all windows early."""
        return self._sends(lambda lane: lane.flush(now_ns))

    def names(self, client: Client) -> set[Name]:
        """What *client* is subscribed to."""
        return client.group.names() if client.group else set()

    def subscribe(
        self,
        client: Client,
        names: Sequence[Name],
        now_ns: int,
        options: Options = DEFAULTS,
        caller: Caller = ANYBODY,
    ) -> list[Send]:
        """Add *names* to what *client* gets; the batch that must go out before the reply, if any.

        *options* hold for the whole session from then on. *caller* owns the client.

        Raises:
            RequestError: a name is ill-formed or ambiguous (400), no stock where there are only
                such (410), not theirs to read (409), or there would be too many (405); nothing
                has changed then. It tells of the first, and lists all that are refused.
        """
        _check_channels(names, caller)
        style = self._styled(client, options)
        current = client.group.variants if client.group else ()
        held = {(variant.channel, variant.spelling): variant for variant in current}
        wanted = dict.fromkeys(names) | held
        if client.group is not None and style is client.style and len(wanted) == len(held):
            # Nothing changes; a cursor that follows stands behind what is pending.
            is_pending = self._lanes[_key(style)].pending
            return self._move(client, style, current, now_ns) if is_pending else []
        self._check_number({spelling for _, spelling in wanted})
        lane = self._lane(_key(style))
        scope = scope_of(caller)
        variants: list[Variant] = []
        refusals: dict[str, RequestError] = {}
        for name, variant in wanted.items():
            try:
                variants.append(lane.routes.variant(name, style.codec, held=variant, scope=scope))
            except (SymbolError, NotPermitted) as exc:
                refusals.setdefault(name[1], _refusal(exc))
        if refusals:
            self._tidy(_key(style))
            raise _of_all(refusals)
        return self._move(client, style, variants, now_ns)

    def regrant(self, client: Client, caller: Caller, now_ns: int) -> list[Send]:
        """*caller*, who owns *client*, may read other things now: it keeps what is among them.

        Returns what is to go out before anything else.
        """
        group, style = client.group, client.style
        if group is None:
            return []
        routes, scope = self._lane(_key(style)).routes, scope_of(caller)
        kept: list[Variant] = []
        for old in group.variants:
            if caller.permits_channel(old.channel):
                name = (old.channel, old.spelling)
                held = None if old.symbol is None else old  # what waits may lead elsewhere now
                with contextlib.suppress(SymbolError, NotPermitted):
                    kept.append(routes.variant(name, style.codec, held=held, scope=scope))
        return self._move(client, style, kept, now_ns)

    def permitted(self, client: Client, names: Iterable[Name], caller: Caller) -> list[Name]:
        """Those of *names* that *caller*, who owns *client*, may read; of what it can be told."""
        key, codec, scope = _key(client.style), client.style.codec, scope_of(caller)
        routes, found = self._lane(key).routes, list[Name]()
        for name in names:
            if caller.permits_channel(name[0]):
                with contextlib.suppress(NotPermitted):
                    with contextlib.suppress(SymbolError):  # is said when it is subscribed to
                        routes.variant(name, codec, scope=scope)
                    found.append(name)
        self._tidy(key)
        return found

    def unsubscribe(self, client: Client, names: Iterable[Name], now_ns: int) -> list[Send]:
        """Take *names* away; the batch that must go out before the reply, if any."""
        if client.group is None:
            return []
        unwanted = set(names)
        current = client.group.variants
        kept = [v for v in current if (v.channel, v.spelling) not in unwanted]
        if len(kept) == len(current):
            return []
        return self._move(client, client.style, kept, now_ns)

    def leave(self, client: Client) -> None:
        """Forget *client*; what was pending for it is dropped."""
        if client.group is not None:
            self.subscribers -= _listens(client.group)
            self._lanes[_key(client.style)].leave(client)
            self._tidy(_key(client.style))

    def snapshot(self, client: Client, names: Sequence[Name]) -> list[Send]:
        """The last trades and the running bars of *names*, which *client* is subscribed to."""
        if client.group is None:
            return []
        held, codec = client.group.variants, client.style.codec
        by_name = {(v.channel, v.spelling): v for v in held}
        wanted = [by_name[name] for name in names if name in by_name]
        fragments = snapshot_fragments(self._market, wanted, codec, held=held)
        return [self._alone(client, fragments)] if fragments else []

    def cursor(self, client: Client) -> list[Send]:
        """A cursor by itself, if *client* asked for them.

        It stands behind everything that was published, so what is pending must have been sent.
        """
        text = self._cursor() if client.style.cursor else ""
        if not text:  # or the gateway does not know yet where its streams stand
            return []
        return [self._alone(client, [cursor_fragment(text, client.style.codec)])]

    def catch_up(self, client: Client, now_ns: int) -> list[Send]:
        """What is pending for *client*, then a cursor; for one with a subscription."""
        group, style = client.group, client.style
        if group is None:
            return []
        sends: list[Send] = []
        if self._lanes[_key(style)].pending:
            sends = self._move(client, style, group.variants, now_ns)
        return sends or self.cursor(client)

    def frame(self, style: Style, parts: Sequence[Fragment]) -> bytes:
        """*parts* as the frames of one batch in *style*."""
        return Send((), style, parts, messages=0, limit_bytes=self._max_message_bytes).framed()

    def _sends(self, work: Callable[[Lane], list[Batches]]) -> list[Batches]:
        sends: list[Batches] = []
        for key, lane in list(self._lanes.items()):
            sends += work(lane)
            self._tidy(key)
        return sends

    def _alone(self, client: Client, parts: Sequence[Fragment]) -> Send:
        messages = sum(part.count for part in parts)
        return Send(
            (client,), client.style, parts, messages=messages, limit_bytes=self._max_message_bytes
        )

    def _check_number(self, spellings: set[str]) -> None:
        if len(spellings) > self._max_symbols:
            raise RequestError(
                SYMBOL_LIMIT,
                f"{len(spellings)} symbols are more than the {self._max_symbols} that one "
                "connection may have; nothing was added",
            )

    def _styled(self, client: Client, options: Options) -> Style:
        style = client.style
        interval_ms = style.interval_ms if options.interval_ms is None else options.interval_ms
        phase = style.phase
        if client.group is None or interval_ms != style.interval_ms:
            phase = self._phase(interval_ms)
        return self._shared(
            style._replace(
                mode=style.mode if options.mode is None else options.mode,
                interval_ms=interval_ms,
                cursor=style.cursor if options.cursor is None else options.cursor,
                phase=phase,
            )
        )

    def _phase(self, interval_ms: int) -> int:
        """The first whose lane has room; when all are full, the emptiest."""
        if not interval_ms:
            return 0
        lanes = [self._lanes.get((interval_ms, phase)) for phase in range(len(_PHASES))]
        sizes = [lane.clients if lane else 0 for lane in lanes]
        with_room = (phase for phase, size in enumerate(sizes) if size < self._crowds.clients)
        return next(with_room, sizes.index(min(sizes)))

    def _shared(self, style: Style) -> Style:
        """One object for equal styles; there are at most some dozen per length of window."""
        return self._styles.setdefault(style, style)

    def _lane(self, key: LaneKey) -> Lane:
        lane = self._lanes.get(key)
        if lane is None:
            interval_ms, phase = key
            lane = self._lanes[key] = Lane(
                Routes(self._market),
                interval_ns=interval_ms * _MS_NS,
                offset_ns=int(interval_ms * _MS_NS * _PHASES[phase]),
                limit_bytes=self._max_message_bytes,
                cursor=self._cursor,
                crowds=self._crowds,
            )
        return lane

    def _tidy(self, key: LaneKey) -> None:
        """Forget a lane that nobody is in; the lanes there are so never outnumber the clients."""
        lane = self._lanes.get(key)
        if lane is not None and lane.empty:
            del self._lanes[key]

    def _move(
        self, client: Client, style: Style, variants: Sequence[Variant], now_ns: int
    ) -> list[Send]:
        """Take *client* to another group, perhaps in another lane, and let nothing get lost."""
        before, lane = client.group, self._lane(_key(style))
        sends: list[Send] = []
        if before is not None:
            sends = self._lanes[_key(client.style)].pending_of(client)
        sent_ns = now_ns - lane.interval_ns
        if before is not None:
            sent_ns = now_ns if sends else before.sent_ns
        old_style, client.style, client.group = client.style, style, None
        if variants:  # first, so that no name is unbound in between
            lane.join(client, variants, sent_ns)
        after = client.group
        if before is not None:
            client.style, client.group = old_style, before
            self.leave(client)
            client.style, client.group = style, after
        if after is not None:
            self.subscribers += _listens(after)
        self._tidy(_key(style))
        return sends


def _check_channels(names: Iterable[Name], caller: Caller) -> None:
    channels = dict.fromkeys(channel for channel, _ in names)
    refused = [channel for channel in channels if not caller.permits_channel(channel)]
    if refused:
        words = f"insufficient subscription: channel {refused[0]}"
        raise RequestError(INSUFFICIENT, words, {"channels": refused})


def scope_of(caller: Caller) -> Entitlement | None:
    """What bounds the names of *caller*; None: nothing."""
    return None if caller.symbols.everything else caller.symbols


def _refusal(error: SymbolError | NotPermitted) -> RequestError:
    if isinstance(error, NotPermitted):
        what = f"symbol {error.spelling[:60]!a} is not among those that your key may read"
        return RequestError(INSUFFICIENT, f"insufficient subscription: {what}")
    code = NOT_ON_THIS_FEED if isinstance(error, NotAStock) else INVALID_SYNTAX
    return RequestError(code, str(error))


def _of_all(refusals: Mapping[str, RequestError]) -> RequestError:
    """The first of them, by the name that it is about, with the names of all."""
    first, *others = refusals.values()
    more = f"; refused as well: {len(others)} more" if others else ""
    return RequestError(first.code, first.reason + more, {"symbols": list(refusals)})


def _key(style: Style) -> LaneKey:
    return style.interval_ms, style.phase


def _listens(group: Group) -> bool:
    return any(variant.channel not in SILENT for variant in group.variants)
