from tickgate.files.columns import BARS, Column, Kind, header, lines, rfc3339

EVERY = tuple(Column(kind.value, kind) for kind in Kind)


def test_rows_are_told_so_that_they_are_read_back_as_they_were() -> None:
    table = {
        "text": ["V:A-B", None],
        "whole": [-(2**63), 7],
        "float": [0.1 + 0.2, 5e-324],
        "flag": [True, False],
        "time": [1_700_000_100_000_000_000, 1_500_000_000],
    }

    assert lines(EVERY, table) == (
        "V:A-B,-9223372036854775808,0.30000000000000004,true,2023-11-14T22:15:00Z\n"
        ",7,5e-324,false,1970-01-01T00:00:01.5Z\n"
    )
    assert header(BARS).startswith("symbol,timeframe,time,start_ns,open,")


def test_times_have_as_many_decimals_as_they_need() -> None:
    assert rfc3339(0) == "1970-01-01T00:00:00Z"
    assert rfc3339(1) == "1970-01-01T00:00:00.000000001Z"
