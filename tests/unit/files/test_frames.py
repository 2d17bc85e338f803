"""Frames of the Python client, as pandas and polars write them, are taken by `import bars`."""

from collections.abc import Callable
from pathlib import Path

import pytest

from core.market.timeframe import MINUTE_NS
from tickgate.client import Bar
from tickgate.client.rows import Rows
from tickgate.files.given_rows import bar_rows

START_NS = 1_700_000_040 * 10**9
WRITERS: dict[str, Callable[[Rows[Bar], Path], object]] = {
    "pandas.csv": lambda rows, path: rows.to_pandas().to_csv(path),
    "pandas.parquet": lambda rows, path: rows.to_pandas().to_parquet(path),
    "polars.csv": lambda rows, path: rows.to_polars().write_csv(path),
    "polars.parquet": lambda rows, path: rows.to_polars().write_parquet(path),
}


@pytest.mark.parametrize("name", WRITERS)
def test_a_frame_that_was_written_is_read_as_its_bars(name: str, tmp_path: Path) -> None:
    def bar(minute: int) -> Bar:
        start_ns = START_NS + minute * MINUTE_NS
        return Bar("V:A", "1Min", start_ns, 0.1, 2.0, 0.1, 1 / 3, 7.5, 3, 0.2 + 0.1)

    rows = Rows(Bar, [bar(minute) for minute in (0, 1, 5)])
    path = tmp_path / name
    WRITERS[name](rows, path)

    found = list(bar_rows(str(path), "", until_ns=START_NS + 60 * MINUTE_NS))

    assert [row.error for row in found] == [""] * 3
    for row, told in zip(found, rows, strict=True):
        assert row.value is not None
        names = ("start_ns", "open", "high", "low", "close", "volume", "trades", "vwap")
        assert [getattr(row.value, name) for name in names] == [getattr(told, n) for n in names]
