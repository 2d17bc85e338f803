"""What every endpoint says to bad input: which parameter, what was given, what is accepted."""

import asyncio
import json
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urlsplit

from gateway.http.errors import shown
from tests.integration.gateway_http.rig import Rig, bar

BTC = "COINBASE:BTC-USD"
ODD = (
    *("", "X Y", "-1", "1.5", "1e3", "9" * 400, "A" * 5_000, "a\x00b", "\r\nX: y", "٣", "💥" * 50),
    *("../../etc/passwd", "' OR 1=1 --", "<script>alert(1)</script>", "ASC", "1W"),
)
HELPS = re.compile(r"expected|give|at most|accepted|missing|names|no such|not a token|leave")
TRACES = re.compile(r"Traceback|File \"|\.py\b|<html|<!doctype|line \d+", re.IGNORECASE)


def violates(value: str, schema: dict[str, Any]) -> bool:
    """Is *value* what the description rules out?"""
    if schema["type"] == "integer":
        fits = re.fullmatch(r"-?[0-9]{1,20}", value, re.ASCII)
        return not fits or not schema["minimum"] <= int(value) <= schema["maximum"]
    if "enum" in schema:
        return value not in schema["enum"]
    if "pattern" in schema:
        return not re.fullmatch(schema["pattern"][1:-1], value)
    too_short = len(value) < schema.get("minLength", 0)
    return too_short or len(value) > schema.get("maxLength", len(value))


def good_query(parameters: list[dict[str, Any]]) -> dict[str, str]:
    """A query that is right; UDF's `from` may be left out beside another parameter only."""
    needed = [
        p for p in parameters if p["in"] == "query" and (p["required"] or p["name"] == "from")
    ]
    return {p["name"]: str(p["example"]) for p in needed}


def bad_requests(document: dict[str, Any]) -> Iterator[tuple[str, str, list[tuple[str, str]]]]:
    """Path, the parameter that is wrong, and the query; all else in it is right."""
    for template, item in document["paths"].items():
        if item["get"]["tags"] == ["sdks"]:
            continue  # the published dialect: its own tests hold it to its own words
        described = item["get"]["parameters"]
        path = template.format_map(
            {p["name"]: p["example"] for p in described if p["in"] == "path"}
        )
        parameters = [p for p in described if p["in"] == "query"]
        good = good_query(parameters)
        for parameter in parameters:
            name, schema = parameter["name"], parameter["schema"]
            others = [pair for pair in good.items() if pair[0] != name]
            if parameter["required"]:
                yield path, name, others
            example = str(parameter.get("example", "x"))
            yield path, name, [*others, (name, example), (name, example + "1")]
            for value in ODD:
                if violates(value, schema):
                    yield path, name, [*others, (name, value)]


async def test_every_parameter_of_every_endpoint_is_refused_in_words(rig: Rig) -> None:
    rig.market.add_symbols([bar(BTC, 0).symbol])
    _, document = await rig.get("/openapi.json")
    count = 0
    for path, name, query in bad_requests(document):
        count += 1
        url = f"{rig.base}{path}?{urlencode(query)}"
        async with rig.session.get(url, headers={"Accept": "text/html"}) as response:
            text = await response.text()
            asked = f"{path} {query!r:.200}: {response.status} {text}"
            assert response.content_type == "application/json", asked
        answer = json.loads(text)
        assert response.status == answer["code"] == 400, asked
        assert re.search(rf"\b{name}\b", answer["message"]), asked
        assert HELPS.search(answer["message"]), asked
        values = [value for key, value in query if key == name]
        if values and values[-1]:
            assert any(part in answer["message"] for part in (shown(values[-1]), values[-1])), asked
        assert not TRACES.search(re.sub(r"'[^']*'", "", answer["message"])), asked
        assert len(text) < 1_500, asked
    assert count > 400


