"""Tokens and key sets as an identity provider makes them."""

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

SECRET = "a shared secret of more than 32 bytes"


class Issuer:
    """Has a key for each algorithm, and signs what it is asked to."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {
            "HS256": SECRET.encode(),
            "RS256": rsa.generate_private_key(public_exponent=65537, key_size=2048),
            "ES256": ec.generate_private_key(ec.SECP256R1()),
        }

    def token(
        self,
        expires_s: float | None,
        *,
        algorithm: str = "ES256",
        kid: str | None = "",
        **claims: Any,
    ) -> str:
        """A token that is good until *expires_s*; *kid* is that of the algorithm unless given."""
        times = {} if expires_s is None else {"exp": expires_s}
        headers = {} if kid is None else {"kid": kid or algorithm.lower()}
        said = {"sub": "alice", **times, **claims}
        payload = {name: value for name, value in said.items() if value is not None}
        return jwt.encode(payload, self.keys[algorithm], algorithm=algorithm, headers=headers)

    def jwk(self, algorithm: str, **fields: Any) -> dict[str, Any]:
        """The public key for *algorithm*; for HS256 the secret itself."""
        if algorithm == "HS256":
            encoded = jwt.utils.base64url_encode(self.keys[algorithm]).decode()
            data: dict[str, Any] = {"kty": "oct", "k": encoded}
        else:
            maker = RSAAlgorithm if algorithm == "RS256" else ECAlgorithm
            data = dict(json.loads(maker.to_jwk(self.keys[algorithm].public_key())))
        return data | {"kid": algorithm.lower()} | fields

    def jwks(self, *algorithms: str) -> bytes:
        """A set of keys."""
        return json.dumps({"keys": [self.jwk(one) for one in algorithms]}).encode()
