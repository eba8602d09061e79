"""/status as a person sees it."""

import re
from typing import Any

from playwright.async_api import Page, expect

from gateway import MODEL, Site
from service import Service
from tertulia import __version__
from upstream import answer


async def chat(page: Page, url: str, **fields: Any) -> int:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "a secret of mine"}]} | fields
    return (await page.context.request.post(f"{url}/v1/chat/completions", data=body)).status


async def test_requests_and_providers_show_as_they_come_and_never_what_was_said(page: Page, site: Site, axe: Any):
    await page.goto(f"{site.url}/status")
    await expect(page.get_by_text("No chat yet since the server was started.")).to_be_visible()
    await expect(page.get_by_text(f"Ready · {__version__}")).to_be_visible()
    await expect(page.get_by_text("None is loaded. One is when it is first asked for.")).to_be_visible()
    assert await chat(page, site.url, stream=True, stream_options={"include_usage": True}) == 200
    row = page.get_by_role("table", name="Recent requests").get_by_role("row").nth(1)
    await expect(row).to_contain_text(MODEL)
    await expect(row).to_contain_text("scripted")
    await expect(row).to_contain_text("200")
    await row.get_by_text("1 asked").click()
    await expect(row).to_contain_text(re.compile(r"scripted up/model: served after \d+"))
    provider = page.get_by_role("table", name="Providers").get_by_role("row").filter(has_text="scripted")
    await expect(provider).to_contain_text("well")

    site.upstream.scripts = [answer({"error": {"message": "a secret of mine is no good"}}, status=500)]
    assert await chat(page, site.url) == 500
    await expect(page.get_by_role("table", name="Recent requests")).to_contain_text("500 upstream_error")
    await expect(provider).to_contain_text("failing")
    await expect(provider).to_contain_text("upstream_error, just now")
    await expect(page.get_by_text("served after")).to_be_visible()  # what was opened stays open
    await page.get_by_text(re.compile("^[0-9]+ not set up")).click()
    await expect(page.get_by_text("there is no key for it: set GROQ_API_KEY")).to_be_visible()
    assert "secret of mine" not in await page.inner_text("body")
    await axe(page)
    await page.set_viewport_size({"width": 360, "height": 800})
    assert await page.evaluate("document.documentElement.scrollWidth") <= 360
    await axe(page)


async def test_the_engine_tells_its_figures(page: Page, real: Service):
    await page.goto(f"{real.address}/status")
    assert await chat(page, real.address, model="default", max_tokens=4) == 200
    model = page.get_by_role("article").first
    await expect(model).to_contain_text("ready for")
    await expect(model).to_contain_text(re.compile(r"Tokens written\s*[1-9]"))
    for words in ("Running", "Queue", "KV pool in use", "Prefix hits", "OpenVINO 20", "MiB", "of what was read"):
        await expect(model).to_contain_text(words)
    await expect(page.get_by_role("img", name=re.compile("KV pool in use while"))).to_be_attached()


async def test_it_looks_again_only_while_it_is_seen_and_not_held(page: Page, site: Site):
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if one.url.endswith("/status") else None)
    hide = "on => { Object.defineProperty(document, 'hidden', {value: on, configurable: true});"
    hide += "document.dispatchEvent(new Event('visibilitychange')); }"
    await page.clock.install()
    await page.goto(f"{site.url}/status")
    await expect(page.get_by_text("Up to date")).to_be_visible()
    button = page.get_by_role("button", name="Pause")

    async def passes() -> int:
        """How often it asks while four seconds pass."""
        before = len(asked)
        for _ in range(2):
            await page.clock.run_for(2000)
            await page.wait_for_load_state("networkidle")
        return len(asked) - before

    assert await passes() >= 1
    await button.click()
    await expect(page.get_by_text(re.compile("^As of .* ago"))).to_be_visible()
    assert await passes() == 0
    await page.get_by_role("button", name="Go on").click()
    await expect(page.get_by_text("Up to date")).to_be_visible()
    await page.evaluate(hide, True)
    assert await passes() == 0
    async with page.expect_request("**/status"):
        await page.evaluate(hide, False)


async def test_a_server_that_is_gone_is_told_and_found_again(page: Page, site: Site, watch: Any):
    watch.expected.append("net::ERR")
    await page.goto(f"{site.url}/status")
    await expect(page.get_by_text("Up to date")).to_be_visible()
    await page.context.set_offline(True)
    await expect(page.get_by_role("alert")).to_contain_text("the server can't be reached: is it running?")
    await expect(page.get_by_text(f"Ready · {__version__}")).to_be_visible()  # what was known stays
    await page.context.set_offline(False)
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_role("alert")).to_have_count(0)
