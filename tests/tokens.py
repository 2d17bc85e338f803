"""Tokens and key sets as an identity provider makes them."""

import json
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.algorithms import ECAlgorithm, RSAAlgorithm

SECRET = "a shared secret of more than 32 bytes"
LONG_SECRET = f"{SECRET}, and of more than 64 as well"
CURVES = {"ES256": ec.SECP256R1, "ES384": ec.SECP384R1, "ES512": ec.SECP521R1}
ALGORITHMS = tuple(f"{kind}{bits}" for kind in ("HS", "RS", "ES") for bits in (256, 384, 512))


class Issuer:
    """Has a key for each algorithm, and signs what it is asked to."""

    def __init__(self) -> None:
        secret = LONG_SECRET.encode()
        pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.keys: dict[str, Any] = {
            "HS256": SECRET.encode(),
            **dict.fromkeys(("HS384", "HS512"), secret),
            **dict.fromkeys(("RS256", "RS384", "RS512"), pair),
            **{name: ec.generate_private_key(curve()) for name, curve in CURVES.items()},
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
        """The public key for *algorithm*; for HS the secret itself."""
        if algorithm.startswith("HS"):
            encoded = jwt.utils.base64url_encode(self.keys[algorithm]).decode()
            data: dict[str, Any] = {"kty": "oct", "k": encoded}
        else:
            maker = RSAAlgorithm if algorithm.startswith("RS") else ECAlgorithm
            data = dict(json.loads(maker.to_jwk(self.keys[algorithm].public_key())))
        return data | {"kid": algorithm.lower()} | fields

    def jwks(self, *algorithms: str) -> bytes:
        """A set of keys."""
        return json.dumps({"keys": [self.jwk(one) for one in algorithms]}).encode()
