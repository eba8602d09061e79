"""Conversations side by side: who is asked, by what, and who is not."""

import re
from collections.abc import Awaitable, Callable

import pytest
from playwright.async_api import Page, expect

from gateway import MODEL, SEEING, Site
from upstream import STALL, refusal, script, stream
from upstream import text as piece
from web.playing import asked, column, enter, messages, said, say, setting


async def test_a_first_visit_shows_a_model_and_what_to_try_and_sends_nothing(
    page: Page, site: Site, axe: Callable[[Page], Awaitable[None]]
):
    await enter(page, site)
    await axe(page)
    await page.get_by_role("button", name="Write code").click()
    box = page.get_by_label("Message", exact=True)
    await expect(box).to_have_value(re.compile("palindrome"))
    await expect(box).to_be_focused()
    assert not site.upstream.requests
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await expect(box).to_have_value("")
    assert asked(site)["messages"][0]["content"].startswith("Write a Python function")
    assert asked(site)["stream"] is True
    await axe(page)


async def test_one_prompt_goes_to_all_or_to_one(page: Page, site: Site):
    await enter(page, site)
    await page.get_by_role("button", name="Compare").click()
    await page.keyboard.press("Alt+c")
    for number in (1, 2, 3):
        await column(page, number).get_by_label("System prompt").fill(f"You are number {number}.")
    await say(page, "All of you")
    for number in (1, 2, 3):
        await expect(column(page, number).get_by_text("Hello from afar.")).to_be_visible()
    assert sorted(said(site, at)[0][1] for at in range(3)) == [f"You are number {n}." for n in (1, 2, 3)]
    await page.get_by_role("radio", name=re.compile("Conversation 2")).check()
    await say(page, "Only you")
    await expect(messages(column(page, 2))).to_have_count(4)
    await expect(column(page, 2).get_by_text("Hello from afar.")).to_have_count(2)
    assert said(site)[0][1] == "You are number 2." and said(site)[-1] == ("user", "Only you")
    assert len(site.upstream.requests) == 4
    await expect(messages(column(page, 1))).to_have_count(2)


async def test_there_are_four_conversations_at_most_and_a_closed_one_comes_back(page: Page, site: Site):
    await enter(page, site)
    await column(page).get_by_label("System prompt").fill("Be brief.")
    for _ in range(3):
        await page.get_by_role("button", name="Compare").click()
    await expect(page.get_by_role("region", name="Conversation")).to_have_count(4)
    await expect(page.get_by_role("button", name="Compare")).to_be_disabled()
    await expect(column(page, 4).get_by_label("System prompt")).to_have_value("Be brief.")
    await column(page, 2).get_by_label("System prompt").fill("The second")
    await column(page, 2).get_by_role("button", name="More for this conversation").click()
    await page.get_by_role("menuitem", name="Close this conversation").click()
    await expect(page.get_by_role("region", name="Conversation")).to_have_count(3)
    await page.get_by_role("button", name="Undo").click()
    await expect(column(page, 2).get_by_label("System prompt")).to_have_value("The second")


async def test_each_answer_is_stopped_by_itself_and_keeps_what_came(page: Page, site: Site):
    site.upstream.scripts = [script(piece("Begun and", first=True), STALL)]
    await enter(page, site)
    await page.get_by_role("button", name="Compare").click()
    await say(page, "Go")
    for number in (1, 2):
        await expect(column(page, number).get_by_text("Begun and")).to_be_visible()
    await column(page, 1).get_by_role("button", name="Stop", exact=True).click()
    await expect(column(page, 1).get_by_role("button", name="Stop", exact=True)).to_have_count(0)
    await expect(column(page, 2).get_by_role("button", name="Stop", exact=True)).to_be_visible()
    await page.keyboard.press("Escape")
    await expect(page.get_by_role("button", name=re.compile("Stop"))).to_have_count(0)
    for number in (1, 2):
        await expect(column(page, number).get_by_text("Begun and")).to_be_visible()
    for request in site.upstream.requests:
        assert request.json["messages"] == [{"role": "user", "content": "Go"}]


