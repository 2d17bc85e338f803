"""Runs Autobahn's fuzzing client, and reads what it reports."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SCRIPT = Path(__file__).parents[2] / "scripts" / "autobahn.sh"
_SHARES = (  # one client waits much, the other works much: side by side they take half the time
    ("1.*", "2.*", "3.*", "4.*", "5.*", "6.*", "7.*", "10.*"),
    ("9.*",),
)
_RUN_S = 100
_AGAIN = 2
_AGENT = "tickgate"
_BEHAVES = {"OK", "NON-STRICT", "INFORMATIONAL"}
_CLOSES = {"OK", "INFORMATIONAL"}


@dataclass(frozen=True, kw_only=True)
class Case:
    """What came of one case."""

    name: str  # "6.4.1"
    behavior: str  # OK, NON-STRICT, INFORMATIONAL, FAILED, …
    closing: str  # the same of the closing handshake
    code: int | None  # that the server closed with
    ms: int

    @property
    def group(self) -> int:
        return int(self.name.partition(".")[0])

    @property
    def has_failed(self) -> bool:
        return self.behavior not in _BEHAVES or self.closing not in _CLOSES

    def __str__(self) -> str:
        code = "" if self.code is None else self.code
        return f"{self.name:8} {self.behavior:14} {self.closing:14} {code:4} {self.ms:6} ms"


async def fuzz(url: str, folder: Path) -> dict[str, Case]:
    """Try all cases on the server at *url*; the results by name, in order.

    What fails is tried twice more, alone: some cases wait for less than a second, which a machine
    with other work may need.
    """
    async with asyncio.timeout(_RUN_S), asyncio.TaskGroup() as group:
        shares = [
            group.create_task(_run(_prepare(folder / str(number), url, patterns)), name=patterns[0])
            for number, patterns in enumerate(_SHARES)
        ]
    found = [case for share in shares for case in share.result()]
    by_name = {case.name: case for case in found}
    for again in range(_AGAIN):
        failed = [name for name, case in by_name.items() if case.has_failed]
        async with asyncio.timeout(_RUN_S):
            found = await _run(_prepare(folder / f"again{again}", url, failed)) if failed else []
        by_name |= {case.name: case for case in found}
    return dict(sorted(by_name.items(), key=lambda item: [int(n) for n in item[0].split(".")]))


def _prepare(folder: Path, url: str, patterns: Sequence[str]) -> Path:
    folder.mkdir()
    spec = {
        "outdir": str(folder),
        "servers": [{"agent": _AGENT, "url": url}],
        "cases": patterns,
        "exclude-cases": [],
        "exclude-agent-cases": {},
    }
    (folder / "spec.json").write_text(json.dumps(spec))
    return folder


async def _run(folder: Path) -> list[Case]:
    client = await asyncio.create_subprocess_exec(
        *("bash", SCRIPT, "run", folder / "spec.json"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        said, _ = await client.communicate()
    finally:
        if client.returncode is None:
            client.kill()
            await client.wait()
    assert client.returncode == 0, said[-2000:].decode()
    return _cases(folder / "index.json")


def _cases(report: Path) -> list[Case]:
    found: dict[str, dict[str, Any]] = json.loads(report.read_text())[_AGENT]
    return [
        Case(
            name=name,
            behavior=result["behavior"],
            closing=result["behaviorClose"],
            code=result["remoteCloseCode"],
            ms=result["duration"],
        )
        for name, result in found.items()
    ]
