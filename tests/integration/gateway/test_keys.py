"""Keys of the database, tokens and what they entitle to, on the stream of a running gateway."""

import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from gateway.access.follow import KeyFollower
from gateway.access.jwks import JwksSource
from gateway.access.tokens import MAX_TOKEN, TokenRules, Tokens
from gateway.connection import Limits
from gateway.service import GatewaySettings
from storage.api_keys import ApiKeyStore
from storage.database import Database
from storage.errors import DatabaseUnavailable
from storage.stored_key import StoredKey
from tests.access import access_of
from tests.clocks import wall_ns
from tests.integration.gateway.rig import Client, Rig, gateway
from tests.tokens import Issuer

Eventually = Callable[..., Awaitable[None]]
SECRET = "s3cret"


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@dataclass
class Guarded:
    """A gateway that asks for keys, and where they are."""

    rig: Rig
    store: ApiKeyStore
    skipped_s: list[float]

    @property
    def now_s(self) -> float:
        """By the clock that judges keys and tokens."""
        return wall_ns() / 1e9 + sum(self.skipped_s)

    def skip(self, seconds: float) -> None:
        """Let the time pass at once."""
        self.skipped_s.append(seconds)

    async def add(self, key_id: str, **fields: Any) -> None:
        digest = hashlib.sha256(SECRET.encode()).digest()
        await self.store.add(StoredKey(key_id=key_id, secret_sha256=digest, **fields))

    @asynccontextmanager
    async def client(self, key_id: str) -> AsyncIterator[Client]:
        """One that was let in with *key_id*."""
        async with self.rig.client() as client:
            assert (await client.ask(action="auth", key=key_id, secret=SECRET))["T"] == "success"
            yield client

    @asynccontextmanager
    async def bearer(self, token: str) -> AsyncIterator[Client]:
        """One that was let in with *token*."""
        async with self.rig.client() as client:
            welcome = await client.ask(action="auth", key="oauth", secret=token)
            assert welcome == {"T": "success", "msg": "authenticated"}
            yield client


@pytest.fixture
async def guarded(
    embedded_migrated_url: str,
    redis_url: str,
    namespace: str,
    issuer: Issuer,
    tmp_path: Path,
) -> AsyncIterator[Guarded]:
    """Knows the issuer's key for ES256 from a file."""
    jwks = tmp_path / "jwks.json"
    jwks.write_bytes(issuer.jwks("ES256"))
    database = Database(embedded_migrated_url, min_size=1)
    await database.open()
    store, tokens = ApiKeyStore(database), Tokens(TokenRules(leeway_s=0))
    skipped_s: list[float] = []
    access = access_of(tokens=tokens, now_ns=lambda: wall_ns() + int(sum(skipped_s) * 1e9))
    source = JwksSource(str(jwks), tokens, access.guard, monotonic_ns=lambda: 0)
    settings = GatewaySettings(port=0, auth_timeout_s=2.0, limits=Limits(max_connections_per_key=2))
    follower = KeyFollower(store, access.guard, requests_per_minute=100)
    try:
        async with gateway(
            redis_url,
            namespace,
            settings=settings,
            access=access,
            follower=follower,
            jwks=source,
        ) as rig:
            yield Guarded(rig, store, skipped_s)
    finally:
        await database.close()


async def test_a_key_that_is_added_is_let_in_and_one_that_is_revoked_is_cut(
    guarded: Guarded, eventually: Eventually
) -> None:
    await guarded.add("alice")

    async def let_in() -> bool:
        async with guarded.rig.client() as client:
            return (await client.ask(action="auth", key="alice", secret=SECRET))["T"] == "success"

    await eventually(let_in)
    async with guarded.client("alice") as client:
        assert (await client.ask(action="subscribe", trades=["SIM:A"]))["T"] == "subscription"
        assert await guarded.store.revoke(["alice"]) == ["alice"]
        (error,), code = await client.ended()

    assert (error["code"], code) == (402, 1008)
    assert "revoked" in error["msg"]
    assert not await let_in()


async def test_a_key_that_expires_is_cut_when_its_time_comes(
    guarded: Guarded, eventually: Eventually
) -> None:
    await guarded.add("brief", expires_ms=int((guarded.now_s + 60) * 1000))
    await eventually(lambda: _knows(guarded, "brief"))

    async with guarded.client("brief") as client:
        guarded.skip(60)
        (error,), code = await client.ended()

    assert (error["code"], code) == (402, 1008)
    assert "expired" in error["msg"]


async def _knows(guarded: Guarded, key_id: str) -> bool:
    async with guarded.rig.client() as client:
        reply = await client.ask(action="auth", key=key_id, secret=SECRET)
        return bool(reply["T"] == "success")


