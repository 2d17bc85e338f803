"""The servers: how each is started, what its clients say, and how the schedule gets to it."""

import contextlib
import signal
import socket
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from loadtest.dev import free_port
from tests.bench.fanout import feeds, script, tools
from tests.bench.fanout.backend import Backend
from tests.bench.fanout.load import Tick, Work, name
from tests.bench.fanout.process import CLIENT_CORE, SERVER_CORE, Child, Failed, child, wait_until

TEXT, BINARY = 1, 2  # WebSocket opcodes


@dataclass(kw_only=True)
class Running:
    """A server that takes connections; ``greetings`` are by client, with their opcode and mark."""

    process: Child
    port: int
    paths: list[str]
    greetings: list[bytes] = field(default_factory=list)
    opcode: int = TEXT
    mark: bytes = b""
    publisher: "Player | None" = None


class Contender(Protocol):
    """One row of the tables."""

    @property
    def key(self) -> str:
        """Its name in figures and folders."""
        ...

    @property
    def label(self) -> str:
        """Its name in tables, as Markdown."""
        ...

    def start(self, work: Work, folder: Path) -> AbstractContextManager[Running]:
        """Run the server, with its files in *folder*, on the server's core.

        Raises:
            Missing: it is not on this machine.
            Failed: it does not start.
        """
        ...

    def prepare(self, work: Work, ticks: Sequence[Tick]) -> bytes:
        """The schedule, in the form that :meth:`play` takes; for the server that was started."""
        ...

    def play(self, running: Running, schedule: bytes) -> None:
        """Hand over the schedule."""
        ...


class _Published:
    """A server that is sent the schedule by a publisher beside it."""

    def play(self, running: Running, schedule: bytes) -> None:
        assert running.publisher is not None
        running.publisher.play(schedule)


class Player:
    """``player.c`` on the clients' core: an open-loop publisher."""

    def __init__(self, program: Path, folder: Path, where: str, *, refusal: str) -> None:
        self._program, self._folder, self._where = program, folder, where
        self._refusal = refusal
        self._stack = contextlib.ExitStack()
        self._process: Child | None = None

    def play(self, played: bytes) -> None:
        """Start on a schedule from :func:`script.played`."""
        path = self._folder / "played"
        path.write_bytes(played)
        command = [str(self._program), str(path), self._where, self._refusal]
        log = self._folder / "player.log"
        self._process = self._stack.enter_context(child(command, core=CLIENT_CORE, log=log))

    def report(self) -> str:
        """Its report, once the schedule is over."""
        assert self._process is not None
        return self._process.line(timeout_s=10)

    def close(self) -> None:
        self._stack.close()


@dataclass(frozen=True)
class InProcess:
    """A server that makes the schedule itself: the floor, and servers on a library."""

    key: str
    label: str
    command: tuple[str, ...]

    def arguments(self, asked: Path) -> list[str]:
        """The command; the subscriptions are in the file *asked*."""
        return [*self.command, str(asked)]

    def environment(self) -> dict[str, str]:
        """Variables to add."""
        return {}

    @contextlib.contextmanager
    def start(self, work: Work, folder: Path) -> Iterator[Running]:
        asked = folder / "subscriptions"
        lines = [",".join(map(str, symbols)) for symbols in work.subscriptions()]
        asked.write_text("\n".join(lines) + "\n")
        command, env = self.arguments(asked), self.environment()
        with child(command, core=SERVER_CORE, log=folder / "server.log", env=env) as process:
            port = int(process.line().removeprefix("ready "))
            paths = [f"/{number}" for number in range(work.clients)]
            yield Running(process=process, port=port, paths=paths)

    def prepare(self, work: Work, ticks: Sequence[Tick]) -> bytes:
        return feeds.for_in_process(work, ticks)

    def play(self, running: Running, schedule: bytes) -> None:
        path = running.process.log.with_name("script")
        path.write_bytes(schedule)
        running.process.say(f"{path}\n".encode())


_NATS = """\
host: 127.0.0.1
port: {port}
max_connections: 20000
ping_interval: "10m"
websocket {{ host: 127.0.0.1, port: {websocket}, no_tls: true, compression: false }}
"""


@dataclass(frozen=True)
class Nats(_Published):
    """nats-server over WebSocket; clients speak its protocol, a publisher too."""

    key: str
    label: str
    player: Path
    batched: bool

    @contextlib.contextmanager
    def start(self, work: Work, folder: Path) -> Iterator[Running]:
        port, websocket = free_port(), free_port()
        (folder / "nats.conf").write_text(_NATS.format(port=port, websocket=websocket))
        command = [tools.nats_server(), "-c", str(folder / "nats.conf")]
        with child(command, core=SERVER_CORE, log=folder / "server.log") as process:
            wait_until(lambda: _listens(port) and _listens(websocket), process)
            with contextlib.closing(
                Player(self.player, folder, str(port), refusal="-ERR")
            ) as publisher:
                yield Running(
                    process=process,
                    port=websocket,
                    paths=["/"] * work.clients,
                    greetings=[_nats_greeting(symbols) for symbols in work.subscriptions()],
                    opcode=BINARY,
                    mark=b"PONG",
                    publisher=publisher,
                )

    def prepare(self, work: Work, ticks: Sequence[Tick]) -> bytes:
        records = feeds.for_nats(work, ticks, batched=self.batched)
        hello = b'CONNECT {"verbose":false,"pedantic":false,"echo":false}\r\n'
        return script.played([records], hello=hello)


