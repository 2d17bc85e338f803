"""Paging, for any bars, limits and directions: all of them, once, in order."""

from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from core.market.bar import Bar
from core.market.timeframe import Timeframe
from tests.integration.gateway_http.rig import Rig, bar

names = st.lists(
    st.sampled_from(["A", "A-B", "A.B", "A0", "AB", "B", "Z", "0"]), min_size=1, unique=True
)
minutes = st.sets(st.integers(0, 12), max_size=8)
ranges = st.tuples(st.integers(0, 12), st.integers(0, 12)).map(sorted)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    wanted=names,
    stored=st.dictionaries(names.map(lambda some: some[0]), minutes, max_size=5),
    limits=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    sort=st.sampled_from(["asc", "desc"]),
    window=ranges,
)
async def test_pages_of_any_sizes_yield_every_bar_once_in_order(
    rig: Rig,
    wanted: list[str],
    stored: dict[str, set[int]],
    limits: list[int],
    sort: str,
    window: list[int],
) -> None:
    venue = f"V{uuid4().hex[:12].upper()}"  # keeps the examples apart in one database
    bars = [bar(f"{venue}:{name}", minute) for name, some in stored.items() for minute in some]
    other = [bar(f"{venue}:{name}", 5, timeframe=Timeframe.MIN_5) for name in wanted]
    await rig.save(*bars, *other)
    query = {
        "symbols": ",".join(f"{venue}:{name}" for name in wanted),
        "start": f"2021-07-03T00:{window[0]:02}:00Z",
        "end": f"2021-07-03T00:{window[1]:02}:00Z",
        "sort": sort,
    }

    found: list[tuple[str, int]] = []
    token: dict[str, str] = {}
    for page in range(200):
        limit = limits[page % len(limits)]
        status, answer = await rig.get("/v1/bars", **query, **token, limit=str(limit))
        assert status == 200
        rows = [(name, int(b["t"][14:16])) for name, some in answer["bars"].items() for b in some]
        assert len(rows) <= limit
        found += rows
        if answer["next_page_token"] is None:
            break
        assert len(rows) == limit
        token = {"page_token": answer["next_page_token"]}

    expected = [
        (f"{venue}:{name}", minute)
        for name in sorted(wanted)
        for minute in sorted(stored.get(name, ()), reverse=sort == "desc")
        if window[0] <= minute <= window[1]
    ]
    assert found == expected


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    stored=st.dictionaries(st.sampled_from(["A", "B"]), minutes.filter(len), min_size=1),
    arriving=st.lists(
        st.tuples(st.sampled_from(["A", "B"]), st.integers(0, 12)), max_size=6, unique=True
    ),
    limit=st.integers(1, 5),
    sort=st.sampled_from(["asc", "desc"]),
    length=st.sampled_from([1, 2, 5]),
    fill=st.sampled_from(["none", "previous"]),
)
async def test_pages_stay_right_while_bars_arrive_and_are_revised(
    rig: Rig,
    stored: dict[str, set[int]],
    arriving: list[tuple[str, int]],
    limit: int,
    sort: str,
    length: int,
    fill: str,
) -> None:
    venue = f"V{uuid4().hex[:12].upper()}"
    base = Timeframe.MIN_5 if length == 5 else Timeframe.MIN_1
    step = base.minutes
    have = {name: {minute * step for minute in some} for name, some in stored.items()}
    late = [(name, minute * step) for name, minute in arriving]

    def made(name: str, minute: int, rev: int = 0) -> Bar:
        return bar(f"{venue}:{name}", minute, timeframe=base, rev=rev)

    await rig.save(*(made(name, minute) for name, some in have.items() for minute in some))
    query = {
        "symbols": f"{venue}:A,{venue}:B",
        "timeframe": f"{length}Min",
        "start": "2021-07-03T00:00:00Z",
        "end": "2021-07-03T01:00:00Z",
        "limit": str(limit),
        "sort": sort,
        "fill": fill,
    }
    found: list[tuple[str, int]] = []
    served: list[tuple[str, int]] = []  # where each page's last bar was when a late one came
    token: dict[str, str] = {}
    for _ in range(200):
        status, answer = await rig.get("/v1/bars", **query, **token)
        assert status == 200
        rows = [
            (name[-1], int(b["t"][11:13]) * 60 + int(b["t"][14:16]))
            for name, some in answer["bars"].items()
            for b in some
        ]
        found += rows
        if answer["next_page_token"] is None:
            break
        assert len(rows) == limit
        token = {"page_token": answer["next_page_token"]}
        if len(served) < len(late):  # a new bar, or one that is revised
            await rig.save(made(*late[len(served)], rev=len(served) + 1))
            served.append(rows[-1])

    sign = 1 if sort == "asc" else -1

    def key(row: tuple[str, int]) -> tuple[str, int]:
        return row[0], sign * row[1]

    def window(minute: int) -> int:
        return minute // length * length

    assert found == sorted(set(found), key=key)  # in order, each once
    assert {(name, window(m)) for name, some in have.items() for m in some} <= set(found)
    came = {(name, window(m)) for name, m in late[: len(served)]}
    if fill == "none":
        assert set(found) <= came | {(n, window(m)) for n, some in have.items() for m in some}
    ahead = {
        (name, window(m))
        for (name, m), last in zip(late, served, strict=False)
        if key((name, window(m))) > key(last)
    }
    assert ahead <= set(found)
