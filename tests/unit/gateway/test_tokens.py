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
from tests.tokens import ALGORITHMS, LONG_SECRET, SECRET, Issuer

NOW_S = 1_700_000_000
NOW_NS = NOW_S * SECOND_NS


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
    claims, head = {"exp": NOW_S + 60, name: None}, {"kid": "hs256"}
    token = jwt.encode(claims, SECRET, algorithm="HS256", headers=head)

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
        ({"more": "a" * 8_000}, "it has more than 8000 characters"),
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
    for algorithm in ("none", "None", "HS384", "PS256", "ES256K", "EdDSA", 7, None):
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
    for name in ("HS256", "HS384", "HS512"):
        stranger.keys[name] = b"another shared secret " * 3

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


@pytest.mark.parametrize("kid", ["same", None])
def test_of_keys_that_share_an_id_or_have_none_each_is_good(kid: str | None) -> None:
    old, new, other = Issuer(), Issuer(), Issuer()
    tokens = Tokens(TokenRules())
    both = json.dumps({"keys": [one.jwk("RS256", kid=kid) for one in (old, new)]}).encode()
    tokens.accept(parse_keys(both, may_be_secret=False))

    for one in (old, new):
        assert tokens.read(one.token(NOW_S + 60, algorithm="RS256", kid=kid), NOW_NS)
    with pytest.raises(TokenRefused, match="its signature is wrong"):
        tokens.read(other.token(NOW_S + 60, algorithm="RS256", kid=kid), NOW_NS)


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
    other_curve = ec.generate_private_key(ec.SECP256K1()).public_key()
    useless = [
        issuer.jwk("ES256", use="enc"),
        issuer.jwk("ES256", alg="ES384"),
        issuer.jwk("ES384", crv="P-256"),
        issuer.jwk("ES512", crv=["P-521"]),
        issuer.jwk("RS256", alg="PS256"),
        issuer.jwk("RS256", alg=["RS256"]),
        issuer.jwk("HS256", alg="HS512"),  # which is too short for it
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


def test_a_curve_is_for_one_algorithm_and_other_keys_for_those_of_their_kind(
    issuer: Issuer,
) -> None:
    for of, good_for in (
        ("HS256", ["HS256"]),
        ("HS512", ["HS256", "HS384", "HS512"]),
        ("RS256", ["RS256", "RS384", "RS512"]),
        ("ES256", ["ES256"]),
        ("ES384", ["ES384"]),
        ("ES512", ["ES512"]),
    ):
        found = parse_keys(issuer.jwks(of), may_be_secret=True)
        told = json.dumps({"keys": [issuer.jwk(of, alg=of)]}).encode()

        assert [name for name, _ in found] == good_for
        assert [name for name, _ in parse_keys(told, may_be_secret=True)] == [of]


def test_null_is_what_a_key_does_not_say(issuer: Issuer) -> None:
    nothing = dict.fromkeys(("alg", "use", "key_ops", "d", "x5c"))
    keys = [issuer.jwk("ES256", **nothing), issuer.jwk("RS256", **nothing, kid=None)]

    found = parse_keys(json.dumps({"keys": keys}).encode(), may_be_secret=False)

    assert list(found) == [("ES256", "es256"), ("RS256", ""), ("RS384", ""), ("RS512", "")]


def test_a_key_of_one_algorithm_is_never_used_for_another(issuer: Issuer, tokens: Tokens) -> None:
    for algorithm in ALGORITHMS:
        others = [name for name in ALGORITHMS if name[:2] != algorithm[:2]]
        for kid in (other.lower() for other in others):
            with pytest.raises(TokenRefused, match="another algorithm"):
                tokens.read(issuer.token(NOW_S + 60, algorithm=algorithm, kid=kid), NOW_NS)
    for algorithm, kid in (("ES256", "es384"), ("ES384", "es512"), ("ES512", "es256")):
        with pytest.raises(TokenRefused, match="another algorithm"):
            tokens.read(issuer.token(NOW_S + 60, algorithm=algorithm, kid=kid), NOW_NS)


def test_a_secret_is_good_for_hashes_that_are_no_longer_than_it_is(issuer: Issuer) -> None:
    short = Tokens(TokenRules(), fixed=secret_key(SECRET))
    long = Tokens(TokenRules(), fixed=secret_key(LONG_SECRET))
    for algorithm, least in (("HS384", 48), ("HS512", 64)):
        for kid in (None, "any"):
            token = issuer.token(NOW_S + 60, algorithm=algorithm, kid=kid)

            assert long.read(token, NOW_NS).key_id == "token:alice"
            with pytest.raises(TokenRefused, match=f"fewer than {least} bytes.*{algorithm}"):
                short.read(token, NOW_NS)


def test_what_is_too_short_is_told_where_no_key_is_left(issuer: Issuer) -> None:
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    keys = [
        issuer.jwk("HS256", alg="HS512"),
        json.loads(RSAAlgorithm.to_jwk(weak)) | {"kid": "weak"},
        issuer.jwk("ES256", x="!"),
    ]

    with pytest.raises(TokenKeysError) as caught:
        parse_keys(json.dumps({"keys": keys}).encode(), may_be_secret=True)

    assert str(caught.value).endswith(
        "; key 'hs256' has 37 bytes, fewer than the 64 of HS512; key 'weak' has 1024 bits, fewer "
        "than 2048; key 'es256' is ill-formed, or of another kind than it says"
    )


def test_a_public_key_is_no_secret(issuer: Issuer) -> None:
    public = issuer.keys["RS256"].public_key()
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()

    with pytest.raises(TokenKeysError, match="and no secret"):
        secret_key(pem)


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