async def test_nothing_came_of_an_answer_that_is_stopped_before_it_begins(page: Page, site: Site):
    site.upstream.scripts = [script(STALL)]
    await enter(page, site)
    await say(page, "Go")
    await page.get_by_role("button", name="Stop", exact=True).last.click()
    await expect(messages(page)).to_have_count(1)
    site.upstream.scripts = [stream("Here")]
    await page.get_by_role("button", name="Get an answer").click()
    await expect(page.get_by_text("Here", exact=True)).to_be_visible()


async def test_an_error_stands_where_the_answer_would_and_is_no_part_of_the_conversation(page: Page, site: Site):
    site.upstream.scripts = [refusal(400, "the prompt is too purple")]
    await enter(page, site)
    await say(page, "Go")
    await expect(messages(page)).to_have_count(2)
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    site.upstream.scripts = [stream("Better")]
    await page.get_by_role("button", name="Try again").click()
    await expect(page.get_by_text("Better", exact=True)).to_be_visible()
    await expect(messages(page)).to_have_count(2)
    assert said(site) == [("user", "Go")]


async def test_settings_are_sent_and_what_is_wrong_with_them_is_said_before(page: Page, site: Site):
    await enter(page, site)
    await page.get_by_role("button", name="Settings of this conversation").click()
    temperature = setting(page, "temperature")
    await temperature.fill("5")
    await say(page, "Go")
    await expect(column(page).get_by_role("alert")).to_contain_text("temperature")
    await expect(page.get_by_label("Message", exact=True)).to_have_value("Go")
    assert not site.upstream.requests
    await temperature.fill("0.5")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await expect(column(page).get_by_role("alert")).to_have_count(0)
    assert asked(site)["temperature"] == 0.5 and "top_p" not in asked(site)
    await page.reload()
    await page.get_by_role("button", name="Settings of this conversation").click()
    await expect(temperature).to_have_value("0.5")


async def test_who_sends_while_an_answer_comes_ends_it_with_what_has_come(page: Page, site: Site):
    site.upstream.scripts = [script(STALL), script(piece("Half", first=True), STALL), stream("Whole")]
    await enter(page, site)
    await say(page, "One")
    await expect(messages(page)).to_have_count(2)
    await say(page, "Two")
    await expect(page.get_by_text("Half")).to_be_visible()
    await say(page, "Three")
    await expect(page.get_by_text("Whole")).to_be_visible()
    assert said(site) == [("user", "One"), ("user", "Two"), ("assistant", "Half"), ("user", "Three")]


async def test_a_model_is_searched_for_by_keyboard_and_asked_at_the_chosen_provider(
    page: Page, site: Site, axe: Callable[[Page], Awaitable[None]]
):
    await enter(page, site)
    await page.get_by_role("button", name="Model:").click()
    search = page.get_by_role("combobox", name="Search models")
    await expect(search).to_be_focused()
    models = page.get_by_role("listbox", name="Models").get_by_role("option")
    await expect(models).to_have_count(2)
    await axe(page)
    await search.fill("seeing")
    await expect(models).to_contain_text([SEEING, "Ask for “seeing”"])
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("button", name=f"Model: {SEEING}")).to_be_focused()
    await page.get_by_role("combobox", name="Provider").select_option("scripted")
    await say(page, "Go")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    assert asked(site)["model"] == "s"
    await page.get_by_role("button", name="Model:").click()
    await search.fill("nobody/knows")
    await page.get_by_role("option", name="Ask for").click()
    await say(page, "Go")
    await expect(column(page).get_by_text(re.compile("no model|nobody|serves")).first).to_be_visible()


async def test_an_address_chooses_model_and_provider(page: Page, site: Site):
    await enter(page, site, f"/playground?modelId={SEEING}&provider=scripted")
    await expect(page.get_by_role("button", name=f"Model: {SEEING}")).to_be_visible()
    await expect(page.get_by_role("combobox", name="Provider")).to_have_value("scripted")
    await page.reload()
    await expect(page.get_by_role("button", name=f"Model: {SEEING}")).to_be_visible()
    await page.get_by_label("Message", exact=True).fill("Kept from now on")
    await expect(page).to_have_url(f"{site.url}/playground")
    await page.reload()
    await expect(page.get_by_role("button", name=f"Model: {SEEING}")).to_be_visible()
    await page.goto(f"{site.url}/playground?modelId={MODEL}")
    await expect(page.get_by_role("button", name=f"Model: {MODEL}")).to_be_visible()
    assert not site.upstream.requests


