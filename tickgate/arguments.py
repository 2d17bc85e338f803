"""Reads the command line: flags from the declared settings, errors in our words."""

import argparse
from collections.abc import Sequence
from typing import NoReturn

import msgspec

from core.market.errors import TickgateError
from core.runtime.config import Setting, did_you_mean
from tickgate.settings import SETTINGS

_METAVARS = {"int": "N", "float": "N", "bool": "true|false", "str": "TEXT", "list": "SPEC"}


class UsageError(TickgateError):
    """The command line is not understood; the program ends with exit code 2."""

    def __init__(self, reason: str) -> None:
        self.reason = reason
        super().__init__(reason)

    def __str__(self) -> str:
        return self.reason


class Option(msgspec.Struct, frozen=True):
    """A flag with a value that is no setting; one that is not *required* may be left out."""

    flag: str
    metavar: str
    help: str
    required: bool = True
    choices: tuple[str, ...] = ()


class Command(msgspec.Struct, frozen=True):
    """One sub-command as the help shows it; ``positional`` names what it takes beside flags."""

    name: str
    summary: str
    description: str = ""
    positional: str = ""  # empty: takes none; else at least one is needed
    switches: tuple[tuple[str, str], ...] = ()  # flags that are no settings, with their help
    options: tuple[Option, ...] = ()
    all_settings: bool = False

    def settings(self) -> list[Setting]:
        """The settings that concern it."""
        return [s for s in SETTINGS if self.all_settings or s.concerns(self.name)]


class Arguments(msgspec.Struct, frozen=True):
    """What was on the command line: settings by name, positionals, switches that were given.

    ``options`` are the values of the command's options that were given, by flag.
    """

    flags: dict[str, str | list[str]]
    words: list[str]
    switches: frozenset[str]
    options: dict[str, str] = {}


def parse(command: Command, argv: Sequence[str]) -> Arguments:
    """Read *argv*, which follows the name of *command*.

    Raises:
        UsageError: an option is unknown, or lacks its value, or a word is too many.
        SystemExit: after ``--help``, with code 0.
    """
    parser = parser_of(command)
    found, rest = parser.parse_known_args(argv)
    if rest:
        raise UsageError(_unknown(command, rest[0]))
    given = vars(found)
    words = given.pop("words", [])
    names = {name for name, _ in command.switches}
    switches = frozenset(name for name in names if given.pop(_dest(name), False))
    dests = {option.flag: _dest(option.flag) for option in command.options}
    options = {flag: given.pop(dest) for flag, dest in dests.items() if dest in given}
    return Arguments(given, words, switches, options)


def parser_of(command: Command) -> argparse.ArgumentParser:
    """The parser of *command*; its help is the reference of the command line."""
    words = f"{command.positional}… " if command.positional else ""
    parser = _Parser(
        prog=f"tickgate {command.name}",
        usage=f"tickgate {command.name} {words}[options]",
        description=command.description or command.summary,
        epilog="Every setting is also a variable (in brackets); a flag wins over it.",
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    if command.positional:
        parser.add_argument("words", nargs="+", metavar=command.positional)
    for name, text in command.switches:
        parser.add_argument(name, dest=_dest(name), action="store_true", help=text)
    for option in command.options:
        parser.add_argument(
            option.flag,
            dest=_dest(option.flag),
            metavar=option.metavar,
            help=option.help,
            required=option.required,
            default=argparse.SUPPRESS,
            choices=option.choices or None,
        )
    settings = parser.add_argument_group("settings")
    for setting in command.settings():
        _add(settings, setting)
    return parser


class _Formatter(argparse.HelpFormatter):
    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=32, width=100)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(message.removeprefix("argument "))


def _add(group: argparse._ArgumentGroup, setting: Setting) -> None:
    metavar = "|".join(setting.choices) or _METAVARS[setting.kind]
    default = setting.show(setting.default)
    said = f"; default: {default}" if default else ""
    text = f"{setting.description} [{setting.variable}{said}]".replace("%", "%%")
    flag = setting.flag
    if setting.kind == "list":
        group.add_argument(
            flag, action="append", default=argparse.SUPPRESS, metavar=metavar, help=text
        )
    elif setting.kind == "bool":
        group.add_argument(
            flag, nargs="?", const="true", default=argparse.SUPPRESS, metavar=metavar, help=text
        )
    else:
        group.add_argument(flag, default=argparse.SUPPRESS, metavar=metavar, help=text)


def _dest(switch: str) -> str:
    return "switch " + switch  # the blank keeps it apart from every setting


def _unknown(command: Command, word: str) -> str:
    flag = word.partition("=")[0]
    if not flag.startswith("-"):
        return f"{word!r}: takes no such word"
    elsewhere = [s for s in SETTINGS if s.flag == flag]
    if elsewhere:
        return f"{flag}: no setting of this command, but of {', '.join(elsewhere[0].commands)}"
    known = [s.flag for s in command.settings()] + [name for name, _ in command.switches]
    known += [option.flag for option in command.options]
    return f"{flag}: no such option{did_you_mean(flag, known)}"
