"""Locust users: subscribers of the stream, and callers of the history.

Run by `make loadtest`, or by hand against any gateway::

    locust -f loadtest/locustfile.py --host http://127.0.0.1:8080

`--symbols-per-user` sets how much each subscriber takes, `--report FILE` writes what was found.
The check of trade ids expects a feed whose ids count up by one per symbol, as the sim's do.
"""

import itertools
import time
import urllib.request
from array import array
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlencode

import gevent
import msgspec
import websocket
from locust import FastHttpUser, User, between, constant, events, task
from locust.argument_parser import LocustArgumentParser
from locust.env import Environment
from locust.exception import StopUser

from loadtest.latency import summarize
from loadtest.messages import StreamError, Trade, is_greeting, trades_of
from loadtest.report import LoadReport, RequestReport, TicksReport
from loadtest.sequence import SequenceChecker

_CONNECT_TIMEOUT_S = 5.0
_READ_TIMEOUT_S = 5.0
_MS_NS = 1_000_000
_NAME = "/v1/stream"
_now_ns = time.time_ns  # noqa: TID251 - locust composes this program, so its clock is read here


class Board:
    """What the subscribers of this process found."""

    def __init__(self) -> None:
        self.checkers: list[SequenceChecker] = []
        self.latencies_ns = array("q")
        self.started_ns = _now_ns()
        self._numbers = itertools.count()

    def next_number(self) -> int:
        """A number for a new subscriber."""
        return next(self._numbers)

    def report(self) -> TicksReport:
        """The state of now."""
        checkers = self.checkers
        latency = summarize(self.latencies_ns) if self.latencies_ns else None
        return TicksReport(
            subscribers=len(checkers),
            ticks=sum(checker.received for checker in checkers),
            missing=sum(checker.missing for checker in checkers),
            repeated=sum(checker.repeated for checker in checkers),
            findings=[str(finding) for checker in checkers for finding in checker.findings],
            latency=latency,
        )


class StreamUser(User):
    """One WebSocket client: every batch is decoded, its ids and its age are checked."""

    wait_time = constant(0)
    weight = 4
    board: ClassVar[Board]

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.number = self.board.next_number()
        self.checker = SequenceChecker(f"subscriber {self.number}")
        self.socket: websocket.WebSocket | None = None

    def on_start(self) -> None:
        """Connect and subscribe; a refusal is a failure, and ends this user."""
        try:
            self._connect()
        except (OSError, websocket.WebSocketException, StreamError) as exc:
            self._record(0.0, 0, exc)
            raise StopUser from exc
        self.board.checkers.append(self.checker)

    def on_stop(self) -> None:
        """Say good-bye, as clients do."""
        if self.socket is not None:
            self.socket.close(timeout=1)

    @task
    def receive(self) -> None:
        """Wait for one message."""
        assert self.socket is not None  # else on_start() has ended this user
        try:
            frame = self.socket.recv()
            received_ns = _now_ns()
            self._take(trades_of(frame), received_ns, len(frame))
        except (OSError, websocket.WebSocketException, StreamError) as exc:
            self._record(0.0, 0, exc)
            raise StopUser from exc

    def _connect(self) -> None:
        host = self.environment.host or ""
        url = host.rstrip("/").replace("http", "ws", 1) + _NAME
        socket = self.socket = websocket.create_connection(url, timeout=_CONNECT_TIMEOUT_S)
        socket.settimeout(_READ_TIMEOUT_S)
        if not is_greeting(socket.recv()):
            raise StreamError("the first message was not the greeting")
        wanted = {"action": "subscribe", "trades": self._symbols(host)}
        socket.send(msgspec.json.encode(wanted).decode())

    def _symbols(self, host: str) -> list[str]:
        """This user's share: neighbours in the list, so that users overlap and differ."""
        options = self.environment.parsed_options
        count = options.symbols_per_user if options else 10
        names = symbol_names(host)
        start = self.number * count % len(names)
        return (names + names)[start : start + min(count, len(names))]

    def _take(self, trades: Sequence[Trade], received_ns: int, length: int) -> None:
        for trade in trades:
            self.board.latencies_ns.append(received_ns - trade.event_ns)
            finding = self.checker.see(trade.symbol, trade.trade_id)
            if finding:
                self._record(0.0, 0, StreamError(str(finding)))
        if trades:
            self._record((received_ns - trades[0].event_ns) / _MS_NS, length, None)

    def _record(self, latency_ms: float, length: int, error: Exception | None) -> None:
        self.environment.events.request.fire(
            request_type="WS",
            name=_NAME,
            response_time=latency_ms,
            response_length=length,
            exception=error,
            context={},
        )


