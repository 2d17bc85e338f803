"""``connect``: how a stream is opened, and every option that it has."""

import ssl as tls
from collections.abc import Awaitable, Callable
from dataclasses import KW_ONLY, dataclass, field
from types import TracebackType
from typing import Final, Literal

from tickgate.client.address import is_address, shown
from tickgate.client.backoff import Backoff
from tickgate.client.errors import Refused
from tickgate.client.messages import Gap
from tickgate.client.state import State
from tickgate.client.stream import Stream

Token = str | Callable[[], str | Awaitable[str]]
"""A token, or what gets a new one: called before each connection, and before one expires."""

OnGap = Callable[[Gap], Awaitable[None] | None]

_MODES: Final = ("all", "latest")
_ENCODINGS: Final = ("msgpack", "json")
_MAX_INTERVAL_MS: Final = 5_000


@dataclass
class connect:  # noqa: N801  used as a function: async with connect(…) as stream
    """Open a gateway's stream, and keep it open.

    The block begins when the gateway has let the client in. A connection that is lost later is
    opened again after a wait with full jitter, for ever unless *max_attempts* bounds it; then all
    subscriptions are restored and go on where they stopped: nothing is missing, nothing comes
    twice. What the gateway cannot give any more is named in a :class:`Gap`.

    Args:
        url: as ``ws://127.0.0.1:8080``; ``http``, ``https`` and ``wss`` will do as well.
        key: the API key's id, where the gateway wants one.
        secret: its secret.
        token: instead of a key: a token, or a function that gets a new one.
        on_gap: called with each gap, at its place in the stream, before it is yielded.
        resume: the cursor of an earlier stream (:attr:`Stream.cursor`): go on where it stands.
        mode: ``latest``: of each symbol and channel a batch holds the newest message only.
        interval_ms: length of the batch windows, 0 to 5,000; None: the gateway's.
        encoding: of the frames: ``msgpack`` or ``json``.
        max_queued: messages that wait for the reader at most. When they are as many, reading from
            the connection stops: the gateway closes it as slow, and the client resumes.
        first_s: how long the first connection is tried for, in seconds; ``math.inf``: for ever.
        max_attempts: how often in a row a lost connection is tried again; None: for ever.
        backoff: how long it waits before each attempt.
        heartbeat_s: time between the gateway's heartbeats (``/v1/status`` tells); without any
            message for 2.5 times as long the connection counts as lost. 0: there are none.
        compression: take compressed messages where the gateway offers it.
        ssl: for ``wss``, where the system's certificates will not do.
        on_state: called when the connection is lost, live again, …
        on_problem: called with what the gateway refuses that no call waits for: a symbol or channel
            that is not allowed any more when the subscriptions are restored.

    Raises:
        Unreachable: on entering, no connection within *first_s*; later, *max_attempts* failed.
        AuthFailed: the key or the token is not accepted: not tried again.
        ValueError: *url* or another argument makes no sense.
    """

    url: str
    _: KW_ONLY
    key: str = ""
    secret: str = ""
    token: Token = ""
    on_gap: OnGap | None = None
    resume: str = ""
    mode: Literal["all", "latest"] = "all"
    interval_ms: int | None = None
    encoding: Literal["msgpack", "json"] = "msgpack"
    max_queued: int = 10_000
    first_s: float = 10.0
    max_attempts: int | None = None
    backoff: Backoff = field(default_factory=Backoff)
    heartbeat_s: float = 15.0
    compression: bool = False
    ssl: tls.SSLContext | None = None
    on_state: Callable[[State], None] | None = None
    on_problem: Callable[[Refused], None] | None = None

    def __post_init__(self) -> None:
        if self.mode not in _MODES:
            raise ValueError(f"mode: expected {' or '.join(_MODES)}, was {self.mode!r}")
        if self.encoding not in _ENCODINGS:
            raise ValueError(f"encoding: expected {' or '.join(_ENCODINGS)}, was {self.encoding!r}")
        length_ms = self.interval_ms
        is_fine = type(length_ms) is int and 0 <= length_ms <= _MAX_INTERVAL_MS
        if length_ms is not None and not is_fine:
            words = f"a whole number from 0 to {_MAX_INTERVAL_MS}, or None"
            raise ValueError(f"interval_ms: expected {words}, was {length_ms!r}")
        self._stream: Stream | None = None

    def __repr__(self) -> str:
        where = shown(self.url) if is_address(self.url) else "…"
        return f"connect({where!r})"  # secrets do not go into logs and tracebacks

    async def __aenter__(self) -> Stream:
        if self._stream is not None:
            raise RuntimeError("this stream is open already; call connect(…) once for each")
        self._stream = Stream(self)
        try:
            return await self._stream.__aenter__()
        except BaseException:
            self._stream = None
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        stream, self._stream = self._stream, None
        assert stream is not None
        await stream.__aexit__(kind, error, trace)
