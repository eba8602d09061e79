"""Whatever a model writes is shown as text: nothing of it runs, and the page stays alive."""

import json
from typing import Any

import pytest
from playwright.async_api import Browser, Dialog, Page, expect

from gateway import Site
from upstream import DONE, finish, script, text, usage
from web.playing import enter, messages, say, tasks

MARKUP = [
    "<script>globalThis.ran = 1; alert(1)</script>",
    "<img src=x onerror=\"globalThis.ran = 1\"><svg onload='globalThis.ran = 1'>",
    "<iframe srcdoc='<script>parent.ran = 1</script>'></iframe><style>body { display: none }</style>",
    "[click](javascript:globalThis.ran=1) [data](data:text/html,<script>parent.ran=1</script>)",
    "![x](https://example.com/track.png) <a href='https://example.com' ping='https://example.com'>x</a>",
    "```html\n<script>globalThis.ran = 1</script>\n",
    "| <b>a</b> | b |\n|---|---|\n| <script>globalThis.ran = 1</script> | [x](vbscript:1) |",
    "\x1b[31mred\x1b]8;;https://example.com\x07 \u202e txt.exe \u2066\u0000 \u200b",
    "</textarea></script><script>globalThis.ran = 1</script> ${globalThis.ran = 1} {{7*7}}",
]
HUGE = {
    "a huge line": "word " * 200_000,
    "a huge word": "x" * 1_000_000,
    "a huge line of code": "```js\nlet x = '" + "y" * 500_000 + "';\nf(1)\n```\n",
    "10,000 items": "".join(f"{place}. an *item*\n" for place in range(10_000)),
    "5,000 rows": "| a | b |\n|---|---|\n" + "| 1 | `2` |\n" * 5_000,
    "deep quotes": ">" * 10_000 + " deep\n",
    "deep brackets": "[" * 10_000 + "x" + "](https://example.com)" * 3_000,
    "deep lists": "".join("  " * depth + "- x\n" for depth in range(500)),
    "open marks": "*a **b _c ~~d `e [f " * 10_000,
    "stars": "*" * 20_000 + "a" + "*" * 20_000,
    "ticks": "".join("`" * (place % 90) + "a" for place in range(10_000)),
    "controls": "a\x1b\u202e" * 100_000,
    "marks on marks": "a" + "\u0301" * 50_000,
    "empty lines": "\n" * 200_000 + "the end " * 100,
    "fences": "```\na\n```\n" * 5_000,
}

OVER = """(count) => !document.querySelector(".answer[aria-busy]")
  && [...document.querySelectorAll(".figures")].filter((one) => one.textContent.includes("in all")).length === count"""


