"""`tickgate config`: the effective settings, where each comes from, secrets masked."""

import msgspec

from core.runtime.config import Loaded
from tickgate.arguments import Arguments
from tickgate.output import say
from tickgate.settings import SETTINGS, Settings


def run(loaded: Loaded[Settings], arguments: Arguments) -> int:
    """Print a table, or JSON."""
    if "--json" in arguments.switches:
        say(msgspec.json.format(msgspec.json.encode(as_json(loaded)), indent=2).decode())
        return 0
    rows = [
        (s.name, s.show(getattr(loaded.values, s.name)) or "-", loaded.sources[s.name])
        for s in SETTINGS
    ]
    widths = [max(len(row[column]) for row in rows) for column in (0, 1)]
    for name, value, source in rows:
        say(f"{name:<{widths[0]}}  {value:<{min(widths[1], 40)}}  {source}")
    return 0


def as_json(loaded: Loaded[Settings]) -> dict[str, dict[str, object]]:
    """Name to value and source; secrets are masked as in the table."""
    shown: dict[str, dict[str, object]] = {}
    for setting in SETTINGS:
        value = getattr(loaded.values, setting.name)
        if setting.kind == "list":
            value = [setting.show(item) for item in value]
        elif setting.secret:
            value = setting.show(value)
        shown[setting.name] = {"value": value, "source": loaded.sources[setting.name]}
    return shown
