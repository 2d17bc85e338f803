"""Fake trade histories: HTTP servers that answer as a venue's REST API, and misbehave on demand.

Held to what the venues document by `tests/contract/ingest/test_fake_histories.py`.
"""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.fakes.venue import FakeVenue, Made, stamp

_US = 1_000


class FakeHistory:
    """The history of what took place at a :class:`FakeVenue`, paged as that venue pages it.

    ``forgotten`` trades (ticker and id) are not in it. Each entry of ``faults`` spoils one answer:
    a status, a status with ``Retry-After`` seconds, ``slow`` (the body never ends), ``cut`` (the
    connection breaks), ``garbage`` or ``busy`` (words of an error with status 200).
    """

    def __init__(self, venue: FakeVenue, *, page: int = 1_000) -> None:
        self.venue, self.page = venue, page
        self.forgotten: set[tuple[str, int]] = set()
        self.faults: deque[int | tuple[int, int] | str] = deque()
        self.fault: int | None = None  # of every answer
        self.requests: list[str] = []
        self.times_s: list[float] = []
        self.url = ""

    def trades(self, ticker: str) -> list[Made]:
        made = self.venue.made.get(ticker, [])
        return [trade for trade in made if (ticker, trade.trade_id) not in self.forgotten]

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request.path_qs)
        self.times_s.append(asyncio.get_running_loop().time())
        fault = self.fault or (self.faults.popleft() if self.faults else None)
        if fault is not None:
            return await _spoiled(request, fault)
        answers = {"coinbase": self._coinbase, "binance": self._binance, "kraken": self._kraken}
        return answers[self.venue.feed](request)

    def _coinbase(self, request: web.Request) -> web.Response:
        ticker = request.path.split("/")[2]
        before = int(request.query.get("after", 2**62))
        limit = min(int(request.query.get("limit", 1_000)), self.page)
        rows = [
            {
                "trade_id": t.trade_id, "side": "sell", "size": f"{t.size:.8f}",
                "price": f"{t.price:.8f}", "time": stamp(t.at_ns),
            }
            for t in reversed(self.trades(ticker))
            if t.trade_id < before
        ]  # fmt: skip
        return web.json_response(rows[:limit])

    def _binance(self, request: web.Request) -> web.Response:
        first = int(request.query.get("fromId", 0))
        limit = min(int(request.query.get("limit", 500)), self.page)
        rows = [
            {
                "id": t.trade_id, "price": f"{t.price:.8f}", "qty": f"{t.size:.8f}",
                "quoteQty": f"{t.price * t.size:.8f}", "time": t.at_ns // 10**6,
                "isBuyerMaker": False, "isBestMatch": True,
            }
            for t in self.trades(request.query["symbol"])
            if t.trade_id >= first
        ]  # fmt: skip
        if request.path.endswith("/trades"):  # the newest ones
            return web.json_response(rows[-limit:])
        return web.json_response(rows[:limit])

    def _kraken(self, request: web.Request) -> web.Response:
        names = {name.replace("BTC", "XBT").replace("/", ""): name for name in self.venue.made}
        since = int(request.query.get("since", 0))
        ticker = names[request.query["pair"]]
        later = (t for t in self.trades(ticker) if t.at_ns + 100 > since)
        some = list(itertools.islice(later, min(int(request.query["count"]), self.page)))
        rows = ",".join(
            f'["{t.price:.5f}","{t.size:.8f}",{_seconds(t.at_ns + 100)},"b","l","",{t.trade_id}]'
            for t in some
        )
        last = some[-1].at_ns + 100 if some else since
        text = f'{{"error":[],"result":{{"XXBTZUSD":[{rows}],"last":"{last}"}}}}'
        return web.Response(text=text, content_type="application/json")


def _seconds(at_ns: int) -> str:
    """With seven digits, of which the frames have six."""
    return f"{at_ns // 10**9}.{at_ns % 10**9 // 100:07d}"


async def _spoiled(request: web.Request, fault: int | tuple[int, int] | str) -> web.StreamResponse:
    if isinstance(fault, tuple):
        return web.Response(status=fault[0], headers={"Retry-After": str(fault[1])})
    if isinstance(fault, int):
        return web.Response(status=fault)
    if fault == "garbage":
        return web.Response(text="<html>maintenance</html>")
    if fault == "busy":
        return web.json_response({"error": ["EGeneral:Too many requests"]})
    response = web.StreamResponse(headers={"Content-Length": "1000"})
    await response.prepare(request)
    await response.write(b"[")
    if fault == "cut" and request.transport is not None:
        request.transport.abort()
    else:
        await asyncio.sleep(5)
    return response


@asynccontextmanager
async def fake_history(venue: FakeVenue, *, page: int = 1_000) -> AsyncIterator[FakeHistory]:
    """A listening history of *venue*, gone with the block."""
    history = FakeHistory(venue, page=page)
    app = web.Application()
    app.router.add_get("/{path:.*}", history.answer)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        history.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield history
    finally:
        await runner.cleanup()
