"""Roll-ups in columns, read in pieces, against the roll-up of objects."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from core.market.bar import Bar
from core.market.bar_columns import (
    columns_of,
    joined,
    rolled_columns,
    window_index,
    window_starts,
)
from core.market.resolution import Resolution
from core.market.rolled import rolled, windows
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe

numbers = st.sampled_from([0.1, 0.3, 1e-8, 1e12, 3.0, 7.77])
minutes = st.sets(st.integers(1434, 1446), max_size=9)  # around a midnight
stored = st.builds(
    lambda of_a, of_b, values: [
        Bar(Symbol(symbol), Timeframe.MIN_1, minute * MINUTE_NS, *values[n % len(values)],
            trades=n + 1, vwap=values[n % len(values)][0], rev=n % 3, gap=n % 5 == 4)
        for symbol, some in (("X:A", of_a), ("X:B", of_b))
        for n, minute in enumerate(sorted(some))
    ],
    minutes, minutes,
    st.lists(st.tuples(*[numbers] * 5), min_size=1, max_size=4),
)  # fmt: skip
lengths = st.sampled_from([1, 2, 3, 7, 719, 1440]).map(Resolution)


@given(stored, lengths, st.booleans(), st.lists(st.integers(0, 18), max_size=3))
def test_columns_read_in_pieces_roll_up_to_what_objects_do(
    bars: list[Bar], resolution: Resolution, descending: bool, cuts: list[int]
) -> None:
    if descending:
        bars = sorted(bars, key=lambda bar: (bar.symbol, -bar.start_ns))
    columns = columns_of(bars)
    edges = sorted({0, *(cut for cut in cuts if cut < len(bars)), len(bars)})
    made, left = [], columns_of([])
    for first, stop in zip(edges, [*edges[1:], len(bars)], strict=True):
        piece = joined([left, columns.part(first, stop)])
        some, left = rolled_columns(
            piece, resolution, descending=descending, is_last=first == edges[-1]
        )
        made.append(some)

    expected = [
        rolled(some, resolution.floor_ns(some[0].start_ns)) for some in windows(bars, resolution)
    ]
    assert joined(made).bars(Timeframe.MIN_1) == expected
    assert len(left) == 0
    for bar, parts in zip(expected, windows(bars, resolution), strict=True):
        assert bar.volume == float(sum(Fraction(part.volume) for part in parts))


@given(lengths, st.integers(-3, 3000))
def test_a_windows_number_leads_back_to_its_start(resolution: Resolution, minute: int) -> None:
    start_ns = resolution.floor_ns(DAY_NS + minute * MINUTE_NS)
    number = window_index(resolution, start_ns)

    starts = window_starts(resolution, number - 1, number + 2).tolist()

    assert starts == [resolution.before_ns(start_ns), start_ns, resolution.end_ns(start_ns)]
