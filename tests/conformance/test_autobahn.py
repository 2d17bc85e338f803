"""Autobahn's fuzzing client finds nothing wrong with how the gateway speaks WebSocket."""

from collections import Counter

import pytest

from tests.conformance.fuzzing import Case

CASES = {1: 16, 2: 11, 3: 7, 4: 10, 5: 20, 6: 145, 7: 37, 9: 54, 10: 1}
"""Cases by group in the pinned version. The others, 12 and 13, are about compression."""

STRICTER = {"7.1.5"}
"""A close between the fragments of a message: Autobahn expects 1000. The message can never become
complete, so `websockets` closes with 1002."""

LATE = {"6.4.3", "6.4.4"}
"""Text that is not UTF-8 is refused when its frame is complete, not at its first bad byte."""

BY_THE_CLOCK = {"6.4.1", "6.4.2"}
"""They want an answer within a second of the bad frame, which a busy machine may miss."""

pytestmark = [pytest.mark.slow, pytest.mark.timeout(210)]


def test_no_case_is_left_out(cases: dict[str, Case]) -> None:
    assert Counter(case.group for case in cases.values()) == CASES


def test_no_case_fails(cases: dict[str, Case]) -> None:
    assert {case.name for case in cases.values() if case.has_failed} == STRICTER


def test_what_is_stricter_than_autobahn_is_a_close_with_1002(cases: dict[str, Case]) -> None:
    assert {cases[name].code for name in STRICTER} == {1002}


def test_only_bad_text_is_refused_later_than_it_could_be(cases: dict[str, Case]) -> None:
    late = {case.name for case in cases.values() if case.behavior == "NON-STRICT"}

    assert late - BY_THE_CLOCK == LATE
    assert {cases[name].code for name in LATE | BY_THE_CLOCK} == {1007}
