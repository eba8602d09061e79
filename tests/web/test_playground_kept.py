"""What this browser keeps of sessions: not those that were deleted, no more than there is room for, and both of two."""

import re

from playwright.async_api import Page, expect

from gateway import Site
from upstream import DONE, STALL, finish, script, usage
from upstream import text as piece
from web.playing import choose, enter, listed, messages, say, text

STORED = """() => new Promise((done) => {
  const asking = indexedDB.open("tertulia");
  asking.onsuccess = () => {
    const all = asking.result.transaction(["heads", "answers"]);
    const [heads, answers] = ["heads", "answers"].map((name) => all.objectStore(name).getAll());
    all.oncomplete = () => done([heads.result.map((one) => one.title), answers.result.length]);
  };
})"""


async def test_a_session_that_is_deleted_while_its_answer_comes_stays_deleted(page: Page, site: Site):
    slow = [step for place in range(30) for step in (piece(f"{place} ", first=not place), 0.1)]
    site.upstream.scripts = [script(*slow, finish(), usage(), DONE)]
    await enter(page, site)
    await say(page, "Count")
    await expect(page.get_by_text("0 1 2")).to_be_visible()
    await page.keyboard.press("Alt+n")
    await expect(messages(page)).to_have_count(0)
    await choose(page, "Delete", "More for Count")
    await expect(page.get_by_text("is deleted")).to_be_visible()
    await page.wait_for_timeout(1500)  # an answer that comes is written each second
    assert site.upstream.requests[0].gone
    assert await page.evaluate(STORED) == [[], 0]
    await page.reload()
    await expect(listed(page)).to_have_count(1)
    await expect(page.get_by_text("Count", exact=True)).to_have_count(0)


async def test_a_session_that_was_deleted_while_its_answer_came_comes_back_with_what_had_come(page: Page, site: Site):
    site.upstream.scripts = [script(piece("One, two", first=True), STALL)]
    await enter(page, site)
    await say(page, "Count")
    await expect(page.get_by_text("One, two")).to_be_visible()
    await page.keyboard.press("Alt+n")
    await expect(messages(page)).to_have_count(0)
    await choose(page, "Delete", "More for Count")
    await page.get_by_role("button", name="Undo").click()
    await expect(text(page, 1)).to_have_value("Count")
    await expect(page.get_by_text("One, two")).to_be_visible()
    await expect(page.get_by_text("stopped by you")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("One, two")).to_be_visible()


async def test_a_session_whose_answer_comes_is_copied_as_it_is_now(page: Page, site: Site):
    site.upstream.scripts = [script(piece("One", first=True), 0.6, piece(", two"), STALL)]
    await enter(page, site)
    await say(page, "Count")
    await expect(page.get_by_text("One")).to_be_visible()
    await page.keyboard.press("Alt+n")
    await expect(messages(page)).to_have_count(0)
    await page.wait_for_timeout(700)
    await choose(page, "Duplicate", "More for Count")
    await expect(page.get_by_text("One, two")).to_be_visible()
    await expect(page.get_by_text("The page was left")).to_have_count(0)
    await listed(page).get_by_role("button", name=re.compile("^Count [^(]")).click()
    await expect(page.get_by_text("writing ...")).to_be_visible()
