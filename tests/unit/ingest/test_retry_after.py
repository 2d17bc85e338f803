import pytest

from ingest.retry_after import seconds_of

NOW_NS = 1_700_000_000 * 10**9  # Tue, 14 Nov 2023 22:13:20 GMT


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("Tue, 14 Nov 2023 22:13:50 GMT", 30.0),
        ("Tue, 14 Nov 2023 22:13:00 GMT", 0.0),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("٣", None),
        ("soon", None),
        ("Tue, 14 Nov 99999999999 22:13:50 GMT", None),
    ],
)
def test_it_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert seconds_of(header, NOW_NS) == seconds
