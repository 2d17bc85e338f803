"""What a pattern of symbols lets through, and what a caller may do."""

import pytest

from gateway.access.entitlement import EVERYTHING, MAX_PATTERNS, Entitlement, EntitlementError
from gateway.access.grant import ANYBODY, Caller


@pytest.mark.parametrize(
    ("pattern", "permitted", "others"),
    [
        ("*", ["SIM:S001", "X:Y"], []),
        ("COINBASE:*", ["COINBASE:BTC-USD", "coinbase:eth/usd"], ["COINBASE2:BTC-USD", "K:BTC"]),
        ("COINBASE:BTC-*", ["COINBASE:BTC-USD", "COINBASE:BTC/EUR"], ["COINBASE:BTCX-USD"]),
        ("coinbase:btc/usd", ["COINBASE:BTC-USD", "COINBASE:BTC/USD"], ["COINBASE:BTC-USDT"]),
        ("BTC-USD", ["COINBASE:BTC-USD", "KRAKEN:BTC/USD"], ["COINBASE:XBTC-USD", "BTC-USD:A"]),
        ("BTC-*", ["COINBASE:BTC-USD"], ["COINBASE:XBTC-USD", "COINBASE:ETH-BTC-X"]),
    ],
)
def test_a_pattern_permits_what_it_says(
    pattern: str, permitted: list[str], others: list[str]
) -> None:
    entitlement = Entitlement([pattern])

    assert [symbol for symbol in permitted if not entitlement.permits(symbol)] == []
    assert [symbol for symbol in others if entitlement.permits(symbol)] == []


def test_a_venue_is_touched_where_some_symbol_of_it_may_be_read() -> None:
    assert Entitlement(["SIM:S*"]).touches("SIM")
    assert not Entitlement(["SIM:S*"]).touches("SIM2")
    assert Entitlement(["BTC-*"]).touches("COINBASE")
    assert EVERYTHING.touches("COINBASE")


def test_no_pattern_permits_nothing() -> None:
    assert not Entitlement([]).permits("SIM:S001")


def test_several_patterns_permit_what_any_of_them_does() -> None:
    entitlement = Entitlement(["SIM:S001", "COINBASE:*"])

    assert entitlement.permits("SIM:S001")
    assert entitlement.permits("COINBASE:BTC-USD")
    assert not entitlement.permits("SIM:S002")


@pytest.mark.parametrize(
    "pattern", ["", ":", "SIM:", "S*M:A", "SIM:A*B", "a b", "SIM:Ä", "\u017fIM:A", "1:A"]
)
def test_what_is_no_pattern_is_refused_with_what_is_accepted(pattern: str) -> None:
    with pytest.raises(EntitlementError, match="expected") as caught:
        Entitlement([pattern])

    assert caught.value.given == pattern


def test_there_may_be_only_so_many_patterns() -> None:
    with pytest.raises(EntitlementError, match="more than"):
        Entitlement(f"SIM:S{number}" for number in range(MAX_PATTERNS + 1))


def test_the_same_patterns_are_equal_however_they_are_spelled() -> None:
    one, other = Entitlement(["b", "SIM:A/B"]), Entitlement(["sim:a-b", "B", "B"])

    assert one == other
    assert hash(one) == hash(other)
    assert one != Entitlement(["B"])
    assert one != "B"
    assert Entitlement(["*", "B"]) == EVERYTHING
    assert repr(one) == "Entitlement(['B', 'SIM:A-B'])"


def test_anybody_may_read_everything() -> None:
    assert ANYBODY.permits("SIM:S001")
    assert ANYBODY.permits_all(["SIM:S001", "SIM:S002"])
    assert ANYBODY.permits_channel("trades")


def test_a_caller_may_read_what_was_granted_only() -> None:
    caller = Caller(symbols=Entitlement(["SIM:*"]), channels=frozenset({"bars"}))

    assert caller.permits("SIM:S001")
    assert not caller.permits("COINBASE:BTC-USD")
    assert caller.permits_all(["SIM:S001", "SIM:S002"])
    assert not caller.permits_all(["SIM:S001", "COINBASE:BTC-USD"])
    assert caller.permits_channel("bars")
    assert not caller.permits_channel("trades")
