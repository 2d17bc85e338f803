"""Symbols: what is accepted, and what a client may call them."""

import pytest

from core.market.errors import SymbolError, TickgateError
from core.market.symbol import Symbol, SymbolDirectory, fold, make_symbol, parse_symbol


def test_letters_are_put_in_upper_case_and_nothing_else_changes() -> None:
    assert make_symbol("coinbase", "btc-usd") == "COINBASE:BTC-USD"
    assert make_symbol("KRAKEN", "btc/USD") == "KRAKEN:BTC/USD"
    assert make_symbol("X_1", "brk.b") == "X_1:BRK.B"


@pytest.mark.parametrize(
    ("venue", "ticker"),
    [
        ("", "BTC"),
        ("SIM", ""),
        ("1SIM", "BTC"),
        ("S" * 17, "BTC"),
        ("SIM", "B" * 41),
        ("SIM", "-BTC"),
        ("SIM", "BTC USD"),
        ("SIM", "BTC\n"),
        ("SIM\n", "BTC"),
        ("SIM", "A:B"),
        ("SIM", "ﬁx"),  # upper() would make it FIX
        ("S\u0131M", "BTC"),  # a dotless i: upper() would make it SIM
        ("SIM", "straße"),
    ],
)
def test_an_ill_formed_symbol_is_refused_and_the_error_shows_it(venue: str, ticker: str) -> None:
    with pytest.raises(SymbolError) as caught:
        make_symbol(venue, ticker)

    assert isinstance(caught.value, TickgateError)
    assert caught.value.text == f"{venue}:{ticker}"
    assert "expected VENUE:BASE-QUOTE" in str(caught.value)


def test_the_limits_of_length_themselves_are_accepted() -> None:
    assert make_symbol("S" * 16, "B" * 40) == "S" * 16 + ":" + "B" * 40


def test_a_full_symbol_needs_its_venue() -> None:
    assert parse_symbol("sim:s001") == "SIM:S001"
    with pytest.raises(SymbolError, match="such as BTC-USD"):
        parse_symbol("S001")


def test_a_long_text_is_cut_in_the_message() -> None:
    with pytest.raises(SymbolError) as caught:
        parse_symbol("Z" * 10_000)

    assert len(str(caught.value)) < 250


def test_spellings_that_differ_in_case_slash_and_dash_fold_alike() -> None:
    assert fold("btc/usd") == fold("BTC-USD") == "BTC-USD"


def directory() -> SymbolDirectory:
    return SymbolDirectory(
        [Symbol("COINBASE:BTC-USD"), Symbol("KRAKEN:BTC/USD"), Symbol("KRAKEN:ETH/USD")]
    )


@pytest.mark.parametrize(
    ("spelling", "symbol"),
    [
        ("KRAKEN:BTC/USD", "KRAKEN:BTC/USD"),
        ("kraken:btc-usd", "KRAKEN:BTC/USD"),
        ("COINBASE:BTC/USD", "COINBASE:BTC-USD"),
        ("eth-usd", "KRAKEN:ETH/USD"),
        ("ETH/USD", "KRAKEN:ETH/USD"),
        ("SIM:S001", None),
        ("S001", None),
    ],
)
def test_every_accepted_spelling_finds_the_carried_symbol(
    spelling: str, symbol: str | None
) -> None:
    assert directory().resolve(spelling) == symbol


def test_a_bare_name_of_several_venues_is_refused_with_the_choices() -> None:
    with pytest.raises(SymbolError, match=r"COINBASE:BTC-USD, KRAKEN:BTC/USD"):
        directory().resolve("BTC-USD")


@pytest.mark.parametrize("spelling", ["", ":", "A:", ":B", "A:B:C", "B TC", "\u017fol", "\u00e4"])
def test_an_ill_formed_spelling_is_refused_as_it_was_given(spelling: str) -> None:
    with pytest.raises(SymbolError) as refused:
        directory().resolve(spelling)
    assert refused.value.text == spelling


def test_adding_says_whether_it_is_news_and_the_symbols_come_sorted() -> None:
    symbols = directory()

    assert symbols.add(Symbol("SIM:S001")) is True
    assert symbols.add(Symbol("SIM:S001")) is False
    assert "SIM:S001" in symbols
    assert "SIM:S002" not in symbols
    assert len(symbols) == 4
    assert symbols.symbols() == sorted(symbols.symbols())


def test_two_symbols_of_a_venue_that_fold_alike_are_still_told_apart_by_exact_spelling() -> None:
    symbols = SymbolDirectory([Symbol("X:A/B"), Symbol("X:A-B")])

    assert symbols.resolve("X:A-B") == "X:A-B"
    assert symbols.resolve("x:a/b") == "X:A/B"
    with pytest.raises(SymbolError, match="several"):
        symbols.resolve("A-B")