async def test_a_key_is_sent_only_what_it_may_read(
    guarded: Guarded, eventually: Eventually
) -> None:
    await guarded.add("part", symbols=("SIM:*", "X:B"), channels=("trades",))
    await eventually(lambda: _knows(guarded, "part"))
    await guarded.rig.trade("SIM:A", "X:A")
    await eventually(lambda: len(guarded.rig.service.market.symbols()) == 2)

    async with guarded.client("part") as client:
        foreign = await client.ask(action="subscribe", trades=["SIM:A", "X:A"])
        channel = await client.ask(action="subscribe", bars=["SIM:A"])
        nothing = await client.ask(action="unsubscribe", trades=[])
        every = await client.ask(action="subscribe", trades=["*", "B"], snapshot=True)
        first = await client.receive()
        # B is X:B, which is theirs; of what is not, A and X:C never come.
        await guarded.rig.trade("X:A", "X:C", "SIM:A", "SIM:NEW", "X:B")
        came = await client.data(3)

    assert foreign["code"] == channel["code"] == 409
    assert "'X:A'" in foreign["msg"]
    assert "bars" in channel["msg"]
    assert nothing["trades"] == []
    assert every["trades"] == ["*", "B"]
    assert [message["S"] for message in first] == ["SIM:A"]
    assert {message["S"] for message in came} == {"SIM:A", "SIM:NEW", "B"}


async def test_a_name_that_nobody_carries_yet_leads_to_what_is_permitted_only(
    guarded: Guarded, eventually: Eventually, issuer: Issuer
) -> None:
    await guarded.add("part", symbols=("SIM:*",))
    await eventually(lambda: _knows(guarded, "part"))

    token = issuer.token(guarded.now_s + 60)
    async with guarded.client("part") as part, guarded.bearer(token) as full:
        refused = await part.ask(action="subscribe", trades=["X:NEW"])
        await part.ask(action="subscribe", trades=["A"])
        await full.ask(action="subscribe", trades=["A"])
        await guarded.rig.trade("X:A")
        theirs = await full.data(1)
        await guarded.rig.trade("SIM:A")
        own = await part.data(1)

    assert refused["code"] == 409
    assert theirs[0]["i"] == 1
    assert own[0]["i"] == 2


async def test_a_resumed_stream_holds_only_what_may_be_read(
    guarded: Guarded, eventually: Eventually
) -> None:
    await guarded.add("part", symbols=("SIM:*",))
    await eventually(lambda: _knows(guarded, "part"))
    async with guarded.client("part") as client:
        await client.ask(action="subscribe", trades=["*"], cursor=True)
        await guarded.rig.trade("SIM:A")
        cursor = await _cursor(client)
    await guarded.rig.trade("SIM:A", "X:A")
    await eventually(guarded.rig.has_read_all)

    async with guarded.client("part") as client:
        refused = await client.ask(action="subscribe", trades=["X:A"], resume=cursor)
        await client.ask(action="subscribe", trades=["*"], resume=cursor)
        missed = await client.data(1)

    assert refused["code"] == 409
    assert [message["S"] for message in missed] == ["SIM:A"]


async def _cursor(client: Client) -> str:
    """That behind the first trade."""
    traded = False
    while True:
        for message in await client.receive():
            traded = traded or message["T"] == "t"
            if traded and message["T"] == "cursor":
                return str(message["c"])


async def test_a_token_opens_the_stream_in_each_way_to_show_it(
    guarded: Guarded, issuer: Issuer
) -> None:
    token = issuer.token(guarded.now_s + 60)
    welcome = [{"T": "success", "msg": "authenticated"}]

    headers = {"Authorization": f"Bearer {token}"}
    async with guarded.rig.client(additional_headers=headers) as client:
        assert await client.receive() == welcome
    async with guarded.rig.client(f"?token={token}") as client:
        assert await client.receive() == welcome
    async with guarded.bearer(token) as client:
        assert (await client.ask(action="subscribe", trades=["A"]))["trades"] == ["A"]


