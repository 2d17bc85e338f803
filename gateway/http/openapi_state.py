"""The operations that tell of the system: status, probes, metrics."""

from typing import Final

import msgspec

from gateway.http.health import ReadyAnswer, StatusAnswer
from gateway.http.openapi import Operation, Tag

TAGS: Final = (Tag("state", "What runs, what waits, how far behind"),)


class Alive(msgspec.Struct, frozen=True):
    """The process answers."""

    alive: bool


OPERATIONS: Final = (
    Operation(
        path="/v1/status",
        tag="state",
        summary="Feeds, roles, lag, clients and the server's clock",
        answer=StatusAnswer,
        tagged=False,
    ),
    Operation(
        path="/livez",
        tag="state",
        summary="The process answers",
        answer=Alive,
        errors=(500,),
        tagged=False,
        open=True,
    ),
    Operation(
        path="/readyz",
        tag="state",
        summary="Nothing is waited for, or what is",
        text="503 with the same body when something is.",
        answer=ReadyAnswer,
        errors=(500,),
        also={503: ReadyAnswer},
        tagged=False,
        open=True,
    ),
    Operation(
        path="/metrics",
        tag="state",
        summary="Prometheus metrics",
        text="As text or OpenMetrics, by `Accept`.",
        content={
            "text/plain": {"type": "string"},
            "application/openmetrics-text": {"type": "string"},
        },
        tagged=False,
    ),
)
