"""Symbols: every spelling of a carried symbol finds it."""

from hypothesis import given
from hypothesis import strategies as st

from core.market.errors import SymbolError
from core.market.symbol import SymbolDirectory, make_symbol, parse_symbol

venues = st.sampled_from(["SIM", "KRAKEN", "X_1"])
tickers = st.text("ABab19/-._", min_size=1, max_size=3).filter(lambda t: t[0] not in "/-._")


@given(st.lists(st.tuples(venues, tickers), max_size=6))
def test_a_symbol_is_found_by_its_own_name_and_a_bare_name_is_never_guessed(
    names: list[tuple[str, str]],
) -> None:
    carried = {make_symbol(venue, ticker) for venue, ticker in names}
    directory = SymbolDirectory(carried)

    assert directory.symbols() == sorted(carried)
    for symbol in carried:
        assert parse_symbol(symbol) == symbol
        assert directory.resolve(symbol.lower()) == symbol
        alike = {other for other in carried if _bare(other) == _bare(symbol)}
        try:
            found = directory.resolve(symbol.partition(":")[2])
        except SymbolError:
            assert len(alike) > 1
        else:
            assert alike == {found}


@given(st.text(max_size=12))
def test_any_text_is_a_symbol_or_refused(text: str) -> None:
    try:
        symbol = parse_symbol(text)
    except SymbolError:
        return
    assert parse_symbol(symbol) == symbol
    assert symbol == text.upper()


def _bare(symbol: str) -> str:
    return symbol.partition(":")[2].replace("/", "-")
