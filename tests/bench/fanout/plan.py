"""Which servers are measured under which loads, and in which order."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.bench.fanout import tools
from tests.bench.fanout.backend import Backend
from tests.bench.fanout.contenders import Contender, InProcess, Nats, Nchan, Tickgate
from tests.bench.fanout.load import EACH, Work

FLOOR, TICKGATE = "floor", "tickgate"
NATS_SINGLY, NATS_BATCHES = "nats-singly", "nats-batches"

THOUSAND = Work("broadcast-1000", 1_000, 1, 100)
TEN_THOUSAND = Work("broadcast-10000", 10_000, 1, 10)
# Rates that a server can stand: what is over its head says nothing about its latency.
ROUTED = Work("routed-50k", 1_000, EACH, 50_000)
ROUTED_MORE = Work("routed-150k", 1_000, EACH, 150_000)
ROUTED_NATS = Work("routed-4k", 1_000, EACH, 4_000)
ROUTED_NCHAN = Work("routed-1k", 1_000, EACH, 1_000)

_SERVERS = Path(__file__).with_name("servers")


@dataclass(frozen=True)
class Programs:
    """The compiled programs."""

    receiver: Path
    player: Path
    floor: Path


@dataclass(frozen=True)
class Entry:
    """A row: a server under a load."""

    contender: Contender
    work: Work


def broadcast(programs: Programs, backend: Backend) -> list[Entry]:
    """The same frame to everybody."""
    contenders: list[Contender] = [
        *_in_process(programs),
        Nats("nats", "nats-server", programs.player, batched=True),
        Nchan("nchan", "nginx with nchan", programs.player, batched=True),
    ]
    contenders.insert(1, Tickgate(TICKGATE, "**tickgate**", programs.player, backend))
    return [Entry(c, work) for work in (THOUSAND, TEN_THOUSAND) for c in contenders]


def routed(programs: Programs, backend: Backend) -> list[Entry]:
    """Each client its own symbols."""
    player = programs.player
    tickgate = Tickgate(TICKGATE, "**tickgate**", player, backend)
    nats = Nats(NATS_BATCHES, "nats-server, given batches", player, batched=True)
    nchan = Nchan("nchan-batches", "nginx with nchan, given batches", player, batched=True)
    floor, *libraries = _in_process(programs)
    even: list[Contender] = [floor, tickgate, nats, *libraries, nchan]
    more: list[Contender] = [floor, tickgate, nats]
    return [
        *(Entry(contender, ROUTED) for contender in even),
        *(Entry(contender, ROUTED_MORE) for contender in more),
        Entry(Nats(NATS_SINGLY, "nats-server, given ticks", player, batched=False), ROUTED_NATS),
        Entry(
            Nchan("nchan-singly", "nginx with nchan, given ticks", player, batched=False),
            ROUTED_NCHAN,
        ),
    ]


def order(entries: Sequence[Entry], number: int) -> list[Entry]:
    """Forth and back in turn: a drift of the machine meets both ends alike."""
    return list(entries) if number % 2 == 0 else list(reversed(entries))


def _in_process(programs: Programs) -> list[Contender]:
    return [
        InProcess(FLOOR, "only `send()`, in C", (str(programs.floor),)),
        _Picows("picows", "picows", _module("picows")),
        _Ws("ws", "npm `ws`", ()),
        InProcess("websockets", "`websockets.broadcast()`", _module("websockets")),
        InProcess("aiohttp", "aiohttp", _module("aiohttp")),
    ]


def _module(library: str) -> tuple[str, ...]:
    return sys.executable, "-m", f"{__package__}.servers.{library}_server"


class _Picows(InProcess):
    """Fetched when it is first started, so that the others run without it."""

    def environment(self) -> dict[str, str]:
        return {"PYTHONPATH": str(tools.python_package("picows"))}


class _Ws(InProcess):
    """As picows, by npm."""

    def arguments(self, asked: Path) -> list[str]:
        node, packages = tools.node_packages()
        return [node, str(_SERVERS / "ws_server.js"), str(asked), str(packages)]
