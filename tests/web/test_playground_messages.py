"""Every message: edited in place, given to another, moved, asked again, gone on with, branched from."""

import base64
import re
from pathlib import Path

from playwright.async_api import Page, expect

from gateway import SEEING, Site
from upstream import DONE, STALL, delta, finish, script, stream, usage
from upstream import text as piece
from web.playing import asked, column, enter, messages, more, said, say, text

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)


def calling(*calls: tuple[str, str, str]):
    """An answer that makes these calls: id, name, arguments."""
    deltas = [
        {"index": at, "id": call, "type": "function", "function": {"name": name, "arguments": given}}
        for at, (call, name, given) in enumerate(calls)
    ]
    return script(delta({"role": "assistant", "tool_calls": deltas}), finish("tool_calls"), usage(), DONE)


async def talk(page: Page, site: Site) -> None:
    """Two turns."""
    site.upstream.scripts = [stream("First answer."), stream("Second answer.")]
    await enter(page, site)
    await say(page, "One")
    await expect(page.get_by_text("First answer.")).to_be_visible()
    await say(page, "Two")
    await expect(page.get_by_text("Second answer.")).to_be_visible()
    site.upstream.scripts = [stream("Another answer.")]


async def test_what_was_said_is_edited_in_place_and_asked_again_from_there(page: Page, site: Site):
    await talk(page, site)
    await text(page, 1).fill("One, but better")
    await page.get_by_role("button", name="Edit message 2").click()
    await expect(text(page, 2)).to_be_focused()
    await text(page, 2).fill("What it should have said.")
    await page.keyboard.press("Escape")
    await expect(page.get_by_text("What it should have said.")).to_be_visible()
    await expect(text(page, 2)).to_have_count(0)
    await page.get_by_role("button", name="Regenerate from message 4").click()
    await expect(page.get_by_text("Another answer.")).to_be_visible()
    await expect(page.get_by_text("Second answer.")).to_have_count(0)
    assert said(site) == [("user", "One, but better"), ("assistant", "What it should have said."), ("user", "Two")]
    await page.get_by_role("button", name="Regenerate from message 1").click()
    await expect(messages(page)).to_have_count(2)
    assert said(site) == [("user", "One, but better")]
    await page.get_by_role("button", name="Undo").click()
    await expect(messages(page)).to_have_count(4)


async def test_messages_are_inserted_deleted_moved_and_change_sides(page: Page, site: Site):
    await talk(page, site)
    await more(page, 1, "Insert above")
    await expect(text(page, 1)).to_be_focused()
    await page.keyboard.type("Zero")
    await page.get_by_label("Role of message 1").select_option("system")
    await more(page, 5, "Insert below")
    await page.keyboard.type("Three")
    await page.get_by_role("button", name="Delete message 3").click()
    await expect(page.get_by_text("First answer.")).to_have_count(0)
    await page.get_by_role("button", name="Undo").click()
    await expect(page.get_by_text("First answer.")).to_be_visible()
    await page.get_by_role("button", name="Delete message 3").click()
    await text(page, 2).focus()
    await page.keyboard.press("Alt+ArrowDown")
    await expect(text(page, 3)).to_be_focused()
    await expect(text(page, 3)).to_have_value("One")
    await more(page, 3, re.compile("Move up"))
    await expect(text(page, 2)).to_have_value("One")
    await page.keyboard.press("Alt+ArrowDown")
    await page.get_by_label("Role of message 2").select_option("assistant")
    await page.get_by_role("button", name="Get an answer").click()
    await expect(page.get_by_text("Another answer.")).to_be_visible()
    expected = [("system", "Zero"), ("assistant", "Two"), ("user", "One"), ("assistant", "Second answer.")]
    assert said(site) == [*expected, ("user", "Three")]


async def test_an_answer_is_gone_on_with_where_it_ends(page: Page, site: Site):
    site.upstream.scripts = [stream("Once upon"), stream(" a time")]
    await enter(page, site)
    await say(page, "A tale")
    await expect(page.get_by_text("Once upon")).to_be_visible()
    await page.get_by_role("button", name="Continue message 2").click()
    await expect(page.get_by_text("Once upon a time")).to_be_visible()
    await expect(messages(page)).to_have_count(2)
    assert said(site) == [("user", "A tale"), ("assistant", "Once upon")]
    await page.get_by_role("button", name="Copy message 2").click()
    assert await page.evaluate("navigator.clipboard.readText()") == "Once upon a time"


