"""Batches that are laid out by columns are those that are put together one by one."""

from dataclasses import dataclass

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.channels import Channel, Codec
from gateway.frames import Fragment, frame_batch
from gateway.routes import Variant
from gateway.sheet import CURSOR, Sheet, Shelf, lay, packed


@dataclass
class Plan:
    """Fragments by variant code, and of each group the codes that it wants."""

    fragments: dict[int, list[int]]  # lengths of the items of each
    groups: list[list[int]]
    has_cursor: bool
    codec: Codec
    limit_bytes: int


codes = st.integers(1, 6)
items = st.lists(st.sampled_from([2, 3, 40, 119, 300, 1_100]), min_size=1, max_size=40)
plans = st.builds(
    Plan,
    st.dictionaries(codes, items),
    st.lists(st.lists(codes, unique=True, min_size=1), max_size=5),
    st.booleans(),
    st.sampled_from(Codec),
    st.sampled_from([1_024, 2_000, 16_384, 200_000]),
)


def variant(code: int, codec: Codec) -> Variant:
    made = Variant(Channel.TRADES, str(code), codec, None)
    made.code = code
    return made


def fragment(code: int, sizes: list[int], codec: Codec) -> Fragment:
    """Items that tell where they are from; neither codec looks into them."""
    return Fragment.of([bytes([64 + code]) * size for size in sizes], codec)


def laid(plan: Plan) -> tuple[Sheet, list[list[Fragment]]]:
    fragments = {c: fragment(c, sizes, plan.codec) for c, sizes in plan.fragments.items()}
    cursor = fragment(CURSOR, [30], plan.codec) if plan.has_cursor else None
    shelf = Shelf(
        {variant(code, plan.codec): found for code, found in fragments.items()},
        cursor,
        codec=plan.codec,
        limit_bytes=plan.limit_bytes,
    )
    tail = [CURSOR] if plan.has_cursor else []
    groups = [packed([*group, *tail]) for group in plan.groups]
    parts = [[fragments[c] for c in group if c in fragments] for group in plan.groups]
    wanted = [[*found, cursor] if cursor and found else found for found in parts]
    return lay(shelf, groups), wanted


@given(plans)
@example(Plan({}, [], has_cursor=True, codec=Codec.JSON, limit_bytes=1_024))
@example(Plan({}, [[1]], has_cursor=True, codec=Codec.JSON, limit_bytes=1_024))
@example(Plan({1: [3]}, [[1], [2]], has_cursor=False, codec=Codec.JSON, limit_bytes=1_024))
@example(
    Plan({1: [2] * 70_000}, [[1], [2, 1]], has_cursor=True, codec=Codec.MSGPACK, limit_bytes=10**6)
)
@example(Plan({1: [1_100] * 4}, [[1]], has_cursor=True, codec=Codec.MSGPACK, limit_bytes=1_024))
@example(Plan({1: [300] * 40}, [[1]], has_cursor=True, codec=Codec.JSON, limit_bytes=16_384))
@example(Plan({1: [300] * 400}, [[1]], has_cursor=False, codec=Codec.JSON, limit_bytes=200_000))
def test_sheets(plan: Plan) -> None:
    sheet, wanted = laid(plan)

    for number, parts in enumerate(wanted):
        framed = sheet.framed(number)
        expected = frame_batch(parts, plan.codec, plan.limit_bytes) if parts else b""
        assert framed == expected
        assert sheet.size[number] == len(expected)
        data = parts[:-1] if plan.has_cursor else parts
        assert sheet.messages[number] == sum(part.count for part in data)
