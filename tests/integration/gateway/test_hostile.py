"""Whatever comes, a gateway answers as documented, forgets it, and serves everybody else."""

import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from struct import pack

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.endpoints import NATIVE
from tests.conftest import find_free_port
from tests.integration.gateway.hostile import (
    answers_to,
    check_http,
    connected,
    frame_bytes,
    handshakes,
    streams,
)
from tests.integration.gateway.raw import CONT, PING, upgrade_request

START_S = 40.0
KIB, MIB = 1 << 10, 1 << 20
WELCOME = b'[{"T":"success","msg":"connected"}]'
SUBSCRIBE = msgspec.json.encode(
    {"action": "subscribe", "bars": ["*"], "trades": [f"X:{number}" for number in range(200)]}
)
RUDE = [  # each is sent, and then the client is gone
    b"junk\r\n\r\n",
    b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n" * 3,
    b"GET /v1/stream HTTP/1.1\r\nX: " + b"y" * 15_000,
    upgrade_request(Sec_WebSocket_Version="1"),
    upgrade_request() + frame_bytes(SUBSCRIBE),
    upgrade_request() + frame_bytes(SUBSCRIBE, length=MIB),
    upgrade_request() + frame_bytes(b"x" * 20_000, fin=False),
    upgrade_request() + frame_bytes(b"reserved", opcode=3),
    upgrade_request() + frame_bytes(b"unread" * 10, opcode=PING) * 50,
]


class Gateway:
    """`tickgate gateway` as a process of its own, and a client that behaves well all the time."""

    def __init__(self, port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
        self.port, self.process, self.log = port, process, log
        self.friend: socket.socket | None = None

    def get(self, path: str) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=10) as answer:
            return str(answer.read().decode())

    def memory(self) -> int:
        """Bytes that belong to the process alone."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.partition("RssAnon:")[2].split()[0]) * KIB

    def serves(self) -> bool:
        """Does the well-behaved client get its pong?"""
        assert self.friend is not None
        self.friend.sendall(frame_bytes(b"still there?", opcode=PING))
        while b"\x8a\x0cstill there?" not in (heard := self.friend.recv(KIB)):
            assert heard
        return True

    def upgraded(self) -> socket.socket:
        """A client that has seen its welcome."""
        sock = socket.create_connection(("127.0.0.1", self.port), timeout=10)
        sock.sendall(upgrade_request())
        heard = b""
        while WELCOME not in heard:
            heard += sock.recv(KIB)
        return sock

    def is_alone_with_its_friend(self) -> bool:
        found = re.search(r"^gateway_clients (\S+)", self.get("/metrics"), re.MULTILINE)
        return found is not None and float(found[1]) == 1


@pytest.fixture(scope="module")
def gateway(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tests here. At its end its log must be clean."""
    log = tmp_path_factory.mktemp("hostile") / "log"
    port = find_free_port()
    command = [
        *(sys.executable, "-m", "tickgate", "gateway", "--port", str(port)),
        *("--redis-url", redis_url, "--namespace", f"hostile-{uuid.uuid4().hex[:8]}"),
        *("--database-url", "postgresql://127.0.0.1:1/none"),
    ]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output) as process,
    ):
        one = Gateway(port, process, log)
        try:
            wait_until(lambda: answers(one), START_S)
            with one.upgraded() as one.friend:
                yield one
            process.send_signal(signal.SIGTERM)
            assert process.wait(20) == 0
        finally:
            process.kill()
    said = log.read_text()
    assert "Traceback" not in said
    assert "ERROR" not in said.upper()


