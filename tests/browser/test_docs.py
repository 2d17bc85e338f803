"""The page that shows the API's description: all of it, and requests sent by keyboard."""

import json

import pytest
from playwright.async_api import Browser, expect

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="package")]


async def test_every_operation_is_shown_and_requests_go_by_keyboard(
    browser: Browser, gateway_url: str
) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    paths = (await (await page.request.get(f"{gateway_url}/openapi.json")).json())["paths"]
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))

    await page.goto(f"{gateway_url}/docs")
    await expect(page.locator("article.operation")).to_have_count(len(paths))
    assert set(await page.locator("article h3 a").all_inner_texts()) == set(paths)

    await page.get_by_label("Filter the operations").fill("udf/quotes")
    await expect(page.locator("#contents li:visible")).to_have_count(1)

    operation = page.locator("#v1_symbols")
    await operation.get_by_role("textbox", name="query").fill("S00")
    await page.keyboard.press("Enter")
    await expect(operation.get_by_role("status")).to_contain_text("200")
    await expect(operation.get_by_role("region")).to_contain_text("SIM:S001")

    operation = page.locator("#udf_symbols")
    await operation.get_by_role("textbox", name="symbol").fill("a b")
    await operation.get_by_role("button", name="Send").focus()
    await page.keyboard.press("Space")
    await expect(operation.get_by_role("region")).to_contain_text("is not accepted")
    assert [text for text in complaints if "400 (Bad Request)" not in text] == []
    await context.close()


@pytest.mark.parametrize("stored", [None, {"id": "KEY", "secret": "s3cret"}, {"id": "KEY"}])
async def test_a_request_carries_the_key_of_the_tab_where_there_is_one(
    browser: Browser, gateway_url: str, stored: dict[str, str] | None
) -> None:
    context = await browser.new_context()
    page = await context.new_page()
    kept = json.dumps(json.dumps(stored or {}))
    await page.add_init_script(f"sessionStorage.setItem('tickgate.key', {kept})")

    await page.goto(f"{gateway_url}/docs")
    async with page.expect_request("**/v1/symbols*") as asked:
        await page.locator("#v1_symbols").get_by_role("button", name="Send").click()

    headers = await (await asked.value).all_headers()
    shown = {name: headers.get(f"apca-api-{name}") for name in ("key-id", "secret-key")}
    key = stored or {}
    assert shown == {
        "key-id": key.get("id"),
        "secret-key": key.get("secret", "") if stored else None,
    }
    await context.close()
