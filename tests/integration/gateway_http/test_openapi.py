"""The description of the API: valid, complete, and what the gateway does indeed."""

import asyncio
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from schemathesis.specs.openapi.definitions import OPENAPI_31_VALIDATOR

from core.market.tick import Side, Tick
from core.market.timeframe import Timeframe
from gateway.endpoints import ENDPOINTS
from tests.integration.gateway_http.rig import NOON, Rig, bar

BTC, ETH = "COINBASE:BTC-USD", "COINBASE:ETH-USD"
DOCS = Path(__file__).parents[3] / "docs"
STREAMS = {"/v1/stream", "/v1beta3/crypto/{loc}", "/v2/{feed}"}  # added by the listener
ERRORS = {"400", "401", "403", "404", "426", "429", "500", "503", "504"}
TIMEOUT_S = 100  # of ten seconds' work
# Every operation is asked for its examples; bounds and every way to be wrong are tried once of
# each set of parameters, of the SDKs' paths that is /v2/stocks/bars and its like.
SETTINGS = """
[phases]
fuzzing.enabled = false
stateful.enabled = false
[[operations]]
include-path-regex = "^/udf/marks$|^/v1/trades/latest$|^/v1beta3/|^/v2/stocks/.*/"
phases.coverage.enabled = false
"""


async def described(rig: Rig) -> dict[str, Any]:
    status, document = await rig.get("/openapi.json")
    assert status == 200
    return dict(document)


async def test_the_description_is_valid_openapi_3_1(rig: Rig) -> None:
    document = await described(rig)

    assert document["openapi"].startswith("3.1.")
    OPENAPI_31_VALIDATOR.validate(document)
    text = str(document)
    references = set(re.findall(r"#/components/schemas/(\w+)", text))
    assert references == set(document["components"]["schemas"])


async def test_every_route_is_described_and_nothing_else(rig: Rig) -> None:
    document = await described(rig)

    routes = {resource.canonical for resource in rig.app.router.resources()}
    assert set(document["paths"]) == routes | STREAMS
    router = web.UrlDispatcher()
    assert {router.add_resource(one.path).canonical for one in ENDPOINTS} == STREAMS
    names = [path["get"]["operationId"] for path in document["paths"].values()]
    assert len(set(names)) == len(names)


async def test_what_is_always_refused_is_not_described_as_answered(rig: Rig) -> None:
    paths = (await described(rig))["paths"]

    never = {path for path, item in paths.items() if not item["get"]["responses"].keys() - ERRORS}
    status, _ = await rig.get("/v2/stocks/AAPL/quotes/latest")

    assert never == {"/v2/stocks/{symbol}/quotes/latest", *STREAMS}
    assert status == 404


@pytest.mark.parametrize("asof", ["", "-", "2021-07-03", "2021-07-03T00:00:00Z", "--", "today"])
async def test_what_asof_takes_is_described(rig: Rig, asof: str) -> None:
    for path, item in (await described(rig))["paths"].items():
        schemas = [p["schema"] for p in item["get"]["parameters"] if p["name"] == "asof"]
        if not schemas:
            continue
        query = {"symbols": "A", "timeframe": "1Min", "asof": asof}
        asked = {p["name"] for p in item["get"]["parameters"]}
        query = {name: value for name, value in query.items() if name in asked}
        where = rig.base + path.replace("{symbol}", "A")
        async with rig.session.get(where, params=query) as response:
            assert (response.status == 200) == bool(re.search(schemas[0]["pattern"], asof)), path


async def test_the_guide_names_every_path(rig: Rig) -> None:
    guide = (DOCS / "http-api.md").read_text()

    assert [path for path in (await described(rig))["paths"] if f"`{path}`" not in guide] == []


async def test_every_parameter_says_what_it_is_and_has_an_example_that_is_accepted(
    rig: Rig,
) -> None:
    document = await described(rig)
    rig.market.add_symbols([bar(BTC, 0).symbol, bar(ETH, 0).symbol])

    for path, item in document["paths"].items():
        parameters = item["get"]["parameters"]
        assert all(parameter["description"] for parameter in parameters)
        query = {p["name"]: str(p["example"]) for p in parameters if "example" in p}
        if path in STREAMS or "{" in path:
            continue
        async with rig.session.get(rig.base + path, params=query) as response:
            expected = {200, 503} if path == "/readyz" else {200}
            assert response.status in expected, (path, await response.text())
            answers = item["get"]["responses"][str(response.status)]["content"]
            assert response.content_type in answers, path


async def test_generated_requests_are_answered_as_described(rig: Rig, tmp_path: Path) -> None:
    for timeframe in Timeframe:
        stored = [
            bar(name, minute * 15, timeframe=timeframe)
            for name in (BTC, ETH)
            for minute in range(9)
        ]
        await rig.save(*stored)
        rig.market.apply_bar(bar(BTC, 705, timeframe=timeframe, final=False))
    rig.readiness.up("redis")
    rig.readiness.up("database")
    rig.market.apply_trade(Tick(bar(BTC, 0).symbol, 7, 100.5, 0.25, NOON - 1, Side.BUY))

    settings = tmp_path / "schemathesis.toml"
    settings.write_text(SETTINGS)
    command = (
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(settings)),
        *("run", f"{rig.base}/openapi.json"),
        *("--checks", "all", "--exclude-checks", "positive_data_acceptance"),
        *(word for path in STREAMS for word in ("--exclude-path", path)),
        "--generation-deterministic",
        *("--continue-on-failure", "--no-color"),
    )
    process = await asyncio.create_subprocess_exec(
        *command,
        cwd=tmp_path,  # it leaves a folder behind
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(TIMEOUT_S):
            output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    text = output.decode()
    assert process.returncode == 0, text
    others = len((await described(rig))["paths"]) - len(STREAMS | {"/openapi.json"})  # its source
    assert f"Tested: {others}\n" in text
