"""How well a caller likes one element of a list in a header, such as ``Accept``. Pure."""

import re
from typing import Final

_WEIGHT: Final = re.compile(r"0(?:\.[0-9]*)?|1(?:\.0*)?|\.[0-9]+")  # some leave the zero out


def weight(parameters: str) -> float:
    """The quality value among the *parameters* of an element, 1 where there is none.

    An ill-formed one is 0: what its caller meant is not known, so that nothing is given for it.
    Source: RFC 9110, section 12.4.2.
    """
    for text in parameters.split(";"):
        name, _, value = text.partition("=")
        if name.strip().lower() == "q":
            value = value.strip()
            return float(value) if _WEIGHT.fullmatch(value) else 0.0
    return 1.0
