"""Paging, for any bars, limits and directions: all of them, once, in order."""

from uuid import uuid4

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
