"""The small HTTP server of a role without one: /livez, /readyz and /metrics."""

import asyncio
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from aiohttp import web
from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

from core.runtime.listen import listen
from core.runtime.ports import Clock
from core.runtime.readiness import Readiness
from core.runtime.restarts import Restarts

_SHUTDOWN_S = 1.0  # a scrape takes milliseconds; nobody waits longer for one at the end


class OpsServer:
    """A service; it holds its port from construction on, so that its URL is known at once."""

    name = "ops"

    def __init__(
        self,
        *,
        host: str,
        port: int,
        readiness: Readiness,
        registry: CollectorRegistry,
        now_ns: Clock,
        restarts: Callable[[], Sequence[Restarts]] = list,
    ) -> None:
        """Listen on *port*, or on a free one for 0; *restarts* are those of the parent's children.

        Raises:
            CannotListen: the port is taken or may not be used.
        """
        self.facts: Callable[[], Mapping[str, object]] = dict
        """What `/readyz` tells besides the dependencies."""
        self._readiness, self._registry = readiness, registry
        self._now_ns, self._restarts = now_ns, restarts
        self._socket = listen(host, port)
        self._drain = asyncio.Event()

    @property
    def url(self) -> str:
        host, port = self._socket.getsockname()[:2]
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    def begin_drain(self) -> None:
        self._drain.set()

    async def run(self) -> None:
        """Answer until drained."""
        app = web.Application()
        app.router.add_get("/livez", self._alive)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", self._metrics)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=_SHUTDOWN_S)
        await runner.setup()
        try:
            await web.SockSite(runner, self._socket).start()
            await self._drain.wait()
        finally:
            await runner.cleanup()
            self._socket.close()

    async def _alive(self, request: web.Request) -> web.Response:
        return web.json_response({"alive": True})

    async def _ready(self, request: web.Request) -> web.Response:
        status = 200 if self._readiness.ready else 503
        return web.json_response(
            {
                **describe(self._readiness, self._restarts(), now_ns=self._now_ns()),
                **self.facts(),
            },
            status=status,
            dumps=lambda value: json.dumps(value, indent=1),
        )

    async def _metrics(self, request: web.Request) -> web.Response:
        body = generate_latest(self._registry)
        return web.Response(body=body, headers={"Content-Type": CONTENT_TYPE_LATEST})


def describe(
    readiness: Readiness, restarts: Iterable[Restarts], *, now_ns: int
) -> dict[str, object]:
    """`/readyz` as JSON: what the role waits for, since when and why; and what keeps crashing."""
    return {
        "ready": readiness.ready,
        "dependencies": {
            name: {
                "ok": state.ok,
                "since": rfc3339(state.since_ns),
                "since_s": seconds_since(state.since_ns, now_ns),
                "reason": state.reason,
            }
            for name, state in readiness.states().items()
        },
        "crash_loops": crash_loops(restarts, now_ns=now_ns),
    }


def crash_loops(restarts: Iterable[Restarts], *, now_ns: int) -> list[dict[str, object]]:
    """Of `/readyz`: the children of the same parent that crash again and again."""
    return [
        {
            "role": child.role,
            "crashes": child.in_a_row,
            "since": rfc3339(child.since_ns),
            "since_s": seconds_since(child.since_ns, now_ns),
            "reason": child.exit,
            "next_start": rfc3339(child.next_ns),
        }
        for child in restarts
        if child.crash_loop
    ]


def rfc3339(ns: int) -> str:
    """UNIX nanoseconds as ``2001-09-09T01:46:40.000Z``."""
    text = datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds")
    return text.removesuffix("+00:00") + "Z"


def seconds_since(since_ns: int, now_ns: int) -> float:
    """How long ago that was; 0 where a clock was set back."""
    return round(max(0, now_ns - since_ns) / 1e9, 1)
