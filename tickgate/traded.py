"""Names on a command line: which symbols that were traded here they mean."""

from collections.abc import Sequence

from core.market.errors import SymbolError
from core.market.symbol import Symbol, SymbolDirectory
from tickgate.arguments import UsageError


def resolve(words: Sequence[str], known: Sequence[Symbol]) -> list[Symbol]:
    """The symbols that *words* name, each once, in their order; *known* were traded here.

    Raises:
        UsageError: a word is ill-formed, names several symbols, or one that was never traded.
    """
    directory, found = SymbolDirectory(known), dict[Symbol, None]()
    for word in words:
        try:
            symbol = directory.resolve(word)
        except SymbolError as exc:
            raise UsageError(str(exc)) from exc
        if symbol is None:
            raise UsageError(f"{word}: was never traded here")
        found[symbol] = None
    return list(found)