async def test_a_token_as_long_as_may_be_opens_the_stream(guarded: Guarded, issuer: Issuer) -> None:
    expires_s = guarded.now_s + 60
    shortest = len(issuer.token(expires_s, more=""))
    more = "a" * ((MAX_TOKEN - shortest) * 3 // 4)
    token = issuer.token(expires_s, more=more)
    assert MAX_TOKEN - 4 < len(token) <= MAX_TOKEN

    for path, headers in (
        ("", {"Authorization": f"Bearer {token}"}),
        (f"?token={token}", {}),
        (f"?encoding=json&token={token}", {}),
    ):
        async with guarded.rig.client(path, additional_headers=headers) as client:
            assert await client.receive() == [{"T": "success", "msg": "authenticated"}]


async def test_a_token_that_expires_ends_the_connection_after_an_error(
    guarded: Guarded, issuer: Issuer
) -> None:
    async with guarded.bearer(issuer.token(guarded.now_s + 60)) as client:
        guarded.skip(60)
        (error,), code = await client.ended()

    assert (error["code"], code) == (402, 1008)
    assert "token has expired" in error["msg"]


async def test_a_new_token_takes_the_place_of_the_one_before(
    guarded: Guarded, issuer: Issuer
) -> None:
    wide = issuer.token(guarded.now_s + 60, symbols=["SIM:*", "X:*"])
    async with guarded.bearer(wide) as client:
        await client.ask(action="subscribe", trades=["SIM:A", "X:A", "*"], bars=["SIM:A"])
        stranger = await client.ask(
            action="auth", key="oauth", secret=issuer.token(guarded.now_s + 60, sub="mallory")
        )
        broken = await client.ask(action="auth", key="oauth", secret="a.b.c")
        narrow = issuer.token(guarded.now_s + 120, symbols=["SIM:*"], channels=["trades"])
        renewed = await client.ask(action="auth", key="oauth", secret=narrow)
        (left,) = await client.receive()
        guarded.skip(70)
        await guarded.rig.trade("X:A", "SIM:A")
        came = await client.data(1)

    assert stranger["code"] == broken["code"] == 402
    assert renewed == {"T": "success", "msg": "authenticated"}
    assert (left["trades"], left["bars"]) == (["*", "SIM:A"], [])
    assert [message["S"] for message in came] == ["SIM:A"]


async def test_a_key_that_its_issuer_has_just_made_is_fetched(
    guarded: Guarded, issuer: Issuer, tmp_path: Path
) -> None:
    (tmp_path / "jwks.json").write_bytes(issuer.jwks("ES256", "RS256"))
    token = issuer.token(guarded.now_s + 60, algorithm="RS256")

    async with guarded.rig.client() as client:
        await client.connection.send(f'{{"action":"auth","key":"oauth","secret":"{token}"}}')
        await client.connection.send('{"action":"subscribe","trades":["A"]}')  # kept meanwhile
        replies = [await client.receive(), await client.receive()]

    assert replies[0] == [{"T": "success", "msg": "authenticated"}]
    assert replies[1][0]["trades"] == ["A"]


async def test_a_token_of_an_unknown_key_is_refused(guarded: Guarded, issuer: Issuer) -> None:
    async with guarded.rig.client() as client:
        token = issuer.token(guarded.now_s + 60, kid="made up")
        error = await client.ask(action="auth", key="oauth", secret=token)
        _, code = await client.ended()

    assert (error["code"], code) == (402, 1008)


class LateStore:
    """Keys in a database that is away at first."""

    def __init__(self) -> None:
        self.is_there = False

    async def version(self) -> int:
        if not self.is_there:
            raise DatabaseUnavailable("here", "away")
        return 1

    async def any_ever(self) -> bool:
        return True

    async def in_force(self) -> AsyncIterator[Sequence[StoredKey]]:
        yield [StoredKey(key_id="alice", secret_sha256=hashlib.sha256(SECRET.encode()).digest())]


async def test_a_gateway_that_starts_while_the_database_is_away_takes_no_key_for_a_wrong_one(
    redis_url: str, namespace: str, eventually: Eventually
) -> None:
    access = access_of(always=True, awaits_stored=True, failures_per_minute=1)
    store = LateStore()
    follower = KeyFollower(store, access.guard, requests_per_minute=100)
    async with gateway(redis_url, namespace, access=access, follower=follower) as rig:

        async def code_of(key_id: str) -> int | None:
            async with rig.client() as client:
                reply = await client.ask(action="auth", key=key_id, secret=SECRET)
                return None if reply["T"] == "success" else int(reply["code"])

        early = [await code_of("alice") for _ in range(2)]
        async with rig.client() as client:
            await client.ask(action="auth", key="alice", secret=SECRET)
            _, closed = await client.ended()
        store.is_there = True
        await eventually(lambda: _is(code_of("alice"), None), timeout_s=10)

        assert (early, closed) == ([500, 500], 1013)
        assert await code_of("nobody") == 402


async def _is(found: Awaitable[Any], expected: Any) -> bool:
    return bool(await found == expected)


async def test_who_is_there_when_the_first_key_is_added_has_to_show_one(
    embedded_migrated_url: str, redis_url: str, namespace: str
) -> None:
    database = Database(embedded_migrated_url, min_size=1)
    await database.open()
    store, access = ApiKeyStore(database), access_of()
    follower = KeyFollower(store, access.guard, requests_per_minute=100)
    settings = GatewaySettings(port=0, auth_timeout_s=1.0)
    try:
        async with (
            gateway(
                redis_url, namespace, settings=settings, access=access, follower=follower
            ) as rig,
            rig.client() as client,
        ):
            await client.ask(action="subscribe", trades=["A"])
            digest = hashlib.sha256(SECRET.encode()).digest()
            await store.add(StoredKey(key_id="alice", secret_sha256=digest))
            (error,), code = await client.ended()
    finally:
        await database.close()

    assert (error["code"], code) == (404, 1008)
