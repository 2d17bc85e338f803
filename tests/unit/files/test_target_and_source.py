import gzip
import sys
from pathlib import Path

import pytest

from tickgate.files.columns import TICKS, Column, Kind
from tickgate.files.options import CSV, PARQUET
from tickgate.files.parquet import ParquetMissing
from tickgate.files.source import SourceError, read_lines
from tickgate.files.target import TargetError, format_of, open_target

COLUMNS = (Column("a", Kind.WHOLE), Column("at", Kind.TIME))
ROWS = {"a": [1, None], "at": [0, 1_500_000_000]}


def write(path: Path, kind: str = CSV, *, force: bool = False) -> None:
    with open_target(str(path), kind, COLUMNS, force=force) as sink:
        sink.write(ROWS)


def break_off(path: Path) -> None:
    with open_target(str(path), CSV, COLUMNS, force=False) as sink:
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


def test_equal_rows_make_equal_files(tmp_path: Path) -> None:
    for name in ("one.csv.gz", "other.csv.gz"):
        write(tmp_path / name)
    assert (tmp_path / "one.csv.gz").read_bytes() == (tmp_path / "other.csv.gz").read_bytes()


def test_a_file_is_there_as_a_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with pytest.raises(ZeroDivisionError):
        break_off(path)
    assert list(tmp_path.iterdir()) == []

    write(path)
    with pytest.raises(TargetError, match=r"a.csv: is there already; --force writes over it"):
        write(path)
    path.write_text("")
    write(path, force=True)
    assert path.read_text().startswith("a,at\n1,1970")
    with pytest.raises(TargetError, match="is a folder"):
        write(tmp_path, force=True)


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


def test_parquet_without_its_package_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "a.parquet", PARQUET)
    monkeypatch.setitem(sys.modules, "pyarrow", None)

    with pytest.raises(ParquetMissing, match=r"pip install 'tickgate\[parquet\]'"):
        write(tmp_path / "b.parquet", PARQUET)
    with pytest.raises(ParquetMissing):
        list(read_lines(str(tmp_path / "a.parquet"), ("a",), ()))
    assert [path.name for path in tmp_path.iterdir()] == ["a.parquet"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "there is no column symbol, price"),
        (b"symbol;price\n", "its columns are symbol;price"),
        (b"\xff\xfe", "cannot be read: 'utf-8' codec"),
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
    assert str(caught.value).startswith(f"{path}: ")
    assert said in str(caught.value)


def test_lines_are_counted_as_an_editor_does(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text('\ufeffSymbol, price,more\n\n"A",1\nB,2,3,4\n', encoding="utf-8")

    assert list(read_lines(str(path), ("symbol", "price"), ("symbol", "price"))) == [
        (3, {"symbol": "A", "price": "1"}),
        (4, {"": "4 fields, expected 3"}),
    ]
