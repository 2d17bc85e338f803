"""Histories: how each venue is asked for trades that it did not deliver; no I/O here."""

from ingest.history.binance import BinanceHistory
from ingest.history.coinbase import CoinbaseHistory
from ingest.history.kraken import KrakenHistory
from ingest.history.protocol import Page, TradeHistory, Want

__all__ = ["Page", "TradeHistory", "Want", "make_history"]


def make_history(feed: str) -> TradeHistory:
    """The trade history of the live feed named *feed*."""
    histories: dict[str, type[CoinbaseHistory] | type[BinanceHistory] | type[KrakenHistory]] = {
        "coinbase": CoinbaseHistory,
        "binance": BinanceHistory,
        "kraken": KrakenHistory,
    }
    return histories[feed]()
