"""One key of a caller of the gateway, as the database has it. Pure."""

import msgspec


class StoredKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key. Times are UNIX milliseconds; None: not, or (of a limit) that of the settings."""

    key_id: str
    secret_sha256: bytes
    name: str = ""
    symbols: tuple[str, ...] = ("*",)
    channels: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    connections: int | None = None
    created_ms: int = 0
    expires_ms: int | None = None
    revoked_ms: int | None = None

    def __repr__(self) -> str:
        return f"StoredKey({self.key_id!r})"