async def test_what_is_no_parameter_is_named_where_parameters_are_ours(rig: Rig) -> None:
    _, document = await rig.get("/openapi.json")
    lenient = set()
    for path, item in document["paths"].items():
        query = good_query(item["get"]["parameters"])
        if "{" in path or path == "/v1/stream":
            continue
        async with rig.session.get(rig.base + path, params=query | {"nonsense": "1"}) as response:
            if response.status == 400:
                message = (await response.json())["message"]
                assert "unknown parameter 'nonsense'; accepted here:" in message
            else:
                lenient.add(path)
    # Probes and files have none; what TradingView's library sends differs from version to version.
    ours = {path for path in document["paths"] if path.startswith("/v1/") and path != "/v1/stream"}
    assert not lenient & ours


RAW = {
    "bad percent-encoding in the query": b"GET {path}?symbols=%zz%&%=% HTTP/1.1\r\nHost: a\r\n\r\n",
    "bytes that are no UTF-8": b"GET {path}?symbols=%ff%fe&to=%c3%28 HTTP/1.1\r\nHost: a\r\n\r\n",
    "HTTP/1.0": b"GET {path} HTTP/1.0\r\n\r\n",
    "a body": b"GET {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello",
    "a chunked body": b"GET {path} HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    b"0\r\n\r\n",
    "an empty query": b"GET {path}? HTTP/1.1\r\nHost: a\r\n\r\n",
    "separators only": b"GET {path}?&&&;;== HTTP/1.1\r\nHost: a\r\n\r\n",
    "a fragment": b"GET {path}#x HTTP/1.1\r\nHost: a\r\n\r\n",
    "a whole address": b"GET http://a{path} HTTP/1.1\r\nHost: a\r\n\r\n",
    "many parameters": b"GET {path}?" + b"a=1&" * 5_000 + b" HTTP/1.1\r\nHost: a\r\n\r\n",
    "many headers": b"GET {path} HTTP/1.1\r\nHost: a\r\n" + b"X-A: b\r\n" * 200 + b"\r\n",
    "an absurd header": b"GET {path} HTTP/1.1\r\nHost: a\r\nAccept-Encoding: ;;;q=,\r\n"
    b'Accept: */,\r\nIf-None-Match: "\r\nAuthorization: \xff\xfe\r\nRange: bytes=9-1\r\n\r\n',
    "another method": b"DELETE {path} HTTP/1.1\r\nHost: a\r\n\r\n",
    "a method of their own": b"BREW {path} HTTP/1.1\r\nHost: a\r\n\r\n",
    "a slash too many": b"GET {path}/ HTTP/1.1\r\nHost: a\r\n\r\n",
    "another case": b"GET /V1/Bars HTTP/1.1\r\nHost: a\r\n\r\n",
    "a way up": b"GET /v1/../v1/bars/..%2f..%2fetc HTTP/1.1\r\nHost: a\r\n\r\n",
    "a NUL in the path": b"GET /v1/%00bars HTTP/1.1\r\nHost: a\r\n\r\n",
    "a star": b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
}


async def exchange(rig: Rig, sent: bytes) -> tuple[int, bytes, bytes]:
    """Status, head and body of the answer to raw bytes."""
    parts = urlsplit(rig.base)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        async with asyncio.timeout(20):
            writer.write(sent)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
            return int(head.split()[1]), head, await reader.readexactly(length)
    finally:
        writer.close()
        await writer.wait_closed()


async def test_whatever_is_sent_the_answer_is_json_that_says_what_is_wrong(rig: Rig) -> None:
    for path in ("/v1/bars", "/udf/history"):
        for why, template in RAW.items():
            sent = template.replace(b"{path}", path.encode())
            status, head, body = await exchange(rig, sent)
            answer = json.loads(body)
            assert b"content-type: application/json" in head.lower(), (why, head)
            assert 400 <= status < 500, (why, status, answer)
            assert answer["code"] == status, (why, answer)
            assert answer["message"], why
            assert not TRACES.search(answer["message"]), (why, answer)
