"""/settings/tokens as a person sees it."""

import asyncio
import re
from typing import Any

from playwright.async_api import Page, expect

from gateway import Site, Start
from tertulia.types import Spent

NEW = "/settings/tokens/new?ownUserPermissions=inference.serverless.write&tokenType=fineGrained"


async def test_the_first_token_is_made_used_and_revoked(page: Page, site: Site, axe: Any):
    await page.goto(f"{site.url}/settings/tokens")
    await expect(page.get_by_text("Nobody needs a token yet")).to_be_visible()
    await expect(page.get_by_text("There is no token yet.")).to_be_visible()
    await page.get_by_role("link", name="New token").click()
    await expect(page.get_by_label("Name")).to_be_focused()
    await expect(page.get_by_text("As soon as there is one token, every request must bring one")).to_be_visible()
    await expect(page.get_by_text("Then no token would have the permission admin")).to_be_visible()
    await page.get_by_label("admin").check()
    await expect(page.get_by_text("Then no token would have the permission admin")).to_have_count(0)
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_role("alert")).to_contain_text("a token can't be called ''")
    await page.get_by_label("Name").fill("no good")
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_role("alert")).to_contain_text("a token can't be called 'no good'")
    await expect(page.get_by_label("Name")).to_have_attribute("aria-invalid", "true")
    await axe(page)
    await page.get_by_label("Name").fill("root")
    await page.get_by_label("Ends").select_option("After 30 days")
    await page.get_by_label("May spend").fill("2.50")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="The token of root")).to_be_focused()
    secret = await page.get_by_text(re.compile("^hf_")).inner_text()
    await expect(page.get_by_text("From now on every request must bring a token")).to_be_visible()
    await page.get_by_role("button", name="Copy").click()
    assert await page.evaluate("navigator.clipboard.readText()") == secret
    await axe(page)
    await page.get_by_role("button", name="Use it in this tab").click()
    await expect(page.get_by_text("This tab uses it until it is closed.")).to_be_visible()

    await page.get_by_role("link", name="All tokens").click()
    await expect(page.get_by_text("Every request must bring a token.")).to_be_visible()
    await expect(page.get_by_text("This tab uses root")).to_be_visible()
    row = page.get_by_role("table", name="Tokens").get_by_role("row").filter(has_text="root")
    for words in ("admin", "inference", "live", "$0 of $2.50", "not in the last 30 days"):
        await expect(row).to_contain_text(words)
    await row.get_by_role("button", name="Revoke root").click()
    dialog = page.get_by_role("dialog", name="Revoke root?")
    await expect(dialog).to_contain_text("It is the one that this tab uses.")
    await expect(dialog).to_contain_text("Then no token would have the permission admin")
    await dialog.get_by_role("button", name="Keep it").click()
    assert (await site.ledger.list())[0].revoked is None
    await row.get_by_role("button", name="Revoke root").click()
    await dialog.get_by_role("button", name="Revoke").click()
    await page.get_by_role("dialog", name="This server wants a token").get_by_role("button", name="Cancel").click()
    await expect(page.get_by_role("alert")).to_contain_text("a token is needed")
    assert (await site.ledger.list())[0].revoked is not None


async def test_the_specifications_link_chooses_inference_beforehand(page: Page, site: Site):
    await page.goto(site.url + NEW)
    await expect(page.get_by_label("inference")).to_be_checked()
    await expect(page.get_by_label("admin")).not_to_be_checked()
    await page.goto(f"{site.url}/settings/tokens/new?ownUserPermissions=repo.write&ownUserPermissions=admin")
    await expect(page.get_by_text("There is nothing here that these permissions are for: repo.write.")).to_be_visible()
    await expect(page.get_by_label("admin")).to_be_checked()
    await expect(page.get_by_label("inference")).not_to_be_checked()


async def test_what_each_has_used_and_may_spend_is_told(page: Page, start: Start, axe: Any):
    async with start(tokens=["configured-one"]) as site:
        ledger = site.ledger
        await ledger.new("ana", cap=2_000_000)
        await ledger.new("gone")
        await ledger.revoke("gone")
        for cost in (1_000_000, 1_250_000):
            entry = Spent(request_id="r", token=1, caller="ana", model="m", provider="p", prompt_tokens=1000, cost=cost)
            ledger.spend(entry)
        async with asyncio.timeout(5):  # entries are written a moment later
            while not next(token for token in await ledger.list() if token.name == "ana").spent:
                await asyncio.sleep(0.01)
        await page.goto(f"{site.url}/settings/tokens")
        await page.get_by_label("Token", exact=True).fill("configured-one")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="From the configuration")).to_be_visible()
        await expect(page.get_by_text(re.compile("^token [0-9a-f]{8}: "))).to_be_visible()
        await expect(page.get_by_text(re.compile("^This tab uses token [0-9a-f]{8}"))).to_be_visible()
        row = page.get_by_role("table", name="Tokens").get_by_role("row").filter(has_text="ana")
        await expect(row).to_contain_text("$2.25 of $2.00")
        await expect(row).to_contain_text("its chats are refused")
        await expect(row).to_contain_text("2 requests, 2,000 + 0 tokens in 30 days, last just now")
        await page.get_by_text("1 revoked").click()
        revoked = page.get_by_role("table", name="Revoked tokens")
        await expect(revoked).to_contain_text("gone")
        await expect(revoked.get_by_role("button")).to_have_count(0)
        assert "configured-one" not in await page.content()
        await axe(page)
        await page.set_viewport_size({"width": 360, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= 360
        await axe(page)


async def test_a_token_without_admin_is_warned_of_before_and_after_it_is_made(page: Page, site: Site):
    await page.goto(site.url + NEW)
    await page.get_by_label("Name").fill("ana")
    await page.get_by_label("Ends").select_option("With a day")
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_role("alert")).to_contain_text("is no time")
    await page.get_by_label("The last day").fill("2099-01-31")
    await page.get_by_role("button", name="Make the token").click()
    await expect(page.get_by_text("It has not the permission admin, and no token has")).to_be_visible()
    await page.get_by_role("button", name="Use it in this tab").click()
    await expect(page.get_by_text("It opens neither this page nor the status.")).to_be_visible()
    await page.get_by_role("link", name="All tokens").click()
    await expect(page.get_by_role("alert")).to_contain_text("this token lacks the permission admin")
    await expect(page.get_by_role("button", name="Use another token")).to_be_visible()
