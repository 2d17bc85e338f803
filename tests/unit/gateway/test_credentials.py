"""Who is let in, and what a wrong setting is answered with."""

import base64
import hashlib

import pytest

from gateway.access.credentials import (
    ShownKey,
    ShownToken,
    shown_as,
    shown_in,
    shown_in_query,
)
from gateway.access.grant import Caller
from gateway.access.keyring import Keyring, fixed_keys, stored_keys
from gateway.keys import ApiKeys, ApiKeysError
from storage.stored_key import StoredKey

DIGEST = hashlib.sha256(b"hush").hexdigest()


def ring(text: str) -> Keyring:
    return fixed_keys(ApiKeys.parse(text).digests, requests_per_minute=100)


@pytest.mark.parametrize("text", ["", "  "])
def test_blank_text_means_no_keys(text: str) -> None:
    assert len(ApiKeys.parse(text)) == 0


def test_only_the_right_secret_of_a_known_id_is_let_in() -> None:
    keys = ring(f"alice:{DIGEST}, bob:{DIGEST.upper()}")

    assert len(keys) == 2
    assert "alice" in keys
    assert keys.check("alice", "hush") == Caller(key_id="alice", requests_per_minute=100)
    assert keys.check("bob", "hush") == keys.get("bob")
    assert keys.check("alice", "hush ") is None
    assert keys.check("carol", "hush") is None
    assert keys.check("alice", DIGEST) is None
    assert keys.check("alice", "\ud800") is None  # a lone surrogate, as a decoded header may have
    assert keys.get("carol") is None


def test_an_unknown_id_is_not_let_in_by_the_digest_it_is_compared_with() -> None:
    keys = fixed_keys({"alice": bytes(32)}, requests_per_minute=0)

    assert keys.check("nobody", "") is None


def test_a_stored_key_may_do_what_its_row_says() -> None:
    full = StoredKey(
        key_id="alice",
        secret_sha256=hashlib.sha256(b"hush").digest(),
        symbols=("SIM:*",),
        channels=("trades",),
        requests_per_minute=0,
        connections=2,
        expires_ms=1_500,
    )
    plain = StoredKey(key_id="bob", secret_sha256=hashlib.sha256(b"hush").digest())
    broken = StoredKey(key_id="carol", secret_sha256=bytes(32), symbols=("no pattern",))

    records, unreadable = stored_keys([full, plain, broken], requests_per_minute=50)
    keys = Keyring(records)
    alice, bob = keys.check("alice", "hush"), keys.check("bob", "hush")

    assert unreadable == ["carol"]
    assert alice is not None
    assert bob is not None
    assert (alice.permits("SIM:A"), alice.permits("X:A")) == (True, False)
    assert (alice.channels, alice.requests_per_minute) == (frozenset({"trades"}), 0)
    assert (alice.connections, alice.expires_ns) == (2, 1_500_000_000)
    assert (bob.permits("X:A"), bob.channels, bob.requests_per_minute) == (True, None, 50)
    assert (bob.connections, bob.expires_ns) == (0, 0)


def test_a_key_that_ended_at_the_epoch_is_over() -> None:
    stored = StoredKey(key_id="alice", secret_sha256=bytes(32), expires_ms=0)

    records, _ = stored_keys([stored], requests_per_minute=0)

    assert records["alice"].caller.expires_ns == 1  # 0 would be never


def test_secrets_are_never_printed() -> None:
    digest = hashlib.sha256(b"hush").digest()
    stored = StoredKey(key_id="alice", secret_sha256=digest)
    records, _ = stored_keys([stored], requests_per_minute=0)
    shown = [ShownKey("alice", "hush"), ShownToken("a.b.c")]

    text = repr([stored, records, shown, Keyring(records)])

    assert "hush" not in text
    assert "a.b.c" not in text
    assert repr(digest) not in text


