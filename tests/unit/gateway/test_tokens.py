"""Which tokens are accepted, whose they are, and what is said of the rest."""

import base64
import hashlib
import hmac
import json
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

from core.market.timeframe import SECOND_NS
from gateway.access.grant import Caller
from gateway.access.tokens import (
    TokenKeysError,
    TokenRefused,
    TokenRules,
    Tokens,
    UnknownTokenKey,
    parse_keys,
    secret_key,
)
from tests.tokens import SECRET, Issuer

NOW_S = 1_700_000_000
NOW_NS = NOW_S * SECOND_NS
ALGORITHMS = ("HS256", "RS256", "ES256")


@pytest.fixture(scope="module")
def issuer() -> Issuer:
    return Issuer()


@pytest.fixture
def tokens(issuer: Issuer) -> Tokens:
    """Knows all keys of the issuer."""
    tokens = Tokens(TokenRules(leeway_s=30, requests_per_minute=50))
    tokens.accept(parse_keys(issuer.jwks(*ALGORITHMS), may_be_secret=True))
    return tokens


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_token_of_each_algorithm_lets_its_subject_in(
    issuer: Issuer, tokens: Tokens, algorithm: str
) -> None:
    caller = tokens.read(issuer.token(NOW_S + 60, algorithm=algorithm), NOW_NS)

    assert caller == Caller(
        key_id="token:alice",
        requests_per_minute=50,
        expires_ns=(NOW_S + 90) * SECOND_NS,
        by_token=True,
    )


def test_claims_bound_what_may_be_read(issuer: Issuer, tokens: Tokens) -> None:
    listed = issuer.token(NOW_S + 60, symbols=["SIM:*", "BTC-USD"], channels=["trades", "bars"])
    written = issuer.token(NOW_S + 60, symbols="SIM:*, BTC/USD", channels="trades bars")
    nothing = issuer.token(NOW_S + 60, symbols=[], channels=[])
    every = issuer.token(NOW_S + 60, symbols=["*"], channels=["*"])

    for token in (listed, written):
        caller = tokens.read(token, NOW_NS)
        assert caller.permits_all(["SIM:A", "KRAKEN:BTC/USD"])
        assert not caller.permits("KRAKEN:ETH/USD")
        assert caller.channels == {"trades", "bars"}
    caller = tokens.read(nothing, NOW_NS)
    assert not caller.permits("SIM:A")
    assert not caller.permits_channel("trades")
    caller = tokens.read(every, NOW_NS)
    assert caller.symbols.everything
    assert caller.channels is None


@pytest.mark.parametrize("name", ["symbols", "channels"])
def test_a_claim_that_says_nothing_is_not_one_that_is_left_out(tokens: Tokens, name: str) -> None:
    token = jwt.encode({"exp": NOW_S + 60, name: None}, SECRET, algorithm="HS256")

    with pytest.raises(TokenRefused, match=f"claim {name} is not a list"):
        tokens.read(token, NOW_NS)


def test_a_token_without_a_subject_is_somebody_of_its_own(issuer: Issuer, tokens: Tokens) -> None:
    one, other = (
        tokens.read(issuer.token(NOW_S + 60, sub=None, jti=jti), NOW_NS) for jti in ("1", "2")
    )

    assert one.key_id.startswith("token:")
    assert one.key_id != other.key_id


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"exp": NOW_S - 30}, "it has expired"),
        ({"exp": None}, "exp is missing"),
        ({"exp": "tomorrow"}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"exp": 1e300}, "exp is no time"),
        ({"exp": 10**400}, "exp is no time"),
        ({"exp": float("nan")}, "exp is no time|ill-formed"),
        ({"nbf": NOW_S + 31}, "of the future"),
        ({"iat": NOW_S + 31}, "of the future"),
        ({"nbf": "x"}, "nbf is no time"),
        ({"sub": ""}, "claim sub"),
        ({"sub": "a" * 129}, "claim sub"),
        ({"sub": 7}, "claim sub is not text"),
        ({"sub": "\ud800"}, "claim sub has half a character"),
        ({"symbols": 7}, "claim symbols is not a list"),
        ({"symbols": [7]}, "claim symbols is not a list"),
        ({"symbols": ["no pattern"]}, "claim symbols: 'no pattern'"),
        ({"channels": {"a": 1}}, "claim channels is not a list"),
        ({"channels": [f"c{n}" for n in range(101)]}, "claim channels has more"),
        ({"aud": "somebody"}, "another audience"),
        ({"more": "a" * 8_192}, "it has more than 8192 characters"),
    ],
)
def test_a_token_that_is_wrong_in_what_it_says_is_refused(
    issuer: Issuer, tokens: Tokens, claims: dict[str, Any], reason: str
) -> None:
    token = issuer.token(**{"expires_s": NOW_S + 60, **_but_exp(claims)})

    with pytest.raises(TokenRefused, match=reason) as caught:
        tokens.read(token, NOW_NS)

    assert token not in str(caught.value)


