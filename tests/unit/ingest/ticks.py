"""Makes ticks for tests; the times are seconds after a round start."""

from core.market.symbol import Symbol
from core.market.tick import Tick

START_NS = 1_700_000_000 * 10**9
S = 10**9


def tick(
    after_s: float = 0.0,
    *,
    trade_id: int = 1,
    symbol: str = "X:A",
    price: float = 10.0,
    size: float = 1.0,
) -> Tick:
    event_ns = START_NS + round(after_s * S)
    return Tick(Symbol(symbol), trade_id, price, size, event_ns, seq=max(trade_id, 0))
