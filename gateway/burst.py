"""The end of a window for very many groups: batches are put together as they are served. Pure."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from gateway.channels import Codec, Mode
from gateway.frames import Fragment
from gateway.routes import Group, Served, Variant
from gateway.sheet import Sheet, Shelf, lay
from gateway.topics import Topic
from gateway.wire import PLAIN, Client, Receivers, Wire, hand_over

_GROUPS: Final = 1024  # whose batches are laid out together; about 3 ms where all have one


class Crowds(NamedTuple):
    """From when on clients are very many."""

    groups: int = 64  # of a style in a lane: a window's end is a burst
    clients: int = 5_000  # of a lane: it is full, the next are served at another moment


class Burst:
    """A window's batches for groups of one style, for those who were in them at its end.

    Groups with different subscriptions have nothing to share but their fragments; so each looks
    up its own, instead of every fragment being brought to all its groups first. Nothing is done
    for a group before its turn.
    """

    def __init__(
        self,
        shelf: Shelf,
        groups: Sequence[Group],
        *,
        now_ns: int,
        turned: Callable[[tuple[Client, ...]], tuple[Client, ...]],
    ) -> None:
        """*shelf* has all of the window for *groups*, which take all of it and no compression.

        *turned* brings a group's clients into the order in which they are served.
        """
        self._shelf = shelf
        self._groups, self._now_ns, self._turned = groups, now_ns, turned
        self._at = self._laid_from = self._laid_to = 0
        self._sheet: Sheet | None = None  # of the groups from _laid_from to _laid_to
        self._messages: list[int] = []  # for each of these
        self._without: set[Client] = set()  # who gets nothing any more, or came too late
        self._places: dict[Group, int] = {}  # of all groups, once that is asked for

    @property
    def done(self) -> bool:
        return self._at >= len(self._groups)

    def serve(self, most: int, wire: Wire = PLAIN) -> Served:
        """Groups are not divided: one may have more clients than *most*."""
        if self._at == self._laid_to:
            self._lay()
        receivers: list[Receivers] = []
        batches = messages = 0
        while batches < most and self._at < self._laid_to:
            number = self._at - self._laid_from
            count = self._messages[number]
            if count:
                clients = self._clients_of(self._groups[self._at])
                if clients:
                    receivers.append((number, clients))
                    batches += len(clients)
                    messages += len(clients) * count
            self._at += 1
        if receivers:
            assert self._sheet is not None  # there are receivers
            wire.each_its_own(self._sheet, receivers)
        return Served(batches, messages)

    def settle(self, client: Client) -> None:
        group = client.group
        if group is None or client in self._without:
            return
        if not self._places:
            self._places = {group: at for at, group in enumerate(self._groups)}
        if self._places.get(group, -1) >= self._at:
            self.leave_out(client)
            sheet = lay(self._shelf, [group.codes])
            if sheet.messages[0]:
                group.sent_ns = self._now_ns
                hand_over(sheet.framed(0), (client,))

    def leave_out(self, client: Client) -> None:
        """Whatever its group gets, *client* gets nothing."""
        self._without.add(client)

    def _clients_of(self, group: Group) -> tuple[Client, ...]:
        clients = self._turned(tuple(group.clients))
        if self._without:
            return tuple(client for client in clients if client not in self._without)
        return clients

    def _lay(self) -> None:
        """Lay out the batches of the next groups."""
        start, stop = self._at, min(len(self._groups), self._at + _GROUPS)
        some = self._groups[start:stop]
        self._sheet = lay(self._shelf, [group.codes for group in some])
        self._messages = self._sheet.messages.tolist()
        for group, count in zip(some, self._messages, strict=True):
            if count:
                group.sent_ns = self._now_ns
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


def spread(
    topic: Topic,
    spelling: str,
    codec: Codec,
    *,
    groups: Iterable[Group],
    touched: list[Group],
) -> None:
    """Give each of *groups* what it has not had of *topic*; equal parts are made once."""
    whole: Fragment | None = None
    made: dict[tuple[int, Mode], Fragment | None] = {}
    for group in groups:
        start, mode = 0, group.style.mode
        if group.marks:
            start = group.marks.get(topic, 0)
        if start or mode is not Mode.ALL:
            if (start, mode) not in made:
                made[start, mode] = topic.part(spelling, codec, start, mode)
            fragment = made[start, mode]
            if fragment is None:
                continue
        else:  # nearly all
            if whole is None:
                whole = topic.whole(spelling, codec)
            fragment = whole
        if not group.parts:
            touched.append(group)
        group.parts.append(fragment)
