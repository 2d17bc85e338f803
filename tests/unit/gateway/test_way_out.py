"""What a slow session of mode `latest` is owed, and the protocol cores that connections share."""

import logging

from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN
from websockets.server import ServerProtocol
from websockets.uri import parse_uri

from gateway.channels import Codec
from gateway.conflation import MOST_ADDED, Conflation, cursor_fragment
from gateway.frames import Fragment
from gateway.parsers import Parsers

LOG = logging.getLogger("test")


def part(symbol: str, body: bytes, *, adds: bool = False) -> Fragment:
    key = ("trades", symbol)
    return Fragment(body, 1, Codec.JSON, items=lambda: [body], key=key, adds=adds)


def test_of_what_was_missed_the_newest_is_kept_and_the_cursor_comes_last() -> None:
    held = Conflation()

    first = held.add([part("A", b"1"), part("B", b"1"), cursor_fragment("x", Codec.JSON)])
    second = held.add([part("A", b"2"), cursor_fragment("y", Codec.JSON)])
    bodies = [fragment.body for fragment in held.take()]

    assert (first, second) == (0, 2)
    assert bodies == [b"1", b"2", b'{"T":"cursor","c":"y"}']
    assert held.take() == []


def test_what_is_said_of_the_newest_trade_does_not_take_its_place() -> None:
    held = Conflation()
    said = [b"%d" % number for number in range(MOST_ADDED + 2)]

    dropped = [held.add([part("A", b"trade")])]
    dropped += [held.add([part("A", body, adds=True)]) for body in said]
    bodies = [fragment.body for fragment in held.take()]
    held.add([part("A", b"x", adds=True)])
    replaced = held.add([part("A", b"trade"), part("B", b"1")])

    assert bodies == [b"trade", *said[2:]]
    assert sum(dropped) == 2
    assert replaced == 1
    assert [fragment.body for fragment in held.take()] == [b"trade", b"1"]


def test_what_is_said_where_no_trade_waits_is_bounded_as_well() -> None:
    held = Conflation()
    said = [b"%d" % number for number in range(3 * MOST_ADDED)]

    dropped = sum(held.add([part("A", body, adds=True)]) for body in said)
    bodies = [fragment.body for fragment in held.take()]

    assert bodies == said[dropped:]
    assert len(bodies) == MOST_ADDED


def frame(payload: bytes, *, fin: bool = True) -> bytes:
    return Frame(Opcode.TEXT, payload, fin).serialize(mask=True)


def test_a_core_is_lent_again_only_between_two_messages() -> None:
    parsers = Parsers(max_size=1_000, logger=LOG)
    core = parsers.take()

    whole = frame(b"hello")
    for cut in range(1, len(whole)):
        core.receive_data(whole[:cut])
        assert not parsers.give_back(core), cut
        core.receive_data(whole[cut:])
        (event,) = core.events_received()
        assert isinstance(event, Frame)
        assert event.data == b"hello"
        assert parsers.give_back(core)
        assert parsers.take() is core

    core.receive_data(frame(b"hel", fin=False))
    core.events_received()
    assert not parsers.give_back(core)
    core.receive_data(Frame(Opcode.CONT, b"lo").serialize(mask=True))
    core.events_received()
    assert parsers.give_back(core)


def test_a_core_that_is_closing_is_kept() -> None:
    parsers = Parsers(max_size=1_000, logger=LOG)
    core = parsers.take()
    core.send_close(1000)
    core.data_to_send()

    assert not parsers.give_back(core)


def test_the_core_of_a_handshake_is_let_go_once_the_connection_is_open() -> None:
    parsers = Parsers(max_size=1_000, logger=LOG)
    client, server = ClientProtocol(parse_uri("ws://localhost/")), ServerProtocol(logger=LOG)
    client.send_request(client.connect())
    server.receive_data(b"".join(client.data_to_send()))
    assert not parsers.give_back(server)
    (request,) = server.events_received()
    server.send_response(server.accept(request))  # type: ignore[arg-type]
    server.data_to_send()

    assert parsers.give_back(server)
    assert server.state is OPEN
    assert parsers.take() is not server


def test_a_store_of_cores_is_bounded() -> None:
    parsers = Parsers(max_size=1_000, logger=LOG)
    cores = [parsers.take() for _ in range(40)]

    assert all(parsers.give_back(core) for core in cores)
    assert len({id(parsers.take()) for _ in range(40)} & set(map(id, cores))) == 32
