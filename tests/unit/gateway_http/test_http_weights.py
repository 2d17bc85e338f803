"""Quality values in headers."""

import pytest

from gateway.http.weights import weight


@pytest.mark.parametrize(
    ("parameters", "value"),
    [
        ("", 1.0),
        ("level=1", 1.0),
        ("q=1", 1.0),
        ("q=1.000", 1.0),
        ("q=0.125", 0.125),
        (" header=present ; Q = 0.5 ", 0.5),
        (";q=.25", 0.25),
        ("q=0", 0.0),
        ("q=0.", 0.0),
        ("q=0.2;q=0.7", 0.2),
    ],
)
def test_a_weight_is_that_of_the_parameter_q(parameters: str, value: float) -> None:
    assert weight(parameters) == value


@pytest.mark.parametrize(
    "value", ["", ".", "much", "1.5", "-0.1", "+1", "1e0", "nan", "inf", "0,5", "0.\u0665", '"1"']
)
def test_for_an_ill_formed_weight_nothing_is_given(value: str) -> None:
    assert weight(f"q={value}") == 0.0