async def test_words_are_put_into_the_assistants_mouth(page: Page, site: Site):
    site.upstream.scripts = [stream(" is blue.")]
    await enter(page, site)
    for words in ("What colour?", "The sky"):
        await page.get_by_role("button", name="Add a message").click()
        await page.keyboard.type(words)
    await expect(page.get_by_label("Role of message 2")).to_have_value("assistant")
    await page.get_by_role("button", name="Continue message 2").click()
    await expect(page.get_by_text("The sky is blue.")).to_be_visible()
    assert said(site) == [("user", "What colour?"), ("assistant", "The sky")]


async def test_a_branch_begins_from_any_message(page: Page, site: Site):
    await talk(page, site)
    await more(page, 2, "Branch into a column")
    await expect(messages(column(page, 2))).to_have_count(2)
    await text(column(page, 2), 1).fill("One, elsewhere")
    await expect(text(column(page, 1), 1)).to_have_value("One")
    await more(column(page, 1), 3, "Branch into a session")
    await expect(page.get_by_role("region", name="Conversation")).to_have_count(1)
    await expect(messages(page)).to_have_count(3)
    await page.get_by_role("button", name="Get an answer").click()
    await expect(page.get_by_text("Another answer.")).to_be_visible()
    assert said(site)[-1] == ("user", "Two")
    await page.get_by_role("button", name=re.compile("^One just")).click()
    await expect(messages(column(page, 1))).to_have_count(4)
    await expect(text(column(page, 2), 1)).to_have_value("One, elsewhere")


