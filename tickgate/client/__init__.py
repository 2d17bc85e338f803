"""The client of a tickgate gateway: its stream and its history.

``connect`` opens the stream, ``Client`` asks for history. Needs the packages ``websockets`` and
``msgspec`` and nothing of the rest of tickgate.
"""

from tickgate.client.answers import Snapshot, SymbolInfo
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
from tickgate.client.history import Client
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
from tickgate.client.opening import connect
from tickgate.client.rows import Rows
from tickgate.client.state import State
from tickgate.client.stream import Stream

__all__ = [
    "AuthFailed",
    "Backoff",
    "Bar",
    "Cancel",
    "Client",
    "ClientError",
    "Correction",
    "Gap",
    "Heartbeat",
    "HistoryError",
    "Message",
    "MissingPackage",
    "Refused",
    "Rows",
    "RunningBar",
    "Shutdown",
    "Snapshot",
    "Stale",
    "State",
    "Stream",
    "StreamClosed",
    "SymbolInfo",
    "SymbolRefused",
    "Trade",
    "Unreachable",
    "UpdatedBar",
    "connect",
]
