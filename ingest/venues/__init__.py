"""Live venues: one file each, pure parsers and what to say to the venue; no I/O here."""

from collections.abc import Sequence

from ingest.venues.alpaca import Alpaca
from ingest.venues.binance import Binance
from ingest.venues.coinbase import Coinbase
from ingest.venues.kraken import Kraken
from ingest.venues.protocol import VenueProtocol

__all__ = ["Alpaca", "VenueProtocol", "make_venue"]


def make_venue(feed: str, symbols: Sequence[str]) -> VenueProtocol:
    """The protocol of the live feed named *feed*, for *symbols* as the venue writes them."""
    venues: dict[str, type[Coinbase] | type[Binance] | type[Kraken] | type[Alpaca]] = {
        "coinbase": Coinbase,
        "binance": Binance,
        "kraken": Kraken,
        "alpaca": Alpaca,
    }
    return venues[feed](symbols)
