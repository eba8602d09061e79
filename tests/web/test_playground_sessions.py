"""Sessions: kept in the browser, named, copied, exported, imported, deleted, and sent as a link."""

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from gateway import MODEL, SEEING, Site
from upstream import DONE, finish, script, usage
from upstream import text as piece
from web.playing import choose, column, enter, give, listed, messages, said, say, text


def _deep(levels: int) -> Any:
    value: Any = []
    for _ in range(levels):
        value = [value]
    return value


async def test_sessions_are_kept_named_and_gone_back_to(page: Page, site: Site):
    await enter(page, site)
    await say(page, "About cats")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await expect(page).to_have_title(re.compile("About cats"))
    await page.get_by_label("Name of this session").fill("Cats")
    await page.get_by_role("button", name="New session", exact=True).click()
    await expect(messages(page)).to_have_count(0)
    await say(page, "About dogs")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await expect(listed(page)).to_contain_text(["About dogs", "Cats"])
    await page.reload()
    await expect(text(page, 1)).to_have_value("About dogs")
    await listed(page).get_by_role("button", name=re.compile("^Cats")).click()
    await expect(text(page, 1)).to_have_value("About cats")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await expect(page.get_by_label("Name of this session")).to_have_value("Cats")


async def test_a_session_is_copied_and_a_deleted_one_comes_back(page: Page, site: Site):
    await enter(page, site)
    await say(page, "About cats")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await choose(page, "Duplicate")
    await expect(listed(page)).to_have_count(2)
    await text(page, 1).fill("About tigers")
    await choose(page, "Delete")
    await expect(listed(page)).to_have_count(1)
    await expect(text(page, 1)).to_have_value("About cats")
    await page.get_by_role("button", name="Undo").click()
    await expect(listed(page)).to_have_count(2)
    await expect(text(page, 1)).to_have_value("About tigers")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await choose(page, "Delete", "More for About cats")
    await expect(listed(page)).to_have_count(1)
    await page.reload()
    await expect(text(page, 1)).to_have_value("About tigers")
    await expect(listed(page)).to_have_count(1)


async def test_an_exported_session_comes_back_whole(page: Page, site: Site, tmp_path: Path):
    await enter(page, site)
    await column(page).get_by_label("System prompt").fill("Be kind. </script>")
    await say(page, "About 🐈 and `ticks`")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await page.get_by_role("button", name="Compare").click()
    await page.get_by_label("Name of this session").fill("Cats: 2")
    async with page.expect_download() as downloading:
        await choose(page, "Export")
    download = await downloading.value
    assert download.suggested_filename == "Cats-2.json"
    path = tmp_path / "session.json"
    await download.save_as(path)
    await choose(page, "Delete")
    await expect(messages(page)).to_have_count(0)
    await give(page, path)
    await expect(messages(column(page, 2))).to_have_count(2)
    await expect(text(column(page, 1), 1)).to_have_value("About 🐈 and `ticks`")
    await expect(column(page, 2).get_by_label("System prompt")).to_have_value("Be kind. </script>")
    await expect(page.get_by_text("Hello from afar.")).to_have_count(2)
    await expect(page.get_by_label("Name of this session")).to_have_value("Cats: 2")
    await say(page, "More")
    await expect(page.get_by_text("Hello from afar.")).to_have_count(4)
    assert said(site)[0] == ("system", "Be kind. </script>")


async def test_a_file_that_is_no_session_is_refused_by_its_place(page: Page, site: Site, tmp_path: Path):
    await enter(page, site)
    wrong: dict[str, Any] = {
        "it is not JSON": "{",
        '"chats" has to be a list': {"name": "x"},
        "5 conversations": {"chats": [{}] * 5},
        'conversation 1, message 1: "role"': {"chats": [{"messages": [{"role": "wizard", "content": ""}]}]},
        'message 1: "content"': {"chats": [{"messages": [{"role": "user", "content": 5}]}]},
        '"stop" of "settings"': {"chats": [{"settings": {"stop": 5}}]},
        "audio": {"chats": [{"messages": [{"role": "user", "content": [{"type": "audio"}]}]}]},
        'session 2: "chats"': {"sessions": [{"chats": [{}]}, {}]},
        '"messages" is no setting': {"chats": [{"settings": {"messages": [{"role": "user", "content": "other"}]}}]},
        "nested too deeply": {"chats": [{"settings": {"tools": _deep(300)}}]},
    }
    path = tmp_path / "wrong.json"
    for told, plain in wrong.items():
        path.write_text(plain if isinstance(plain, str) else json.dumps(plain))
        await give(page, path)
        await expect(page.get_by_text("wrong.json is not imported")).to_contain_text(told)
    await expect(listed(page)).to_have_count(1)


