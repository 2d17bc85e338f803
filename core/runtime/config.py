"""Settings: one declaration, read from flags and variables, with errors that name the remedy.

A frozen :class:`msgspec.Struct` declares them: names carry the unit, ``Meta`` carries the bounds
and the description, ``Meta(extra=…)`` what msgspec has no word for:

* ``commands``: the sub-commands that the setting concerns (absent: all of them),
* ``secret``: ``"url"`` hides passwords inside the value, ``"all"`` hides the value,
* ``accepted``: words for what is accepted, where the type alone does not say it.

Flags, ``PREFIX_*`` variables, help and documentation are all made from it. Pure: the caller passes
the environment in.
"""

import difflib
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from msgspec import inspect

from core.market.errors import TickgateError

T = TypeVar("T", bound=msgspec.Struct)
Value = int | float | bool | str | tuple[str, ...]

DEFAULT = "default"
HIDDEN = "***"
_TRUE, _FALSE = frozenset({"true", "1", "yes", "on"}), frozenset({"false", "0", "no", "off"})
_URL_PASSWORD = re.compile(r"(://[^:/@\s]*):\S*@")
_NAME = r"(?i)\b([\w-]*(?:key|token|secret|password|passwd|pwd)\s*=\s*)"
_NAMED_SECRET = re.compile(
    _NAME + r"('(?:[^'\\]|\\.)*'|(?:[^\s&\\]|\\.)+)"  # for libpq a backslash goes with what follows
)
_LOGIN = re.compile(r"(://[^:/@]*):.*@")
_FIELD = re.compile(_NAME + r"[^&]*")
_PASSWORD_ON = re.compile(r"(?is)(password\s*=\s*).*")
_PASSWORD_FIELD = re.compile(r"(?is)(password=)[^&]*")
# Kubernetes and Docker links put these into every container beside a service named like us.
_SERVICE_LINK = re.compile(r"_SERVICE_(HOST|PORT)(_\w+)?$|_PORT_\d+_(TCP|UDP)(_\w+)?$")
_LINK_VALUE = re.compile(r"(tcp|udp)://")


class Problem(msgspec.Struct, frozen=True):
    """One wrong setting: where it was read, what it was (masked), what would be accepted."""

    source: str  # "--port" or "TICKGATE_PORT"
    value: str
    accepted: str

    def __str__(self) -> str:
        if not self.value:
            return f"{self.source}: {self.accepted}"
        return f"{self.source}: expected {self.accepted}, was {self.value}"


class ConfigError(TickgateError):
    """One setting or several are wrong; the program ends with exit code 2."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


class Setting(msgspec.Struct, frozen=True):
    """One setting as flags, variables, help and the documentation show it."""

    name: str
    kind: str  # "int", "float", "bool", "str", "choice" or "list"
    type: Any
    default: Value
    description: str
    accepted: str
    secret: str
    commands: tuple[str, ...]  # empty: all of them
    choices: tuple[str, ...]
    variable: str

    @property
    def flag(self) -> str:
        return "--" + self.name.replace("_", "-")

    def concerns(self, command: str) -> bool:
        return not self.commands or command in self.commands

    def show(self, value: Value) -> str:
        """*value* for people: secrets masked, lists joined by spaces."""
        if self.secret == "all":
            return HIDDEN if value else ""
        if not self.secret:
            return to_text(value, separator=" ")
        return " ".join(map(mask_value, value if isinstance(value, tuple) else [to_text(value)]))


class Loaded(msgspec.Struct, Generic[T], frozen=True):
    """The effective settings and where each came from (``default``, a variable or a flag)."""

    values: T
    sources: Mapping[str, str]


def mask(text: str) -> str:
    """*text* without the passwords in URLs and without the values of ``…key=``, ``…token=``."""
    return _NAMED_SECRET.sub(rf"\1{HIDDEN}", _URL_PASSWORD.sub(rf"\1:{HIDDEN}@", text))


def mask_value(text: str) -> str:
    """As :func:`mask`, of a *text* that is one URL, feed spec or connection string.

    In the first two a blank ends nothing.
    """
    if "://" not in text and "?" not in text:
        return mask(text)
    return _FIELD.sub(rf"\1{HIDDEN}", _LOGIN.sub(rf"\1:{HIDDEN}@", text))


def veil(url: str) -> str:
    """A *url* or connection string that cannot be read: nobody knows where its password ends."""
    scheme, found, _ = url.partition("://")
    url = (_PASSWORD_FIELD if found else _PASSWORD_ON).sub(rf"\1{HIDDEN}", url)
    _, at, host = url.rpartition("@")
    if not at:
        return url
    return f"{scheme}://{HIDDEN}@{host}" if found else f"{HIDDEN}@{host}"


def to_text(value: Value, *, separator: str = "\n") -> str:
    """*value* as a variable holds it; lists are one item a line, so that items may hold spaces."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return "".join(item + separator for item in value).removesuffix(" ")
    return str(value)


def settings_of(cls: type[msgspec.Struct], *, prefix: str) -> tuple[Setting, ...]:
    """The settings that *cls* declares, in its order."""
    info = inspect.type_info(cls)
    assert isinstance(info, inspect.StructType)
    types = {field.name: field.type for field in msgspec.structs.fields(cls)}
    return tuple(_setting(field, types[field.name], prefix) for field in info.fields)


