"""Times as callers write them."""

import pytest

from gateway.http.times import MAX_NS, MIN_NS, parse_time_ns

S = 1_000_000_000


@pytest.mark.parametrize(
    ("text", "time_ns"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("2021-07-03", 1_625_270_400 * S),
        ("2021-07-03T00:00:00Z", 1_625_270_400 * S),
        ("2021-07-03t00:00:00z", 1_625_270_400 * S),
        ("2021-07-03 00:00:00Z", 1_625_270_400 * S),
        ("2021-07-03T02:00:00+02:00", 1_625_270_400 * S),
        ("2021-07-03T02:00:00+0200", 1_625_270_400 * S),
        ("2021-07-02T19:30:00-04:30", 1_625_270_400 * S),
        ("2021-07-03T00:00:00-00:00", 1_625_270_400 * S),
        ("2021-07-03T02:00:00 02:00", 1_625_270_400 * S),  # a plus that was not encoded
        ("2021-07-03T00:00:00.5Z", 1_625_270_400 * S + 500_000_000),
        ("2021-07-03T00:00:00.000000001Z", 1_625_270_400 * S + 1),
        ("2024-02-29", 1_709_164_800 * S),
        ("0001-01-01", MIN_NS),
        ("0001-01-01T00:00:00+23:59", MIN_NS),
        ("1969-12-31T23:59:59.999999999Z", MIN_NS),
        ("9999-12-31T23:59:59Z", MAX_NS),
        ("9999-12-31T23:59:59-23:59", MAX_NS),
        ("2262-01-01", MAX_NS),
    ],
)
def test_a_time_is_read_to_the_nanosecond_in_any_zone(text: str, time_ns: int) -> None:
    assert parse_time_ns(text) == time_ns


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not an RFC 3339"),
        ("yesterday", "not an RFC 3339"),
        ("1625270400", "not an RFC 3339"),
        ("2021-7-3", "not an RFC 3339"),
        ("2021-07-03T00:00:00", "not an RFC 3339"),  # no zone
        ("2021-07-03T00:00Z", "not an RFC 3339"),
        ("2021-07-03T00:00:00.Z", "not an RFC 3339"),
        ("2021-07-03T00:00:00.0000000001Z", "not an RFC 3339"),
        ("2021-07-03T00:00:00+02", "not an RFC 3339"),
        ("2021-07-03Z", "not an RFC 3339"),
        ("2021-07-03\n", "not an RFC 3339"),
        ("２０２１-07-03", "not an RFC 3339"),  # noqa: RUF001  digits, but not ours
        ("2024-02-30", "no such date"),
        ("2023-02-29", "no such date"),
        ("2021-13-01", "no such date"),
        ("2021-00-01", "no such date"),
        ("0000-01-01", "no such date"),
        ("2021-07-03T24:00:00Z", "no such time"),
        ("2021-07-03T23:60:00Z", "no such time"),
        ("2021-07-03T23:59:60Z", "no such time"),
        ("2021-07-03T00:00:00+24:00", "no such time"),
        ("2021-07-03T00:00:00+00:60", "no such time"),
    ],
)
def test_what_is_no_time_is_refused_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_time_ns(text)
