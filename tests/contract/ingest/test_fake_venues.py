"""The fakes send what the real venues were seen to send: same keys, same JSON types."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from ingest.spec import VENUES
from ingest.venues import make_venue
from tests.fakes.venue import trade_frame

AT_NS = 1_695_628_177_708_706_000
NAMES = {"coinbase": "BTC-USD", "binance": "BTCUSDT", "kraken": "BTC/USD"}

# docs.kraken.com, WebSocket API v2, trade; developers.binance.com, Spot, trade streams
DOCUMENTED = {
    "kraken": {
        "channel": "trade",
        "type": "update",
        "data": [
            {
                "symbol": "MATIC/USD",
                "side": "sell",
                "price": 0.5117,
                "qty": 40.0,
                "ord_type": "market",
                "trade_id": 4665906,
                "timestamp": "2023-09-25T07:49:37.708706Z",
            }
        ],
    },
    "binance": {
        "stream": "bnbbtc@trade",
        "data": {
            "e": "trade", "E": 1672515782136, "s": "BNBBTC", "t": 12345, "p": "0.001", "q": "100",
            "T": 1672515782136, "m": True, "M": True,
        },
    },
}  # fmt: skip


def shape(value: Any) -> Any:
    """Keys and types, without the values."""
    if isinstance(value, dict):
        return {key: shape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [shape(inner) for inner in value]
    return type(value)


@pytest.mark.parametrize("feed", ["binance", "kraken"])
def test_a_fake_trade_has_the_documented_shape(feed: str) -> None:
    assert shape(json.loads(trade_frame(feed, NAMES[feed], 7, at_ns=AT_NS))) == shape(
        DOCUMENTED[feed]
    )


@pytest.mark.parametrize("kind", ["match", "last_match"])
def test_a_fake_coinbase_trade_has_the_shape_of_the_captured_ones(
    kind: str, market_data: Path
) -> None:
    with gzip.open(market_data / "captures" / "coinbase_exchange.jsonl.gz", "rt") as lines:
        messages = [json.loads(json.loads(line)["message"]) for line in lines]
    real = next(message for message in messages if message["type"] == kind)

    fake = trade_frame("coinbase", "BTC-USD", 7, at_ns=AT_NS, history=kind == "last_match")

    assert shape(json.loads(fake)) == shape(real)
    assert json.loads(fake)["type"] == kind


@pytest.mark.parametrize("feed", VENUES)
def test_a_fake_trade_says_what_it_was_told_to(feed: str) -> None:
    frame = trade_frame(feed, NAMES[feed], 7, at_ns=AT_NS, price=1.25, size=0.5)

    (tick,) = make_venue(feed, [NAMES[feed]]).parse(frame).ticks

    at_ns = AT_NS // 10**6 * 10**6 if feed == "binance" else AT_NS
    assert (tick.trade_id, tick.price, tick.size, tick.event_ns) == (7, 1.25, 0.5, at_ns)
