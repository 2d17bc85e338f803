"""Bars or trades of the past as a list that becomes a pandas or polars frame."""

import importlib
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import msgspec

from tickgate.client.errors import MissingPackage

if TYPE_CHECKING:
    import pandas  # type: ignore[import-untyped]  # its stubs are a package of their own
    import polars

M = TypeVar("M", bound=msgspec.Struct)
_NS = "_ns"
_OF_PANDAS: Final[Mapping[Any, str]] = {
    str: "str",
    float: "float64",
    int: "int64",
    bool: "bool",
    int | None: "Int64",  # which has a value for none, and the others stay as they are
    str | None: "str",
}
_OF_POLARS: Final[Mapping[Any, str]] = {
    str: "String",
    float: "Float64",
    int: "Int64",
    bool: "Boolean",
    int | None: "Int64",
    str | None: "String",
}


class Rows(list[M], Generic[M]):
    """Messages of one type, in order; a list with two ways into a frame.

    Frames have a column per field, of one type whatever is in it; times, exact to the nanosecond
    and in UTC, are columns without the ``_ns`` of the field: ``start`` of bars, ``time`` of trades.
    ``missing`` says by symbol, in words, what the gateway does not have (any more) of what was
    asked for.
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
        package, types = _package("pandas"), self._types()
        columns: dict[str, Any] = {}
        for name, values in self.columns().items():
            column = package.Series(values, dtype=_OF_PANDAS.get(types[name]))
            if name.endswith(_NS):
                column = column.astype("datetime64[ns]").dt.tz_localize("UTC")
            columns[name.removesuffix(_NS)] = column
        return package.DataFrame(columns)

    def to_polars(self) -> "polars.DataFrame":
        """A polars frame.

        Raises:
            MissingPackage: polars is not installed.
        """
        package, types = _package("polars"), self._types()
        series = []
        for name, values in self.columns().items():
            kind = _OF_POLARS.get(types[name])
            dtype = getattr(package, kind) if kind else None
            column = package.Series(name.removesuffix(_NS), values, dtype=dtype)
            is_time = name.endswith(_NS)
            series.append(column.cast(package.Datetime("ns", "UTC")) if is_time else column)
        frame: polars.DataFrame = package.DataFrame(series)
        return frame

    def _types(self) -> dict[str, Any]:
        """By field, whatever values there are: frames of one kind go together."""
        return {field.name: field.type for field in msgspec.structs.fields(self._kind)}


def _package(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as exc:
        raise MissingPackage(name) from exc