async def test_a_session_of_hostile_parts_is_only_looked_at(page: Page, site: Site, tmp_path: Path):
    markup = '<img src=x onerror="alert(1)"><script>alert(2)</script>\u202egnorw'
    link = {"type": "image_url", "image_url": {"url": "javascript:alert(3)"}}
    settings = {"temperature": "hot", "stop": [""], "tools": "none", "response_format": [], "logit_bias": 3, "n": {}}
    schema = {"type": "json_schema", "json_schema": {"name": "a", "schema": {"constructor": 1, "__proto__": 2}}}
    chat = {
        "model": markup,
        "provider": "toString",
        "system": markup,
        "settings": settings,
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": markup}, link]},
            {
                "role": "assistant",
                "content": "",
                "tool_calls": [{"function": {"name": markup}}],
                "answer": {"choices": [], "finish": "constructor", "started": 1, "ended": 0, "usage": {}},
            },
            {"role": "tool", "content": markup, "name": markup, "tool_call_id": markup},
        ],
    }
    path = tmp_path / "hostile.json"
    path.write_text(json.dumps({"name": markup, "chats": [chat, chat, {"settings": {"response_format": schema}}]}))
    dialogs: list[str] = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    await enter(page, site)
    await give(page, path)
    await expect(text(column(page, 1), 3)).to_have_value(markup)
    await expect(page.get_by_text("javascript:alert(3)")).to_have_count(2)
    await column(page, 1).get_by_role("button", name="Settings of this conversation").click()
    await column(page, 1).get_by_role("button", name="Code of this conversation").click()
    await column(page, 2).get_by_role("button", name="Get an answer").click()
    await expect(column(page, 2).get_by_role("alert")).to_contain_text("Not sent")
    await expect(listed(page).first).to_contain_text("<script>")
    assert not dialogs and not site.upstream.requests
    await expect(page.locator(".answer[aria-busy]")).to_have_count(0)
    await column(page, 3).get_by_role("button", name="Settings of this conversation").click()
    await expect(page.get_by_label("Schema", exact=True)).to_have_value(re.compile("constructor"))
    await page.get_by_role("radio", name=re.compile("Conversation 3")).check()
    await say(page, "Go")
    await expect(column(page, 3).get_by_text("Hello from afar.")).to_be_visible()


async def test_a_link_holds_prompts_and_models_and_sends_nothing_when_opened(page: Page, site: Site):
    await page.goto(site.url)
    await page.evaluate("sessionStorage.setItem('tertulia-token', 'hf_secret')")
    await enter(page, site, f"/playground?modelId={SEEING}&provider=scripted")
    await column(page).get_by_label("System prompt").fill("Ünï & co")
    await say(page, "About cats")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await page.get_by_role("button", name="Share").click()
    await page.get_by_role("button", name="Copy the link").click()
    link = await page.evaluate("navigator.clipboard.readText()")
    assert link.startswith(f"{site.url}/playground#share=") and len(link) < 600
    unfolded = await page.evaluate(
        """async link => {
        const data = Uint8Array.from(atob(link.split("=")[1].replaceAll("-", "+").replaceAll("_", "/")),
            letter => letter.charCodeAt(0));
        return new Response(new Blob([data]).stream().pipeThrough(new DecompressionStream("deflate-raw"))).text();
        }""",
        link,
    )
    assert "About cats" in unfolded and "hf_secret" not in unfolded
    asked = len(site.upstream.requests)
    await page.goto("about:blank")
    await page.goto(link)
    await expect(text(page, 1)).to_have_value("About cats")
    await expect(page.get_by_text("Nothing of it was sent")).to_be_visible()
    await expect(column(page).get_by_label("System prompt")).to_have_value("Ünï & co")
    await expect(page.get_by_role("button", name=f"Model: {SEEING}")).to_be_visible()
    await expect(column(page).get_by_role("combobox", name="Provider")).to_have_value("scripted")
    await expect(messages(page).last).to_contain_text("Hello from afar.")
    await expect(listed(page)).to_have_count(2)
    assert len(site.upstream.requests) == asked
    assert page.url == f"{site.url}/playground"


