"""Entity tags and content codings."""

import pytest

from gateway.http.validators import entity_tag, is_known, packed_tag, takes_gzip

TAG = entity_tag(b"body")


def test_other_bytes_have_another_tag_and_so_has_the_packed_form() -> None:
    assert entity_tag(b"body") == TAG
    assert len({TAG, entity_tag(b"other"), packed_tag(TAG)}) == 3
    assert packed_tag('"abc"') == '"abc-gzip"'


@pytest.mark.parametrize(
    "header",
    [
        TAG,
        f"W/{TAG}",
        f'"other", {TAG}',
        f'W/"one" , W/{TAG},"two"',
        "*",
        " * ",
        f'{TAG}, not a "tag',
    ],
)
def test_a_caller_that_lists_the_tag_has_the_body(header: str) -> None:
    assert is_known(header, TAG)


@pytest.mark.parametrize(
    "header", ["", '"other"', TAG.strip('"'), f"{TAG[:-1]}", f"x{TAG}", f'"a" {TAG}', "W/*"]
)
def test_a_caller_that_does_not_list_it_has_not(header: str) -> None:
    assert not is_known(header, TAG)


@pytest.mark.parametrize(
    ("header", "taken"),
    [
        ("gzip", True),
        ("GZIP, deflate, br", True),
        ("deflate, gzip;q=0.5", True),
        ("br;q=1.0, gzip; q=0.1", True),
        ("x-gzip", True),
        ("*", True),
        ("gzip;level=1", True),
        ("", False),
        ("identity", False),
        ("br", False),
        ("gzip;q=0", False),
        ("*, gzip;q=0.000", False),
        ("*;q=0", False),
        ("gzip;q=much", False),
        ("gzip;q=1e3", False),
        ("gzip;level=1;q=0", False),
        ("notgzip", False),
    ],
)
def test_gzip_is_taken_where_it_is_named_at_a_weight(header: str, *, taken: bool) -> None:
    assert takes_gzip(header) is taken
