"""A gateway that wants a key: the page asks for it, the browser does not."""

from contextlib import suppress
from typing import Any

import pytest
from playwright.async_api import Browser, Error

from tests.access import access_of
from tests.conftest import Eventually
from tests.integration.gateway_http.rig import running

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]


async def test_the_browser_shows_no_dialog_of_its_own(
    browser: Browser,
    embedded_migrated_url: str,
    redis_url: str,
    namespace: str,
    eventually: Eventually,
) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    devtools = await context.new_cdp_session(page)
    refused, dialogs = list[str](), list[Any]()
    page.on("response", lambda answer: refused.append(answer.url) if answer.status == 401 else None)

    async def go_on(event: Any) -> None:
        with suppress(Error):  # the page is closed
            await devtools.send("Fetch.continueRequest", {"requestId": event["requestId"]})

    devtools.on("Fetch.requestPaused", go_on)
    devtools.on("Fetch.authRequired", lambda event: dialogs.append(event))
    await devtools.send("Fetch.enable", {"handleAuthRequests": True})
    async with running(
        database_url=embedded_migrated_url,
        redis_url=redis_url,
        namespace=namespace,
        access=access_of(always=True),
    ) as rig:
        await page.goto(rig.base)
        await eventually(lambda: refused or dialogs, timeout_s=10)
        await context.close()

    assert refused
    assert dialogs == []
