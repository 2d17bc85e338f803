"""JSON Web Tokens: their signature, their claims, and who shows one. Pure: told the time.

A key is good for the algorithms of its kind only, whatever a token says of itself: so a public key
is never taken for a shared secret, and ``none`` is no algorithm. Sources: RFC 7515, 7517, 7518,
7519, 8725.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import jwt
import msgspec
from jwt import PyJWK

from core.market.errors import TickgateError
from core.market.timeframe import SECOND_NS
from gateway.access.entitlement import EVERYTHING, Entitlement, EntitlementError
from gateway.access.grant import Caller

if TYPE_CHECKING:
    from jwt.types import Options

MIN_SECRET_BYTES: Final = 32
_HASH_BYTES: Final = {"HS256": 32, "HS384": 48, "HS512": 64}
"""RFC 7518, section 3.2: a shared secret is as long as the hash at least."""
_RSA: Final = ("RS256", "RS384", "RS512")
_CURVES: Final = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512"}
ALGORITHMS: Final = (*_HASH_BYTES, *_RSA, *_CURVES.values())
_MIN_RSA_BITS: Final = 2_048  # RFC 7518, section 3.3
MAX_TOKEN: Final = 8_000
"""Characters: with what is around them in a header or query they fit a line of a handshake, 8,192.

A token with hundreds of symbols has below 4,000."""
_MAX_KEYS: Final = 100  # of a set; providers publish a handful
_MAX_REASONS: Final = 3  # that are told of keys of a set
_MAX_CHANNELS: Final = 100
_MAX_NAME: Final = 128  # characters of a subject
_LATEST_S: Final = 253_402_300_799  # the end of the year 9999


class TokenRefused(TickgateError):
    """A token lets nobody in; never shows anything of it but names of claims."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"the token is refused: {self.reason}"


class TokenExpired(TokenRefused):
    """A token that is right in all else let *caller* in until its time came."""

    def __init__(self, caller: Caller) -> None:
        self.caller = caller
        super().__init__("it has expired")


