"""TLS on the gateway's port, and certificates that are renewed."""

import asyncio
import datetime as dt
import ipaddress
import ssl
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from websockets.asyncio.client import connect

from gateway.connection import Limits
from gateway.service import GatewaySettings
from gateway.tls import Certificate, CertificateError
from tests.integration.gateway.raw import upgrade_request
from tests.integration.gateway.rig import Client, gateway


def make(
    folder: Path, name: str, key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | None = None
) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that signs itself, and its key."""
    key = key or ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    start = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + dt.timedelta(days=36_500))
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(Encoding.PEM))
    paths[1].write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return paths


def trusting(certificate: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certificate))


async def test_the_stream_and_http_speak_tls_on_one_port(
    redis_url: str, namespace: str, tmp_path: Path
) -> None:
    paths = make(tmp_path, "first")
    certificate = Certificate(*map(str, paths))
    async with gateway(redis_url, namespace, certificate=certificate) as rig:
        first = trusting(paths[0])
        url = f"https://127.0.0.1:{rig.service.port}/hello"
        async with (
            connect(rig.url.replace("ws://", "wss://"), ssl=first, compression=None) as connection,
            aiohttp.ClientSession() as session,
        ):
            client = Client(connection)
            assert await client.receive() == [{"T": "success", "msg": "connected"}]
            await client.ask(action="subscribe", trades=["SIM:A"])
            await rig.trade("SIM:A")
            assert (await client.data(1))[0]["S"] == "SIM:A"
            async with session.get(url, ssl=first) as response:
                assert await response.json() == {"hello": "world"}

            make(tmp_path, "second")
            second = trusting(paths[0])
            assert certificate.refresh()
            async with aiohttp.ClientSession() as new, new.get(url, ssl=second) as response:
                assert response.status == 200
            await rig.trade("SIM:A")  # who was there stays
            assert (await client.data(1))[0]["S"] == "SIM:A"


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_certificate_with_another_kind_of_key_takes_the_place_of_the_one_before(
    redis_url: str, namespace: str, tmp_path: Path, newest: ssl.TLSVersion
) -> None:
    paths = make(tmp_path, "elliptic")
    certificate = Certificate(*map(str, paths))
    async with gateway(redis_url, namespace, certificate=certificate) as rig:
        make(tmp_path, "rsa", rsa.generate_private_key(public_exponent=65_537, key_size=2_048))
        assert certificate.refresh()
        context = trusting(paths[0])
        context.maximum_version = newest

        url = f"https://127.0.0.1:{rig.service.port}/hello"
        async with aiohttp.ClientSession() as session, session.get(url, ssl=context) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("status", "path", "headers"),
    [
        (403, "/v1/stream", {"Origin": "https://elsewhere.example"}),
        (400, "/v1/stream?encoding=nope", {}),
        (400, "/v1/stream", {"Sec_WebSocket_Version": "12"}),
        (431, "/v1/stream", {"A" * 9_000: ""}),
    ],
)
async def test_a_refused_handshake_tells_browsers_to_come_by_tls(
    redis_url: str,
    namespace: str,
    tmp_path: Path,
    status: int,
    path: str,
    headers: dict[str, str],
) -> None:
    paths = make(tmp_path, "first")
    async with gateway(redis_url, namespace, certificate=Certificate(*map(str, paths))) as rig:
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", rig.service.port, ssl=trusting(paths[0])
        )
        async with asyncio.timeout(5):
            writer.write(upgrade_request(path, **headers))
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            writer.close()
            await writer.wait_closed()

    assert head.startswith(f"HTTP/1.1 {status} ")
    assert "\r\nStrict-Transport-Security: max-age=31536000\r\n" in head


async def test_who_is_too_fast_is_told_so_too(
    redis_url: str, namespace: str, tmp_path: Path
) -> None:
    paths = make(tmp_path, "first")
    settings = GatewaySettings(port=0, limits=Limits(handshakes_per_s=1))
    certificate = Certificate(*map(str, paths))
    async with gateway(redis_url, namespace, certificate=certificate, settings=settings) as rig:
        url = f"https://127.0.0.1:{rig.service.port}/v1/stream"
        async with aiohttp.ClientSession() as session, asyncio.timeout(5):
            status = 0
            while status != 429:
                headers = {"Connection": "Upgrade", "Upgrade": "websocket"}
                async with session.get(url, ssl=trusting(paths[0]), headers=headers) as response:
                    status = response.status

    assert response.headers["Strict-Transport-Security"] == "max-age=31536000"


def test_a_pair_that_does_not_fit_leaves_the_one_before(tmp_path: Path) -> None:
    paths = make(tmp_path, "first")
    certificate = Certificate(*map(str, paths))
    key = paths[1].read_bytes()
    make(tmp_path, "second")
    paths[1].write_bytes(key)

    assert not certificate.refresh()
    assert not certificate.refresh()
    paths[0].unlink()
    assert not certificate.refresh()


def test_files_that_may_be_read_by_now_are_read(tmp_path: Path) -> None:
    paths = make(tmp_path, "first")
    certificate = Certificate(*map(str, paths))
    assert not certificate.refresh()

    paths[1].chmod(0o400)  # nothing but who may read it is another

    assert certificate.refresh()


def test_a_file_that_is_not_there_is_complained_of_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = make(tmp_path, "first")
    certificate = Certificate(*map(str, paths))
    for complaints in (1, 2):
        paths[0].rename(tmp_path / "away")
        assert [certificate.refresh() for _ in range(3)] == [False] * 3

        assert [record.levelname for record in caplog.records] == ["ERROR"] * complaints
        (tmp_path / "away").rename(paths[0])
        certificate.refresh()
        caplog.records[:] = [r for r in caplog.records if r.levelname == "ERROR"]


@pytest.mark.parametrize("oldest", ["1.2", "1.3"])
def test_only_tls_of_the_settings_is_spoken(tmp_path: Path, oldest: str) -> None:
    paths = make(tmp_path, "first")

    context = Certificate(*map(str, paths), oldest=oldest).context

    assert context.minimum_version == getattr(ssl.TLSVersion, f"TLSv{oldest.replace('.', '_')}")


def test_files_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("")

    for path in (tmp_path / "none.pem", empty):
        with pytest.raises(CertificateError, match=path.name):
            Certificate(str(path))