def _pieces(whole: str, count: int) -> Any:
    size = max(1, len(whole) // count)
    cut = [whole[at : at + size] for at in range(0, len(whole), size)]
    return script(*(text(piece, first=not place) for place, piece in enumerate(cut)), finish(), usage(), DONE)


async def _harmless(page: Page) -> None:
    assert await page.evaluate("globalThis.ran") is None
    inside = "script, img, svg:not(.icon), iframe, style, textarea, form, input, object, embed, [onload], [onerror]"
    assert await page.locator(f".markdown :is({inside})").count() == 0
    links: list[str] = await page.locator(".markdown a").evaluate_all("(all) => all.map((one) => one.href)")
    assert all(link.startswith(("https://", "http://", "mailto:")) for link in links)


async def test_markup_scripts_and_controls_are_shown_and_do_nothing(page: Page, site: Site):
    dialogs: list[Dialog] = []
    page.on("dialog", lambda one: dialogs.append(one))
    await enter(page, site)
    site.upstream.scripts = [_pieces(one, 7) for one in MARKUP]
    for number, _ in enumerate(MARKUP, 1):
        await say(page, "Go")
        await expect(messages(page)).to_have_count(2 * number)
        await expect(page.locator(".answer[aria-busy]")).to_have_count(0)
        await _harmless(page)
    answers = page.locator(".said-text .markdown")
    await expect(answers.nth(0)).to_have_text(MARKUP[0])
    await expect(answers.nth(3)).to_have_text(MARKUP[3])
    await expect(answers.nth(5)).to_contain_text("<script>globalThis.ran = 1</script>")
    await expect(answers.nth(7)).to_contain_text(
        "␛[31mred␛]8;;https://example.com␇ ‹U+202E› txt.exe ‹U+2066›␀ ‹U+200B›"
    )
    assert not dialogs
    assert page.url.startswith(site.url) and len(page.context.pages) == 1


@pytest.mark.parametrize("names", [list(HUGE)[:5], list(HUGE)[5:10], list(HUGE)[10:]], ids=["long", "deep", "many"])
async def test_answers_of_monstrous_shape_leave_the_page_alive(page: Page, site: Site, names: list[str]):
    await enter(page, site)
    box = page.get_by_label("Message", exact=True)
    await expect(box).to_be_visible()
    for name in names:
        site.upstream.scripts = [_pieces(HUGE[name], 200)]
        await say(page, f"Show {name}")
        await box.fill("still here")
        await expect(messages(page).last.get_by_text("in all")).to_be_visible(timeout=10_000)
        await expect(page.locator(".answer[aria-busy]")).to_have_count(0, timeout=10_000)
        await expect(messages(page)).to_have_count(2)
        await _harmless(page)
        last = messages(page).last.locator(".answer")
        assert await last.evaluate("(one) => one.querySelectorAll('*').length") < 60_000
        assert await last.evaluate("(one) => one.textContent.length") > 500, name
        await expect(box).to_have_value("still here")
        await page.get_by_role("button", name="New session").first.click()  # these need not be sent on
        await expect(messages(page)).to_have_count(0)


async def test_monstrous_answers_in_four_columns_make_no_long_task(page: Page, site: Site, browser: Browser):
    turns = {
        "raw HTML": "<div onclick='x'><p>some <b>raw</b> text</p></div>\n" * 3000,
        "a line": "x" * 20_000 + "\n",
        "10,000 items": "".join(f"- an *item* {place}\n" for place in range(10_000)),
        "a line again": "x" * 20_000 + "\n",
    }
    await enter(page, site)
    for _ in range(3):
        await page.get_by_role("button", name="Compare").click()
    for number, (name, said) in enumerate(turns.items(), 1):
        site.upstream.scripts = [_pieces(said, 200)]
        await page.get_by_label("Message", exact=True).fill("Go")
        await browser.start_tracing(page=page, categories=["toplevel"])
        await page.keyboard.press("Control+Enter")
        await expect(page.locator("li.message")).to_have_count(8 * number)  # to ask for roles makes a long task itself
        # Who reads the beginning meanwhile is brought to the end by the next answer.
        await page.locator(".scroller").evaluate_all("(all) => all.forEach((one) => one.scrollTo(0, 2000))")
        await page.wait_for_function(OVER, arg=4 * number, polling=250)
        longest = max(cpu for _, cpu in tasks(await browser.stop_tracing()))
        print(f"{name}: longest task {longest:.0f} ms")
        assert longest < 300, name


async def test_a_hostile_answer_can_be_looked_at_as_it_came(page: Page, site: Site):
    await enter(page, site)
    site.upstream.scripts = [_pieces(MARKUP[1], 1)]
    await say(page, "Go")
    answer = page.locator(".answer")
    await expect(answer).not_to_have_attribute("aria-busy", "true")
    await answer.get_by_role("button", name="Raw").click()
    await expect(answer.locator(".raw")).to_have_text(MARKUP[1])
    await answer.get_by_text("Request and response").click()
    await expect(answer.get_by_text(json.dumps(MARKUP[1])[1:30]).first).to_be_visible()
    await _harmless(page)
