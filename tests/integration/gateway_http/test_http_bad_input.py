"""Every wrong request gets a JSON error that helps, and the connection stays usable."""

import asyncio
import json
import logging
from urllib.parse import urlsplit

import pytest

from tests.integration.gateway_http.rig import Rig, bar
from tests.unit.gateway_http.test_http_params import BAD

BTC = "COINBASE:BTC-USD"


async def test_every_bad_parameter_of_bars_is_a_400_that_names_it(rig: Rig) -> None:
    rig.market.add_symbols([bar(BTC, 0).symbol])  # BTC-USD of the table
    rig.market.add_symbols([bar(f"{v}:SOL-USD", 0).symbol for v in ("BINANCE", "KRAKEN")])
    for params, name, reason in BAD:
        status, answer = await rig.get("/v1/bars", **({"symbols": "BTC-USD"} | params))

        assert (status, answer["code"]) == (400, 400), params
        assert name in answer["message"]
        assert reason in answer["message"]


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/v1/bars/latest", "symbols is missing"),
        ("/v1/bars/latest?symbols=A&timeframe=1Week", "1Min to 1440Min"),
        ("/v1/bars/latest?symbols=A&limit=1", "accepted here: symbols, timeframe"),
        ("/v1/trades/latest", "symbols is missing"),
        ("/v1/trades/latest?symbols=a%20b", "expected VENUE"),
        ("/v1/trades/latest?symbols=A&symbols=B", "give it once"),
        ("/v1/snapshots?symbol=A", "unknown parameter 'symbol'; accepted here: symbols"),
        ("/v1/symbols?search=A", "accepted here: query"),
        ("/v1/symbols?query=" + "A" * 101, "at most 100"),
        ("/v1/status?verbose=1", "accepted here: none"),
        ("/v1/bars?symbols=%ff%fe", "symbols"),
        ("/v1/bars?symbols=A%00B", "symbols"),
        ("/v1/bars?&&=&symbols=A", "unknown parameter ''"),
    ],
)
async def test_each_endpoint_says_what_it_accepts(rig: Rig, path: str, reason: str) -> None:
    status, answer = await rig.get(path)

    assert status == 400
    assert reason in answer["message"]


@pytest.mark.parametrize(
    "path", ["/nowhere", "/v1", "/v1/bars/", "/V1/bars", "//v1/bars", "/v1/%2e"]
)
async def test_a_wrong_path_is_a_404(rig: Rig, path: str) -> None:
    status, answer = await rig.get(path)

    assert (status, answer["code"]) == (404, 404)
    assert "there is nothing at" in answer["message"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
async def test_a_wrong_method_is_a_405_that_names_the_right_ones(rig: Rig, method: str) -> None:
    async with rig.session.request(method, rig.base + "/v1/bars") as response:
        answer = await response.json()

    assert response.status == 405
    assert response.headers["Allow"] == "GET, HEAD"
    assert "GET, HEAD" in answer["message"]


async def test_head_has_the_headers_of_get_and_no_body(rig: Rig) -> None:
    await rig.save(bar(BTC, 0))
    for path in ("/v1/bars?symbols=BTC-USD", "/v1/symbols", "/livez", "/metrics", "/v1/status"):
        async with rig.session.head(rig.base + path) as response:
            assert response.status == 200
            assert int(response.headers["Content-Length"]) > 0
            assert await response.read() == b""


async def exchange(rig: Rig, sent: bytes) -> tuple[int, dict[str, object]]:
    """What a raw request is answered with; the server closes or answers within the time."""
    parts = urlsplit(rig.base)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        async with asyncio.timeout(5):
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            assert b"Content-Type: application/json" in head
            assert b"Server: tickgate\r\n" in head
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            return int(head.split()[1]), json.loads(await reader.readexactly(length))
    finally:
        writer.close()
        await writer.wait_closed()


@pytest.mark.parametrize(
    ("sent", "told"),
    [
        (b"hello\r\n\r\n", "its method is none of HTTP; accepted: GET and HEAD"),
        (b"FOO /v1/bars HTTP/1.1\r\nHost: a\r\n\r\n", "its method is none of HTTP"),
        (b"GET /v1/bars?symbols=caf\xc3\xa9 HTTP/1.1\r\nHost: a\r\n\r\n", "percent-encode what"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", ""),  # TLS on a plain port
        (b"GET /v1/bars HTTP/9\r\n\r\n", ""),
        (
            b"GET /v1/bars?symbols=" + b"A" * 70_000 + b" HTTP/1.1\r\n\r\n",
            "a line of it has more than 65536 bytes",
        ),
        (
            b"GET / HTTP/1.1\r\nX: " + b"y" * 20_000 + b"\r\n\r\n",
            "a line of it has more than 16384",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", ""),
        (b"GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", ""),
        (b"GET / HTTP/1.1\r\nAccept: text/html\r\nbad header\r\n\r\n", ""),
    ],
)
async def test_what_is_no_http_is_answered_in_json(
    rig: Rig, sent: bytes, told: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.CRITICAL):
        status, answer = await exchange(rig, sent)

    assert status == answer["code"] == 400
    assert "not HTTP that this server reads: " + told in str(answer["message"])


@pytest.mark.parametrize(
    "line", ["GET /v1/symbols", "GET /nowhere", "POST /v1/symbols", "GET /v1/stream", "GET /v2/iex"]
)
async def test_an_expectation_that_cannot_be_met_is_answered_in_json(rig: Rig, line: str) -> None:
    head = f"{line} HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n"

    status, answer = await exchange(rig, head.encode())

    assert status == answer["code"] == 417
    assert answer["message"] == "Expect: 'miracles'; accepted: 100-continue"


@pytest.mark.parametrize("path", ["/udf/config", "/udf/nowhere"])
async def test_charts_are_told_of_it_in_the_shape_that_they_read(rig: Rig, path: str) -> None:
    head = f"GET {path} HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n"

    status, answer = await exchange(rig, head.encode())

    assert (status, answer["s"]) == (417, "error")
    assert answer["errmsg"] == answer["message"] == "Expect: 'miracles'; accepted: 100-continue"


async def test_a_client_that_waits_for_a_go_ahead_gets_it(rig: Rig) -> None:
    head = b"GET /v1/symbols HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n"
    parts = urlsplit(rig.base)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)

    writer.write(head)
    async with asyncio.timeout(5):
        assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert b" 200 OK" in await reader.readuntil(b"\r\n\r\n")
    writer.close()
    await writer.wait_closed()


async def test_a_client_of_http_1_0_gets_no_go_ahead_which_it_would_not_know(rig: Rig) -> None:
    status, _ = await exchange(rig, b"GET /v1/symbols HTTP/1.0\r\nExpect: 100-continue\r\n\r\n")

    assert status == 200


async def test_a_bug_is_a_500_without_its_trace(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    del rig.market._directory

    async with rig.session.get(rig.base + "/v1/symbols", headers={"Accept": "text/html"}) as answer:
        body = await answer.json()

    assert answer.status == body["code"] == 500
    assert "_directory" not in body["message"]
    assert "_directory" in caplog.text  # the log has the cause