@pytest.mark.parametrize(
    ("text", "entry", "reason"),
    [
        ("alice", 1, "no colon"),
        (f"alice:{DIGEST},", 2, "no colon"),
        (f":{DIGEST}", 1, "key id is not"),
        (f"al ice:{DIGEST}", 1, "key id is not"),
        (f"{'a' * 65}:{DIGEST}", 1, "key id is not"),
        (f"oauth:{DIGEST}", 1, "none of oauth, access_token, which stand for a token"),
        (f"alice:{DIGEST},bob:plain-secret", 2, "the digest has 12 characters"),
        (f"alice:{'g' * 64}", 1, "no hex"),
        (f"alice:{DIGEST},alice:{DIGEST}", 2, "occurred before"),
    ],
)
def test_a_wrong_setting_names_the_entry_and_leaks_nothing_of_it(
    text: str, entry: int, reason: str
) -> None:
    with pytest.raises(ApiKeysError, match=reason) as caught:
        ApiKeys.parse(text)

    assert caught.value.entry == entry
    assert "KEYID:SHA256HEX" in str(caught.value)
    for secret in ("alice", "plain-secret", DIGEST):
        assert secret not in str(caught.value)


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def _basic(text: str) -> str:
    return "Basic " + base64.b64encode(text.encode()).decode()


@pytest.mark.parametrize(
    "headers",
    [
        {"APCA-API-KEY-ID": "alice", "APCA-API-SECRET-KEY": "hu:sh"},
        {"Authorization": _basic("alice:hu:sh")},
        {"Authorization": _basic("alice:hu:sh").replace("Basic", "basic")},
        {"Authorization": "Bearer alice:hu:sh"},
        {"Authorization": "bearer  alice:hu:sh "},
    ],
)
def test_each_way_to_show_a_key_is_read(headers: dict[str, str]) -> None:
    assert shown_in(lowered(headers)) == ShownKey("alice", "hu:sh")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"APCA-API-KEY-ID": "alice"},
        {"APCA-API-SECRET-KEY": "hush"},
        {"Authorization": ""},
        {"Authorization": "Bearer alice"},
        {"Authorization": "Digest alice:hush"},
        {"Authorization": "Basic %%%"},
        {"Authorization": "Basic é"},
        {"Authorization": "Basic " + base64.b64encode(b"\xff:\xff").decode()},
        {"Authorization": _basic("alice")},
        {"Authorization": "Bearer a.b"},
        {"Authorization": f"Bearer alice:{'a' * 600}"},
        {"Authorization": _basic(f"alice:{'a' * 600}")},
        {"APCA-API-KEY-ID": "alice", "APCA-API-SECRET-KEY": "a" * 600},
        {"APCA-API-KEY-ID": "oauth", "APCA-API-SECRET-KEY": "alice"},
    ],
)
def test_what_is_no_key_is_none(headers: dict[str, str]) -> None:
    assert shown_in(lowered(headers)) is None


def test_a_token_is_told_from_a_key() -> None:
    assert shown_in({"authorization": "Bearer a.b.c"}) == ShownToken("a.b.c")
    assert shown_as("oauth", "a.b.c") == ShownToken("a.b.c")
    assert shown_as("access_token", "a.b.c") == ShownToken("a.b.c")
    assert shown_as("oauth", "alice:hush") == ShownKey("alice", "hush")
    assert shown_as("alice", "a.b.c") == ShownKey("alice", "a.b.c")


def test_a_query_may_hold_a_token_and_no_key() -> None:
    assert shown_in_query("/v1/stream?encoding=json&token=a.b.c") == ShownToken("a.b.c")
    for target in ("/v1/stream", "/v1/stream?encoding=json", "/v1/stream?my-token=a.b.c"):
        assert shown_in_query(target) is None


@pytest.mark.parametrize(
    "query", ["", "bad", "alice%3Ahush", "a.b.c&token=d.e.f", "a.b." * 5_000, "a.b.c" + "&x" * 25]
)
def test_what_is_no_token_in_a_query_is_one_that_is_refused(query: str) -> None:
    assert shown_in_query(f"/v1/stream?token={query}") == ShownToken("")
