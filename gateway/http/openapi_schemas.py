"""Schemas so that programs which write clients out of them get the values whole. Pure.

What msgspec says of a type is right, but such programs take an integer without a format for one of
32 bits, a number for a float of 32, and an enumeration without a type for anything.
Source: OpenAPI Format Registry (int64, double).
"""

from collections.abc import Mapping
from typing import Any, Final

_FORMATS: Final = {"integer": "int64", "number": "double"}
_EITHER: Final = ("integer", "number")
_VALUES: Final = ("example", "default", "enum")
"""Keys below which there are values, not schemas."""


def spelled_out(part: Any) -> Any:
    """A part of a description in which numbers say how large they get, and all what they are."""
    if isinstance(part, list):
        return [spelled_out(one) for one in part]
    if not isinstance(part, Mapping):
        return part
    found = {key: one if key in _VALUES else spelled_out(one) for key, one in part.items()}
    return _schema(found)


def _schema(found: dict[str, Any]) -> dict[str, Any]:
    if "discriminator" in found:
        found["oneOf"] = found.pop("anyOf")  # tags tell them apart, so it is one of them
    if tuple(one.get("type") for one in found.get("anyOf", ())) == _EITHER:
        found["type"] = found.pop("anyOf")[-1]["type"]  # each integer is a number, too
    if isinstance(found.get("enum"), list):
        return {"type": "string"} | found  # there are no others here
    kind = found.get("type")
    if isinstance(kind, str) and kind in _FORMATS:
        return found | {"format": _FORMATS[kind]}
    return found
