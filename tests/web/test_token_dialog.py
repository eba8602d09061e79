"""The dialog in which a page asks for a token."""

import re
from collections.abc import AsyncGenerator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Page, expect

from gateway import MODEL, Site, Start


@pytest_asyncio.fixture(loop_scope="session")
async def locked(start: Start) -> AsyncGenerator[Site, None]:
    """A Site that wants a token."""
    async with start() as site:
        await site.ledger.new("first")
        yield site


def stored(page: Page) -> Any:
    return page.evaluate("({tab: {...sessionStorage}, kept: {...localStorage}, cookie: document.cookie})")


async def test_it_asks_once_says_that_a_wrong_one_is_wrong_and_keeps_the_right_one_for_the_tab(
    page: Page, locked: Site, axe: Any
):
    secret = await locked.ledger.new("root", ("admin", "inference"))
    addresses: list[str] = []
    page.on("request", lambda one: addresses.append(one.url))
    await page.goto(f"{locked.url}/status")
    dialog = page.get_by_role("dialog", name="This server wants a token")
    await expect(dialog.get_by_text("a token is needed.", exact=True)).to_be_visible()
    await expect(dialog.get_by_label("Token")).to_be_focused()
    await expect(dialog.get_by_label("Token")).to_have_attribute("type", "password")
    await axe(page)
    await dialog.get_by_label("Token").fill("hf_wrong")
    await page.keyboard.press("Enter")
    again = page.get_by_role("dialog", name="Another token is needed")
    await expect(again).to_contain_text("this token is not known here")
    await expect(again.get_by_label("Token")).to_have_value("")
    await again.get_by_label("Token").fill("żółw")
    await again.get_by_role("button", name="Use it").click()
    assert not await again.get_by_label("Token").evaluate("input => input.validity.valid")
    await again.get_by_label("Token").fill(f" {secret} ")
    assert secret not in await page.content()
    await again.get_by_role("button", name="Use it").click()
    await expect(page.get_by_text("Up to date")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_have_count(0)

    assert await stored(page) == {"tab": {"tertulia-token": secret}, "kept": {}, "cookie": ""}
    assert secret not in await page.content()
    await page.goto(f"{locked.url}/settings/tokens")  # another page of the tab needs not ask
    await expect(page.get_by_text("This tab uses root")).to_be_visible()
    assert not [one for one in addresses if secret in one or "hf_wrong" in one]
    other = await page.context.new_page()  # another tab must
    await other.goto(f"{locked.url}/settings/tokens")
    await expect(other.get_by_role("dialog", name="This server wants a token")).to_be_visible()
    await page.get_by_role("button", name="Forget it").click()
    await expect(page.get_by_role("dialog", name="This server wants a token")).to_be_visible()
    assert (await stored(page))["tab"] == {}


async def test_cancel_leaves_the_page_usable_and_says_what_is_missing(page: Page, locked: Site):
    await page.goto(f"{locked.url}/status")
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("alert")).to_contain_text("a token is needed")
    await page.get_by_role("button", name="Pause").click()
    await expect(page.get_by_role("button", name="Go on")).to_be_visible()
    await expect(page.get_by_role("dialog")).to_have_count(0)  # it doesn't ask again by itself
    secret = await locked.ledger.new("root", ("admin",))
    await page.get_by_role("button", name="Go on").click()
    await page.get_by_role("dialog").get_by_label("Token").fill("hf_wrong")
    await page.keyboard.press("Enter")
    await page.get_by_role("dialog", name="Another token is needed").press("Escape")
    await expect(page.get_by_role("alert")).to_contain_text("this token is not known here")
    assert (await stored(page))["tab"] == {}  # a wrong one is not kept
    await page.get_by_role("button", name="Use a token").click()
    await page.get_by_role("dialog").get_by_label("Token").fill(secret)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_count(0)
    await expect(page.get_by_text("Up to date")).to_be_visible()


async def test_a_token_that_lacks_admin_is_told_so_and_kept(page: Page, locked: Site):
    secret = await locked.ledger.new("ana")
    for path in ("/status", "/settings/tokens", "/settings/tokens/new"):
        await page.goto(locked.url + path)
        if path == "/status":
            await page.get_by_label("Token", exact=True).fill(secret)
            await page.keyboard.press("Enter")
        await expect(page.get_by_role("alert")).to_contain_text("this token lacks the permission admin")
        await page.get_by_role("button", name="Use another token").click()
        await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("alert")).to_contain_text("this token lacks the permission admin")
        assert (await stored(page))["tab"] == {"tertulia-token": secret}


async def test_many_who_need_it_at_once_ask_together(page: Page, locked: Site):
    await page.goto(f"{locked.url}/settings/tokens")
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("alert")).to_be_visible()
    ask = """async () => {
      const { get } = await import("/assets/shared/api.js");
      const one = () => get("/v1/models").then(({ object }) => object, ({ status }) => status);
      window.came = Promise.all([one(), one(), one()]);
    }"""
    secret = await locked.ledger.new("root")
    for act, came in (("Cancel", [401] * 3), ("Use it", ["list"] * 3)):
        await page.evaluate(ask)
        await expect(page.get_by_role("dialog")).to_have_count(1)
        if act == "Use it":
            await page.get_by_label("Token", exact=True).fill(secret)
        await page.get_by_role("dialog").get_by_role("button", name=act).click()
        assert await page.evaluate("window.came") == came
        await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_a_key_that_a_provider_wants_is_not_asked_for(page: Page, site: Site):
    await page.goto(f"{site.url}/settings/tokens")
    await expect(page.get_by_text("There is no token yet.")).to_be_visible()
    said = await page.evaluate(
        """async () => {
          const { ask } = await import("/assets/shared/api.js");
          const body = { model: "up/model:groq", messages: [{ role: "user", content: "hi" }] };
          return ask("/v1/chat/completions", { body }).catch(({ status, message }) => ({ status, message }));
        }"""
    )
    assert said["status"] == 401 and "groq can't be asked: there is no key for it" in said["message"]
    await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_every_page_that_needs_a_token_asks_once_and_lives_on_without(page: Page, locked: Site):
    for path in ("/models", "/playground"):
        await page.goto(locked.url + path)
        dialog = page.get_by_role("dialog", name="This server wants a token")
        await dialog.get_by_role("button", name="Cancel").click()
        if path == "/models":
            await expect(page.get_by_text("a token is needed: send the header")).to_be_visible()
        await expect(page.get_by_role("heading", level=1)).to_be_attached()
        await page.wait_for_load_state("networkidle")
        await expect(page.get_by_role("dialog")).to_have_count(0)


@pytest.mark.parametrize("path", ["/models", f"/models/{MODEL}", "/docs"])
async def test_where_a_token_is_missing_or_lacks_something_another_can_be_used(page: Page, locked: Site, path: str):
    admin, asks = await locked.ledger.new("root", ("admin",)), await locked.ledger.new("ana")
    await page.goto(locked.url + path)
    await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("alert")).to_contain_text("a token is needed")
    for label, secret in (("Use a token", admin), ("Use another token", asks)):
        await page.get_by_role("alert").get_by_role("button", name=label).click()
        await page.get_by_role("dialog").get_by_label("Token").fill(secret)
        await page.keyboard.press("Enter")
        if secret == admin:
            await expect(page.get_by_role("alert")).to_contain_text("this token lacks the permission inference")
    await expect(page.get_by_role("alert")).to_have_count(0)
    await expect(page.get_by_text(re.compile("^Loading "))).to_have_count(0)
