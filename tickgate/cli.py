"""The `tickgate` command: sub-commands, settings, exit codes.

Exit codes: 0 done, 1 something that the message names went wrong, 2 a wrong setting or option.
"""

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from core.market.errors import TickgateError
from core.runtime import config, logs
from core.runtime.children import die_with_parent
from core.runtime.config import ConfigError, Loaded, did_you_mean
from tickgate import output, rules, settings, spans, workers
from tickgate.arguments import Arguments, Command, Option, UsageError, parse
from tickgate.files import options as files
from tickgate.interrupts import ended_in_order
from tickgate.output import complain, say
from tickgate.settings import PREFIX, Settings

Run = Callable[[Loaded[Settings], Arguments], int]

COMMANDS = (
    Command(
        settings.DEV,
        "run everything on this machine, with its own Redis and PostgreSQL",
        "Runs every role in one go on embedded servers (unless URLs are given) and prints the "
        "page's address. Ctrl-C drains and stops all that it started; twice ends it at once.",
    ),
    Command(settings.INGEST, "read feeds and write their ticks to the streams"),
    Command(settings.AGGREGATE, "fold the streams into bars and store them"),
    Command(settings.GATEWAY, "serve the page, the WebSocket stream and the HTTP API"),
    Command(settings.MIGRATE, "bring the database to this program's schema"),
    Command(
        settings.CHECK,
        "check settings, servers, schema and clock",
        "Checks what the roles need, one line each with the remedy; exit code 1 if any is wrong.",
    ),
    Command(
        settings.CONFIG,
        "show the effective settings and where each comes from",
        switches=(("--json", "print JSON instead of a table"),),
        all_settings=True,
    ),
    Command(
        settings.WATCH,
        "watch symbols live in the terminal",
        "A live table of the symbols; lines instead when the output is not a terminal.",
        positional="SYMBOL",
    ),
    Command(
        settings.REBUILD,
        "fold bars again from the log of ticks",
        "Has the aggregator fold the bars of a range, 31 days at most, again from the ticks that "
        "it logged, and prints what changed. Exit code 1 if a bar of the range is not what the log "
        "says, or the log does not reach so far. Without a database URL the bars are those of the "
        "`tickgate dev` that runs on the data directory.",
        positional="SYMBOL",
        switches=(("--dry-run", "change nothing; exit code 1 if anything would change"),),
        options=spans.OPTIONS,
    ),
    Command(
        settings.BACKFILL,
        "fetch the trades of a span from a venue's history into the bars",
        "Asks the venue of each feed for its trades from start up to end and puts them through the "
        "streams into the bars; trades that are in them already are not counted again. Live feeds "
        "go on meanwhile. Exit code 1 if something of the span is still missing.",
        options=spans.OPTIONS,
    ),
    Command(
        settings.KEYS,
        "add, list and revoke the keys of those who call the gateway",
        "ACTION is add, list, or revoke with the ids of keys. A secret is shown once, when its key "
        "is added; the database has its SHA-256 only. Running gateways know of a change within two "
        "seconds, and close the connections of a key that was revoked. Once a key was added, "
        "callers must show one. Without a database URL the keys are those of the `tickgate dev` "
        "that runs on the data directory.",
        positional="ACTION",
        switches=(("--json", "print JSON"),),
        options=(
            Option("--id", "KEYID", "of the new key; a random one if left out", required=False),
            Option("--name", "TEXT", "whose it is, for the list", required=False),
            Option(
                "--symbols",
                "PATTERNS",
                "what it may read, as COINBASE:*,SIM:S001; everything if left out",
                required=False,
            ),
            Option(
                "--channels", "NAMES", "and the channels, as trades,bars; all if left out", False
            ),
            Option("--requests-per-min", "N", "of HTTP; 0: no limit", required=False),
            Option("--connections", "N", "to the stream at a time", required=False),
            Option("--expires", "TIME", "when it ends, or in how long, as 90d", required=False),
        ),
    ),
    Command(
        settings.EXPORT,
        "write bars or ticks of a span to a file, CSV or Parquet",
        "Writes the closed bars that start in the span, or the logged ticks of the span, to a "
        "file that appears once it is whole. Ticks in CSV can be replayed. Exit code 1 if the log "
        "of ticks does not reach back to the start of the span. Without a "
        "database URL the database is that of the `tickgate dev` that runs on the data directory. "
        "See docs/files.md.",
        positional="bars|ticks SYMBOL",
        switches=(files.FORCE,),
        options=(*spans.OPTIONS, *files.EXPORT_OPTIONS),
    ),
    Command(
        settings.IMPORT,
        "take bars or ticks from files, CSV or Parquet",
        "Checks all files, then takes them in by way of the aggregator, which must run: ticks "
        "through the streams, as a backfill; 1-minute bars as they are, with the longer ones made "
        "from them. Doing it again changes nothing. Exit code 1 if something is not in the bars "
        "then, and nothing is imported while a row is bad. Without URLs of servers they "
        "are those of the `tickgate dev` that runs on the data directory. See docs/files.md.",
        positional="bars|ticks PATH",
        switches=(files.REPLACE, files.DRY_RUN),
        options=files.IMPORT_OPTIONS,
    ),
)


