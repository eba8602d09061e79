"""Four long answers at once leave the page to the person in front of it.

Other work on the machine stretches every time; so tasks are measured by the processor's time, and keys by the clock,
less what a key takes here while the page is idle, and less what the clock lost to others: the page's thread had as much
more time as it had less of the processor.
"""

import json
from pathlib import Path

from playwright.async_api import Browser, Page, expect

from gateway import Site
from upstream import DONE, Script, finish, script, text, usage
from web.playing import column, enter, messages, tasks

TOKENS = 2000
ROUNDS = 3  # a key also waits for the browser's other processes, which others on this machine may hold up
WORDS = [
    "## A heading\n\n", "Some **bold** ", "words and ", "`code`, ", "and more ", "of them. ", "\n\n", "- an item\n",
    "- another *item*\n", "\n", "```python\n", "def f(x):\n", '    return "text" + str(x)  # why\n', "```\n\n",
    "| a | b |\n", "|---|---|\n", "| 1 | 2 |\n", "| 3 | 4 |\n\n",
]  # fmt: skip
WATCH = """() => {
  const keys = globalThis.keys = [];
  new PerformanceObserver((list) => keys.push(...list.getEntries().map((one) => one.duration)))
    .observe({ type: "event", durationThreshold: 16 });
}"""


def _long() -> Script:
    events = [text(WORDS[place % len(WORDS)], first=place == 0) for place in range(TOKENS)]
    steps: list[bytes | float] = []
    for place in range(0, TOKENS, 20):
        steps += [b"".join(events[place : place + 20]), 0.02]
    return script(*steps, finish(), usage(said=TOKENS), DONE)


async def _type(page: Page) -> str:
    """Write in the composer for as long as all four answers come."""
    written = ""
    await expect(page.locator(".answer[aria-busy]")).to_have_count(4)
    while await page.locator(".answer[aria-busy]").count() == 4:
        written += "typing "
        await page.keyboard.type("typing ", delay=10)
    await expect(page.locator(".answer[aria-busy]")).to_have_count(0, timeout=20_000)
    return written


async def _round(page: Page, browser: Browser) -> tuple[float, float]:
    """The longest task and the slowest key, in milliseconds, while four answers come and somebody writes."""
    await page.evaluate("() => { keys.length = 0 }")
    await page.get_by_label("Message", exact=True).press_sequentially("Go, while nothing else is to do", delay=10)
    idle = max(await page.evaluate("keys.splice(0)"), default=0)
    await browser.start_tracing(page=page, categories=["toplevel"])
    await page.keyboard.press("Control+Enter")
    written = await _type(page)
    found = tasks(await browser.stop_tracing())
    await expect(page.get_by_label("Message", exact=True)).to_have_value(written)
    longest = max(cpu for _, cpu in found)
    stretched = max(1, sum(wall for wall, _ in found) / sum(cpu for _, cpu in found))
    slowest = max(await page.evaluate("keys"), default=0)
    print(f"longest task {longest:.0f} ms, slowest key {slowest:.0f} ms (idle {idle:.0f}), clock x {stretched:.1f}")
    return longest, max(0, slowest - idle) / stretched


async def test_four_answers_of_2000_tokens_make_no_long_task_and_keys_are_seen_at_once(
    page: Page, site: Site, browser: Browser
):
    site.upstream.scripts = [_long()]
    await enter(page, site)
    for _ in range(3):
        await page.get_by_role("button", name="Compare").click()
    await page.evaluate(WATCH)
    slowest = 0.0
    for number in range(1, ROUNDS + 1):
        longest, slowest = await _round(page, browser)
        for place in (1, 2, 3, 4):
            await expect(messages(column(page, place))).to_have_count(2 * number)
            await expect(column(page, place).get_by_text(f"{TOKENS:,} out")).to_have_count(number)
        await expect(column(page).locator(".markdown .code-block")).to_have_count(number * (TOKENS // len(WORDS)))
        assert longest < 100
        if slowest < 100:
            return
    raise AssertionError(f"a key was seen after {slowest:.0f} ms only")


async def test_of_300_long_messages_those_far_away_cost_nothing(page: Page, site: Site, tmp_path: Path):
    said = [{"role": "user", "content": "A long question. " * 150}]
    said += [{"role": "assistant", "content": "".join(WORDS) * 8, "answer": {"choices": []}}]
    path = tmp_path / "long.json"
    path.write_text(json.dumps({"chats": [{"messages": said * 150}]}))
    await enter(page, site)
    async with page.expect_file_chooser() as choosing:
        await page.get_by_role("button", name="More for this session").click()
        await page.get_by_role("menuitem", name="Import a file").click()
    await (await choosing.value).set_files(path)
    await expect(messages(page)).to_have_count(300)
    laid = (
        "(all) => all.filter((one) => one.querySelector('.said').checkVisibility({contentVisibilityAuto: true})).length"
    )
    assert await messages(page).evaluate_all(laid) < 50
    box = page.get_by_label("Message", exact=True)
    await box.press_sequentially("keys are seen")
    await expect(box).to_have_value("keys are seen")
    scroller = page.locator(".scroller")
    await scroller.evaluate("(one) => one.scrollTo(0, one.scrollHeight / 2)")
    await page.wait_for_function(
        """() => [...document.elementsFromPoint(700, 400)].some((one) => one.matches(".said, .said *")
          && one.checkVisibility({ contentVisibilityAuto: true }))"""
    )
