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
    Option(TIMEFRAME, "NAME", "of the bars: 1Min (without it) to 1Day", required=False),
)

REPLACE: Final = ("--replace", "store bars over those that were made of ticks, too")
DRY_RUN: Final = ("--dry-run", "change nothing; say what is wrong and what would change")
IMPORT_OPTIONS: Final = (
    Option(VENUE, "NAME", "of symbols that name none, as those of replay files", required=False),
)