class UnknownTokenKey(TokenRefused):
    """The key that a token names is not known, or not yet."""

    def __init__(self, key_id: str) -> None:
        self.key_id = key_id
        super().__init__("its key is not among those that are accepted")


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class TokenKeysError(TickgateError):
    """A set of keys cannot be read. Never shows what was in it."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return f"no JSON Web Key Set (RFC 7517): {self.reason}"


class NoUsableKey(TokenKeysError):
    """It is a set of keys, and none of them is of use: whoever publishes it withdrew the others."""


class TokenRules(msgspec.Struct, frozen=True, kw_only=True):
    """What tokens must say; an empty value is not asked for."""

    issuer: str = ""
    audience: str = ""
    leeway_s: int = 30
    """Clocks may differ by so much."""
    requests_per_minute: int = 0
    """Of HTTP, by whoever shows one."""


Keys = Mapping[tuple[str, str], Sequence[PyJWK]]
"""By algorithm and key id; several only where their issuer gave them the same id, or none."""


def parse_keys(payload: bytes, *, may_be_secret: bool) -> Keys:
    """The keys of a JSON Web Key Set that are for signatures by our algorithms.

    Others are left out, as sets hold keys for other purposes too. *may_be_secret*: shared secrets
    are accepted as well, which nobody publishes at a URL.

    Raises:
        TokenKeysError: it is no set, has none of these, or is too large.
    """
    try:
        decoded = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as exc:
        raise TokenKeysError("it is not JSON") from exc
    listed = decoded.get("keys") if isinstance(decoded, dict) else None
    if not isinstance(listed, list):
        raise TokenKeysError('expected an object with a list "keys"')
    if len(listed) > _MAX_KEYS:
        raise TokenKeysError(f"{len(listed)} keys, more than {_MAX_KEYS}")
    kinds = ("oct", "RSA", "EC") if may_be_secret else ("RSA", "EC")
    useless: list[str] = []
    keys: dict[tuple[str, str], list[PyJWK]] = {}
    for one in listed:
        if isinstance(one, dict) and one.get("kty") in kinds:
            # Null is what some providers write for nothing.
            told = {name: value for name, value in one.items() if value is not None}
            for name, key in _keys_of(told, useless).items():
                keys.setdefault(name, []).append(key)
    if not keys:
        why = "".join(f"; {reason}" for reason in useless[:_MAX_REASONS])
        raise NoUsableKey(f"it has no usable key for {', '.join(ALGORITHMS)}{why}")
    return keys


def secret_key(secret: str) -> Keys:
    """The one secret for HS256, and HS384 and HS512 where it is long enough, whatever its id.

    Raises:
        TokenKeysError: it is shorter than 32 bytes, or a key of another kind.
    """
    raw = secret.encode()
    if len(raw) < MIN_SECRET_BYTES:
        raise TokenKeysError(f"the secret has {len(raw)} bytes, fewer than {MIN_SECRET_BYTES}")
    encoded = jwt.utils.base64url_encode(raw).decode()
    useless: list[str] = []
    keys = _keys_of({"kty": "oct", "k": encoded}, useless)
    if not keys:
        raise TokenKeysError("the secret is a public key, a certificate or a JWK, and no secret")
    return {name: [key] for name, key in keys.items()}


class Tokens:
    """Reads tokens with the keys that are known now."""

    def __init__(self, rules: TokenRules, *, fixed: Keys | None = None) -> None:
        """*fixed* are keys that stay, beside those of :meth:`accept`."""
        self._rules, self._fixed = rules, dict(fixed or {})
        self._keys: dict[tuple[str, str], Sequence[PyJWK]] = dict(self._fixed)

    def accept(self, keys: Keys) -> None:
        """These keys, and the fixed ones, from now on."""
        self._keys = {**keys, **self._fixed}

    def read(self, token: str, now_ns: int) -> Caller:
        """Who shows *token* at *now_ns*.

        Raises:
            UnknownTokenKey: its key is not known.
            TokenExpired: it is over.
            TokenRefused: it is ill-formed, not signed by that key, or not for us.
        """
        if len(token) > MAX_TOKEN:
            raise TokenRefused(f"it has more than {MAX_TOKEN} characters")
        try:
            header = jwt.get_unverified_header(token)
            keys = self._keys_for(header.get("alg"), header.get("kid"))
            claims = self._verified(token, keys)
        except (jwt.PyJWTError, ValueError, RecursionError) as exc:
            raise TokenRefused(_WHY.get(type(exc), "it is ill-formed")) from exc
        return self._caller(token, claims, now_ns)

    def _keys_for(self, algorithm: object, key_id: object) -> Sequence[PyJWK]:
        if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
            raise TokenRefused(f"its algorithm is none of {', '.join(ALGORITHMS)}")
        named = None if key_id is None else str(key_id)
        fitting = self._fitting(algorithm, named)
        if len(fitting) > 1:
            raise TokenRefused("it names no key (kid)")
        if fitting:
            return fitting[0]
        least = _HASH_BYTES.get(algorithm, 0)
        short = [key for keys in self._fitting("HS256", named) for key in keys]
        if least and any(len(key.key) < least for key in short):
            raise TokenRefused(f"its key has fewer than {least} bytes, too few for {algorithm}")
        if named is not None and any(named == known for _, known in self._keys):
            raise TokenRefused("its key is for another algorithm")
        raise UnknownTokenKey(named or "")

    def _fitting(self, algorithm: str, key_id: str | None) -> list[Sequence[PyJWK]]:
        """The keys that a token by *algorithm* may mean, those of an id together."""
        if key_id is None:
            return [keys for (name, _), keys in self._keys.items() if name == algorithm]
        keys = self._keys.get((algorithm, key_id)) or self._fixed.get((algorithm, ""))
        return [] if keys is None else [keys]

    def _verified(self, token: str, keys: Sequence[PyJWK]) -> dict[str, Any]:
        """The claims of *token*, which one of *keys* has signed."""
        for key in keys[:-1]:
            with suppress(jwt.InvalidSignatureError):
                return self._verified_by(key, token)
        return self._verified_by(keys[-1], token)

    def _verified_by(self, key: PyJWK, token: str) -> dict[str, Any]:
        rules = self._rules
        claims: dict[str, Any] = jwt.decode(
            token,
            key.key,
            algorithms=[str(key.algorithm_name)],
            issuer=rules.issuer or None,
            audience=rules.audience or None,
            options=_BY_US,
        )
        return claims

    def _caller(self, token: str, claims: Mapping[str, Any], now_ns: int) -> Caller:
        now_s, leeway_s = now_ns / SECOND_NS, self._rules.leeway_s
        expires_s = _seconds(claims, "exp")
        if expires_s is None:
            raise TokenRefused("it never expires (exp is missing)")
        for name in ("nbf", "iat"):
            if (_seconds(claims, name) or 0) - leeway_s > now_s:
                raise TokenRefused(f"it is of the future ({name})")
        caller = Caller(
            key_id=f"token:{_subject(token, claims)}",
            symbols=_symbols(claims),
            channels=_channels(claims),
            requests_per_minute=self._rules.requests_per_minute,
            expires_ns=max(1, int((expires_s + leeway_s) * SECOND_NS)),  # 0 would be never
            by_token=True,
        )
        if caller.expires_ns <= now_ns:
            raise TokenExpired(caller)
        return caller


_BY_US: "Final[Options]" = {  # times by the clock that we are told, the rest in words
    "verify_exp": False,
    "verify_nbf": False,
    "verify_iat": False,
    "verify_sub": False,
    "verify_jti": False,
}
_WHY: Final[Mapping[type[Exception], str]] = {
    jwt.InvalidSignatureError: "its signature is wrong",
    jwt.InvalidIssuerError: "it is of another issuer (iss)",
    jwt.InvalidAudienceError: "it is for another audience (aud)",
    jwt.MissingRequiredClaimError: "it lacks a claim that is asked for (iss or aud)",
}


def _keys_of(data: dict[str, Any], useless: list[str]) -> Mapping[tuple[str, str], PyJWK]:
    """A key of a set, for each algorithm that it is good for; why it is for none: in *useless*."""
    key_id = data.get("kid", "")
    if data.get("use", "sig") != "sig" or not isinstance(key_id, str):
        return {}
    names = [name for name in _algorithms_of(data) if data.get("alg", name) == name]
    keys: dict[tuple[str, str], PyJWK] = {}
    for name in names:
        try:
            key = PyJWK(data, name)
            key.Algorithm.prepare_key(key.key)
        except (jwt.PyJWTError, ValueError, TypeError):
            reason = "is ill-formed, or of another kind than it says"
        else:
            reason = _weakness(key)
        if reason:
            useless.append(f"key {key_id[:_MAX_NAME]!a} {reason}")
            break  # of a secret, longer hashes ask for more
        keys[name, key_id] = key
    return keys


def _algorithms_of(data: Mapping[str, Any]) -> Sequence[str]:
    """Those that a key of its kind is for, and of its curve."""
    if data["kty"] == "EC":
        return [name for curve, name in _CURVES.items() if data.get("crv") == curve]
    return _RSA if data["kty"] == "RSA" else tuple(_HASH_BYTES)


def _weakness(key: PyJWK) -> str:
    """Why *key* is too weak for its algorithm; empty: it is not."""
    name = str(key.algorithm_name)
    if name in _HASH_BYTES and len(key.key) < _HASH_BYTES[name]:
        return f"has {len(key.key)} bytes, fewer than the {_HASH_BYTES[name]} of {name}"
    if name in _RSA and key.key.key_size < _MIN_RSA_BITS:
        return f"has {key.key.key_size} bits, fewer than {_MIN_RSA_BITS}"
    return ""


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    value = claims.get(name)
    if value is None:
        return None
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not 0 <= value <= _LATEST_S:  # nor is any that is not finite
        raise TokenRefused(f"claim {name} is no time in seconds")
    return float(value)


def _subject(token: str, claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if subject is None:  # then each token is somebody of its own
        return hashlib.sha256(token.encode()).hexdigest()[:16]
    if not isinstance(subject, str) or not 0 < len(subject) <= _MAX_NAME:
        raise TokenRefused(f"claim sub is not text of 1 to {_MAX_NAME} characters")
    if not subject.isascii() and _SURROGATE.search(subject):
        raise TokenRefused("claim sub has half a character")
    return subject


def _symbols(claims: Mapping[str, Any]) -> Entitlement:
    patterns = _texts(claims, "symbols")
    if patterns is None:
        return EVERYTHING
    try:
        return Entitlement(patterns)
    except EntitlementError as exc:
        raise TokenRefused(f"claim {exc}") from exc


def _channels(claims: Mapping[str, Any]) -> frozenset[str] | None:
    names = _texts(claims, "channels")
    if names is None or "*" in names:
        return None
    if len(names) > _MAX_CHANNELS:
        raise TokenRefused(f"claim channels has more than {_MAX_CHANNELS} names")
    return frozenset(names)


def _texts(claims: Mapping[str, Any], name: str) -> Sequence[str] | None:
    """A list of texts, also written as one text with blanks or commas in between."""
    if name not in claims:
        return None
    value = claims[name]  # null is what a provider makes of a user who was given nothing
    if isinstance(value, str):
        return value.replace(",", " ").split()
    if not isinstance(value, list) or not _are_texts(value):
        raise TokenRefused(f"claim {name} is not a list of texts")
    return value


def _are_texts(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)
