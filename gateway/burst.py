"""The end of a window for very many groups: batches are put together as they are served. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.channels import Mode
from gateway.frames import Fragment
from gateway.routes import Group, Served, Style, Variant
from gateway.sheet import Sheet, Shelf, lay
from gateway.wire import Client, PlainWire, Receivers, Wire, hand_over

_GROUPS: Final = 1024  # whose batches are laid out together; about 3 ms where all have one
_PLAIN: Final = PlainWire()


class Burst:
    """A window's batches for groups of one style. Who is in which group is as at its end.

    Groups with different subscriptions have nothing to share but their fragments; so each looks
    up its own, instead of every fragment being brought to all its groups first.
    """

    def __init__(
        self,
        style: Style,
        fragments: Mapping[Variant, Fragment],
        entries: list[tuple[Group, tuple[Client, ...]]],
        *,
        cursor: Fragment | None,
        now_ns: int,
        limit_bytes: int,
    ) -> None:
        """*fragments*: what the window has for each variant, all of it; *cursor* comes last.

        *style* compresses nothing, and takes all messages.
        """
        self._shelf = Shelf(fragments, cursor, codec=style.codec, limit_bytes=limit_bytes)
        self._entries, self._now_ns = entries, now_ns
        self._at = self._laid_from = self._laid_to = 0
        self._sheet: Sheet | None = None  # of the entries from _laid_from to _laid_to
        self._messages: list[int] = []  # for each of these
        self._before_ns = [group.sent_ns for group, _ in entries]
        for group, _ in entries:
            group.sent_ns = now_ns  # they are not to be served meanwhile as if they were idle

    @property
    def done(self) -> bool:
        return self._at >= len(self._entries)

    def serve(self, most: int, wire: Wire = _PLAIN) -> Served:
        """Groups are not divided: one may have more clients than *most*."""
        if self._at == self._laid_to:
            self._lay()
        receivers: list[Receivers] = []
        batches = messages = 0
        while batches < most and self._at < self._laid_to:
            number = self._at - self._laid_from
            clients = self._entries[self._at][1]
            self._at += 1
            if clients and self._messages[number]:
                receivers.append((number, clients))
                batches += len(clients)
                messages += len(clients) * self._messages[number]
        if receivers:
            assert self._sheet is not None  # there are receivers
            wire.each_its_own(self._sheet, receivers)
        return Served(batches, messages)

    def settle(self, client: Client) -> None:
        for at in range(self._at, len(self._entries)):
            group, clients = self._entries[at]
            if group is client.group and client in clients:
                self._entries[at] = group, tuple(c for c in clients if c is not client)
                sheet = lay(self._shelf, [group.codes])
                if sheet.messages[0]:
                    hand_over(sheet.framed(0), (client,))

    def _lay(self) -> None:
        """Lay out the batches of the next groups."""
        start, stop = self._at, min(len(self._entries), self._at + _GROUPS)
        groups = [group for group, _ in self._entries[start:stop]]
        self._sheet = lay(self._shelf, [group.codes for group in groups])
        self._messages = self._sheet.messages.tolist()
        for number, count in enumerate(self._messages):
            if not count and groups[number].sent_ns == self._now_ns:
                groups[number].sent_ns = self._before_ns[start + number]
        self._laid_from, self._laid_to = start, stop


def look_up(groups: Iterable[Group], touched: list[Group]) -> None:
    """Let each of *groups* find what it has not had of the window, by its own names."""
    made: dict[tuple[Variant, int, Mode], Fragment | None] = {}
    for group in groups:
        mode = group.style.mode
        for variant in group.variants:
            topic = variant.topic
            if topic is None or not topic.count:
                continue
            key = variant, group.marks.get(topic, 0), mode
            if key not in made:
                made[key] = topic.part(variant.spelling, variant.codec, *key[1:])
            part = made[key]
            if part is not None:
                group.parts.append(part)
        if group.parts:
            touched.append(group)
