"""What this browser keeps of sessions: not those that were deleted, no more than there is room for, and both of two."""

import re

from playwright.async_api import Page, expect

from gateway import SEEING, Site
from upstream import DONE, STALL, finish, script, stream, usage
from upstream import text as piece
from web.playing import choose, enter, listed, messages, more, say, text

STORED = """() => new Promise((done) => {
  const asking = indexedDB.open("tertulia");
  asking.onsuccess = () => {
    const all = asking.result.transaction(["heads", "answers"]);
    const [heads, answers] = ["heads", "answers"].map((name) => all.objectStore(name).getAll());
    all.oncomplete = () => done([heads.result.map((one) => one.title), answers.result.length]);
  };
})"""
FILL = """(count) => new Promise((done, fail) => {
  const asking = indexedDB.open("tertulia");
  asking.onsuccess = () => {
    const all = asking.result.transaction(["heads", "sessions"], "readwrite");
    for (let place = 0; place < count; place += 1) {
      const session = { id: `${place}`, name: `Old ${place}`, created: 1, changed: 1, chats: [{
        id: `c${place}`, model: "", provider: "", system: "", messages: [], settings: {} }] };
      all.objectStore("sessions").put(session);
      all.objectStore("heads").put({ id: session.id, title: session.name, created: 1, changed: 1 });
    }
    all.oncomplete = () => done();
    all.onabort = () => fail(all.error);
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


async def test_more_sessions_than_300_are_made_in_no_way(page: Page, site: Site):
    await enter(page, site)
    await say(page, "Go")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await page.get_by_role("button", name="Share").click()
    link = await page.get_by_label("Link", exact=True).input_value()
    await page.evaluate(FILL, 299)
    await page.reload()
    await expect(listed(page)).to_have_count(300)
    await expect(page.get_by_text("300 kept in this browser only")).to_be_visible()
    full = page.get_by_text("300 sessions are kept at most: delete some first")

    async def told() -> None:
        await expect(full).to_be_visible()
        await expect(listed(page)).to_have_count(300)
        await page.get_by_role("button", name="Close", exact=True).click()
        await expect(full).to_have_count(0)

    await choose(page, "Duplicate")
    await told()
    await more(page, 2, "Branch into a session")
    await told()
    await page.get_by_role("button", name="New session", exact=True).click()
    await told()
    await page.goto(link)
    await told()
    await page.goto("about:blank")
    await page.goto(link)
    await told()
    await page.goto(f"{site.url}/playground?modelId={SEEING}")
    await told()
    await expect(text(page, 1)).to_have_value("Go")
    (heads, _) = await page.evaluate(STORED)
    assert len(heads) == 300
    await choose(page, "Delete")
    await page.get_by_role("button", name="Undo").click()
    await expect(listed(page)).to_have_count(300)
    await choose(page, "Delete")
    await page.get_by_role("button", name="New session", exact=True).click()
    await expect(messages(page)).to_have_count(0)
    await expect(full).to_have_count(0)


async def test_the_list_tells_what_of_it_is_kept(page: Page, site: Site):
    await enter(page, site)
    kept = page.get_by_role("complementary", name="Sessions").locator("> p")
    await expect(listed(page)).to_have_count(1)
    await expect(listed(page)).to_contain_text("not kept yet")
    await say(page, "Go")
    await expect(kept).to_have_text("1 kept in this browser only.")
    await expect(listed(page)).not_to_contain_text("not kept yet")
    await page.keyboard.press("Alt+n")
    await expect(listed(page)).to_have_count(2)
    await expect(kept).to_have_text("1 kept in this browser only.")
    await expect(listed(page).first).to_contain_text("not kept yet")
    await page.get_by_label("Message", exact=True).fill("What")
    await expect(kept).to_have_text("2 kept in this browser only.")
    await expect(listed(page).first).not_to_contain_text("not kept yet")


async def _two(page: Page, site: Site) -> Page:
    """Another tab with the session that ``page`` shows, which has one turn."""
    await enter(page, site)
    await say(page, "One")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await page.wait_for_timeout(500)  # it is written a moment later
    other = await page.context.new_page()
    await enter(other, site)
    await expect(messages(other)).to_have_count(2)
    return other


async def _both(page: Page, here: str, there: str, count: int = 4) -> None:
    """After a reload there are both of two sessions, each with what was said in its tab."""
    await page.reload()
    await expect(listed(page)).to_have_count(2)
    for name, words in (("One (other tab)", here), ("One", there)):
        await listed(page).get_by_role("button", name=re.compile(f"^{re.escape(name)} ?(just|\\d)")).click()
        await expect(page.get_by_label("Name of this session")).to_have_value(name if "(" in name else "")
        await expect(messages(page)).to_have_count(count)
        await expect(text(page, 3)).to_have_value(words)
        await expect(page.locator(".answer")).to_have_count(count // 2)
        await expect(page.get_by_text("Hello from afar.")).to_have_count(count // 2)


async def test_of_two_tabs_that_go_on_with_one_session_both_are_kept(page: Page, site: Site):
    other = await _two(page, site)
    await say(other, "From there")
    await expect(messages(other)).to_have_count(4)
    await expect(other.get_by_text("Hello from afar.")).to_have_count(2)
    await expect(page.get_by_text("Another tab changes this session")).to_be_visible()
    await say(page, "From here")
    await expect(page.get_by_text("Another tab went on with “One”")).to_be_visible()
    await expect(page.get_by_label("Name of this session")).to_have_value("One (other tab)")
    await expect(page.get_by_text("Hello from afar.")).to_have_count(2)
    await expect(listed(page)).to_have_count(2)
    await page.wait_for_timeout(500)
    await _both(page, "From here", "From there")
    await other.close()


async def test_an_answer_that_comes_while_another_tab_goes_on_is_kept_beside_it(page: Page, site: Site):
    other = await _two(page, site)
    slow = script(piece("Hello", first=True), 1.2, piece(" from"), 1.2, piece(" afar."), finish(), usage(), DONE)
    site.upstream.scripts = [slow, slow, stream("Hello", " from", " afar.")]
    await say(page, "From here")
    await expect(other.get_by_text("Another tab changes this session")).to_be_visible()
    await other.evaluate("dispatchEvent(new Event('focus'))")
    await expect(messages(other)).not_to_have_count(2)
    site.upstream.scripts = [stream("Hello", " from", " afar.")]
    await say(other, "From there")
    await expect(page.get_by_text("Another tab went on with “One”")).to_be_visible()
    await expect(page.get_by_text("Hello from afar.")).to_have_count(2)
    await page.wait_for_timeout(500)
    await page.reload()
    await expect(page.get_by_label("Name of this session")).to_have_value("One (other tab)")
    await expect(page.get_by_text("Hello from afar.")).to_have_count(2)
    await expect(text(page, 3)).to_have_value("From here")
    await expect(other.get_by_text("Hello from afar.").last).to_be_visible()
    await other.wait_for_timeout(500)
    await other.reload()
    await expect(messages(other).nth(-2).get_by_role("textbox")).to_have_value("From there")
    await expect(other.get_by_label("Name of this session")).to_have_value("")
    await expect(listed(other)).to_have_count(2)
    await other.close()


async def test_a_session_that_one_tab_changes_at_a_time_stays_one(page: Page, site: Site):
    other = await _two(page, site)
    for number, tab in enumerate((other, page, other), 2):
        await tab.evaluate("dispatchEvent(new Event('focus'))")
        await expect(messages(tab)).to_have_count(2 * number - 2)
        await say(tab, f"Turn {number}")
        await expect(messages(tab)).to_have_count(2 * number)
        await expect(tab.get_by_text("Hello from afar.")).to_have_count(number)
        await tab.wait_for_timeout(500)
    await expect(listed(page)).to_have_count(1)
    await expect(listed(other)).to_have_count(1)
    await other.close()