async def test_a_broken_link_says_so_and_leaves_the_page_as_it_is(page: Page, site: Site):
    await enter(page, site, "/playground#share=AAAA")
    await expect(page.get_by_text("This link can't be opened")).to_be_visible()
    await say(page, "Go")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()


async def test_pictures_that_no_link_can_hold_are_said_to(page: Page, site: Site, tmp_path: Path):
    noise = tmp_path / "noise.png"
    noise.write_bytes(bytes(range(256)) * 10 + os.urandom(200_000))
    await enter(page, site)
    async with page.expect_file_chooser() as choosing:
        await page.get_by_role("button", name="Add pictures").click()
    await (await choosing.value).set_files(noise)
    await say(page, "Look")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await page.get_by_role("button", name="Share").click()
    await expect(page.get_by_role("dialog")).to_contain_text("too long for a link")


async def test_a_full_storage_is_said_and_nothing_on_the_page_is_lost(page: Page, site: Site):
    await enter(page, site)
    await page.evaluate(
        """() => { IDBObjectStore.prototype.put = function () {
            this.transaction.abort(); throw new DOMException("full", "QuotaExceededError"); }; }"""
    )
    await say(page, "Go")
    await expect(page.get_by_text("This browser's storage is full")).to_be_visible()
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()


async def test_an_answer_goes_on_while_another_session_is_looked_at(page: Page, site: Site):
    site.upstream.scripts = [script(piece("Slowly", first=True), 0.8, piece(" done."), finish(), usage(), DONE)]
    await enter(page, site)
    await say(page, "Go")
    await expect(page.get_by_text("Slowly")).to_be_visible()
    await page.get_by_role("button", name="New session", exact=True).click()
    await expect(messages(page)).to_have_count(0)
    await listed(page).get_by_role("button", name=re.compile("^Go")).click()
    await expect(page.get_by_text("Slowly done.")).to_be_visible()
    await expect(page.get_by_role("button", name=f"Model: {MODEL}")).to_be_visible()


async def test_what_is_typed_right_after_alt_n_is_the_new_sessions(page: Page, site: Site):
    await enter(page, site)
    await say(page, "One")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    shown = await page.evaluate(
        """() => {
          dispatchEvent(new KeyboardEvent("keydown", { key: "n", code: "KeyN", altKey: true, bubbles: true }));
          document.dispatchEvent(new KeyboardEvent("keydown", { key: "n", code: "KeyN", altKey: true, bubbles: true }));
          return document.querySelectorAll("li.message").length; // before anything else has had its turn
        }"""
    )
    assert shown == 0
    await page.keyboard.type("Two")
    await expect(page.get_by_label("Message", exact=True)).to_have_value("Two")


async def test_what_another_tab_did_is_seen_when_one_comes_back(page: Page, site: Site):
    await enter(page, site)
    await say(page, "One")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await expect(listed(page)).to_contain_text(["One"])
    other = await page.context.new_page()
    await enter(other, site)
    await expect(messages(other)).to_have_count(2)
    await say(other, "Two")
    await expect(messages(other)).to_have_count(4)
    await expect(other.get_by_text("Hello from afar.")).to_have_count(2)
    await expect(page.get_by_text("Another tab changes this session")).to_be_visible()
    async with asyncio.timeout(5):  # what the other tab did is written a moment later
        while await messages(page).count() != 4:
            await page.evaluate("dispatchEvent(new Event('focus'))")
    await other.close()
    await say(page, "Three")
    await expect(messages(page)).to_have_count(6)
    assert [words for role, words in said(site) if role == "user"] == ["One", "Two", "Three"]


async def test_where_nothing_can_be_kept_one_can_still_chat(page: Page, site: Site):
    await page.add_init_script(
        """for (const name of ["localStorage", "sessionStorage", "indexedDB"])
        Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });"""
    )
    await enter(page, site)
    await expect(page.get_by_text("Sessions can't be kept by this browser")).to_be_visible()
    await say(page, "Go")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