async def test_code_is_that_of_what_would_be_sent(page: Page, site: Site):
    await enter(page, site)
    await page.get_by_label("Message", exact=True).fill("Say :) and 'quotes'")
    await page.get_by_role("button", name="Code of this conversation").click()
    panel = page.get_by_role("complementary", name="model")
    await expect(panel.get_by_text("Say :) and 'quotes'")).to_be_visible()
    await column(page).get_by_label("System prompt").fill("Be a pirate.")
    await expect(panel.get_by_text("Be a pirate.")).to_be_visible()
    await panel.get_by_role("button", name="Settings", exact=True).click()
    await panel.get_by_role("button", name="Code", exact=True).click()
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await expect(panel.get_by_text("Say :) and 'quotes'")).to_be_visible()
    await expect(panel.get_by_text("Hello from afar.")).to_have_count(0)
    await panel.get_by_role("button", name="Close the panel").click()
    await expect(page.get_by_role("button", name="Code of this conversation")).to_be_focused()


async def test_keys_do_what_their_list_says(page: Page, site: Site):
    await enter(page, site)
    await page.get_by_role("button", name="Compare").focus()
    await page.keyboard.press("?")
    keys = page.get_by_role("dialog", name="Keys")
    await expect(keys).to_contain_text("New session")
    await page.keyboard.press("Escape")
    await expect(keys).to_have_count(0)
    await page.keyboard.press("/")
    box = page.get_by_label("Message", exact=True)
    await expect(box).to_be_focused()
    await expect(box).to_have_value("")
    await page.keyboard.type("a/b?")
    await expect(box).to_have_value("a/b?")
    await page.get_by_label("System prompt").focus()
    await page.keyboard.press("Alt+/")
    await expect(box).to_be_focused()
    opener = page.get_by_role("button", name="More for this session")
    await opener.focus()
    await page.keyboard.press("ArrowDown")
    await expect(page.get_by_role("menuitem", name="Duplicate")).to_be_focused()
    await page.keyboard.press("End")
    await expect(page.get_by_role("menuitem", name="Keys")).to_be_focused()
    await page.keyboard.press("Escape")
    await expect(opener).to_be_focused()
    await page.keyboard.press("Alt+c")
    await expect(page.get_by_role("region", name="Conversation")).to_have_count(2)
    await page.keyboard.press("Alt+n")
    await expect(page.get_by_role("region", name="Conversation")).to_have_count(1)
    await expect(box).to_have_value("")


@pytest.mark.parametrize("width", [360, 1440])
async def test_four_conversations_fit_any_screen(
    page: Page, site: Site, width: int, axe: Callable[[Page], Awaitable[None]]
):
    await page.set_viewport_size({"width": width, "height": 760})
    await enter(page, site)
    for _ in range(3):
        await page.get_by_role("button", name="Compare").click()
    await say(page, "Go")
    await expect(page.get_by_text("Hello from afar.")).to_have_count(4)
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    assert await page.evaluate("document.documentElement.scrollHeight") <= 760
    if width == 360:
        await page.get_by_role("group", name="Conversations").get_by_role("button", name=re.compile("^3")).click()
        await expect(column(page, 3)).to_be_in_viewport(ratio=0.9)
        await expect(column(page, 1)).not_to_be_in_viewport()
        await page.get_by_role("button", name="Sessions", exact=True).click()
        await expect(page.get_by_role("complementary", name="Sessions")).to_be_in_viewport()
        await axe(page)


async def test_a_page_over_the_real_engine_answers(page: Page, real):
    await page.goto(f"{real.address}/playground")
    await expect(page.get_by_role("button", name=re.compile("Model: .*SmolLM2"))).to_be_visible()
    await page.get_by_role("button", name="Settings of this conversation").click()
    await setting(page, "temperature").fill("0")
    await page.get_by_label("Message", exact=True).fill("What is the capital of France?")
    await page.get_by_role("button", name="Send", exact=True).click()
    await expect(messages(page).nth(1)).to_contain_text("The capital of France is Paris.", timeout=20_000)
    await expect(page.get_by_role("button", name=re.compile("Stop"))).to_have_count(0)
