"""Flat bars: what is between, before and after the stored ones, page by page."""

from hypothesis import given
from hypothesis import strategies as st

from core.market.bar import Bar
from core.market.bar_columns import columns_of
from core.market.resolution import Resolution
from core.market.symbol import Symbol
from core.market.timeframe import DAY_NS, MINUTE_NS, Timeframe
from gateway.http.filled import Fill, filled

A, B = Symbol("X:A"), Symbol("X:B")
DAY = 20_000 * DAY_NS


def bar(start_ns: int, symbol: Symbol = A) -> Bar:
    price = 100.0 + start_ns // MINUTE_NS % 1440
    return Bar(symbol, Timeframe.MIN_1, start_ns, price, price + 2, price - 2, price + 1, 1.5, 3,
               price + 0.5, 1, gap=True)  # fmt: skip


def flat(symbol: Symbol, start_ns: int, close: float) -> Bar:
    return Bar(symbol, Timeframe.MIN_1, start_ns, close, close, close, close, 0.0, 0, close)


def minute(n: int) -> int:
    return DAY + n * MINUTE_NS


def fill(**changes: object) -> Fill:
    usual: dict[str, object] = {
        "resolution": Resolution(1),
        "first_ns": {A: minute(0)},
        "last_ns": {A: minute(5)},
        "closes": {},
        "descending": False,
        "limit": 100,
    }
    return Fill(**(usual | changes))  # type: ignore[arg-type]


def test_windows_after_the_first_bar_have_the_last_close_and_no_trades() -> None:
    some = [bar(minute(1)), bar(minute(4))]

    made = filled(columns_of(some), fill()).bars(Timeframe.MIN_1)

    close, last = some[0].close, some[1].close
    flats = [flat(A, minute(2), close), flat(A, minute(3), close), flat(A, minute(5), last)]
    assert made == [some[0], flats[0], flats[1], some[1], flats[2]]


def test_windows_before_the_first_bar_have_the_close_before_the_range() -> None:
    made = filled(columns_of([bar(minute(2))]), fill(closes={A: 7.0}, last_ns={A: minute(2)}))

    assert made.bars(Timeframe.MIN_1) == [
        flat(A, minute(0), 7.0),
        flat(A, minute(1), 7.0),
        bar(minute(2)),
    ]


def test_a_symbol_without_a_bar_has_only_flat_ones_or_none_where_it_had_no_close_yet() -> None:
    wanted = {A: minute(0), B: minute(0)}

    made = filled(
        columns_of([]),
        fill(first_ns=wanted, last_ns={A: minute(1), B: minute(1)}, closes={B: 2.0}),
    )

    assert made.bars(Timeframe.MIN_1) == [flat(B, minute(0), 2.0), flat(B, minute(1), 2.0)]


def test_bars_past_what_may_be_flat_stay() -> None:
    some = [bar(minute(1)), bar(minute(4))]

    made = filled(columns_of(some), fill(last_ns={A: minute(0)})).bars(Timeframe.MIN_1)

    assert [one.start_ns for one in made] == [minute(n) for n in (1, 2, 3, 4)]


stored = st.dictionaries(st.sampled_from([A, B]), st.sets(st.integers(-3, 12), max_size=6))


@given(
    stored=stored,
    seen=st.sets(st.sampled_from([A, B])),
    span=st.tuples(st.integers(-2, 8), st.integers(-2, 10)).map(sorted),
    lasts=st.tuples(st.integers(-3, 10), st.integers(-3, 10)),
    limit=st.integers(1, 25),
    descending=st.booleans(),
    length=st.sampled_from([Resolution(1), Resolution(700)]),
)
def test_a_page_is_the_beginning_of_what_plain_python_fills(
    stored: dict[Symbol, set[int]],
    seen: set[Symbol],
    span: list[int],
    lasts: tuple[int, int],
    limit: int,
    descending: bool,
    length: Resolution,
) -> None:
    grid = [DAY]  # windows 0 to 12, and those before
    for _ in range(13):
        grid.append(length.end_ns(grid[-1]))
    before = [DAY]
    for _ in range(3):
        before.insert(0, length.before_ns(before[0]))
    at = dict(enumerate(grid)) | {n - 3: ns for n, ns in enumerate(before)}
    may_be_flat = {A: min(lasts[0], span[1]), B: min(lasts[1], span[1])}
    whole: list[Bar] = []
    real: list[Bar] = []
    for symbol in (A, B):
        close = 7.0 if symbol in seen else None
        have = {n for n in stored.get(symbol, ()) if span[0] <= n <= span[1]}
        made = []
        for n in range(span[0], max([may_be_flat[symbol], *have]) + 1):
            if n in have:
                made.append(bar(at[n], symbol))
                close = made[-1].close
            elif close is not None:
                made.append(flat(symbol, at[n], close))
        own = [one for one in made if one.trades]
        whole += made[::-1] if descending else made
        real += own[::-1] if descending else own

    found = filled(
        columns_of(real[:limit]),
        Fill(
            resolution=length,
            first_ns={A: at[span[0]], B: at[span[0]]},
            last_ns={symbol: at[n] for symbol, n in may_be_flat.items()},
            closes=dict.fromkeys(sorted(seen), 7.0),
            descending=descending,
            limit=limit,
        ),
    )

    assert found.bars(Timeframe.MIN_1) == whole[:limit]
