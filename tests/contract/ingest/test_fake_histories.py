"""The fake histories answer as the venues' references show it: same keys, same JSON types."""

import json
from typing import Any

import aiohttp
import pytest

from ingest.history import Want, make_history
from tests.contract.ingest.test_fake_venues import AT_NS, NAMES, shape
from tests.fakes.history import fake_history
from tests.fakes.venue import fake_venue

# docs.cdp.coinbase.com, Exchange REST, product trades; developers.binance.com, Spot, old trade
# lookup; docs.kraken.com, REST API, recent trades
DOCUMENTED: dict[str, Any] = {
    "coinbase": [
        {
            "time": "2014-11-07T22:19:28.578544Z", "trade_id": 74, "price": "10.00000000",
            "size": "0.01000000", "side": "buy",
        }
    ],
    "binance": [
        {
            "id": 28457, "price": "4.00000100", "qty": "12.00000000", "quoteQty": "48.000012",
            "time": 1499865549590, "isBuyerMaker": True, "isBestMatch": True,
        }
    ],
    "kraken": {
        "error": [],
        "result": {
            "XXBTZUSD": [
                ["30243.40000", "0.34507674", 1688669597.8277369, "b", "m", "", 61044952]
            ],
            "last": "1688671969993150842",
        },
    },
}  # fmt: skip


@pytest.mark.parametrize("feed", sorted(DOCUMENTED))
async def test_a_fake_history_answers_in_the_documented_shape(feed: str) -> None:
    async with fake_venue(feed) as venue, fake_history(venue) as history:
        venue.trade(NAMES[feed], at_ns=AT_NS)
        path = make_history(feed).path(Want(NAMES[feed], 1, 1, AT_NS))
        async with aiohttp.ClientSession() as http, http.get(history.url + path) as answer:
            assert shape(json.loads(await answer.read())) == shape(DOCUMENTED[feed])
