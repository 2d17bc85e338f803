"""Who comes back gets what it missed once and in order, or is told of a gap, whatever happens."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.channels import Channel, Codec, Mode
from gateway.messages import Name
from gateway.resumer import Bounds
from storage.entry_id import ZERO_ID
from storage.keys import shard_of
from tests.property.gateway.streams import KEYS, SHARDS, Client, Gateway, World

SYMBOLS = ("X:A", "X:B", "X:E", "Y:D")  # X:E is in the other shard
SPELLINGS = ("X:A", "a", "X:E", "Y:D", "*")
names = st.sets(
    st.tuples(
        st.sampled_from([Channel.TRADES, Channel.TRADES, Channel.BARS, Channel.RUNNING_BARS]),
        st.sampled_from(SPELLINGS),
    ),
    min_size=1,
    max_size=4,
).map(lambda some: tuple(sorted(some)))
Steps = list[tuple[Any, ...]]
clients, gateways = st.integers(0, 3), st.integers(0, 1)
published = st.tuples(
    st.sampled_from(["trade", "trade", "cancel", "bar"]), st.sampled_from(["X:A", *SYMBOLS])
)
work = st.one_of(
    published,
    published,
    st.tuples(st.just("read"), gateways, st.integers(0, 3)),
    st.tuples(st.just("read"), gateways, st.just(99)),
    st.tuples(st.sampled_from(["flush", "step"]), gateways),
)
rounds = st.tuples(st.just("round"), gateways, st.lists(st.integers(0, 7), max_size=3))
trouble = st.one_of(
    st.tuples(st.just("restart"), gateways),
    st.tuples(st.just("trim"), st.integers(0, 7)),
    st.tuples(st.just("lose"), st.sampled_from(SYMBOLS)),
    st.tuples(st.just("wipe")),
)
regrants = st.tuples(st.just("regrant"), clients, st.booleans())
mends = st.tuples(st.just("mend"), st.integers(0, 5))


@st.composite
def absences(draw: st.DrawFn) -> Steps:
    """Some clients go; the market moves on; they come back in the middle of it."""
    gone = draw(st.sets(clients, min_size=1))
    steps: Steps = draw(st.lists(published, max_size=3))
    at = draw(gateways)
    steps += draw(st.sampled_from([[], [("read", at, 99), ("flush", at)]]))
    steps += [("cut", client, draw(st.integers(0, 3))) for client in gone]
    steps += draw(st.lists(work | published | trouble, max_size=8))
    for client in gone:
        at = draw(gateways)
        steps += [("back", client, at), *draw(st.lists(work | trouble | regrants, max_size=2))]
        steps += draw(st.sampled_from([[], [("round", at, [])]]))
    if draw(st.booleans()):
        steps += [("regrant", client, True) for client in gone]
        steps += [("round", 0, []), ("round", 1, [])]
    return steps + draw(st.lists(work | rounds | trouble | regrants, max_size=6))


@st.composite
def failovers(draw: st.DrawFn) -> Steps:
    """A client comes back to streams that lack what was published last, until it is repeated."""
    index, at, back_at = draw(clients), draw(gateways), draw(gateways)
    some = st.lists(published, min_size=1, max_size=4)
    steps: Steps = [*draw(some), ("read", at, 99), ("flush", at), ("cut", index, 0)]
    steps += [*draw(some), ("read", at, 99)]
    steps += [("tear", key, draw(st.integers(1, 3))) for key in draw(st.sets(st.integers(0, 5)))]
    steps += [("back", index, back_at), ("round", back_at, [])]
    return steps + draw(st.lists(work | rounds | mends | regrants, max_size=4))


scripts = st.lists(st.lists(work, max_size=8) | absences() | failovers(), max_size=6).map(
    lambda some: [step for steps in some for step in steps]
)

bounds = st.builds(
    Bounds,
    read_bytes=st.sampled_from([600, 6_000, 1 << 20]),
    tail_bytes=st.sampled_from([600, 1_500, 1 << 20]),
    stop_messages=st.sampled_from([1, 2, 1_000]),
)


class Play:
    """Two gateways on the same streams, and four clients."""

    def __init__(self, wanted: list[tuple[Name, ...]], modes: list[Mode], bounds: Bounds) -> None:
        self.world, self.bounds = World(), bounds
        self.gateways = [self._gateway(), self._gateway()]
        self.world.gateways = self.gateways
        codecs = [Codec.JSON, Codec.MSGPACK] * 2
        self.clients = [Client(*each) for each in zip(wanted, codecs, modes, strict=True)]
        for client in self.clients:
            self.gateways[0].connect(client)

    def trade(self, symbol: str) -> None:
        self.world.trade(symbol)

    def cancel(self, symbol: str) -> None:
        self.world.trade(symbol, cancel=True)

    def lose(self, symbol: str) -> None:
        """A block gets lost; who is live has bad luck, so all come back later."""
        for index in range(len(self.clients)):
            self.cut(index, 0)
        self.world.trade(symbol, lost=1)

    def bar(self, symbol: str) -> None:
        self.world.bar(symbol)

    def read(self, gateway: int, most: int) -> None:
        self.gateways[gateway].read(most=most)

    def flush(self, gateway: int) -> None:
        self.gateways[gateway].flush()

    def step(self, gateway: int) -> None:
        self.gateways[gateway].step()

    def cut(self, index: int, missing: int) -> None:
        """The client's last messages did not arrive; it takes for received what has a cursor."""
        client = self.clients[index]
        if client.at is None:
            return
        client.at.cut(client)
        kept = client.log[: max(client.safe, len(client.log) - missing)]
        while kept[-1]["T"] != "cursor":
            kept.pop()
        client.log = kept

    def back(self, index: int, gateway: int) -> None:
        client = self.clients[index]
        if client.at is None:
            self.gateways[gateway].connect(client)

    def regrant(self, index: int, later: bool) -> None:
        """A client that resumes has other rights; *later*: in the middle of a round."""
        client = self.clients[index]
        if client.at is not None and later:
            client.at.regrants.append(client)
        elif client.at is not None:
            client.at.regrant(client)

    def round(self, gateway: int, trims: list[int]) -> None:
        self.gateways[gateway].round(trims)

    def trim(self, index: int) -> None:
        self.world.trim(index)

    def tear(self, index: int, most: int) -> None:
        keys = self.world.stream_keys()
        self.world.tear(keys[index % len(keys)], most)

    def mend(self, index: int) -> None:
        keys = self.world.stream_keys()
        self.world.mend(keys[index % len(keys)])

    def restart(self, gateway: int) -> None:
        old = self.gateways[gateway]
        for index, client in enumerate(self.clients):
            if client.at is old:
                self.cut(index, 0)
        self.gateways[gateway] = self._gateway()

    def wipe(self) -> None:
        """Redis comes back empty, once all have received what there was."""
        for gateway in self.gateways:
            gateway.read()
            gateway.flush(after_ms=200)
        if all(client.group is not None for client in self.clients):
            self.world.streams.clear()
            self.world.torn.clear()
            self.world.is_whole = False
            for client in self.clients:
                client.safe = len(client.log)

    def end(self) -> None:
        """Everybody comes to the live end."""
        for key in self.world.stream_keys():
            self.world.mend(key)
        for index in range(len(self.clients)):
            self.back(index, 0)
        for gateway in self.gateways:
            gateway.read()
            for number in range(200):
                if gateway.resumers:
                    gateway.round([], waited=number > 100)
            assert not gateway.resumers
            gateway.read()
            gateway.flush(after_ms=200)

    def _gateway(self) -> Gateway:
        return Gateway(self.world, self.bounds)


