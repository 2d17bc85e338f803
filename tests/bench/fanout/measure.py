"""One sample: one server under one load, for a moment."""

import contextlib
import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from tests.bench.fanout import accounting, load
from tests.bench.fanout.contenders import Contender, Running
from tests.bench.fanout.load import Tick, Work
from tests.bench.fanout.process import CLIENT_CORE, SERVER_CORE, Child, Failed, child

_SECOND_NS = 1_000_000_000
_U32 = struct.Struct("<I")
_READ_IN_FULL = {False: 1, True: 10}  # every so-manieth client, by whether the load is routed
_LATE_S = 1.0  # what comes later than this after the end counts as lost
_BUSY = 0.97  # of its core: above, the clients may have been the bottleneck
_MARGIN_S = 0.15
_ENCODE_S_PER_TICK = 3.5e-6  # for this process to make the schedule, with some to spare
_READ_S_PER_TICK = 1.5e-6  # for a server to read it
_ATTEMPTS = 4


@dataclass(frozen=True)
class Timing:
    """Seconds of a sample: under load before measuring, and measuring."""

    warm_s: float = 0.4
    measure_s: float = 2.0


class ReceiverReport(msgspec.Struct, frozen=True):
    """What ``receiver.c`` found; ``window_*`` in the measuring window, all clients together."""

    clients: int
    closed: int
    items: int
    expected: int
    full_items: int  # of the clients that are read in full, as are the next two
    missing: int
    repeated: int
    window_items: int
    window_bytes: int
    window_frames: int
    measured: int
    p50_ms: float
    p99_ms: float
    p999_ms: float
    max_ms: float
    busy: float


class PlayerReport(msgspec.Struct, frozen=True):
    """What ``player.c`` found: how late it was itself, and what the server refused."""

    latest_ms: float = 0.0
    refused: int = 0


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """One server, one load, one round. Processor time is of the server alone."""

    contender: str
    work: str
    round: int
    seconds: float
    user_s: float
    system_s: float
    others_s: float  # what else ran on the server's core
    steal_s: float  # what other guests of the machine took from it
    client_core: float  # how busy the clients' core was, all told
    resident_bytes: int
    receiver: ReceiverReport
    player: PlayerReport

    @property
    def cpu_s(self) -> float:
        return self.user_s + self.system_s

    @property
    def deliveries_per_cpu_s(self) -> float:
        return self.receiver.window_items / self.cpu_s

    def us_per_frame(self, seconds: float) -> float:
        """*seconds* by the frames that came in the window, in microseconds.

        A frame is what the load calls one, whatever frames a server makes of it.
        """
        return 1e6 * seconds * load.PER_FRAME / self.receiver.window_items

    @property
    def undelivered(self) -> int:
        return max(0, self.receiver.expected - self.receiver.items)

    @property
    def lost(self) -> int:
        """What did not come in time, came twice, or out of turn, as far as it was seen."""
        return max(self.undelivered, self.receiver.missing) + self.receiver.repeated

    @property
    def sustained(self) -> bool:
        """Did the server keep up: nothing lost, nobody dropped, nothing much late?"""
        return not (self.lost or self.receiver.closed) and self.receiver.p99_ms < _LATE_S * 1000

    @property
    def valid(self) -> bool:
        """Were the clients no bottleneck?"""
        return self.receiver.busy < _BUSY


def sample(
    contender: Contender, work: Work, *, number: int, timing: Timing, receiver: Path, folder: Path
) -> Sample:
    """Start the server, connect the clients, play, measure, end all of it.

    Raises:
        Missing: the server is not on this machine.
        Failed: the server, the clients or the publisher gave up.
    """
    with contender.start(work, folder) as running, _clients(receiver, running, work, folder) as c:
        start_ns, ticks = _play(contender, running, work, timing)
        from_ns = start_ns + round(timing.warm_s * _SECOND_NS)
        until_ns = from_ns + round(timing.measure_s * _SECOND_NS)
        expected = load.deliveries(ticks, work.subscriptions())
        end_ns = until_ns + round(_LATE_S * _SECOND_NS)
        c.say(f"{from_ns} {until_ns} {end_ns} {expected} {load.FIRST_ID}\n".encode())
        return _measured(contender, work, number, running, c, (from_ns, until_ns))


