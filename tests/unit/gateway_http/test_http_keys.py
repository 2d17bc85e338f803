"""Who is let in, and what a wrong setting is answered with."""

import base64
import hashlib

import pytest

from gateway.keys import ApiKeys, ApiKeysError, credentials

DIGEST = hashlib.sha256(b"hush").hexdigest()


def test_without_keys_everybody_is_let_in() -> None:
    for text in ("", "  "):
        keys = ApiKeys.parse(text)

        assert not keys.required
        assert len(keys) == 0
        assert keys.check("anybody", "anything")


def test_only_the_right_secret_of_a_known_id_is_let_in() -> None:
    keys = ApiKeys.parse(f"alice:{DIGEST}, bob:{DIGEST.upper()}")

    assert keys.required
    assert len(keys) == 2
    assert keys.check("alice", "hush")
    assert keys.check("bob", "hush")
    assert not keys.check("alice", "hush ")
    assert not keys.check("carol", "hush")
    assert not keys.check("alice", DIGEST)
    assert not keys.check("alice", "\ud800")  # a lone surrogate, as a decoded header may have


def test_an_unknown_id_is_not_let_in_by_the_digest_it_is_compared_with() -> None:
    keys = ApiKeys({"alice": bytes(32)})

    assert not keys.check("nobody", "")


@pytest.mark.parametrize(
    ("text", "entry", "reason"),
    [
        ("alice", 1, "no colon"),
        (f"alice:{DIGEST},", 2, "no colon"),
        (f":{DIGEST}", 1, "key id is not"),
        (f"al ice:{DIGEST}", 1, "key id is not"),
        (f"{'a' * 65}:{DIGEST}", 1, "key id is not"),
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
    assert credentials(headers) == ("alice", "hu:sh")


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
    ],
)
def test_what_is_no_key_is_none(headers: dict[str, str]) -> None:
    assert credentials(headers) is None
