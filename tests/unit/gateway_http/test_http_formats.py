"""Which form an answer has, by what the caller accepts."""

import time

import pytest

from gateway.http.errors import ApiError
from gateway.http.formats import Format, chosen

JSON, CSV, ARROW = Format.JSON, Format.CSV, Format.ARROW
STREAM = "application/vnd.apache.arrow.stream"


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", JSON),
        ("*/*", JSON),
        ("text/csv", CSV),
        ("TEXT/CSV; charset=utf-8", CSV),
        (STREAM, ARROW),
        ("text/*", CSV),
        ("application/*", JSON),
        ("text/html, */*;q=0.1", JSON),
        ("text/csv;q=0.5, application/json;q=0.4", CSV),
        (f"text/csv;q=0.5,{STREAM};q=0.9,*/*;q=0.1", ARROW),
        ("application/json;q=0, */*", CSV),
        ("text/csv;q=0.001, application/json;q=0.000", CSV),
        ("text/csv; header=present; q=0.2, application/json; q=0.1", CSV),
        ("text/csv;q=.9, application/json;q=.1", CSV),
        ("text/csv;q=nonsense, application/json;q=0.1", JSON),
        (" , nonsense, text/csv", CSV),
    ],
)
def test_the_best_liked_form_is_given(accept: str, form: Format) -> None:
    assert chosen(accept, "") is form


def test_the_parameter_outranks_the_header() -> None:
    assert chosen("text/html", "arrow") is ARROW
    assert chosen("text/csv", "json") is JSON


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "image/*", "nonsense"])
def test_a_header_that_takes_none_of_them_is_406_and_told_what_there_is(accept: str) -> None:
    with pytest.raises(ApiError) as caught:
        chosen(accept, "")

    assert caught.value.status == 406
    for form in Format:
        assert form.value in str(caught.value)
    assert accept in str(caught.value)


@pytest.mark.parametrize(
    "accept", ["a" * 16_000, "a" + " " * 16_000 + "b", "a/" * 8_000, "," * 16_000]
)
def test_a_long_header_takes_no_longer_than_its_length(accept: str) -> None:
    began_s = time.process_time()
    with pytest.raises(ApiError):
        chosen(accept, "")

    assert time.process_time() - began_s < 0.25  # by its square it took seconds