class HistoryUser(FastHttpUser):
    """A caller of the HTTP API: what a chart asks for when it opens."""

    wait_time = between(0.05, 0.2)

    def on_start(self) -> None:
        self.symbols = itertools.cycle(symbol_names(self.environment.host or ""))

    @task(4)
    def bars(self) -> None:
        """One page of closed bars."""
        query = {"symbols": next(self.symbols), "timeframe": "1Min", "limit": 500}
        self._get("/v1/bars", query, "bars")

    @task
    def latest_bars(self) -> None:
        """The newest bar of one symbol, the running one included."""
        self._get("/v1/bars/latest", {"symbols": next(self.symbols)}, "bars")

    @task
    def snapshots(self) -> None:
        """Everything about three symbols in one call."""
        names = ",".join(itertools.islice(self.symbols, 3))
        self._get("/v1/snapshots", {"symbols": names}, "snapshots")

    def _get(self, path: str, query: dict[str, Any], key: str) -> None:
        url = f"{path}?{urlencode(query)}"
        with self.client.get(url, name=path, catch_response=True) as answer:
            if answer.status_code != 200:
                answer.failure(f"status {answer.status_code}: {answer.text}")
            elif key not in msgspec.json.decode(answer.content or b"{}"):
                answer.failure(f"an answer without {key!r}")


def symbol_names(host: str) -> list[str]:
    """The names that ``/v1/symbols`` lists.

    Raises:
        StreamError: there is none.
    """
    with urllib.request.urlopen(f"{host}/v1/symbols", timeout=_CONNECT_TIMEOUT_S) as answer:
        names = [row["symbol"] for row in msgspec.json.decode(answer.read())["symbols"]]
    if not names:
        raise StreamError("the gateway knows no symbol yet; has its feed started?")
    return names


def add_options(parser: LocustArgumentParser) -> None:
    """Our own flags beside locust's."""
    parser.add_argument("--symbols-per-user", type=int, default=10, help="symbols a subscriber")
    parser.add_argument("--report", default="", help="file for the findings, as JSON")


def start(environment: Environment, **_: Any) -> None:
    """A new board for a new run, whose time begins now.

    Locust's timers count from when its loop looked at the clock last, which was before it loaded
    this file: on a busy machine a short run would be over before it began.
    """
    gevent.get_hub().loop.update_now()
    StreamUser.board = Board()


def finish(environment: Environment, **_: Any) -> None:
    """Write the report, and fail the run if a tick was lost."""
    board = StreamUser.board
    stats = environment.stats
    report = LoadReport(
        seconds=round((_now_ns() - board.started_ns) / 1e9, 1),
        ticks=board.report(),
        requests=[
            RequestReport(
                name=f"{entry.method} {entry.name}",
                requests=entry.num_requests,
                failures=entry.num_failures,
                median_ms=entry.median_response_time,
                p99_ms=entry.get_response_time_percentile(0.99),
                per_second=entry.total_rps,
            )
            for entry in stats.entries.values()
        ],
        errors=[f"{error.name}: {error.error}" for error in stats.errors.values()],
    )
    path = environment.parsed_options.report if environment.parsed_options else ""
    if path:
        Path(path).write_bytes(msgspec.json.encode(report))
    if not report.passed:
        environment.process_exit_code = 1


def register(hooks: Any) -> None:
    """Hook the listeners in; locust leaves `add_listener` without types, hence Any."""
    hooks.init_command_line_parser.add_listener(add_options)
    hooks.init.add_listener(start)
    hooks.quitting.add_listener(finish)


register(events)  # locust loads this file for that effect
