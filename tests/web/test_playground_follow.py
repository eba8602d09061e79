"""The end of an answer that comes is in sight, for those who have not gone elsewhere."""

import pytest_asyncio
from playwright.async_api import Page, expect

from gateway import Site
from upstream import DONE, Script, delta, finish, refusal, script, usage
from upstream import text as piece
from web.playing import column, enter, messages, say

WORDS = "Some words of a paragraph that is long enough to be wrapped once or twice in a column. " * 3 + "\n\n"
HIDDEN = "(one) => Math.round(one.scrollHeight - one.scrollTop - one.clientHeight)"


def think(*ends: bytes) -> Script:
    """Thoughts, a text, and what comes with the end of it."""
    thoughts = [delta({"role": "assistant", "reasoning": "Hm, let me see. "})] + [delta({"reasoning": "And? "})] * 5
    said: list[bytes | float] = []
    for _ in range(6):
        said += [piece(WORDS), 0.03]
    return script(*thoughts, 0.1, *said, *(ends or (finish("length"), usage(), DONE)))


def long(paragraphs: int = 60) -> Script:
    said: list[bytes | float] = []
    for place in range(paragraphs):
        said += [piece(WORDS, first=not place), 0.01]
    return script(*said, finish(), usage(), DONE)


async def _over(page: Page, count: int) -> None:
    await expect(messages(page)).to_have_count(count)
    await expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    await expect(page.locator(".answer[aria-busy]")).to_have_count(0)


async def _hidden(page: Page, number: int = 1) -> int:
    """How much of the conversation is below what is seen, once it moves no more; in pixels."""
    scroller = column(page, number).locator(".scroller")
    before = None
    while before != (before := await scroller.evaluate(f"(one) => [one.scrollHeight, ({HIDDEN})(one)]")):
        await page.wait_for_timeout(150)
    return before[1]


@pytest_asyncio.fixture(loop_scope="session")
async def low(page: Page) -> Page:
    await page.set_viewport_size({"width": 1280, "height": 800})
    return page


async def test_the_figures_of_an_answer_are_in_sight_at_its_end(low: Page, site: Site):
    site.upstream.scripts = [think()]
    await enter(low, site)
    for turn in (1, 2, 3):
        await say(low, "Go")
        await _over(low, 2 * turn)
        assert await _hidden(low) <= 1, turn
        await expect(messages(low).last.get_by_text("in all")).to_be_in_viewport(ratio=1)


async def test_what_went_wrong_is_in_sight_at_its_end(low: Page, site: Site):
    broken = b'data: {"error": {"message": "It broke off in the middle.", "code": "upstream_error"}}\n\n'
    site.upstream.scripts = [think(), think(broken, DONE), refusal(500, "It broke. " * 30)]
    await enter(low, site)
    for turn in (1, 2, 3):
        await say(low, "Go")
        await _over(low, 2 * turn)
        assert await _hidden(low) <= 1, turn
    await expect(messages(low).last.get_by_role("alert")).to_be_in_viewport(ratio=1)
    await expect(low.get_by_role("button", name="Try again")).to_be_in_viewport(ratio=1)


async def test_each_of_several_long_answers_is_followed_to_its_end(low: Page, site: Site):
    site.upstream.scripts = [long()]
    await enter(low, site)
    for turn in (1, 2, 3):
        await say(low, "Go")
        await _over(low, 2 * turn)
        assert await _hidden(low) <= 1, turn


async def test_who_is_elsewhere_when_asking_is_brought_to_the_answer(low: Page, site: Site):
    site.upstream.scripts = [long(20), long()]
    await enter(low, site)
    await low.get_by_role("button", name="Compare").click()
    await say(low, "Go")
    for number in (1, 2):
        await expect(column(low, number).get_by_text("in all")).to_be_visible()
        await column(low, number).locator(".scroller").evaluate("(one) => one.scrollTo(0, 100)")
    await say(low, "Go on")
    for number in (1, 2):
        await expect(column(low, number).get_by_text("in all")).to_have_count(2, timeout=10_000)
    for number in (1, 2):
        assert await _hidden(low, number) <= 1


async def test_who_scrolls_back_stays_there_and_is_taken_along_again_at_the_end(low: Page, site: Site):
    site.upstream.scripts = [long(200)]
    await enter(low, site)
    await say(low, "Go")
    scroller = low.locator(".scroller")
    await low.wait_for_function("() => document.querySelector('.scroller').scrollTop > 800")
    await scroller.hover()
    await low.mouse.wheel(0, -400)
    await low.wait_for_timeout(300)
    place = await scroller.evaluate("(one) => one.scrollTop")
    assert place < await scroller.evaluate("(one) => one.scrollHeight - one.clientHeight - 300")
    await low.wait_for_timeout(400)
    assert await scroller.evaluate("(one) => one.scrollTop") == place
    await expect(low.locator(".answer[aria-busy]")).to_have_count(1)
    await low.mouse.wheel(0, 100_000)
    await _over(low, 2)
    assert await _hidden(low) <= 1


async def test_what_is_opened_below_a_whole_answer_stays_where_it_is(low: Page, site: Site):
    site.upstream.scripts = [long(20)]
    await enter(low, site)
    await say(low, "Go")
    await _over(low, 2)
    assert await _hidden(low) <= 1
    place = await low.locator(".scroller").evaluate("(one) => one.scrollTop")
    await low.get_by_text("Request and response").click()
    await expect(low.get_by_text('"messages"')).to_be_visible()
    assert await _hidden(low) > 100
    assert await low.locator(".scroller").evaluate("(one) => one.scrollTop") == place
