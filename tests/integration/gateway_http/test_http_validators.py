"""Validators, cache headers and compression of data endpoints, over the wire."""

import gzip

import aiohttp
from multidict import CIMultiDict

from tests.integration.gateway_http.rig import Rig, bar

BTC = "COINBASE:BTC-USD"
MORNING = {"symbols": BTC, "start": "2021-07-03", "end": "2021-07-03T10:00:00Z"}


async def ask(
    rig: Rig, path: str, params: dict[str, str], **headers: str
) -> tuple[aiohttp.ClientResponse, bytes]:
    """An answer as it came, nothing unpacked; header names with ``_`` for ``-``."""
    sent = {"Accept-Encoding": "identity"} | {k.replace("_", "-"): v for k, v in headers.items()}
    async with (
        aiohttp.ClientSession(auto_decompress=False) as session,
        session.get(rig.base + path, params=params, headers=sent) as response,
    ):
        return response, await response.read()


async def test_an_answer_that_the_caller_has_is_not_sent_again_until_it_changes(rig: Rig) -> None:
    await rig.save(bar(BTC, 0))
    first, body = await ask(rig, "/v1/bars", MORNING)
    tag = first.headers["ETag"]

    again, nothing = await ask(rig, "/v1/bars", MORNING, If_None_Match=f'"other", {tag}')

    assert (again.status, nothing) == (304, b"")
    assert tag.startswith('"')
    assert body
    for name in ("ETag", "Cache-Control", "Vary"):
        assert again.headers[name] == first.headers[name]
    rig.pass_s(2)
    await rig.save(bar(BTC, 1))
    changed, _ = await ask(rig, "/v1/bars", MORNING, If_None_Match=tag)
    assert changed.status == 200
    assert changed.headers["ETag"] != tag


async def test_caches_may_keep_what_is_over_and_must_ask_for_what_runs(rig: Rig) -> None:
    await rig.save(bar(BTC, 0))

    over, _ = await ask(rig, "/v1/bars", MORNING)
    near, _ = await ask(rig, "/v1/bars", MORNING | {"end": "2021-07-03T11:59:00Z"})
    moving, _ = await ask(rig, "/v1/bars", {"symbols": BTC})
    latest, _ = await ask(rig, "/v1/bars/latest", {"symbols": BTC})
    trade, _ = await ask(rig, "/v1/trades/latest", {"symbols": BTC})
    error, _ = await ask(rig, "/v1/bars", {"symbols": ""})

    assert over.headers["Cache-Control"] == "public, max-age=60"
    for running in (near, moving, latest):
        assert running.headers["Cache-Control"] == "public, no-cache"
    assert trade.headers["Cache-Control"] == error.headers["Cache-Control"] == "no-store"


async def test_large_answers_are_packed_for_who_takes_it_under_a_tag_of_their_own(rig: Rig) -> None:
    await rig.save(*(bar(BTC, minute) for minute in range(20)))
    few = MORNING | {"limit": "1"}

    plain, body = await ask(rig, "/v1/bars", MORNING)
    packed, small = await ask(rig, "/v1/bars", MORNING, Accept_Encoding="br, gzip")
    short, _ = await ask(rig, "/v1/bars", few, Accept_Encoding="gzip")
    known, _ = await ask(
        rig, "/v1/bars", MORNING, Accept_Encoding="gzip", If_None_Match=packed.headers["ETag"]
    )

    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(small) == body
    assert len(small) < len(body) / 3
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert "Content-Encoding" not in short.headers
    assert known.status == 304
    assert "Accept-Encoding" in plain.headers["Vary"]


async def test_a_header_that_is_a_list_may_come_on_several_lines(rig: Rig) -> None:
    await rig.save(*(bar(BTC, minute) for minute in range(50)))
    wish = [("Accept", "text/html"), ("Accept", "text/csv"), ("Accept-Encoding", "br")]
    wish.append(("Accept-Encoding", "gzip"))

    async with aiohttp.ClientSession(auto_decompress=False) as session:
        url, first = rig.base + "/v1/bars", CIMultiDict(wish)
        async with session.get(url, params=MORNING, headers=first) as found:
            assert found.status == 200, await found.text()
            assert found.headers["Content-Encoding"] == "gzip"
            body = gzip.decompress(await found.read())
            has = [("If-None-Match", '"other"'), ("If-None-Match", found.headers["ETag"])]
        async with session.get(url, params=MORNING, headers=CIMultiDict(wish + has)) as again:
            assert again.status == 304

    assert body.startswith(b"symbol,time,open")