@settings(max_examples=600)
@given(
    scripts,
    st.lists(names, min_size=4, max_size=4),
    bounds,
)
def test_nothing_gets_lost_in_silence(
    script: list[tuple[Any, ...]], wanted: list[tuple[Name, ...]], bounds: Bounds
) -> None:
    wanted[2] = wanted[0]  # two with the same names
    play = Play(wanted, [Mode.ALL, Mode.ALL, Mode.ALL, Mode.LATEST], bounds)

    for action, *values in script:
        getattr(play, action)(*values)
    play.end()

    for client in play.clients:
        for name in client.names:
            if name[0] is not Channel.RUNNING_BARS:
                check(play.world, client, name)


def check(world: World, client: Client, name: Name) -> None:
    channel, spelling = name
    if spelling == "*":
        taken = {symbol_of(other) for kind, other in client.names if kind is channel}
        for symbol in SYMBOLS:
            if symbol not in taken:
                check_symbol(world, client, name, symbol, symbol)
    else:
        check_symbol(world, client, name, symbol_of(spelling), spelling)


def check_symbol(world: World, client: Client, name: Name, symbol: str, spelled: str) -> None:
    """What came between two gaps is a piece of what was published, without a hole."""
    channel, spelling = name
    entry_of = {ident: entry_id for entry_id, ident in world.published[channel, symbol]}
    stream = stream_of(channel, symbol)
    published = [
        ident
        for entry_id, ident in world.published[channel, symbol]
        if entry_id > client.began.get(stream, ZERO_ID)
    ]
    begins = ZERO_ID
    pieces: list[list[int]] = [[]]
    kinds = ("t", "x") if channel is Channel.TRADES else ("b",)
    for message in client.log:
        if message["T"] == "gap" and message["S"] == spelling and channel in message["channels"]:
            pieces.append([])
            begins = message["to"].get(stream, ZERO_ID)
            assert not world.is_whole
        elif message["T"] in kinds and message["S"] == spelled:
            ident = message["i"] if "t" in kinds else int(message["o"])
            assert entry_of[ident] > begins  # nothing is recovered in part
            pieces[-1].append(ident)
    flat = [ident for piece in pieces for ident in piece]
    assert flat == sorted(set(flat))
    if client.mode is Mode.LATEST:
        assert set(flat) <= set(published)
        if len(pieces) == 1:
            assert flat[-1:] == published[-1:]
        return
    assert pieces[0] == published[: len(pieces[0])]
    for piece in pieces[1:-1]:
        start = published.index(piece[0]) if piece else 0
        assert piece == published[start : start + len(piece)]
    if len(pieces) > 1:
        assert pieces[-1] == published[len(published) - len(pieces[-1]) :]
    else:
        assert pieces[0] == published


def symbol_of(spelling: str) -> str:
    return {"a": "X:A"}.get(spelling, spelling)


def stream_of(channel: Channel, symbol: str) -> str:
    shard = shard_of(symbol, SHARDS)
    return KEYS.bars(shard) if channel is Channel.BARS else KEYS.ticks(symbol[0].lower(), shard)
