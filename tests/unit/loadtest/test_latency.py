import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.latency import percentile_ns, summarize

MS = 1_000_000


@pytest.mark.parametrize(
    ("q", "expected"), [(0.01, 1), (0.5, 50), (0.501, 51), (0.99, 99), (0.991, 100), (1.0, 100)]
)
def test_a_percentile_is_the_nearest_rank(q: float, expected: int) -> None:
    assert percentile_ns(range(100, 0, -1), q) == expected


@given(st.lists(st.integers(0, 9), min_size=1), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
def test_at_least_that_fraction_is_at_or_below_the_percentile(samples: list[int], q: float) -> None:
    found = percentile_ns(samples, q)

    assert found in samples
    assert sum(sample <= found for sample in samples) >= q * len(samples) - 1e-9
    assert sum(sample < found for sample in samples) < q * len(samples)


@pytest.mark.parametrize(("samples", "q"), [([], 0.5), ([1], 0.0), ([1], 1.01)])
def test_an_empty_sample_or_a_fraction_out_of_range_is_refused(
    samples: list[int], q: float
) -> None:
    with pytest.raises(ValueError, match="need n >= 1 samples"):
        percentile_ns(samples, q)


def test_a_summary_is_in_milliseconds() -> None:
    summary = summarize([n * MS for n in range(1, 1001)])

    assert (summary.count, summary.p50_ms, summary.p99_ms) == (1000, 500.0, 990.0)
    assert (summary.p999_ms, summary.max_ms) == (999.0, 1000.0)
