"""A whole gateway whose connections send back what they get instead of reading it."""

from typing import Any

from gateway.channels import Codec
from gateway.connection import Connection, Limits
from gateway.frames import frame
from gateway.service import GatewayService, GatewaySettings

SETTINGS = GatewaySettings(
    port=0,
    limits=Limits(  # above what the fuzzing client sends: 16 MiB, or 4 MiB in pieces of 64 bytes
        max_inbound_bytes=32 << 20,
        messages_per_s=1_000_000,
        frames_per_s=1_000_000,
        slow_client_age_ns=60_000_000_000,
        slow_client_bytes=64 << 20,
    ),
)


class Echo(Connection):
    """The fuzzing client expects to get its messages back, and nothing else."""

    __slots__ = ()

    def reply(self, message: dict[str, Any]) -> None:
        """Says nothing of its own: no welcome, and no error before a close."""

    def on_message(self, payload: bytes, *, binary: bool) -> None:
        self.deliver(frame(payload, Codec.MSGPACK if binary else Codec.JSON))


class EchoService(GatewayService):
    """Its clients get an :class:`Echo`."""

    def _connect(self) -> Connection:
        return Echo(self._shared)
