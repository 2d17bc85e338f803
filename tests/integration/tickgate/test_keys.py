"""`tickgate keys`: what it makes, shows and ends."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator

import msgspec
import pytest

from gateway.access.keyring import stored_keys
from storage.api_keys import ApiKeyStore
from storage.database import Database
from tickgate import cli


@pytest.fixture
async def database(embedded_migrated_url: str) -> AsyncIterator[Database]:
    database = Database(embedded_migrated_url, min_size=1)
    await database.open()
    yield database
    await database.close()


@pytest.mark.slow
async def test_a_key_is_shown_once_listed_and_revoked(
    embedded_migrated_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def keys(*words: str) -> tuple[int, str, str]:
        argv = ["keys", *words, "--database-url", embedded_migrated_url]
        code = await asyncio.to_thread(cli.main, argv)
        said = capsys.readouterr()
        return code, said.out, said.err

    empty = await keys("list")
    added = await keys(
        *("add", "--name", "desk 4", "--symbols", "COINBASE:*,SIM:S001", "--channels", "trades"),
        *("--requests-per-min", "0", "--connections", "2", "--expires", "90d"),
    )
    as_json = await keys("add", "--id", "robot", "--json")
    again = await keys("add", "--id", "robot")
    found = re.search(r"key +(\S+)\nsecret +(\S+)\n", added[1])
    assert found is not None
    key_id, secret = found[1], found[2]
    listed = await keys("list", "--json")
    told = await keys("list")
    revoked = await keys("revoke", key_id, "nobody")
    after = await keys("list")

    assert empty[1] == "there are no keys; make one by `tickgate keys add`\n"
    assert len(secret) == 43  # 256 bits in base64url
    robot = msgspec.json.decode(as_json[1])
    assert robot["key_id"] == "robot"
    assert again[0] == 1
    assert "choose another id" in again[2]
    rows = {row["key_id"]: row for row in msgspec.json.decode(listed[1])}
    assert rows[key_id]["symbols"] == "COINBASE:*,SIM:S001"
    assert rows[key_id]["channels"] == "trades"
    assert (rows[key_id]["requests_per_minute"], rows[key_id]["connections"]) == (0, 2)
    assert rows["robot"]["channels"] is rows["robot"]["expires"] is None
    assert "in force" in told[1]
    for said in (listed[1], told[1], after[1]):
        for hidden in (secret, robot["secret"], hashlib.sha256(secret.encode()).hexdigest()):
            assert hidden not in said
    assert (revoked[0], revoked[1]) == (1, f"{key_id}: revoked\n")
    assert "nobody: there is no such key in force" in revoked[2]
    assert "revoked=" in after[1]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["make"], "expected add, list or revoke"),
        (["add", "x"], "add takes no further word"),
        (["list", "x"], "list takes no further word"),
        (["list", "--name", "x"], "--name: only for add"),
        (["revoke"], "expected the ids"),
        (["add", "--id", "a b"], "--id: expected"),
        (["add", "--name", "a\nb"], "--name: expected"),
        (["add", "--symbols", "no pattern"], "--symbols: 'no pattern'"),
        (["add", "--channels", "news"], "--channels: expected"),
        (["add", "--requests-per-min", "-1"], "--requests-per-min"),
        (["add", "--connections", "0"], "--connections: expected"),
        (["add", "--expires", "soon"], "--expires: expected a span"),
        (["add", "--expires", "9999999d"], "--expires: expected a time before the year 10000"),
        (["add", "--expires", "2020-01-01"], "--expires: expected a time to come"),
    ],
)
def test_what_is_wrong_is_said_before_the_database_is_asked(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["keys", *words, "--database-url", "postgresql://127.0.0.1:1/x"]) == 2

    assert reason in capsys.readouterr().err


async def test_every_change_of_the_keys_is_seen_by_who_looks_at_the_version(
    database: Database,
) -> None:
    store = ApiKeyStore(database)
    versions = [await store.version()]
    before = [key async for keys in store.in_force() for key in keys]
    none_ever = not await store.any_ever()
    for statement in (
        "INSERT INTO api_keys (key_id, secret_sha256, name, symbols)"
        " VALUES ('by hand', decode(repeat('00', 32), 'hex'), '', '{*}')",
        "UPDATE api_keys SET symbols = '{SIM:*}'",
        "DELETE FROM api_keys",
    ):
        await database.fetch("by hand", statement)  # type: ignore[arg-type]
        versions.append(await store.version())

    assert (before, none_ever) == ([], True)
    assert versions == sorted(set(versions))


async def test_many_keys_are_read_a_few_at_a_time_each_once(database: Database) -> None:
    await database.fetch(
        "many",
        "INSERT INTO api_keys (key_id, secret_sha256, name, symbols, revoked_at)"
        " SELECT 'key' || n, sha256('x'), '', '{*}', CASE WHEN n > 1200 THEN now() END"
        " FROM generate_series(1, 1300) AS n",
    )
    pages = [keys async for keys in ApiKeyStore(database).in_force()]

    assert max(map(len, pages)) <= 500
    assert sorted(key.key_id for page in pages for key in page) == sorted(
        f"key{n}" for n in range(1, 1_201)
    )


async def test_a_key_that_never_ends_as_postgresql_says_it_lets_in(database: Database) -> None:
    await database.fetch(
        "by hand",
        "INSERT INTO api_keys (key_id, secret_sha256, name, symbols, expires_at)"
        " VALUES ('a', sha256('x'), '', '{*}', 'infinity'),"
        " ('b', sha256('x'), '', '{*}', '-infinity')",
    )
    store = ApiKeyStore(database)
    (keys,) = [keys async for keys in store.in_force()]
    listed = await store.all()

    records, _ = stored_keys(keys, requests_per_minute=0)
    year_9000_ns = 7_000 * 365 * 86_400 * 10**9
    assert records["a"].caller.expires_ns > year_9000_ns
    assert records["b"].caller.expires_ns == 1
    assert [key.key_id for key in listed] == ["a", "b"]
