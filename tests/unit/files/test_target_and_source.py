import gc
import gzip
import os
import sys
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pyarrow
import pytest
from pyarrow import parquet

from tickgate.files.columns import TICKS, Column, Kind
from tickgate.files.given_rows import tick_rows
from tickgate.files.options import CSV, PARQUET
from tickgate.files.parquet import ParquetMissing, ParquetSink
from tickgate.files.source import SourceError, read_lines
from tickgate.files.target import TargetError, format_of, open_target

COLUMNS = (Column("a", Kind.WHOLE), Column("at", Kind.TIME))
ROWS = {"a": [1, None], "at": [0, 1_500_000_000]}


def write(path: Path, kind: str = CSV, *, force: bool = False) -> None:
    with open_target(str(path), kind, COLUMNS, force=force) as sink:
        sink.write(ROWS)


def break_off(path: str, kind: str) -> None:
    with open_target(path, kind, COLUMNS, force=False) as sink:
        sink.write(ROWS)
        sink.write({"a": [1 // 0]})


@pytest.mark.parametrize(
    ("name", "kind"), [("a.csv", CSV), ("a.csv.gz", CSV), ("a.parquet", PARQUET)]
)
def test_what_is_written_is_read_again(tmp_path: Path, name: str, kind: str) -> None:
    path = tmp_path / name
    assert format_of(name) == kind
    write(path, kind)

    lines = list(read_lines(str(path), ("a", "at", "b"), ("a",)))
    assert [line.number for line in lines] == ([2, 3] if kind == CSV else [1, 2])
    assert [str(line.values["a"]) for line in lines] == ["1", "None"]
    expected = ["1970-01-01T00:00:00Z", "1970-01-01T00:00:01.5Z"] if kind == CSV else ROWS["at"]
    assert [line.values["at"] for line in lines] == expected


def test_columns_of_parquet_may_be_spelled_otherwise_and_have_decimal_numbers(
    tmp_path: Path,
) -> None:
    path = str(tmp_path / "a.parquet")
    prices = pyarrow.array([Decimal("1.05"), None])
    counts = pyarrow.array([Decimal(2**62 + 1)] * 2, pyarrow.decimal128(38, 0))
    parquet.write_table(pyarrow.table({"Price": prices, "COUNT": counts, "Other": [1, 2]}), path)

    lines = list(read_lines(path, ("price", "count"), ("price",)))

    expected = [{"price": price, "count": 2**62 + 1} for price in (1.05, None)]
    assert [line.values for line in lines] == expected
    with pytest.raises(SourceError, match=r"no column size.*; its columns are price, count, other"):
        list(read_lines(path, ("price", "size"), ("size",)))


def test_spaces_around_a_value_of_csv_are_none_of_it(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a, b\n1, x \n2, \n")

    lines = list(read_lines(str(path), ("a", "b"), ("a",)))

    assert [line.values for line in lines] == [{"a": "1", "b": "x"}, {"a": "2", "b": None}]


def test_columns_without_a_name_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(",a,b,\n0,1,x,\n1,2,,z\n2,3\n")  # pandas' index, and a comma at the end

    lines = list(read_lines(str(path), ("a", "b"), ("a",)))

    assert [line.values for line in lines] == [
        {"a": "1", "b": "x"},
        {"a": "2", "b": None},
        {"": "2 fields, expected 4"},
    ]


def test_equal_rows_make_equal_files(tmp_path: Path) -> None:
    for name in ("one.csv.gz", "other.csv.gz"):
        write(tmp_path / name)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "other.csv.gz").read_bytes()


@pytest.mark.parametrize("kind", [CSV, PARQUET])
def test_what_breaks_off_leaves_nothing_and_says_nothing(
    tmp_path: Path, kind: str, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    with pytest.raises(ZeroDivisionError):
        break_off(str(tmp_path / "a"), kind)
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ZeroDivisionError):
        break_off("-", kind)
    gc.collect()
    said = capfdbinary.readouterr()
    assert said.err == b""
    assert not said.out.endswith(b"PAR1")


def test_parquet_that_can_be_written_no_more_says_so_once(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with (tmp_path / "a").open("wb") as file:
        sink = ParquetSink(file, COLUMNS)
    with pytest.raises(ValueError, match="write to closed file"):
        sink.write(ROWS)
    sink.abandon()
    del sink
    gc.collect()
    assert capfd.readouterr().err == ""


def test_a_file_is_there_as_a_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"

    write(path)
    with pytest.raises(TargetError, match=r"a.csv: is there already; --force writes over it"):
        write(path)
    path.write_text("")
    write(path, force=True)
    assert path.read_text().startswith("a,at\n1,1970")
    with pytest.raises(TargetError, match="is a folder"):
        write(tmp_path, force=True)


def test_a_link_stays_and_what_is_no_file_is_left_alone(tmp_path: Path) -> None:
    path, link = tmp_path / "a.csv", tmp_path / "link.csv"
    path.write_text("old")
    link.symlink_to(path)
    write(link, force=True)
    assert link.is_symlink()
    assert path.read_text().startswith("a,at\n1,1970")
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    with pytest.raises(TargetError, match="is no regular file"):
        write(pipe, force=True)
    assert pipe.is_fifo()


def test_one_that_appears_meanwhile_is_not_written_over(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with (
        pytest.raises(TargetError, match="is there already"),
        open_target(str(path), CSV, COLUMNS, force=False),
    ):
        path.write_text("mine")
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("a.csv", "mine")]


def test_the_standard_output_is_a_target(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    with open_target("-", CSV, COLUMNS, force=False) as sink:
        sink.write(ROWS)
    assert (
        capsysbinary.readouterr().out == b"a,at\n1,1970-01-01T00:00:00Z\n,1970-01-01T00:00:01.5Z\n"
    )


def test_parquet_without_its_package_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.parquet", PARQUET)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ParquetMissing, match="pip install pyarrow"):
        write(tmp_path / "b.parquet", PARQUET)
    with pytest.raises(ParquetMissing):
        list(read_lines(str(tmp_path / "a.parquet"), ("a",), ()))
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "there is no column symbol, price"),
        (b"symbol;price\n", "its columns are symbol;price"),
        (b"symbol,price,Price\n", "column price is there more than once"),
        (b"\xff\xfe", "file:1: byte 0xff at character 1 is no UTF-8"),
        (
            gzip.compress(b"symbol,price\n" * 99, mtime=0)[:-9],
            "cannot be read: Compressed",
        ),
        (b"PAR1 and nothing more", "cannot be read: "),
    ],
)
def test_a_file_that_is_none_says_so(tmp_path: Path, content: bytes, said: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(SourceError) as caught:
        list(read_lines(str(path), [column.name for column in TICKS], ("symbol", "price")))
    assert str(caught.value).startswith(f"{path}:")
    assert said in str(caught.value)


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffSymbol, price,more\n\n"A",1,\nB,2,3,4\n', encoding="utf-8")

    assert list(read_lines(str(path), ("symbol", "price"), ("symbol", "price"))) == [
        (3, {"symbol": "A", "price": "1", "more": None}),
        (4, {"": "4 fields, expected 3"}),
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (b"A,1,x\nB,2,", [(3, "the last line does not end: the file looks cut off")]),
        (b"A,1,x\nB,2\n", [(3, "2 fields, expected 3")]),
        (b"A,1,x\nB,2", [(3, "the last line does not end")]),
        (b"A\nB,1,2,3\nC,1,x\n", [(2, "1 fields"), (3, "4 fields")]),
        (b'A,1,"x\n', [(2, "a quote begins that does not end")]),
        (b'A,1,"x\nB,2,x\nC,3,x', [(2, "a quote begins that does not end")]),
        (b'A,1,"x\nB,2,"x"\n', [(2, "cannot be read: ',' expected after")]),
        (b"A,1,x\nB,2,\xe4\nC,1,x\n", [(3, "byte 0xe4 at character 5 is no UTF-8")]),
        (b'A,1,"two\r\nlines"\r\n\r\n', []),
    ],
)
@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_a_row_that_is_not_whole_is_told_by_its_line(
    tmp_path: Path,
    rows: bytes,
    expected: list[tuple[int, str]],
    pack: Callable[[bytes], bytes],
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(pack(b"symbol,price,more\n" + rows))

    lines = read_lines(str(path), ("symbol", "price"), ("symbol", "price"))
    told = [(line.number, str(line.values[""])) for line in lines if "" in line.values]
    assert [line for line, _ in told] == [line for line, _ in expected]
    for (_, said), (_, begin) in zip(told, expected, strict=True):
        assert said.startswith(begin)


TRADES = "symbol,trade_id,event_ns,side,price,size\n"


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (b"A,1,1700000000000000000,,1.5,2.25", "the last line does not end"),
        (b'A,1,1700000000000000000,,1.5,"2.25\n', "a quote begins that does not end"),
        (b"A,1,1700000000000000000,,1.5\n", "5 fields, expected 6"),
        (b"A,1,1700000000000000000,,1.5,2,3\n", "7 fields, expected 6"),
        (b"A,\xff,1700000000000000000,,1.5,2\n", "byte 0xff at character 3 is no UTF-8"),
        (b'A,1,1700000000000000000,,1.5,"2"\n', ""),
    ],
)
def test_a_trade_that_is_not_whole_is_told_by_its_line(
    tmp_path: Path, rows: bytes, expected: str
) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(TRADES.encode() + b"A,9,1700000000000000000,,1.5,2\n" + rows)

    first, second = tick_rows(str(path), "V", until_ns=2 * 10**18)
    assert (first.line, first.error, second.line) == (2, "", 3)
    assert second.error.startswith(expected)
    assert (second.value is None) == bool(expected)


def test_packed_rows_are_refused_wherever_they_are_cut(tmp_path: Path) -> None:
    path = tmp_path / "a.csv.gz"
    rows = [f"A,{n},1700000000000000000,,{n}.5,2\n" for n in range(1, 9)]
    whole = gzip.compress((TRADES + "".join(rows)).encode(), mtime=0)
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        with pytest.raises(SourceError):
            list(tick_rows(str(path), "V", until_ns=2 * 10**18))
        with pytest.raises(SourceError):
            list(read_lines(str(path), ("symbol",), ("symbol",)))
    path.write_bytes(whole)
    assert len(list(tick_rows(str(path), "V", until_ns=2 * 10**18))) == len(rows)


def test_bars_that_are_taken_for_ticks_are_told(tmp_path: Path) -> None:
    path = tmp_path / "bars.csv"
    path.write_text("symbol,start_ns,open,high,low,close,volume,trades,vwap\n")

    with pytest.raises(SourceError, match=r"those of bars: take them by `import bars`"):
        list(tick_rows(str(path), "", until_ns=0))
