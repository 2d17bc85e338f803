import pytest

from ingest.times import StampReader, number_ns, timestamp_ns

MINUTE_NS = 1_618_677_780 * 10**9  # 2021-04-17T16:43:00Z


@pytest.mark.parametrize(
    ("text", "after_ns"),
    [
        ("2021-04-17T16:43:37.089723Z", 37_089_723_000),
        ("2021-04-17T16:43:37.1Z", 37_100_000_000),
        ("2021-04-17T16:43:37.123456789Z", 37_123_456_789),
        ("2021-04-17T16:43:37.1234567891Z", 37_123_456_789),
        ("2021-04-17T16:43:37Z", 37_000_000_000),
        ("2021-04-17 16:43:37+00:00", 37_000_000_000),
        ("2021-04-17T18:43:37.5+02:00", 37_500_000_000),
        ("2021-04-17T11:13-0530", 0),
        ("2021-04-17T16:43:60Z", 60_000_000_000),
        ("2021-04-17T16:43:07.25", 7_250_000_000),
    ],
)
def test_a_stamp_is_read_to_the_nanosecond_whether_its_minute_is_known_or_not(
    text: str, after_ns: int
) -> None:
    reader = StampReader()
    warm = StampReader()
    warm.read_ns("2021-04-17T16:43:00.000Z")

    assert reader.read_ns(text) == MINUTE_NS + after_ns
    assert warm.read_ns(text) == MINUTE_NS + after_ns


@pytest.mark.parametrize(
    "text",
    ["", "now", "2021-04-17", "2021-13-17T16:43:37Z", "2021-04-17T16:43:61Z",
     "2021-04-17T16:43:9.5Z", "2021-04-17T16:43:37.Z", "2021-04-17T16:43:aa.5Z"],
)  # fmt: skip
def test_what_is_no_stamp_is_refused(text: str) -> None:
    reader = StampReader()
    reader.read_ns("2021-04-17T16:43:00.000Z")

    with pytest.raises(ValueError, match=r"no RFC 3339 time|must be in|no second"):
        reader.read_ns(text)


@pytest.mark.parametrize(
    ("value", "unit_ns", "time_ns"),
    [
        (1_618_677_817, 10**9, 1_618_677_817 * 10**9),
        (1618677817.061845, 10**9, 1_618_677_817_061_845_000),
        ("1618677817.061845123", 10**9, 1_618_677_817_061_845_123),
        ("1618677817061.5", 10**6, 1_618_677_817_061_500_000),
        (1.618677817061845e18, 1, 1_618_677_817_061_845_000),
        (-1.5, 10**9, -1_500_000_000),
    ],
)
def test_a_number_of_units_is_read_without_rounding(
    value: float | str, unit_ns: int, time_ns: int
) -> None:
    assert abs(number_ns(value, unit_ns) - time_ns) <= (256 if value == 1.618677817061845e18 else 0)


@pytest.mark.parametrize("value", ["", "soon", float("nan"), float("inf"), "1e9", "9" * 40])
def test_a_time_that_is_no_number_is_refused(value: float | str) -> None:
    with pytest.raises(ValueError, match="no time in numbers"):
        number_ns(value, 1)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "2262-04-11T23:47Z"]
)
def test_a_stamp_that_64_bits_do_not_hold_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="before 1677 or after 2262"):
        StampReader().read_ns(text)


def test_a_number_that_64_bits_do_not_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="before 1677 or after 2262"):
        number_ns(9_223_372_037, 10**9)
    with pytest.raises(ValueError, match="before 1677 or after 2262"):
        timestamp_ns((0).to_bytes(4, "big") + (-(2**34)).to_bytes(8, "big", signed=True))
    with pytest.raises(ValueError, match="before 1677 or after 2262"):
        timestamp_ns((2**34 - 1).to_bytes(8, "big"))
