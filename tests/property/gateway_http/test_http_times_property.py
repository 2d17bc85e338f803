"""Times and tokens, for any value."""

from hypothesis import given
from hypothesis import strategies as st

from core.market.symbol import Symbol
from gateway.encode import rfc3339
from gateway.http.times import MAX_NS, parse_time_ns
from gateway.http.tokens import Position, decode_token, encode_token

edges = st.sampled_from([0, 1, 999, 1_000, 999_999_999, 1_000_000_000, MAX_NS - 1, MAX_NS])
times = st.integers(0, MAX_NS) | edges


@given(times)
def test_a_time_written_is_the_time_read(time_ns: int) -> None:
    assert parse_time_ns(rfc3339(time_ns)) == time_ns


@given(times, st.integers(-1_439, 1_439))
def test_a_zone_moves_the_clock_and_not_the_time(time_ns: int, offset_min: int) -> None:
    local_ns = time_ns + offset_min * 60_000_000_000
    if not 0 <= local_ns <= MAX_NS:
        return
    zone = f"{'-' if offset_min < 0 else '+'}{abs(offset_min) // 60:02}:{abs(offset_min) % 60:02}"

    assert parse_time_ns(rfc3339(local_ns).replace("Z", zone)) == time_ns


positions = st.builds(
    Position, st.sampled_from([Symbol("A:B"), Symbol("COINBASE:BTC-USD")]), times, times, times
)
queries = st.lists(st.sampled_from(["1Min", "5Min", "asc", "A:B", ""]), max_size=3)


@given(positions, queries, queries)
def test_a_token_fits_its_own_query_only(
    position: Position, query: list[str], other: list[str]
) -> None:
    token = encode_token(position, query)

    assert decode_token(token, query) == position
    if other != query:
        assert _refused(token, other)


@given(positions, st.integers(0), st.sampled_from("ABCxyz019-_"))
def test_a_token_that_was_tampered_with_leads_nowhere_else(
    position: Position, where: int, letter: str
) -> None:
    token = encode_token(position, ["q"])
    index = where % len(token)
    damaged = token[:index] + letter + token[index + 1 :]

    # One value may have a second spelling in msgpack or base64: the same place, then.
    assert _refused(damaged, ["q"]) or decode_token(damaged, ["q"]) == position


@given(st.text(max_size=40))
def test_no_text_is_taken_for_a_token(text: str) -> None:
    assert _refused(text, ["q"])


def _refused(token: str, query: list[str]) -> bool:
    try:
        decode_token(token, query)
    except ValueError:
        return True
    return False
