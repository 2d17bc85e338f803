"""What the bars must be, the plainest way. Imports nothing of what it judges."""

from fractions import Fraction

MINUTES = {"1Min": 1, "5Min": 5, "15Min": 15}


def bars(trades):  # type: ignore[no-untyped-def]
    """(symbol, timeframe, start in ns): (open, high, low, close, trades, volume, vwap)."""
    windows = {}
    for symbol, number, time_ns, price, size in set(trades):  # what comes twice counts once
        for name, minutes in MINUTES.items():
            start_ns = time_ns - time_ns % (minutes * 60 * 10**9)
            inside = windows.setdefault((symbol, name, start_ns), [])
            inside.append((time_ns, number, price, size))
    found = {}
    for key, inside in windows.items():
        prices = [price for _, _, price, _ in sorted(inside)]
        volume = sum(Fraction(size) for _, _, _, size in inside)
        money = sum(Fraction(size) * Fraction(price) for _, _, price, size in inside)
        ends = prices[0], max(prices), min(prices), prices[-1]
        found[key] = (*ends, len(inside), float(volume), float(money / volume))
    return found
