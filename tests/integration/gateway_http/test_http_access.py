"""Keys and limits."""

import base64
import hashlib
import re
from collections.abc import AsyncIterator

import pytest
from yarl import URL

from gateway.access.admission import OPEN_PATHS
from tests.integration.gateway_http.rig import Rig, running

KEYS = f"alice:{hashlib.sha256(b'hush').hexdigest()},bob:{hashlib.sha256(b'mum').hexdigest()}"
ALICE = {"APCA-API-KEY-ID": "alice", "APCA-API-SECRET-KEY": "hush"}


@pytest.fixture
async def locked(embedded_migrated_url: str, redis_url: str, namespace: str) -> AsyncIterator[Rig]:
    async with running(
        database_url=embedded_migrated_url,
        redis_url=redis_url,
        namespace=namespace,
        keys=KEYS,
        requests_per_minute=3,
    ) as rig:
        yield rig


@pytest.mark.parametrize(
    "headers",
    [
        ALICE,
        {"Authorization": "Bearer alice:hush"},
        {"Authorization": "Basic " + base64.b64encode(b"alice:hush").decode()},
    ],
)
async def test_a_key_lets_in(locked: Rig, headers: dict[str, str]) -> None:
    async with locked.session.get(locked.base + "/v1/symbols", headers=headers) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, "no API key"),
        (ALICE | {"APCA-API-SECRET-KEY": "mum"}, "wrong secret"),
        ({"Authorization": "Bearer carol:hush"}, "unknown API key"),
        ({"Authorization": "Bearer alice"}, "no API key"),
    ],
)
@pytest.mark.parametrize("path", ["/v1/symbols", "/v1/status", "/metrics", "/v1/nothing"])
async def test_without_a_good_key_the_answer_is_a_401(
    locked: Rig, headers: dict[str, str], reason: str, path: str
) -> None:
    async with locked.session.get(locked.base + path, headers=headers) as response:
        answer = await response.json()

    assert response.status == answer["code"] == 401
    assert reason in answer["message"]
    assert "hush" not in answer["message"]
    assert response.headers["WWW-Authenticate"].startswith("Basic")


@pytest.mark.parametrize("part", ["us", "us%3Fx", "us%2Fx", "%3F", "%2e%2e", "us%23x"])
async def test_whatever_stands_for_a_name_in_a_path_it_needs_a_key(locked: Rig, part: str) -> None:
    async with locked.session.get(locked.base + "/openapi.json") as response:
        paths = (await response.json())["paths"]

    let_in = set()
    for path in paths:
        target = re.sub(r"\{[a-z]+\}", part, path)
        url = URL(locked.base + target, encoded=True)
        async with locked.session.get(url, params={"symbols": "A"}) as response:
            if response.status != 401:
                let_in.add(path)

    streams = {"/v1/stream", "/v1beta3/crypto/{loc}", "/v2/{feed}"}  # they ask by themselves
    assert let_in <= OPEN_PATHS | {"/static/{path}"} | streams


async def test_the_page_and_the_probes_need_no_key(locked: Rig) -> None:
    for path in ("/livez", "/readyz", "/static/lightweight-charts.js"):
        async with locked.session.get(locked.base + path) as response:
            assert response.status != 401


async def test_too_many_requests_of_one_key_are_a_429_and_do_not_hurt_another(locked: Rig) -> None:
    url = locked.base + "/v1/symbols"
    left = []
    for _ in range(3):
        async with locked.session.get(url, headers=ALICE) as response:
            assert response.status == 200
            left.append(response.headers["X-RateLimit-Remaining"])

    async with locked.session.get(url, headers=ALICE) as refused:
        answer = await refused.json()
    async with locked.session.get(url, headers={"Authorization": "Bearer bob:mum"}) as other:
        pass
    locked.pass_s(60)
    async with locked.session.get(url, headers=ALICE) as later:
        pass

    assert left == ["2", "1", "0"]
    assert refused.status == answer["code"] == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["X-RateLimit-Limit"] == "3"
    assert (other.status, later.status) == (200, 200)


async def test_without_keys_there_is_no_limit(rig: Rig) -> None:
    for _ in range(150):
        status, _ = await rig.get("/v1/symbols")
        assert status == 200
