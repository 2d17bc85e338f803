"""Each client gets each message of what it is subscribed to once and in order, whatever comes."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.burst import Crowds
from gateway.channels import Codec, Mode
from gateway.messages import Options
from tests.unit.gateway.listeners import Desk, Listener

SYMBOLS = ("X:A", "X:B", "X:C")
NAMES = ("X:A", "A", "X:B", "b", "X:C", "*")
styles = st.builds(
    Options,
    interval_ms=st.sampled_from([None, 0, 40, 100, 250]),
    cursor=st.sampled_from([None, True]),
)
steps = st.one_of(
    st.tuples(st.sampled_from(["trade", "cancel"]), st.sampled_from(SYMBOLS), st.just("")),
    st.tuples(
        st.sampled_from(["subscribe", "unsubscribe"]), st.integers(0, 2), st.sampled_from(NAMES)
    ),
    st.tuples(st.just("restyle"), st.integers(0, 2), styles),
    st.tuples(
        st.sampled_from(["lead", "flush", "wait", "carry", "prepare", "beat"]),
        st.integers(0, 2),
        st.just(""),
    ),
)


class Play:
    """A hub with three clients, and what each of them must have been sent by now."""

    def __init__(self, *known: str, crowds: Crowds) -> None:
        self.desk = Desk(*known, crowds=crowds)
        self.clients = [Listener(), Listener(Codec.MSGPACK), Listener()]
        self.names: list[set[str]] = [set() for _ in self.clients]
        self.due: list[dict[str, list[int]]] = [{} for _ in self.clients]

    def trade(self, symbol: str, _: str) -> None:
        self.desk.carry(symbol)
        self.desk.trade(symbol)
        self.note(symbol)

    def cancel(self, symbol: str, _: str) -> None:
        self.desk.carry(symbol)
        self.desk.cancel(symbol)
        self.note(symbol)

    def note(self, symbol: str) -> None:
        for subscribed, due in zip(self.names, self.due, strict=True):
            for spelling in spellings(subscribed, symbol):
                due.setdefault(spelling, []).append(self.desk.next_id)

    def subscribe(self, client: int, name: str) -> None:
        self.desk.subscribe(self.clients[client], name)
        self.names[client].add(name)

    def restyle(self, client: int, options: Options) -> None:
        self.desk.subscribe(self.clients[client], options=options)

    def unsubscribe(self, client: int, name: str) -> None:
        self.desk.unsubscribe(self.clients[client], name)
        self.names[client].discard(name)

    def lead(self, *_: object) -> None:
        self.desk.lead()

    def flush(self, *_: object) -> None:
        self.desk.flush(after_ms=30)

    def wait(self, *_: object) -> None:
        self.desk.now_ns += 100_000_000

    def prepare(self, *_: object) -> None:
        self.desk.hub.prepare()

    def carry(self, *_: object) -> None:
        self.desk.carry("X:C")

    def beat(self, client: int, _: str) -> None:
        self.desk.send(self.desk.hub.catch_up(self.clients[client], self.desk.now_ns))


def played(script: list[tuple[str, object, object]], *, known: bool, mode: Mode) -> Play:
    """Scripts of even length meet bursts: they begin with the first group."""
    crowds = Crowds() if len(script) % 2 else Crowds(groups=1, clients=2)
    play = Play(*(SYMBOLS if known else SYMBOLS[:2]), crowds=crowds)
    for client in range(3):
        play.restyle(client, Options(mode=mode))
    for action, what, name in script:
        getattr(play, action)(what, name)
    play.flush()
    return play


@settings(max_examples=400)
@given(st.lists(steps, max_size=40), st.booleans())
def test_delivery(script: list[tuple[str, object, object]], known: bool) -> None:
    play = played(script, known=known, mode=Mode.ALL)

    for client, due in zip(play.clients, play.due, strict=True):
        assert by_spelling(client) == due


@settings(max_examples=200)
@given(st.lists(steps, max_size=40), st.booleans())
def test_mode_latest_skips_but_ends_with_the_newest(
    script: list[tuple[str, object, object]], known: bool
) -> None:
    play = played(script, known=known, mode=Mode.LATEST)

    for client, due in zip(play.clients, play.due, strict=True):
        got = by_spelling(client)
        assert got.keys() == due.keys()
        for spelling, ids in got.items():
            assert ids == [ident for ident in due[spelling] if ident in ids]  # some, in order
            assert ids[-1] == due[spelling][-1]


@settings(max_examples=200)
@given(st.lists(steps, max_size=40), st.booleans())
def test_a_cursor_stands_behind_all_that_was_due(
    script: list[tuple[str, object, object]], known: bool
) -> None:
    play = played(script, known=known, mode=Mode.ALL)

    for client, due in zip(play.clients, play.due, strict=True):
        every = sorted(ident for ids in due.values() for ident in ids)
        got: list[int] = []
        for message in client.messages:
            if message["T"] == "cursor":
                assert sorted(got) == [ident for ident in every if ident <= int(message["c"])]
            else:
                got.append(message["i"])


def by_spelling(client: Listener) -> dict[str, list[int]]:
    got: dict[str, list[int]] = {}
    for spelling, ident in client.seen:
        got.setdefault(spelling, []).append(ident)
    return got


def spellings(names: set[str], symbol: str) -> set[str]:
    """Under which names a client gets *symbol*."""
    own = {name for name in names if name.upper().removeprefix("X:") == symbol[2:]}
    return own or ({symbol} if "*" in names else set())
