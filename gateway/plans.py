"""Which streams hold what the clients that resume are subscribed to. Pure."""

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Final, NamedTuple

from core.market.errors import SymbolError
from core.market.symbol import Symbol
from gateway.access.entitlement import Entitlement
from gateway.channels import CONFLATED, TIMEFRAMES_OF, WILDCARD, Channel
from gateway.market import MarketState
from gateway.messages import Name
from storage.keys import StreamKeys, shard_of

_MOST_WANTED: Final = 50_000  # names that nobody wants now are forgotten past that
_OF_BARS: Final = TIMEFRAMES_OF.keys() - CONFLATED  # running bars are state, not history


class Bounds(NamedTuple):
    """Which symbols names may lead to: stocks only, and those within the scope (None: all).

    ``plain``: how ``*`` tells them.
    """

    stocks: bool = False
    scope: Entitlement | None = None
    plain: bool = False


_UNBOUND: Final = Bounds()


class Wanted:
    """One name of a client, shared by all who spell it so and may read the same."""

    __slots__ = (
        *("channel", "offers", "scope", "spelling"),
        *("star_name", "stocks", "streams", "symbol"),
    )

    def __init__(self, name: Name, market: MarketState, bounds: Bounds) -> None:
        """*bounds*: where the client is, and what it may read."""
        self.channel, self.spelling = name
        self.stocks, self.scope, plain = bounds
        self.star_name = partial(market.star_name, plain=plain, stocks=self.stocks)
        self.offers: Callable[[Symbol], bool] | None = market.is_stock if self.stocks else None
        self.symbol: Symbol | None = None  # ``*``, or a name that nobody carries yet
        self.streams: tuple[str, ...] = ()  # that may hold messages for it


class Plan:
    """The names of a client, shared by all who have the same."""

    __slots__ = ("bounds", "is_loose", "names", "streams", "users", "wanted")

    def __init__(self, names: tuple[Name, ...], wanted: Sequence[Wanted], bounds: Bounds) -> None:
        self.names, self.wanted, self.bounds = names, wanted, bounds
        self.users = 0
        self.streams: frozenset[str] = frozenset()
        self.is_loose = True  # to be looked at again: some name is not bound to a symbol

    def named(self, channel: Channel) -> set[Symbol]:
        """The symbols that come by their names on *channel*, and so not by its ``*``."""
        return {w.symbol for w in self.wanted if w.channel is channel and w.symbol is not None}


class Plans:
    """All plans in use."""

    def __init__(self, market: MarketState, keys: StreamKeys) -> None:
        self._market, self._keys = market, keys
        self._plans: dict[tuple[tuple[Name, ...], Bounds], Plan] = {}
        self._wanted: dict[tuple[Name, Bounds], Wanted] = {}
        self._most_wanted = _MOST_WANTED
        self._feeds: list[str] = []
        self._bars = [(keys.bars(shard),) for shard in range(keys.shards)]
        self._ticks: list[tuple[str, ...]] = [()] * keys.shards  # by shard, one of each feed

    def enter(self, names: tuple[Name, ...], bounds: Bounds = _UNBOUND) -> Plan:
        """The plan for a client with *names*; call :meth:`refresh` before it is used.

        *bounds*: where the client is, and what it may read.
        """
        plan = self._plans.get((names, bounds))
        if plan is None:
            wanted = [
                self._wanted.setdefault((name, bounds), Wanted(name, self._market, bounds))
                for name in names
            ]
            plan = self._plans[names, bounds] = Plan(names, wanted, bounds)
        plan.users += 1
        return plan

    def leave(self, plan: Plan) -> None:
        """A client with *plan* is done with it. What it wanted is kept until all are, or many."""
        plan.users -= 1
        if plan.users:
            return
        del self._plans[plan.names, plan.bounds]
        if len(self._wanted) > self._most_wanted:
            used = {one for plan in self._plans.values() for one in plan.wanted}
            self._wanted = {key: one for key, one in self._wanted.items() if one in used}
            self._most_wanted = max(_MOST_WANTED, 2 * len(self._wanted))

    def lacks(self, feeds: Collection[str]) -> bool:
        """Are some of *feeds*, which only become more, not known here yet?"""
        return len(feeds) != len(self._feeds)

    def refresh(self, feeds: Iterable[str]) -> None:
        """Take in new *feeds*, and bind names to symbols that are carried by now."""
        found = list(feeds)
        has_news = found != self._feeds
        if has_news:
            self._feeds = found
            self._ticks = [
                tuple(self._keys.ticks(feed, shard) for feed in found)
                for shard in range(self._keys.shards)
            ]
            for wanted in self._wanted.values():
                wanted.streams = ()
        for plan in self._plans.values():
            if plan.is_loose or has_news:
                self.look_up(plan)

    def look_up(self, plan: Plan) -> None:
        """Bind the names of *plan* whose symbols are carried by now."""
        for wanted in plan.wanted:
            if wanted.symbol is None and wanted.spelling != WILDCARD:
                wanted.symbol = self._resolve(wanted)
                wanted.streams = ()
            wanted.streams = wanted.streams or self._streams(wanted)
        plan.is_loose = any(w.symbol is None and w.spelling != WILDCARD for w in plan.wanted)
        plan.streams = frozenset(key for wanted in plan.wanted for key in wanted.streams)

    def _resolve(self, wanted: Wanted) -> Symbol | None:
        try:
            symbol = self._market.resolve(wanted.spelling, stocks=wanted.stocks)
        except SymbolError:  # carried by several venues only now: the subscription will say so
            return None
        if symbol is None or wanted.scope is None or wanted.scope.permits(symbol):
            return symbol
        return None

    def _streams(self, wanted: Wanted) -> tuple[str, ...]:
        if wanted.channel is Channel.TRADES:
            by_shard: Sequence[tuple[str, ...]] = self._ticks
        elif wanted.channel in _OF_BARS:
            by_shard = self._bars
        else:
            return ()
        if wanted.symbol is not None:
            return by_shard[shard_of(wanted.symbol, self._keys.shards)]
        return tuple(key for streams in by_shard for key in streams)


def spelled(plan: Plan, wanted: Wanted, symbols: Iterable[Symbol]) -> Iterable[tuple[Symbol, str]]:
    """The symbols that come by the name *wanted*, and how they are spelled then."""
    if wanted.symbol is not None:
        return ((wanted.symbol, wanted.spelling),)
    if wanted.spelling != WILDCARD:
        return ()
    named, scope = plan.named(wanted.channel), wanted.scope
    offered = symbols if wanted.offers is None else filter(wanted.offers, symbols)
    return [
        (symbol, wanted.star_name(symbol))
        for symbol in offered
        if symbol not in named and (scope is None or scope.permits(symbol))
    ]
