"""What becomes of answers: while they come, where a page is left, looked at again, copied, gone on with."""

import re
from typing import Any

from playwright.async_api import Locator, Page, Request, expect

from gateway import Site
from upstream import DONE, STALL, delta, finish, script, stream, usage
from upstream import text as piece
from web.playing import asked, column, enter, messages, more, said, say, setting, text


def _tab(page: Page | Locator, name: str) -> Locator:
    return page.get_by_role("tab", name=name, exact=True)


async def test_of_several_answers_the_chosen_one_is_sent_and_still_chosen_after_a_reload(page: Page, site: Site):
    call = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    first: dict[str, Any] = {"role": "assistant", "reasoning": "I look it up.", "tool_calls": [call]}
    ends = [finish("tool_calls"), finish(index=1), usage(), DONE]
    site.upstream.scripts = [script(delta(first), piece("By heart", index=1), *ends), stream("Fine.")]
    await enter(page, site)
    await say(page, "Go")
    await _tab(page, "Choice 2").click()
    await expect(page.get_by_text("By heart")).to_be_visible()
    await expect(page.get_by_role("button", name="Continue message 2")).to_have_count(1)
    await page.reload()
    await expect(_tab(page, "Choice 2")).to_have_attribute("aria-selected", "true")
    await expect(page.get_by_text("By heart")).to_be_visible()
    await say(page, "Thanks")
    await expect(page.get_by_text("Fine.")).to_be_visible()
    assert asked(site)["messages"][1] == {"role": "assistant", "content": "By heart"}


async def test_a_copy_of_an_answer_that_still_comes_is_what_had_come(page: Page, site: Site):
    site.upstream.scripts = [script(piece("Begun", first=True), STALL)]
    await enter(page, site)
    await say(page, "Go")
    await expect(page.get_by_text("Begun")).to_be_visible()
    await page.get_by_role("button", name="Compare").click()
    await expect(column(page, 2).get_by_text("Begun")).to_be_visible()
    await expect(column(page, 2).get_by_text("in all")).to_be_visible()
    await expect(column(page, 1).get_by_text("writing ...")).to_be_visible()


async def test_how_an_answer_is_looked_at_stays_when_it_is_whole(page: Page, site: Site):
    thought = delta({"role": "assistant", "reasoning": "It is **bold**."})
    site.upstream.scripts = [script(thought, piece("A *bold* word"), 1.0, piece("."), finish(), usage(), DONE)]
    await enter(page, site)
    await say(page, "Go")
    await page.get_by_role("button", name="Raw").click()
    await page.get_by_text(re.compile("^Thought")).click()
    await expect(page.get_by_text("in all")).to_be_visible()
    await expect(page.locator(".raw")).to_have_text("A *bold* word.")
    await expect(page.get_by_text("It is bold.")).to_be_visible()


async def test_a_reload_keeps_what_had_come_of_an_answer_that_was_gone_on_with(page: Page, site: Site):
    site.upstream.scripts = [stream("Once"), script(piece(" upon", first=True), STALL)]
    await enter(page, site)
    await say(page, "Go")
    await expect(page.get_by_text("Once")).to_be_visible()
    await page.get_by_role("button", name="Continue message 2").click()
    await expect(page.get_by_text("Once upon")).to_be_visible()
    await page.reload()
    await expect(page.get_by_text("The page was left")).to_be_visible()
    await expect(page.get_by_text("Once upon")).to_be_visible()


async def test_where_nothing_can_be_sent_no_message_goes(page: Page, site: Site):
    await enter(page, site)
    await say(page, "Go")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await page.get_by_role("button", name="Settings of this conversation").click()
    await setting(page, "temperature").fill("5")
    await page.get_by_role("button", name="Regenerate from message 2").click()
    await expect(column(page).get_by_role("alert")).to_contain_text("Not sent")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    assert len(site.upstream.requests) == 1


async def test_who_was_somebody_else_meanwhile_says_what_he_says_now(page: Page, site: Site):
    await enter(page, site)
    await say(page, "Go")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await page.get_by_label("Role of message 2").select_option("user")
    await text(page, 2).fill("Something else")
    await page.get_by_label("Role of message 2").select_option("assistant")
    await page.reload()
    await expect(messages(page).last).to_contain_text("Something else")
    await say(page, "On")
    await expect(messages(page)).to_have_count(4)
    assert said(site)[1] == ("assistant", "Something else")


async def test_stopping_ends_the_answers_that_are_seen_only(page: Page, site: Site):
    slow = script(piece("Slowly", first=True), 2.0, piece(" done."), finish(), usage(), DONE)
    site.upstream.scripts = [slow, script(STALL)]
    await enter(page, site)
    await say(page, "One")
    await expect(page.get_by_text("Slowly")).to_be_visible()
    await page.get_by_role("button", name="New session", exact=True).click()
    await say(page, "Two")
    await expect(messages(page)).to_have_count(2)
    await page.keyboard.press("Escape")
    await expect(messages(page)).to_have_count(1)
    await page.get_by_role("button", name=re.compile("^One")).click()
    await expect(page.get_by_text("Slowly done.")).to_be_visible()


async def test_what_was_deleted_comes_back_where_it_was_only(page: Page, site: Site):
    await enter(page, site)
    await say(page, "One")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await more(page, 1, "Insert below")
    await page.get_by_role("button", name="Delete message 2").click()
    await expect(page.get_by_role("button", name="Undo")).to_be_visible()
    await page.get_by_role("button", name="New session", exact=True).click()
    await expect(page.get_by_role("button", name="Undo")).to_have_count(0)


async def test_the_code_is_always_that_of_what_is_sent(page: Page, site: Site):
    sent: list[Any] = []
    shown: list[Any] = []

    def note(request: Request) -> None:
        if request.method == "POST":
            body = request.post_data_json
            shown.append(body["request"]) if request.url.endswith("/api/snippets") else sent.append(body)

    async def agree(count: int) -> None:
        """What is shown is what was sent as the request number ``count``."""
        await expect(page.get_by_role("button", name="Stop", exact=True)).to_have_count(0)
        await page.wait_for_timeout(500)  # the code is made anew a moment after the last change
        assert len(sent) == count and shown[-1] == sent[-1]

    page.on("request", note)
    call = {"index": 0, "id": "call_a", "type": "function", "function": {"name": "look", "arguments": "{}"}}
    calling = script(delta({"role": "assistant", "tool_calls": [call]}), finish("tool_calls"), usage(), DONE)
    site.upstream.scripts = [calling, stream("It is 42,"), stream(" I think.")]
    await enter(page, site)
    await page.get_by_role("button", name="Code of this conversation").click()
    await say(page, "How much?")
    await expect(page.get_by_role("button", name="Add the result of look")).to_be_visible()
    await agree(1)
    await page.get_by_role("button", name="Add the result of look").click()
    await page.keyboard.type("42")
    await page.get_by_role("button", name="Get an answer").click()
    await expect(page.get_by_text("It is 42,")).to_be_visible()
    await agree(2)
    await page.get_by_role("button", name="Continue message 4").click()
    await expect(page.get_by_text("It is 42, I think.")).to_be_visible()
    await agree(3)
    assert sent[-1]["messages"][-1] == {"role": "assistant", "content": "It is 42,"}