async def test_pictures_are_chosen_pasted_dropped_named_and_taken_away(page: Page, site: Site, tmp_path: Path):
    picture = tmp_path / "dot.png"
    picture.write_bytes(PNG)
    (tmp_path / "notes.txt").write_text("no picture")
    await enter(page, site, f"/playground?modelId={SEEING}")
    for path in (picture, tmp_path / "notes.txt"):
        async with page.expect_file_chooser() as choosing:
            await page.get_by_role("button", name="Add pictures").click()
        await (await choosing.value).set_files(path)
    await expect(page.get_by_text(re.compile("notes.txt is not taken"))).to_be_visible()
    await expect(page.get_by_role("img", name="Picture 1")).to_be_visible()
    given = "new DataTransfer()", f"Uint8Array.from(atob('{base64.b64encode(PNG).decode()}'), c => c.charCodeAt(0))"
    await page.evaluate(
        f"""() => {{
        const transfer = {given[0]};
        transfer.items.add(new File([{given[1]}], "pasted.png", {{ type: "image/png" }}));
        const options = {{ bubbles: true, cancelable: true }};
        document.querySelector("#prompt").dispatchEvent(
            new ClipboardEvent("paste", {{ ...options, clipboardData: transfer }}));
        document.querySelector(".columns").dispatchEvent(
            new DragEvent("drop", {{ ...options, dataTransfer: transfer }}));
        }}"""
    )
    await expect(page.get_by_role("img", name="Picture 3")).to_be_visible()
    await page.get_by_role("button", name="Remove picture 2").click()
    await page.get_by_role("button", name="More to add").click()
    await page.get_by_role("menuitem", name="A picture's address").click()
    await page.get_by_role("textbox", name="Address").fill("https://pictures.example/cat.png")
    await page.get_by_role("button", name="Add it").click()
    await expect(page.get_by_text("https://pictures.example/cat.png")).to_be_visible()
    await page.get_by_role("button", name="Remove picture 1").click()
    await page.get_by_role("button", name="Remove picture 2").click()
    await say(page, "What is it?")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
    assert said(site) == [
        ("user", [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": url}}])
    ]
    await expect(messages(page).first.get_by_role("img", name="Picture 1")).to_be_visible()
    await messages(page).first.get_by_role("button", name="Remove picture 1").click()
    await page.get_by_role("button", name="Regenerate from message 1").click()
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    assert said(site) == [("user", "What is it?")]


async def test_a_picture_that_is_too_large_is_refused_in_numbers(page: Page, site: Site, tmp_path: Path):
    large = tmp_path / "large.png"
    large.write_bytes(PNG + bytes(10 * 1024 * 1024))
    await enter(page, site)
    async with page.expect_file_chooser() as choosing:
        await page.get_by_role("button", name="Add pictures").click()
    await (await choosing.value).set_files(large)
    await expect(
        page.get_by_text(re.compile("large.png is not taken: it has 10.* MiB, and 10.* MiB may be sent"))
    ).to_be_visible()
    await expect(page.get_by_role("img", name="Picture 1")).to_have_count(0)


async def test_calls_are_given_results_that_only_need_filling_in(page: Page, site: Site):
    site.upstream.scripts = [
        calling(("call_a", "weather", '{"city": "Paris"}'), ("call_b", "time", '{"zone": "CET"}')),
        stream("Sunny at noon."),
    ]
    await enter(page, site)
    await say(page, "Weather and time?")
    await page.get_by_role("button", name="Add the 2 results").click()
    await expect(text(page, 3)).to_be_focused()
    await page.keyboard.type('{"sky": "clear"}')
    await expect(messages(page).nth(2).get_by_label("Call")).to_have_value("call_a")
    await expect(messages(page).nth(3).get_by_label("Name")).to_have_value("time")
    await text(page, 4).fill("noon")
    await expect(page.get_by_role("button", name=re.compile("Add the"))).to_have_count(0)
    await page.get_by_role("button", name="Get an answer").click()
    await expect(page.get_by_text("Sunny at noon.")).to_be_visible()
    sent = asked(site)["messages"]
    assert [call["function"]["name"] for call in sent[1]["tool_calls"]] == ["weather", "time"]
    assert sent[2] == {"role": "tool", "content": '{"sky": "clear"}', "name": "weather", "tool_call_id": "call_a"}
    assert sent[3]["tool_call_id"] == "call_b"
    await page.get_by_role("button", name="Edit message 2").click()
    calls = page.get_by_label("Calls of message 2")
    await calls.fill("[{]")
    await expect(page.get_by_text(re.compile("Not taken"))).to_be_visible()
    await calls.fill('[{"id": "call_a", "type": "function", "function": {"name": "sky", "arguments": "{}"}}]')
    await page.get_by_role("button", name="Delete message 4").click()
    await page.get_by_role("button", name="Regenerate from message 3").click()
    await expect(page.get_by_text("Sunny at noon.")).to_be_visible()
    assert [call["function"]["name"] for call in asked(site)["messages"][1]["tool_calls"]] == ["sky"]


async def test_a_reload_keeps_edits_and_what_had_come_of_an_answer(page: Page, site: Site):
    site.upstream.scripts = [script(piece("Half an", first=True), piece(" answer"), STALL)]
    await enter(page, site)
    await column(page).get_by_label("System prompt").fill("Be slow.")
    await say(page, "Go")
    await expect(page.get_by_text("Half an answer")).to_be_visible()
    await text(page, 1).fill("Go on")
    await page.get_by_label("Message", exact=True).fill("Not sent yet")
    await page.reload()
    await expect(page.get_by_text("Half an answer")).to_be_visible()
    await expect(page.get_by_text(re.compile("The page was left"))).to_be_visible()
    await expect(text(page, 1)).to_have_value("Go on")
    await expect(column(page).get_by_label("System prompt")).to_have_value("Be slow.")
    await expect(page.get_by_label("Message", exact=True)).to_have_value("Not sent yet")
    site.upstream.scripts = [stream(", and the rest")]
    await page.get_by_role("button", name="Continue message 2").click()
    await expect(page.get_by_text("Half an answer, and the rest")).to_be_visible()
    await page.get_by_role("button", name="Edit message 2").click()
    await text(page, 2).fill("My own words")
    await page.reload()
    await expect(page.get_by_text("My own words")).to_be_visible()
    assert len(site.upstream.requests) == 2