def _but_exp(claims: dict[str, Any]) -> dict[str, Any]:
    return {"expires_s" if name == "exp" else name: value for name, value in claims.items()}


def test_clocks_may_differ_a_little(issuer: Issuer, tokens: Tokens) -> None:
    token = issuer.token(NOW_S - 29, nbf=NOW_S + 30, iat=NOW_S + 30)

    assert tokens.read(token, NOW_NS).expires_ns == (NOW_S + 1) * SECOND_NS


def test_issuer_and_audience_must_be_those_of_the_settings(issuer: Issuer) -> None:
    tokens = Tokens(TokenRules(issuer="https://id.example.com", audience="ticks"))
    tokens.accept(parse_keys(issuer.jwks("ES256"), may_be_secret=False))
    good = {"iss": "https://id.example.com", "aud": ["other", "ticks"]}

    assert tokens.read(issuer.token(NOW_S + 60, **good), NOW_NS).key_id == "token:alice"
    for wrong, reason in (
        ({"iss": "https://evil.example.com"}, "another issuer"),
        ({"aud": "other"}, "another audience"),
        ({"iss": None}, "lacks a claim|another issuer"),
        ({"aud": None}, "lacks a claim|another audience"),
    ):
        claims = {name: value for name, value in {**good, **wrong}.items() if value is not None}
        with pytest.raises(TokenRefused, match=reason):
            tokens.read(issuer.token(NOW_S + 60, **claims), NOW_NS)


def test_none_is_no_algorithm(tokens: Tokens) -> None:
    for algorithm in ("none", "None", "HS384", 7, None):
        parts = [{"alg": algorithm, "kid": "es256"}, {"sub": "alice", "exp": NOW_S + 60}]
        encoded = [base64.urlsafe_b64encode(json.dumps(part).encode()).decode() for part in parts]
        unsigned = ".".join(part.rstrip("=") for part in (*encoded, ""))

        with pytest.raises(TokenRefused):
            tokens.read(unsigned, NOW_NS)


def test_a_public_key_is_never_taken_for_a_secret(issuer: Issuer, tokens: Tokens) -> None:
    public = issuer.keys["RS256"].public_key()
    for form in (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ):
        head = {"alg": "HS256", "kid": "rs256", "typ": "JWT"}
        body = {"sub": "mallory", "exp": NOW_S + 60}
        parts = [jwt.utils.base64url_encode(json.dumps(p).encode()) for p in (head, body)]
        signed = b".".join(parts)
        tag = hmac.new(form, signed, hashlib.sha256).digest()
        forged = b".".join([signed, jwt.utils.base64url_encode(tag)]).decode()

        with pytest.raises(TokenRefused, match="another algorithm"):
            tokens.read(forged, NOW_NS)


def test_another_key_signs_for_nobody(issuer: Issuer, tokens: Tokens) -> None:
    stranger = Issuer()
    stranger.keys["HS256"] = b"another shared secret of 32 bytes or more"

    for algorithm in ALGORITHMS:
        with pytest.raises(TokenRefused, match="signature is wrong"):
            tokens.read(stranger.token(NOW_S + 60, algorithm=algorithm), NOW_NS)