def load(
    cls: type[T],
    flags: Mapping[str, str | Sequence[str]],
    environ: Mapping[str, str],
    *,
    prefix: str,
) -> Loaded[T]:
    """Defaults, then ``PREFIX_*`` variables, then *flags* (by setting name); the later wins.

    An empty variable counts as one that is not set, as it comes from ``NAME=${NAME:-}``.

    Raises:
        ConfigError: names every wrong value and every unknown variable at once.
    """
    settings = settings_of(cls, prefix=prefix)
    problems = _unknown_variables(settings, environ, prefix)
    values: dict[str, Value] = {}
    sources: dict[str, str] = {}
    for setting in settings:
        source, raw = _raw(setting, flags, environ)
        sources[setting.name] = source
        if raw is None:
            continue
        try:
            values[setting.name] = _parse(setting, raw)
        except ValueError:
            shown = setting.show(tuple(raw) if not isinstance(raw, str) else raw)
            accepted = setting.accepted if _is_text(raw) else "text in UTF-8"
            problems.append(Problem(source, repr(shown), accepted))
    if problems:
        raise ConfigError(problems)
    return Loaded(cls(**values), sources)


def environment(loaded: Loaded[Any], settings: Iterable[Setting]) -> dict[str, str]:
    """The variables that give another process of this program the same settings."""
    return {
        setting.variable: text
        for setting in settings
        if (value := getattr(loaded.values, setting.name)) != setting.default
        if (text := to_text(value))
    }


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """``" (did you mean X?)"`` when one of *known* is near to *word*, else an empty string."""
    near = difflib.get_close_matches(word, sorted(known), n=1, cutoff=0.6)
    return f" (did you mean {near[0]}?)" if near else ""


def _setting(field: inspect.Field, full_type: Any, prefix: str) -> Setting:
    assert isinstance(field.type, inspect.Metadata), f"{field.name} needs Meta(description=…)"
    extra = field.type.extra or {}
    kind, accepted = _kind(field.type.type)
    choices: tuple[object, ...] = ()
    if isinstance(field.type.type, inspect.LiteralType):
        choices = typing.get_args(typing.get_args(full_type)[0])  # in the order of the declaration
        accepted = "one of " + ", ".join(map(str, choices))
    return Setting(
        name=field.name,
        kind=kind,
        type=full_type,
        default=field.default,
        description=(field.type.extra_json_schema or {})["description"],
        accepted=extra.get("accepted", accepted),
        secret=extra.get("secret", ""),
        commands=tuple(extra.get("commands", ())),
        choices=tuple(str(choice) for choice in choices),
        variable=f"{prefix}_{field.name}".upper(),
    )


def _kind(declared: inspect.Type) -> tuple[str, str]:
    match declared:
        case inspect.BoolType():
            return "bool", "true or false"
        case inspect.IntType():
            return "int", "a whole number" + _bounds(declared)
        case inspect.FloatType():
            return "float", "a number" + _bounds(declared)
        case inspect.LiteralType():
            return "choice", ""
        case inspect.VarTupleType():
            return "list", "text"
        case inspect.StrType():
            return "str", "text"
    raise TypeError(f"settings cannot be declared as {declared}")


def _bounds(number: inspect.IntType | inspect.FloatType) -> str:
    if number.ge is not None and number.le is not None:
        return f" from {number.ge} to {number.le}"
    words = {"of at least": number.ge, "above": number.gt, "of at most": number.le}
    said = [f"{word} {bound}" for word, bound in words.items() if bound is not None]
    return " " + " and ".join(said) if said else ""


def _raw(
    setting: Setting, flags: Mapping[str, str | Sequence[str]], environ: Mapping[str, str]
) -> tuple[str, str | Sequence[str] | None]:
    if setting.name in flags:
        return setting.flag, flags[setting.name]
    text = environ.get(setting.variable, "")
    is_link = setting.variable.endswith("_PORT") and _LINK_VALUE.match(text)
    if text.strip() and not is_link:
        return setting.variable, text
    return DEFAULT, None


def _parse(setting: Setting, raw: str | Sequence[str]) -> Value:
    """The value of *raw*.

    Raises:
        ValueError: it is not accepted (msgspec's ValidationError is one).
    """
    if not _is_text(raw):
        raise ValueError(raw)
    if setting.kind == "list":
        return tuple(_items(raw))
    text = raw.strip() if isinstance(raw, str) else " ".join(raw)
    if setting.kind == "bool":
        if text.lower() not in _TRUE | _FALSE:
            raise ValueError(text)
        return text.lower() in _TRUE
    value: Value = msgspec.convert(text, setting.type, strict=False)
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(text)
    return value


def _is_text(raw: str | Sequence[str]) -> bool:
    """Was it UTF-8? The system hands on any bytes, those that are none as lone surrogates."""
    try:
        "".join(raw).encode()
    except UnicodeEncodeError:
        return False
    return True


def _items(raw: str | Sequence[str]) -> list[str]:
    """Flags give items; a variable holds lines, or words when it is a single line.

    Raises:
        ValueError: a flag was given an empty item, as by a script's variable that is not set.
    """
    if not isinstance(raw, str):
        items = [item.strip() for item in raw]
        if not all(items):
            raise ValueError(raw)
        return items
    if "\n" in raw:
        return [line.strip() for line in raw.splitlines() if line.strip()]
    return raw.split()


def _unknown_variables(
    settings: Sequence[Setting], environ: Mapping[str, str], prefix: str
) -> list[Problem]:
    known = {setting.variable for setting in settings}
    unknown = (
        name for name in sorted(environ) if name.startswith(prefix + "_") and name not in known
    )
    return [
        Problem(name, "", "no such setting" + did_you_mean(name, known))
        for name in unknown
        if not _SERVICE_LINK.search(name)
    ]