_RUNNERS = {
    settings.DEV: "tickgate.dev:run",
    settings.INGEST: "tickgate.ingest_role:run",
    settings.AGGREGATE: "tickgate.aggregate_role:run",
    settings.GATEWAY: "tickgate.workers:run",
    settings.MIGRATE: "tickgate.migrate:run",
    settings.CHECK: "tickgate.check:run",
    settings.CONFIG: "tickgate.show:run",
    settings.WATCH: "tickgate.watch:run",
    settings.REBUILD: "tickgate.rebuild:run",
    settings.BACKFILL: "tickgate.backfill:run",
    settings.KEYS: "tickgate.keys:run",
    settings.EXPORT: "tickgate.files.exporting:run",
    settings.IMPORT: "tickgate.files.importing:run",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line *argv* (default: the process's own); returns the exit code."""
    output.set_up()
    die_with_parent(os.environ)
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        say(usage())
        return 0 if words else 2
    if words[0] in ("--version", "-V", "version"):
        from tickgate.version import version

        say(f"tickgate {version()}")
        return 0
    command = next((command for command in COMMANDS if command.name == words[0]), None)
    if command is None:
        near = did_you_mean(words[0], (command.name for command in COMMANDS))
        complain(f"tickgate: no command {words[0]!r}{near}; see tickgate --help")
        return 2
    return _run(command, words[1:])


def usage() -> str:
    """What `tickgate --help` prints."""
    lines = [f"  {command.name:<11}{command.summary}" for command in COMMANDS]
    return "\n".join(
        [
            "usage: tickgate COMMAND [options]",
            "",
            "Market data feeds in; one clean stream, exact bars and their history out.",
            "",
            "commands:",
            *lines,
            "",
            "tickgate COMMAND --help lists the settings of a command.",
            "Start with: tickgate dev",
        ]
    )


def _run(command: Command, argv: Sequence[str]) -> int:
    try:
        arguments = parse(command, argv)
        loaded = config.load(Settings, arguments.flags, os.environ, prefix=PREFIX)
        lean = command.name == settings.DEV
        lean = lean or workers.is_parent(loaded.values, command.name, os.environ)
        rules.check(loaded, command.name, lean=lean)
        logs.set_up(role=command.name, level=loaded.values.log_level, fmt=loaded.values.log_format)
        run = _runner(command.name)
        with nullcontext() if command.name in settings.ROLES else ended_in_order():
            return run(loaded, arguments)
    except (ConfigError, UsageError) as exc:
        for line in str(exc).splitlines():
            complain(f"tickgate {command.name}: {line}")
        complain(f"see tickgate {command.name} --help")
        return 2
    except TickgateError as exc:
        complain(f"tickgate {command.name}: {exc}")
        return 1
    except KeyboardInterrupt:
        return 130


def _runner(name: str) -> Run:
    """The code of a sub-command, imported only when it is the one to run: roles stay lean."""
    module, _, function = _RUNNERS[name].partition(":")
    runner: Run = getattr(importlib.import_module(module), function)
    return runner
