"""The client of a tickgate gateway: its stream and its history.

``connect`` opens the stream, ``Client`` asks for history. Needs the packages ``websockets`` and
``msgspec`` and nothing of the rest of tickgate.
"""

from tickgate.client.backoff import Backoff
from tickgate.client.errors import (
    AuthFailed,
    ClientError,
    HistoryError,
    MissingPackage,
    Refused,
    StreamClosed,
    SymbolRefused,
    Unreachable,
)
from tickgate.client.messages import (
    Bar,
    Cancel,
    Correction,
    Gap,
    Heartbeat,
    Message,
    RunningBar,
    Shutdown,
    Stale,
    Trade,
    UpdatedBar,
)
from tickgate.client.stream import State, Stream, connect

__all__ = [
    "AuthFailed",
    "Backoff",
    "Bar",
    "Cancel",
    "ClientError",
    "Correction",
    "Gap",
    "Heartbeat",
    "HistoryError",
    "Message",
    "MissingPackage",
    "Refused",
    "RunningBar",
    "Shutdown",
    "Stale",
    "State",
    "Stream",
    "StreamClosed",
    "SymbolRefused",
    "Trade",
    "Unreachable",
    "UpdatedBar",
    "connect",
]
