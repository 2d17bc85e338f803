"""Windows of very many groups: the same promises, kept in another way."""

from gateway.burst import Crowds
from gateway.channels import Channel, Codec, Mode
from gateway.hub import Hub
from gateway.market import MarketState
from gateway.messages import Options
from gateway.wire import hand_over
from tests.unit.gateway.listeners import MS_NS, Desk, Listener

A, B, C = "X:A-USD", "X:B-USD", "X:C-USD"


def crowd() -> tuple[Desk, list[Listener]]:
    """A desk with bursts, and clients with different subscriptions, the last two with the same."""
    desk, clients = Desk(A, B, C, crowds=Crowds(groups=1)), [Listener() for _ in range(5)]
    for client, names in zip(clients, ((A,), (B,), (A, B), (C,), (C,)), strict=True):
        desk.subscribe(client, *names)
    return desk, clients


def test_each_group_gets_its_own_and_nobody_anything_twice() -> None:
    desk, clients = crowd()
    desk.trade(A, C)
    desk.flush()
    desk.trade(B)
    desk.flush()

    assert [sorted(client.ids) for client in clients] == [[1], [3], [1, 3], [2], [2]]


def test_a_burst_is_served_in_slices_and_settled_for_one_client() -> None:
    desk, clients = crowd()
    desk.trade(A, B, C)
    (burst,) = desk.hub.flush(desk.now_ns)

    burst.settle(clients[2])
    assert sorted(clients[2].ids) == [1, 2]
    assert [len(client.ids) for client in clients] == [0, 0, 2, 0, 0]
    served = []
    while not burst.done:
        served.append(burst.serve(1))
    burst.settle(clients[0])

    assert [sorted(client.ids) for client in clients] == [[1], [2], [1, 2], [3], [3]]
    assert sum(each.batches for each in served) == 4
    assert sum(each.messages for each in served) == 4


def test_who_has_nothing_to_get_is_settled_without_a_batch() -> None:
    desk, clients = crowd()
    desk.trade(A)
    (burst,) = desk.hub.flush(desk.now_ns)

    burst.settle(clients[1])
    assert burst.serve(9).batches == 2

    assert [client.ids for client in clients] == [[1], [], [1], [], []]


def test_stars_led_clients_and_other_modes_are_served_beside_a_burst() -> None:
    desk, clients = crowd()
    star, latest, bars = Listener(), Listener(), Listener()
    desk.subscribe(star, "*")
    desk.subscribe(latest, A, options=Options(mode=Mode.LATEST))
    desk.subscribe(bars, A, channel=Channel.RUNNING_BARS)
    desk.trade(A)
    desk.lead()  # everybody was idle
    desk.trade(A, B)
    desk.bar(A, 7.0)
    desk.bar(A, 8.0)
    desk.flush()
    desk.trade(B, A)
    desk.flush()

    got = [sorted(client.ids) for client in clients]  # of different symbols there is no order
    assert got == [[1, 2, 5], [3, 4], [1, 2, 3, 4, 5], [], []]
    assert [sorted(batch) for batch in ids(star)] == [[1], [2, 3], [4, 5]]
    assert ids(latest) == [[1], [2], [5]]
    assert [m["o"] for m in bars.messages] == [8.0]


def ids(client: Listener) -> list[list[int]]:
    return [[message["i"] for message in batch] for batch in client.batches]


def test_groups_that_got_nothing_from_a_burst_are_idle_as_before() -> None:
    desk, clients = crowd()
    desk.trade(A)
    desk.flush()
    desk.now_ns += 50 * MS_NS
    desk.trade(A, B)
    desk.lead()

    assert clients[1].ids == [3]  # had nothing for long
    assert clients[0].ids == [1]  # waits for the boundary


def test_nobody_is_served_early_while_others_wait_to_be_written() -> None:
    desk, clients = crowd()
    desk.trade(A)
    desk.send(desk.hub.step(desk.now_ns, may_lead=False))
    assert clients[0].ids == []

    desk.now_ns += 100 * MS_NS
    desk.lead()

    assert clients[0].ids == [1]


def test_a_lane_without_windows_and_one_near_its_boundary() -> None:
    desk, quick, slow = Desk(A), Listener(), Listener()
    desk.subscribe(quick, A, options=Options(interval_ms=0))
    desk.subscribe(slow, A)
    desk.now_ns = 1_000 * MS_NS - MS_NS // 2
    desk.trade(A)
    desk.lead()
    desk.trade(A)
    desk.lead()

    assert ids(quick) == [[1], [2]]
    assert desk.hub.due_ns == 1_100 * MS_NS  # a boundary half a millisecond away is past


def test_what_comes_in_masses_is_encoded_before_the_window_ends() -> None:
    desk, client = Desk(A, B), Listener()
    desk.subscribe(client, A)
    for _ in range(60):
        desk.trade(*[A] * 200)
    desk.now_ns += MS_NS
    desk.lead()
    desk.flush()

    assert client.count == 12_000


