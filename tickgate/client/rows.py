"""Bars or trades of the past as a list that becomes a pandas or polars frame."""

import importlib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import msgspec

from tickgate.client.errors import MissingPackage

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]  # its stubs are a package of their own
    import polars

M = TypeVar("M", bound=msgspec.Struct)
_NS = "_ns"


class Rows(list[M], Generic[M]):
    """Messages of one type, in order; a list with two ways into a frame.

    Frames have a column per field; times, exact to the nanosecond and in UTC, are columns without
    the ``_ns`` of the field: ``start`` of bars, ``time`` of trades. ``missing`` says by symbol, in
    words, what the gateway does not have (any more) of what was asked for.
    """

    def __init__(self, kind: type[M], messages: Iterable[M] = ()) -> None:
        super().__init__(messages)
        self._kind = kind
        self.missing: dict[str, str] = {}

    def columns(self) -> dict[str, list[Any]]:
        """The values by field, in the order of the fields."""
        names = self._kind.__struct_fields__
        return {name: [getattr(message, name) for message in self] for name in names}

    def to_pandas(self) -> "pandas.DataFrame":
        """A pandas frame.

        Raises:
            MissingPackage: pandas is not installed.
        """
        package = _package("pandas")
        columns: dict[str, Any] = {}
        for name, values in self.columns().items():
            if name.endswith(_NS):
                times = package.to_datetime(package.Series(values, dtype="int64"), utc=True)
                columns[name.removesuffix(_NS)] = times
            elif None in values and any(isinstance(value, int) for value in values):
                columns[name] = package.array(values, dtype="Int64")  # else floats: other numbers
            else:
                columns[name] = values
        return package.DataFrame(columns)

    def to_polars(self) -> "polars.DataFrame":
        """A polars frame.

        Raises:
            MissingPackage: polars is not installed.
        """
        package = _package("polars")
        types = {field.name: field.type for field in msgspec.structs.fields(self._kind)}
        plain = {
            str: package.String,
            float: package.Float64,
            int: package.Int64,
            bool: package.Boolean,
        }
        series = []
        for name, values in self.columns().items():
            if name.endswith(_NS):
                ns = package.Series(name.removesuffix(_NS), values, dtype=package.Int64)
                series.append(ns.cast(package.Datetime("ns", "UTC")))
            else:
                series.append(package.Series(name, values, dtype=plain.get(types[name])))
        frame: polars.DataFrame = package.DataFrame(series)
        return frame


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise MissingPackage(name) from exc
