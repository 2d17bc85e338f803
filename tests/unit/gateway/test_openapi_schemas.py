"""The description says what values are, so that generated clients have room for them."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from gateway.http.openapi_api import DescriptionApi
from gateway.http.openapi_schemas import spelled_out

SIZES = {"integer": "int64", "number": "double"}


def schemas(part: Any) -> Iterator[Mapping[str, Any]]:
    """Every schema of a description, and other objects in it."""
    if isinstance(part, list):
        for one in part:
            yield from schemas(one)
    if isinstance(part, Mapping):
        yield part
        for key, one in part.items():
            if key != "example":
                yield from schemas(one)


def described() -> list[Mapping[str, Any]]:
    document = msgspec.json.decode(DescriptionApi.of("1").answer.body)
    return list(schemas([document["paths"], document["components"]["schemas"]]))


def test_numbers_are_described_as_64_bits_wide() -> None:
    numbers = [one for one in described() if one.get("type") in ("integer", "number")]

    assert len(numbers) > 50
    assert [one for one in numbers if one.get("format") != SIZES[one["type"]]] == []


def test_what_may_be_a_whole_number_is_one_number() -> None:
    either = {"anyOf": [{"type": "integer"}, {"type": "number"}]}
    other = {"anyOf": [{"type": "integer"}, {"type": "null"}]}

    assert spelled_out(either) == {"type": "number", "format": "double"}
    assert spelled_out(other) == {
        "anyOf": [{"type": "integer", "format": "int64"}, {"type": "null"}]
    }


def test_every_list_and_choice_says_of_what_and_nothing_is_null_alone() -> None:
    # generators leave out what they cannot read, or end
    found = described()

    assert [one for one in found if one.get("type") == "array" and "items" not in one] == []
    assert [one for one in found if isinstance(one.get("enum"), list) and "type" not in one] == []
    properties = [one["properties"] for one in found if isinstance(one.get("properties"), dict)]
    fields = [field for fields in properties for field in fields.items()]
    assert [name for name, field in fields if field.get("type") == "null"] == []


def test_shapes_that_a_tag_tells_apart_are_one_of_them() -> None:
    tagged = [one for one in described() if "propertyName" in one.get("discriminator", ())]

    assert len(tagged) == 2  # history and quotes of charts
    assert ["oneOf" in one and "anyOf" not in one for one in tagged] == [True, True]


def test_names_of_fields_and_values_stay_what_they_are() -> None:
    schema = {
        "properties": {"type": {"type": "string"}, "enum": {"type": "boolean"}},
        "example": {"type": "number"},
        "default": {"type": "integer"},
    }

    assert spelled_out(schema) == schema