def test_a_batch_that_some_share_is_served_in_slices_and_settled_for_one_client() -> None:
    desk, clients = Desk(A), [Listener() for _ in range(4)]
    for client in clients:
        desk.subscribe(client, A)
    desk.trade(A)
    (send,) = desk.hub.flush(desk.now_ns)

    first = send.serve(1)
    send.settle(clients[3])
    send.settle(clients[3])
    while not send.done:
        send.serve(1)
    for client in clients:
        send.settle(client)

    assert first == (1, 1)
    assert [client.ids for client in clients] == [[1]] * 4


class Full(Listener):
    """Its socket takes so many bytes of each frame; 0: it says that it would block."""

    def __init__(self, takes: int) -> None:
        super().__init__()
        self.takes = takes
        self.left: list[tuple[bytes, str]] = []

    def send(self, framed: bytes) -> int:
        if not self.takes:
            raise BlockingIOError
        return min(self.takes, len(framed))

    def write(self, piece: bytes) -> None:
        self.left.append((piece, "rest"))

    def stuck(self, piece: bytes, error: OSError) -> None:
        self.left.append((piece, type(error).__name__))


def test_what_a_socket_does_not_take_is_left_to_its_owner_and_holds_up_nobody() -> None:
    clients = [Full(0), Full(2), Full(9)]

    hand_over(b"frame", clients)

    assert [client.left for client in clients] == [
        [(b"frame", "BlockingIOError")],
        [(b"ame", "rest")],
        [],
    ]


def test_without_a_maker_of_cursors_there_are_none() -> None:
    market = MarketState()
    hub = Hub(market=market, interval_ms=100, max_message_bytes=16_384, max_symbols=9)
    client = Listener()

    hub.subscribe(client, [(Channel.TRADES, A)], 0, Options(cursor=True))

    assert hub.cursor(client) == []


def test_a_burst_ends_with_a_cursor_for_who_wants_one() -> None:
    desk, clients = crowd()
    for client in clients:
        desk.subscribe(client, options=Options(cursor=True))
    desk.trade(A, B)
    desk.flush()

    assert [[m["T"] for m in client.messages] for client in clients[:2]] == [["t", "cursor"]] * 2
    assert clients[2].messages[-1] == {"T": "cursor", "c": "2"}
    assert clients[3].messages == []


def test_two_encodings_make_two_bursts_of_the_same_trades() -> None:
    desk, clients = crowd()
    packed = [Listener(Codec.MSGPACK) for _ in range(2)]
    for client, name in zip(packed, (A, B), strict=True):
        desk.subscribe(client, name)
    desk.trade(A, B)
    desk.flush()

    assert [client.ids for client in packed] == [[1], [2]]
    assert [sorted(client.ids) for client in clients] == [[1], [2], [1, 2], [], []]


def test_the_clients_of_another_lane_are_served_at_another_moment() -> None:
    desk, clients = Desk(A, crowds=Crowds(clients=2)), [Listener() for _ in range(10)]
    for client in clients:
        desk.subscribe(client, A)
    desk.trade(A)
    desk.flush()

    desk.now_ns -= desk.now_ns % (100 * MS_NS)
    served_ms: dict[int, int] = {}
    desk.trade(A)
    for after_ms in range(1, 101):
        desk.now_ns += MS_NS
        for batches in desk.hub.step(desk.now_ns, may_lead=False):
            batches.serve(10)
        for at, client in enumerate(clients):
            if client.ids == [1, 2]:
                served_ms.setdefault(at, after_ms)

    by_client = [served_ms[at] for at in range(10)]
    assert by_client == [100, 100, 50, 50, 25, 25, 75, 75, 100, 50]


def test_who_joins_while_a_burst_is_served_gets_nothing_of_it() -> None:
    desk, clients = crowd()
    late = Listener()
    desk.trade(A, B, C)
    (burst,) = desk.hub.flush(desk.now_ns)
    burst.serve(1)

    desk.subscribe(late, A)
    while not burst.done:
        burst.serve(1)
    assert late.ids == []
    desk.trade(A)
    desk.flush()

    assert late.ids == [4]
    assert clients[0].ids == [1, 4]


def test_a_group_that_everybody_left_is_passed_over() -> None:
    desk, clients = crowd()
    desk.trade(A, B, C)
    (burst,) = desk.hub.flush(desk.now_ns)
    for client in clients[1:]:
        desk.hub.leave(client)

    while not burst.done:
        burst.serve(1)

    assert [len(client.ids) for client in clients] == [1, 0, 0, 0, 0]


def test_who_was_settled_or_is_in_no_group_is_not_settled_again() -> None:
    desk, clients = crowd()
    desk.trade(A)
    (burst,) = desk.hub.flush(desk.now_ns)

    burst.settle(clients[0])
    burst.settle(clients[0])
    burst.settle(Listener())
    while not burst.done:
        burst.serve(1)

    assert [client.ids for client in clients] == [[1], [], [1], [], []]