def _play(
    contender: Contender, running: Running, work: Work, timing: Timing
) -> tuple[int, list[Tick]]:
    """Start the schedule: when it begins, and its ticks."""
    total_s = timing.warm_s + timing.measure_s
    read_s = _MARGIN_S + work.ticks_per_s * total_s * _READ_S_PER_TICK
    encode_s = _MARGIN_S + work.ticks_per_s * total_s * _ENCODE_S_PER_TICK
    for _ in range(_ATTEMPTS):
        start_ns = _now_ns() + round((encode_s + read_s) * _SECOND_NS)
        ticks = work.ticks(start_ns, total_s)
        schedule = contender.prepare(work, ticks)
        if _now_ns() + round(read_s * _SECOND_NS) <= start_ns:
            contender.play(running, schedule)
            return start_ns, ticks
        encode_s *= 2  # the machine is slower, or has other work
    raise Failed("the schedule was never ready in time")


def _measured(
    contender: Contender,
    work: Work,
    number: int,
    running: Running,
    clients: Child,
    window: tuple[int, int],
) -> Sample:
    pids = accounting.tree([running.process.pid])
    _sleep_until(window[0])
    before, core = accounting.read(pids), accounting.read_core(SERVER_CORE)
    client_core = accounting.read_core(CLIENT_CORE)
    _sleep_until(window[1])
    after, seconds = accounting.read(pids), (window[1] - window[0]) / _SECOND_NS
    core_after = accounting.read_core(SERVER_CORE)
    clients_busy_s = accounting.read_core(CLIENT_CORE).busy_s - client_core.busy_s
    resident = accounting.resident_bytes(pids)
    used = before.until(after)
    report = msgspec.json.decode(clients.line(timeout_s=10), type=ReceiverReport)
    publisher = running.publisher
    return Sample(
        contender=contender.key,
        work=work.key,
        round=number,
        seconds=seconds,
        user_s=used.user_s,
        system_s=used.system_s,
        others_s=max(0.0, core_after.busy_s - core.busy_s - used.total_s),
        steal_s=core_after.steal_s - core.steal_s,
        client_core=clients_busy_s / seconds,
        resident_bytes=resident,
        receiver=report,
        player=(
            msgspec.json.decode(publisher.report(), type=PlayerReport)
            if publisher
            else PlayerReport()
        ),
    )


@contextlib.contextmanager
def _clients(program: Path, running: Running, work: Work, folder: Path) -> Iterator[Child]:
    """The clients, all connected and subscribed."""
    command = [str(program), str(running.port), str(_READ_IN_FULL[work.routed])]
    log = folder / "receiver.log"
    with child(command, core=CLIENT_CORE, log=log) as clients:
        clients.say(_clients_file(running))
        if clients.line() != "ready":
            raise Failed("the clients are not ready")
        running.process.ensure_running()
        yield clients


def _clients_file(running: Running) -> bytes:
    """The format is described in ``receiver.c``."""
    greetings = running.greetings or [b""] * len(running.paths)
    parts = [_U32.pack(len(running.paths)), _U32.pack(running.opcode), *_sized(running.mark)]
    for path, greeting in zip(running.paths, greetings, strict=True):
        parts += [*_sized(path.encode()), *_sized(greeting)]
    return b"".join(parts)


def _sized(data: bytes) -> tuple[bytes, bytes]:
    return _U32.pack(len(data)), data


def _now_ns() -> int:
    return time.time_ns()  # noqa: TID251 - schedules are in wall time


def _sleep_until(due_ns: int) -> None:
    while (delay_ns := due_ns - _now_ns()) > 0:
        time.sleep(delay_ns / _SECOND_NS)