def answers(one: Gateway) -> bool:
    assert one.process.poll() is None, one.log.read_text()
    with suppress(OSError):
        return bool(one.get("/livez"))
    return False


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# The first test: later ones leave free memory that would hide what it finds.
def test_who_does_not_read_the_answers_gets_no_more_of_them(gateway: Gateway) -> None:
    names = [f"V{number:015d}:" + "T" * 40 for number in range(1_000)]
    subscribe = msgspec.json.encode({"action": "subscribe"} | dict.fromkeys(NATIVE.channels, names))
    again = frame_bytes(b'{"action":"subscribe"}')  # is answered with 670 kB
    seen = [gateway.memory()]

    def is_over() -> bool:
        seen.append(gateway.memory())
        return gateway.is_alone_with_its_friend()

    with gateway.upgraded() as sock:
        sock.sendall(frame_bytes(subscribe) + again * 18)
        wait_until(is_over)

    assert max(seen) - seen[0] < 8 * MIB  # the limit, an answer, and what both are made of


@settings(max_examples=200, deadline=None)
@given(sent=streams, cuts=st.lists(st.integers(0, 200), max_size=3))
def test_after_the_handshake(gateway: Gateway, sent: bytes, cuts: list[int]) -> None:
    cuts = [0, *sorted(cuts)]
    pieces = [sent[a:b] for a, b in zip(cuts, [*cuts[1:], None], strict=True)]

    received = answers_to(
        [upgrade_request() + pieces[0], *pieces[1:]], gateway.port, between=gateway.serves
    )

    check_http(received)
    assert received.startswith(b"HTTP/1.1 101 ")


@settings(max_examples=200, deadline=None)
@given(sent=handshakes)
def test_instead_of_a_handshake(gateway: Gateway, sent: bytes) -> None:
    is_complete = b"\r\n\r\n" in sent.lstrip(b"\r\n")  # empty lines before it are ignored

    received = answers_to([sent], gateway.port, patience_s=2.0 if is_complete else 0.0)

    check_http(received)
    assert received or not is_complete
    assert gateway.serves()


def test_of_clients_that_are_gone_nothing_is_left(gateway: Gateway) -> None:
    def come_and_go(rounds: int) -> None:
        for _ in range(rounds):
            with ExitStack() as stack:
                for number in range(12 * len(RUDE)):
                    sock = stack.enter_context(connected(gateway.port))
                    if number % 2:  # a reset instead of an orderly end
                        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, pack("ii", 1, 0))
                    sock.sendall(RUDE[number % len(RUDE)])
                assert gateway.serves()
            wait_until(gateway.is_alone_with_its_friend)

    come_and_go(12)
    before = gateway.memory()
    come_and_go(20)

    assert gateway.memory() - before < 20 * 12 * len(RUDE) * 512


def test_the_head_of_a_request_that_never_ends_takes_its_bytes(gateway: Gateway) -> None:
    before = gateway.memory()
    with ExitStack() as stack:
        for _ in range(200):
            sock = stack.enter_context(connected(gateway.port))
            sock.sendall(b"GET /v1/stream HTTP/1.1\r\nX: " + b"y" * 16_000)
        assert gateway.serves()

        assert gateway.memory() - before < 200 * 20 * KIB


def test_a_message_that_never_ends_takes_its_bytes(gateway: Gateway) -> None:
    piece = frame_bytes(b"x" * 2_500, opcode=CONT, fin=False)
    unfinished = frame_bytes(b"x", fin=False) + piece * 400  # 1,000,001 bytes

    def come_and_go() -> int:
        with ExitStack() as stack:
            for _ in range(30):
                sock = stack.enter_context(gateway.upgraded())
                sock.sendall(unfinished + frame_bytes(b"read?", opcode=PING))
                assert sock.recv(KIB) == b"\x8a\x05read?"
            peak = gateway.memory()
        wait_until(gateway.is_alone_with_its_friend)
        return peak

    before = gateway.memory()
    first, second = come_and_go(), come_and_go()

    assert first - before < 30 * 1.25 * MIB
    assert second - first < 2 * MIB  # the memory is used again


def test_everybody_else_is_still_served(gateway: Gateway) -> None:
    assert gateway.friend is not None
    gateway.friend.sendall(frame_bytes(b'{"action":"subscribe","trades":["X:1"]}'))

    heard = b""
    while b'"trades":["X:1"]' not in heard:
        heard += gateway.friend.recv(KIB)
    assert b'"T":"subscription"' in heard
