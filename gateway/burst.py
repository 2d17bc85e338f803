"""The end of a window for very many groups: batches are put together as they are served. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from gateway.channels import Mode
from gateway.frames import Fragment, frame_batch
from gateway.routes import Client, Group, Served, Style, Variant, hand_over

_GROUPS_PER_CLIENT: Final = 8  # looked through in the time that one client takes to be served


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
        """*fragments*: what the window has for each variant, all of it; *cursor* comes last."""
        self._style, self._fragments, self._entries = style, fragments, entries
        self._cursor, self._now_ns, self._limit_bytes = cursor, now_ns, limit_bytes
        self._at = 0
        self._before_ns = [group.sent_ns for group, _ in entries]
        for group, _ in entries:
            group.sent_ns = now_ns  # they are not to be served meanwhile as if they were idle

    @property
    def done(self) -> bool:
        return self._at >= len(self._entries)

    def serve(self, most: int) -> Served:
        """Groups are not divided: one may have more clients than *most*."""
        batches = messages = 0
        stop = min(len(self._entries), self._at + most * _GROUPS_PER_CLIENT)
        while batches < most and self._at < stop:
            group, clients = self._entries[self._at]
            served = self._serve(group, clients)
            if not served.batches and group.sent_ns == self._now_ns:
                group.sent_ns = self._before_ns[self._at]
            self._at += 1
            batches += served.batches
            messages += served.messages
        return Served(batches, messages)

    def settle(self, client: Client) -> None:
        for at in range(self._at, len(self._entries)):
            group, clients = self._entries[at]
            if group is client.group and client in clients:
                self._entries[at] = group, tuple(c for c in clients if c is not client)
                self._serve(group, (client,))

    def _serve(self, group: Group, clients: tuple[Client, ...]) -> Served:
        parts = list(filter(None, map(self._fragments.get, group.variants)))
        if not parts or not clients:
            return _NOBODY
        messages = sum([part.count for part in parts])
        if self._cursor is not None:
            parts.append(self._cursor)
        style = self._style
        framed = frame_batch(parts, style.codec, self._limit_bytes, deflate=style.deflate)
        hand_over(framed, clients)
        return Served(len(clients), messages * len(clients))


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


_NOBODY: Final = Served(0, 0)
