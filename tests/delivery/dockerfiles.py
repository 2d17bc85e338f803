"""Reads a Dockerfile and a .dockerignore, as far as ours use their syntax."""

import json
import re
import runpy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Instruction:
    """One instruction with its arguments on one line; ``stage`` counts the FROMs before it."""

    name: str
    rest: str
    stage: int

    def json(self) -> list[str]:
        """The exec form at the end of *rest*."""
        words: list[str] = json.loads(self.rest[self.rest.index("[") :])
        return words


def gateway_url(environ: Mapping[str, str]) -> str:
    """What the health check asks without an address."""
    script = runpy.run_path(str(ROOT / "deploy" / "healthcheck.py"))
    return str(script["gateway_url"](environ))


def instructions(text: str) -> list[Instruction]:
    """Every instruction, comments and line breaks taken out."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: list[Instruction] = []
    stage = -1
    for line in re.sub(r"\\\n\s*", "", "\n".join(lines)).splitlines():
        name, _, rest = line.strip().partition(" ")
        if name:
            stage += name == "FROM"
            found.append(Instruction(name, rest.strip(), stage))
    return found


def copied(found: list[Instruction]) -> list[str]:
    """Paths that COPY takes from the build context."""
    return [
        source
        for instruction in found
        if instruction.name == "COPY" and "--from=" not in instruction.rest
        for source in instruction.rest.split()[:-1]
    ]


def is_ignored(path: str, patterns: list[str]) -> bool:
    """Does the .dockerignore leave *path* out? The last pattern that fits decides."""
    ignored = False
    for pattern in patterns:
        if _fits(path, pattern.removeprefix("!")):
            ignored = not pattern.startswith("!")
    return ignored


def _fits(path: str, pattern: str) -> bool:
    """A pattern fits a path or one of the folders above it; `*` stays within a folder."""
    parts = re.split(r"(\*\*/|\*)", pattern.strip("/"))
    regex = "".join({"**/": "(?:.*/)?", "*": "[^/]*"}.get(p, re.escape(p)) for p in parts)
    return re.fullmatch(f"{regex}(?:/.*)?", path) is not None