def _nats_greeting(symbols: Sequence[int]) -> bytes:
    lines = ['CONNECT {"verbose":false,"pedantic":false,"protocol":1}']
    lines += [f"SUB {feeds.channel(symbol)} {n}" for n, symbol in enumerate(symbols, 1)]
    return "".join(f"{line}\r\n" for line in [*lines, "PING"]).encode()


_NCHAN = """\
load_module {module};
daemon off;
user root;
worker_processes 1;
worker_rlimit_nofile 20000;
pid {folder}/nginx.pid;
error_log stderr error;
events {{ worker_connections 16000; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    client_body_buffer_size 256k;
    keepalive_requests 1000000000;
    nchan_shared_memory_size 512m;
    server {{
        listen 127.0.0.1:{port} backlog=4096;
        location ~ ^/pub/(\\w+)$ {{
            nchan_publisher http;
            nchan_channel_id $1;
            nchan_message_buffer_length 1000;
            nchan_message_timeout 10s;
        }}
        location ~ ^/sub/([\\w,]+)$ {{
            nchan_subscriber websocket;
            nchan_channel_id $1;
            nchan_channel_id_split_delimiter ",";
            nchan_subscriber_first_message newest;
            nchan_websocket_ping_interval 0;
        }}
    }}
}}
"""


@dataclass(frozen=True)
class Nchan(_Published):
    """nginx with nchan: clients ask for several channels in one path, a publisher posts."""

    key: str
    label: str
    player: Path
    batched: bool

    @contextlib.contextmanager
    def start(self, work: Work, folder: Path) -> Iterator[Running]:
        port = free_port()
        program, module = tools.nginx_with_nchan()
        conf = folder / "nginx.conf"
        conf.write_text(_NCHAN.format(module=module, folder=folder, port=port))
        command = [program, "-p", str(folder), "-c", str(conf)]
        log = folder / "server.log"
        with child(command, core=SERVER_CORE, log=log, last_signal=signal.SIGTERM) as process:
            wait_until(lambda: _listens(port), process)
            with contextlib.closing(
                Player(self.player, folder, str(port), refusal="HTTP/1.1 5")
            ) as publisher:
                yield Running(
                    process=process,
                    port=port,
                    paths=[_nchan_path(symbols) for symbols in work.subscriptions()],
                    publisher=publisher,
                )

    def prepare(self, work: Work, ticks: Sequence[Tick]) -> bytes:
        return script.played(feeds.for_nchan(work, ticks, batched=self.batched))


def _nchan_path(symbols: Sequence[int]) -> str:
    return "/sub/" + ",".join(map(feeds.channel, symbols))


@dataclass(frozen=True)
class Tickgate(_Published):
    """The gateway role as users run it, between real servers; blocks come from the streams."""

    key: str
    label: str
    player: Path
    backend: Backend
    options: tuple[str, ...] = ()

    @contextlib.contextmanager
    def start(self, work: Work, folder: Path) -> Iterator[Running]:
        port = free_port()
        keys = self.backend.new_namespace()
        command = [sys.executable, "-m", "tickgate", "gateway", "--port", str(port)]
        command += ["--redis-url", self.backend.redis_url]
        command += ["--database-url", self.backend.database_url]
        command += ["--namespace", keys.namespace, "--shards", str(keys.shards), *self.options]
        with child(command, core=SERVER_CORE, log=folder / "server.log") as process:
            wait_until(lambda: _is_ready(port), process)
            with contextlib.closing(
                Player(self.player, folder, self.backend.redis_socket, refusal="-ERR")
            ) as publisher:
                yield Running(
                    process=process,
                    port=port,
                    paths=["/v1/stream"] * work.clients,
                    greetings=[_tickgate_greeting(work, s) for s in work.subscriptions()],
                    mark=b'"T":"subscription"',
                    publisher=publisher,
                )

    def prepare(self, work: Work, ticks: Sequence[Tick]) -> bytes:
        return script.played([feeds.for_tickgate(work, ticks, self.backend.keys)])


def _tickgate_greeting(work: Work, symbols: Sequence[int]) -> bytes:
    names = ",".join(f'"{name(symbol)}"' for symbol in symbols)
    interval = "" if work.routed else ',"interval_ms":0'
    return f'{{"action":"subscribe","trades":[{names}]{interval}}}'.encode()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _is_ready(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=2) as answer:
            return int(answer.status) == 200
    except OSError:
        return False


__all__ = ["Contender", "Failed", "InProcess", "Nats", "Nchan", "Player", "Running", "Tickgate"]