def test_a_token_that_was_changed_is_refused(issuer: Issuer, tokens: Tokens) -> None:
    head, body, tag = issuer.token(NOW_S + 60, symbols=["SIM:A"]).split(".")
    claims = json.loads(jwt.utils.base64url_decode(body)) | {"symbols": ["*"]}
    forged = jwt.utils.base64url_encode(json.dumps(claims).encode()).decode()

    with pytest.raises(TokenRefused, match="signature is wrong"):
        tokens.read(f"{head}.{forged}.{tag}", NOW_NS)


@pytest.mark.parametrize("text", ["", "..", "a.b.c", "....", "é.b.c", "e30.e30.", "W10.W10.W10"])
def test_what_is_no_token_is_refused(tokens: Tokens, text: str) -> None:
    with pytest.raises(TokenRefused):
        tokens.read(text, NOW_NS)


def test_an_unknown_key_is_told_from_a_wrong_one(issuer: Issuer, tokens: Tokens) -> None:
    with pytest.raises(UnknownTokenKey) as caught:
        tokens.read(issuer.token(NOW_S + 60, kid="next"), NOW_NS)

    assert caught.value.key_id == "next"
    assert "next" not in str(caught.value)


def test_a_token_without_a_key_id_needs_that_there_is_one_key_for_it(
    issuer: Issuer, tokens: Tokens
) -> None:
    token = issuer.token(NOW_S + 60, kid=None)
    assert tokens.read(token, NOW_NS).key_id == "token:alice"

    two = json.dumps({"keys": [issuer.jwk("ES256"), issuer.jwk("ES256", kid="second")]}).encode()
    tokens.accept(parse_keys(two, may_be_secret=False))

    with pytest.raises(TokenRefused, match="names no key"):
        tokens.read(token, NOW_NS)
    with pytest.raises(UnknownTokenKey):  # which may be there once the keys are fetched
        Tokens(TokenRules()).read(token, NOW_NS)


def test_the_shared_secret_of_the_settings_stays_and_is_good_for_every_id(issuer: Issuer) -> None:
    tokens = Tokens(TokenRules(), fixed=secret_key(SECRET))
    tokens.accept(parse_keys(issuer.jwks("ES256"), may_be_secret=False))

    for token in (
        issuer.token(NOW_S + 60, algorithm="HS256", kid=None),
        issuer.token(NOW_S + 60, algorithm="HS256", kid="whatever"),
        issuer.token(NOW_S + 60),
    ):
        assert tokens.read(token, NOW_NS).key_id == "token:alice"


def test_a_short_secret_is_refused() -> None:
    with pytest.raises(TokenKeysError, match="31 bytes"):
        secret_key("s" * 31)


def test_keys_that_are_not_for_us_are_left_out(issuer: Issuer) -> None:
    weak_rsa = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    other_curve = ec.generate_private_key(ec.SECP384R1()).public_key()
    useless = [
        issuer.jwk("ES256", use="enc"),
        issuer.jwk("ES256", alg="ES384"),
        issuer.jwk("ES256", kid=7),
        issuer.jwk("ES256", x="!"),
        json.loads(RSAAlgorithm.to_jwk(weak_rsa)) | {"kid": "weak"},
        json.loads(ECAlgorithm.to_jwk(other_curve)) | {"kid": "curve"},
        {"kty": "OKP", "crv": "Ed25519", "x": "AA", "kid": "ed"},
        {"kty": "oct", "k": "c2hvcnQ", "kid": "short"},
        "no key",
    ]
    good = issuer.jwk("RS256", use="sig", alg="RS256")

    found = parse_keys(json.dumps({"keys": [*useless, good]}).encode(), may_be_secret=True)

    assert list(found) == [("RS256", "rs256")]


def test_nobody_publishes_a_secret(issuer: Issuer) -> None:
    with pytest.raises(TokenKeysError, match="no usable key"):
        parse_keys(issuer.jwks("HS256"), may_be_secret=False)


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"<html>", "not JSON"),
        (b"\xff", "not JSON"),
        (b"[]", "expected an object"),
        (b'{"keys": {}}', "expected an object"),
        (b'{"keys": []}', "no usable key"),
        (json.dumps({"keys": [{}] * 101}).encode(), "101 keys"),
    ],
)
def test_what_is_no_set_of_keys_is_refused(payload: bytes, reason: str) -> None:
    with pytest.raises(TokenKeysError, match=reason):
        parse_keys(payload, may_be_secret=True)
