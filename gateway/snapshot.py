"""What a client gets first that asks for a snapshot: last trades and running bars. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from core.market.symbol import Symbol
from core.market.timeframe import Timeframe
from gateway.channels import TIMEFRAMES_OF, WILDCARD, Channel, Codec, running_channel
from gateway.frames import Fragment
from gateway.market import MarketState
from gateway.routes import Variant
from gateway.topics import message_fragment

_Spellings = Mapping[tuple[Channel, Symbol], Sequence[str]]
"""How a client names symbols besides ``*``."""


def snapshot_fragments(
    market: MarketState, wanted: Iterable[Variant], codec: Codec, *, held: Iterable[Variant]
) -> list[Fragment]:
    """The newest values of the *wanted* variants among those *held*: trades, running bars.

    Each comes once for each spelling; for ``*``, too, a symbol that is named comes as named.
    """
    spellings = _spellings(held)
    trades: dict[tuple[str, Symbol], None] = {}
    bars: dict[tuple[str, Symbol, Timeframe], None] = {}
    for variant in wanted:
        for spelling, symbol in _named(market, variant, spellings):
            if variant.channel is Channel.TRADES:
                trades[spelling, symbol] = None
            elif variant.channel in TIMEFRAMES_OF:
                bars[spelling, symbol, TIMEFRAMES_OF[variant.channel]] = None
    found = [_trade(market, *key, codec) for key in trades]
    found += [_running_bar(market, *key, codec) for key in bars]
    return [fragment for fragment in found if fragment is not None]


def _spellings(held: Iterable[Variant]) -> _Spellings:
    found: dict[tuple[Channel, Symbol], list[str]] = {}
    for variant in held:
        if variant.symbol is not None:
            found.setdefault((variant.channel, variant.symbol), []).append(variant.spelling)
    return found


def _named(
    market: MarketState, variant: Variant, spellings: _Spellings
) -> list[tuple[str, Symbol]]:
    if variant.spelling == WILDCARD:
        symbols, codec = market.symbols(), variant.codec
        if codec.stocks:
            symbols = [symbol for symbol in symbols if market.is_stock(symbol)]
        return [
            (spelling, symbol)
            for symbol in symbols
            if variant.sees(symbol)
            for spelling in spellings.get((variant.channel, symbol))
            or (market.star_name(symbol, plain=codec.plain, stocks=codec.stocks),)
        ]
    return [] if variant.symbol is None else [(variant.spelling, variant.symbol)]


def _trade(market: MarketState, spelling: str, symbol: Symbol, codec: Codec) -> Fragment | None:
    tick = market.last_trade(symbol)
    if tick is None:
        return None
    row = (0, tick.event_ns, tick.seq, tick.trade_id, tick.price, tick.size, int(tick.side))
    return message_fragment(Channel.TRADES, (row,), spelling, codec)


def _running_bar(
    market: MarketState, spelling: str, symbol: Symbol, timeframe: Timeframe, codec: Codec
) -> Fragment | None:
    bar = market.running_bar(symbol, timeframe)
    if bar is None:
        return None
    return message_fragment(running_channel(timeframe), (bar,), spelling, codec)
