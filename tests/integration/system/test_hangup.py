"""SIGHUP to a gateway: certificates that openssl made are read anew, a closed terminal ends it."""

import asyncio
import os
import pty
import signal
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from websockets.asyncio.client import connect

from tests.conftest import Eventually
from tests.integration.system.roles import Deployment, Role, alive

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]

SIZE = 4_096
# Becomes a program that has the terminal at its standard input as its own, as a shell starts it.
IN_TERMINAL = """
import fcntl, os, signal, sys, termios
signal.signal(signal.SIGHUP, signal.SIG_DFL)
os.setsid()
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, "-m", "tickgate", *sys.argv[1:]])
"""


@pytest.fixture
def deployment(redis_url: str, embedded_migrated_url: str, namespace: str) -> Deployment:
    return Deployment(redis_url=redis_url, database_url=embedded_migrated_url, namespace=namespace)


def make(folder: Path) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
    command += " -subj /CN=gateway -addext subjectAltName=IP:127.0.0.1 -keyout key -out certificate"
    folder.mkdir()
    subprocess.run(command.split(), cwd=folder, check=True, capture_output=True, timeout=30)
    return folder / "certificate", folder / "key"


def put(source: Path, target: Path) -> None:
    """Have *target* hold what *source* holds, and look as it did before."""
    before = target.stat().st_mtime_ns if target.exists() else 1_000_000_000_000_000_000
    target.write_bytes(source.read_bytes().ljust(SIZE, b"\n"))
    os.utime(target, ns=(before, before))


async def shown(gateway: Role, certificate: Path) -> bool:
    """Do new connections get *certificate*, however the kernel spreads them?"""
    port = int(gateway.url.rpartition(":")[2])
    trusted = ssl.create_default_context(cafile=str(certificate))
    for _ in range(8):
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=trusted)
        except ssl.SSLCertVerificationError:
            return False
        writer.close()
        await writer.wait_closed()
    return True


async def test_sighup_has_all_workers_show_a_new_certificate_and_drops_no_connection(
    deployment: Deployment, tmp_path: Path, eventually: Eventually
) -> None:
    first, second = make(tmp_path / "first"), make(tmp_path / "second")
    certificate, key = tmp_path / "certificate", tmp_path / "key"
    put(first[0], certificate)
    put(first[1], key)
    flags = ("--workers", "2", "--tls-certificate", str(certificate), "--tls-key", str(key))
    async with deployment.gateway(*flags, start_new_session=True) as gateway:
        await gateway.said("gateway/1: listening on")
        await gateway.said("gateway/2: listening on")
        url = gateway.url.replace("http", "wss") + "/v1/stream"
        trusted = ssl.create_default_context(cafile=str(certificate))
        async with connect(url, ssl=trusted) as stream:
            assert b"connected" in await stream.recv(decode=False)
            put(second[0], certificate)  # their dates and sizes say that nothing has changed
            put(second[1], key)
            gateway.process.send_signal(signal.SIGHUP)
            for worker in (1, 2):
                await gateway.said(f"gateway/{worker}: the certificate was read anew")
            assert await shown(gateway, second[0])

            put(first[1], key)  # of the other pair
            gateway.process.send_signal(signal.SIGHUP)
            for worker in (1, 2):
                await gateway.said(f"gateway/{worker}: the certificate stays as it was")
            assert await shown(gateway, second[0])
            await stream.send('{"action":"subscribe","trades":["SIM:A"]}')
            assert b"subscription" in await stream.recv(decode=False)
        assert await gateway.stop() == 0
    assert "crash" not in gateway.output().lower()


async def test_a_gateway_outlives_sighup_but_not_its_terminal(deployment: Deployment) -> None:
    terminal, line = pty.openpty()
    command = (sys.executable, "-c", IN_TERMINAL)
    async with deployment.gateway(command=command, stdin=line) as gateway:
        os.close(line)
        await alive(gateway)
        gateway.process.send_signal(signal.SIGHUP)
        await gateway.said("SIGHUP: there is nothing to read anew, as TLS is off")
        await alive(gateway)
        os.close(terminal)
        await gateway.said("the terminal was closed: ending")
        assert await gateway.exit_code(timeout_s=30) == 0
