"""Numbers as the page writes them."""

import json

from tests.node import evaluate

_VOLUMES = {
    0: "0",
    0.00000001: "0.00000001",
    0.00001: "0.00001",
    0.00005: "0.00005",
    0.000123456: "0.000123",
    0.00123456: "0.00123",
    0.12345678: "0.1235",
    0.5: "0.5",
    1.23456789: "1.2346",
    100: "100",
    123.456: "123.46",
    9_999.5: "9,999.5",
    12_345: "12.35K",
}


def test_a_volume_is_short_and_never_shown_as_none() -> None:
    found = evaluate(
        f"tell({json.dumps(list(_VOLUMES))}.map(format.formatVolume));", format="format.js"
    )

    assert found == list(_VOLUMES.values())
