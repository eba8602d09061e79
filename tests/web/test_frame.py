"""What all pages share: the frame, its headers, its files; and how little of it there is."""

import gzip
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

import tertulia
from gateway import Site

PAGES = ["/", "/playground", "/models", "/status", "/docs", "/settings/tokens", "/settings/tokens/new"]
SHOWN = ["/playground", "/models", "/status", "/docs", "/settings/tokens"]
WEB = Path(tertulia.__file__).parent / "web"


@pytest.mark.parametrize("path", SHOWN)
async def test_each_page_shows_itself_and_asks_nobody_else(
    page: Page, site: Site, path: str, axe: Callable[[Page], Awaitable[None]]
):
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    await page.goto(site.url + path)
    await expect(page.get_by_role("heading", level=1)).to_be_attached()
    await expect(page.get_by_role("navigation", name="Pages").locator("[aria-current]")).to_have_count(1)
    await page.wait_for_load_state("networkidle")
    await axe(page)
    for width in (360, 1440):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width
    await page.get_by_role("button", name="Dark or light").click()
    assert await page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"
    await axe(page)
    assert asked
    assert [url for url in asked if not url.startswith((site.url, "data:", "blob:"))] == []


@pytest.mark.parametrize("path", SHOWN)
async def test_the_first_paint_comes_within_300_ms(page: Page, site: Site, path: str):
    await page.goto(site.url + path)  # the first visit also starts the browser's renderer
    times: list[float] = []
    while len(times) < 12 and min(times, default=300) >= 300:  # others may have the machine for a while
        await page.goto("about:blank")
        await page.goto(site.url + path)
        times.append(
            await page.evaluate(
                "new Promise(done => new PerformanceObserver(list => done(list.getEntries()[0].startTime))"
                ".observe({type: 'paint', buffered: true}))"
            )
        )
    assert min(times) < 300, times


async def test_the_policy_lets_nothing_in_and_no_string_become_html(page: Page, site: Site, watch):
    answer = await page.goto(site.url + "/playground")
    assert answer
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy
    watch.expected.append("TrustedHTML")
    with pytest.raises(Exception, match="TrustedHTML"):
        await page.evaluate("() => { document.body.innerHTML = '<b>no</b>' }")


@pytest.mark.parametrize("path", SHOWN)
async def test_a_page_loads_less_than_300_kb_unpacked(page: Page, site: Site, path: str):
    await page.goto(site.url + path, wait_until="load")
    loaded: list[int] = await page.evaluate(
        "performance.getEntriesByType('resource').filter(one => one.name.includes('/assets/'))"
        ".map(one => one.decodedBodySize)"
    )
    assert len(loaded) > 5 and sum(loaded) < 300_000


def test_all_files_of_all_pages_are_less_than_150_kb_as_they_travel():
    sizes = {path.name: len(gzip.compress(path.read_bytes(), 9)) for path in WEB.rglob("*") if path.is_file()}
    assert sum(sizes.values()) < 150_000, sorted(sizes.items(), key=lambda one: -one[1])[:10]


def test_no_file_makes_html_of_strings_or_asks_another_host():
    for path in WEB.rglob("*.js"):
        text = path.read_text("utf-8")
        found = re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text)
        assert not found, f"{path.name}: {found and found[0]}"
        assert not re.search(r"""(?:import|fetch)\s*\(?\s*["'`]https?:""", text), path.name


@pytest.mark.parametrize("path", ["/assets/../app.py", "/assets/page.html", "/assets/none.js", "/assets/%2e%2e/app.py"])
async def test_only_the_pages_own_files_can_be_had(page: Page, site: Site, path: str):
    answer = await page.context.request.get(site.url + path)
    assert answer.status == 404


async def test_files_are_kept_until_they_change_and_travel_small(page: Page, site: Site):
    get = page.context.request.get
    first = await get(f"{site.url}/assets/style.css")
    assert first.headers["content-encoding"] == "gzip"
    again = await get(f"{site.url}/assets/style.css", headers={"If-None-Match": first.headers["etag"]})
    assert again.status == 304


async def test_no_page_of_another_site_can_use_a_file_or_frame_a_page(page: Page, site: Site):
    for path in ("/", "/assets/style.css", "/assets/icon.svg"):
        headers = (await page.context.request.get(site.url + path)).headers
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "frame-ancestors 'none'" in headers["content-security-policy"]


async def test_programs_that_miss_the_v1_are_told_so_where_browsers_see_a_page(page: Page, site: Site):
    answer = await page.context.request.get(f"{site.url}/models", headers={"Accept": "application/json"})
    assert answer.status == 404
    assert "base_url" in (await answer.json())["error"]["message"]


async def test_pages_need_no_token_and_hold_nothing_that_does(page: Page, start):
    async with start(tokens=["hf_only-this-one"]) as site:
        for path in PAGES:
            answer = await page.context.request.get(site.url + path, headers={"Accept": "text/html"})
            assert answer.status == 200
            assert "hf_only" not in await answer.text()
        assert (await page.context.request.get(f"{site.url}/v1/models")).status == 401


async def test_a_choice_of_dark_or_light_is_there_before_anything_is_painted(page: Page, site: Site, watch):
    watch.expected.append("net::ERR_FAILED")
    await page.goto(f"{site.url}/status")
    await page.get_by_role("button", name="Dark or light").click()
    await page.route("**/status/page.js", lambda route: route.abort())  # what comes later is not waited for
    await page.goto(f"{site.url}/status")
    assert await page.evaluate("getComputedStyle(document.documentElement).colorScheme") == "dark"


@pytest.mark.parametrize("path", SHOWN)
async def test_all_pages_can_be_reached_at_360_px(page: Page, site: Site, path: str):
    await page.set_viewport_size({"width": 360, "height": 800})
    await page.goto(site.url + path)
    for link in await page.get_by_role("navigation", name="Pages").get_by_role("link").all():
        await expect(link).to_be_in_viewport(ratio=1)


@pytest.mark.parametrize("path", ["/models", "/status", "/docs", "/settings/tokens"])
async def test_pages_live_where_a_browser_lets_nothing_be_stored(page: Page, start, path: str):
    await page.add_init_script(
        "for (const name of ['localStorage', 'sessionStorage'])"
        " Object.defineProperty(window, name, { get() { throw new DOMException('no', 'SecurityError'); } });"
    )
    async with start(tokens=["hf_only-this-one"]) as site:
        await page.goto(site.url + path)
        if path == "/docs":
            await page.locator("#models").scroll_into_view_if_needed()
        await page.get_by_label("Token", exact=True).fill("hf_only-this-one")
        await page.get_by_role("button", name="Use it").click()
        await expect(page.get_by_role("dialog")).to_have_count(0)
        await page.get_by_role("button", name="Dark or light").click()
        assert await page.evaluate("document.documentElement.dataset.theme") == "dark"
        await expect(page.locator(".error")).to_have_count(0)
