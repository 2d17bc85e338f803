"""What `tickgate export` and `tickgate import` take on the command line, besides settings."""

from typing import Final

from tickgate.arguments import Option

BARS, TICKS = "bars", "ticks"
CSV, PARQUET = "csv", "parquet"
STDOUT: Final = "-"
OUTPUT, FORMAT, TIMEFRAME, VENUE = "--output", "--format", "--timeframe", "--venue"
FORCE: Final = ("--force", "write over a file that is there")

EXPORT_OPTIONS: Final = (
    Option(OUTPUT, "PATH", "the file to write; - is the standard output, .csv.gz compresses"),
    Option(
        FORMAT,
        "csv|parquet",
        "what to write; without it the name of the file tells",
        required=False,
        choices=(CSV, PARQUET),
    ),
    Option(TIMEFRAME, "NAME", "of the bars: 1Min, 5Min or 15Min; 1Min without it", required=False),
)
