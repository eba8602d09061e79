"""Sessions out of files and links: what is at fault in them is seen where it is, and harms nothing else."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from playwright.async_api import Page, expect

from gateway import Site
from upstream import STALL, refusal, script, stream
from web.playing import choose, column, enter, give, messages, more, said, say, text

PACK = """async ([base, plain]) => {
  const stream = new Blob([plain]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const data = new Uint8Array(await new Response(stream).arrayBuffer());
  const text = btoa(Array.from(data, (byte) => String.fromCharCode(byte)).join(""));
  return `${base}/playground#share=${text.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")}`;
}"""
ODD = {"toString": 1, "valueOf": None, "constructor": {"name": 5}}  # what no text can be made of
NAMES = [
    "temperature", "top_p", "top_k", "min_p", "seed", "n", "max_tokens", "min_tokens", "presence_penalty",
    "frequency_penalty", "repetition_penalty", "logit_bias", "reasoning_effort", "logprobs", "top_logprobs", "stream",
    "stream_options", "models", "continue", "continue_final_message", "user", "tools", "tool_choice", "tool_prompt",
    "parallel_tool_calls", "response_format",
]  # fmt: skip


async def follow(page: Page, site: Site, session: Any) -> None:
    """Open a link that holds ``session``."""
    plain = session if isinstance(session, str) else json.dumps(session)
    link = await page.evaluate(PACK, [site.url, plain])
    await page.goto("about:blank")
    await page.goto(link)


async def take(page: Page, path: Path, session: Any) -> None:
    """Import a file that holds ``session``."""
    path.write_text(session if isinstance(session, str) else json.dumps(session))
    await give(page, path)


async def _failed(page: Page, site: Site) -> None:
    site.upstream.scripts = [refusal(500, "It is on fire.")]
    await enter(page, site)
    await say(page, "Go")
    await expect(page.get_by_role("button", name="Try again")).to_be_visible()
    site.upstream.scripts = [stream("Hello again.")]


async def test_an_answer_that_failed_is_an_error_after_export_and_import_too(page: Page, site: Site, tmp_path: Path):
    await _failed(page, site)
    wrong = await messages(page).last.get_by_role("alert").inner_text()
    async with page.expect_download() as downloading:
        await choose(page, "Export")
    await (await downloading.value).save_as(tmp_path / "failed.json")
    await give(page, tmp_path / "failed.json")
    await expect(page.get_by_text("Imported")).to_be_visible()
    await expect(messages(page).last.get_by_role("alert")).to_have_text(re.compile("on fire"))
    assert await messages(page).last.get_by_role("alert").inner_text() == wrong
    await say(page, "Once more")
    await expect(page.get_by_text("Hello again.")).to_be_visible()
    assert said(site) == [("user", "Go"), ("user", "Once more")]


async def test_an_answer_that_failed_is_not_in_a_link(page: Page, site: Site):
    await _failed(page, site)
    await page.get_by_role("button", name="Share").click()
    link = await page.get_by_label("Link", exact=True).input_value()
    await page.goto("about:blank")
    await page.goto(link)
    await expect(text(page, 1)).to_have_value("Go")
    await expect(messages(page)).to_have_count(1)
    await page.get_by_role("button", name="Get an answer").click()
    await expect(page.get_by_text("Hello again.")).to_be_visible()
    assert said(site) == [("user", "Go")]


async def test_an_answer_of_which_nothing_had_come_is_asked_for_again(page: Page, site: Site):
    site.upstream.scripts = [script(STALL), script(STALL), stream("Hello again.")]
    await enter(page, site)
    await say(page, "Go")
    await expect(page.get_by_text("waiting ...")).to_be_visible()
    await page.get_by_role("button", name="Compare").click()
    await expect(messages(column(page, 2))).to_have_count(1)
    await page.reload()
    await expect(column(page, 1).get_by_text("The page was left")).to_be_visible()
    await column(page, 1).get_by_role("button", name="Try again").click()
    async with asyncio.timeout(5):
        while len(site.upstream.requests) < 2:
            await asyncio.sleep(0.05)
    assert said(site) == [("user", "Go")]
    await column(page, 1).get_by_role("button", name="Stop", exact=True).click()
    await expect(messages(column(page, 1))).to_have_count(1)


async def test_an_answer_that_failed_is_sent_from_no_place(page: Page, site: Site):
    await _failed(page, site)
    await more(page, 2, "Insert below")
    await page.keyboard.type("And?")
    await page.get_by_role("button", name="Get an answer").click()
    await expect(page.get_by_text("Hello again.")).to_be_visible()
    assert said(site) == [("user", "Go"), ("user", "And?")]


def _answered(**answer: Any) -> Any:
    whole = {"choices": [], "started": 1000, "first": 1200, "ended": 2000, **answer}
    return {"chats": [{"messages": [{"role": "assistant", "content": "It was said.", "answer": whole}]}]}


GOOD = {"prompt_tokens": 12, "completion_tokens": 34, "total_tokens": 46, "cost": 0.5}
HOSTILE: dict[str, Any] = {
    "usage of objects": {"usage": {**GOOD, "prompt_tokens": ODD, "cost": ODD}},
    "usage of texts": {"usage": {**GOOD, "prompt_tokens": "12", "total_tokens": []}},
    "details of texts": {"usage": {**GOOD, "completion_tokens_details": "x", "prompt_tokens_details": [ODD]}},
    "details of objects": {"usage": {**GOOD, "completion_tokens_details": {"reasoning_tokens": ODD}}},
    "times": {"started": 5, "first": "3", "ended": ODD, "usage": GOOD},
    "names": {"model": ODD, "provider": [ODD], "finish": ODD, "usage": GOOD},
    "an error": {"error": {"message": ODD, "code": ODD}},
    "parts of an error": {"error": {"message": "It broke.", "code": ODD, "type": [], "status": ODD, "param": 1}},
    "lists": {"route": ODD, "warnings": {"map": 1}, "response": 5, "request": ODD, "requestId": ODD},
    "choices": {"choices": [ODD, None, 5, {"index": 0, "logprobs": ODD, "tool_calls": 5, "thought": 3}]},
}


async def test_what_imported_answers_may_not_hold_is_left_out(page: Page, site: Site, tmp_path: Path):
    told = [{**_answered(**answer)["chats"][0]["messages"][0], "content": name} for name, answer in HOSTILE.items()]
    await enter(page, site)
    await take(page, tmp_path / "answers.json", {"chats": [{"messages": told}]})
    answers = page.locator(".answer")
    await expect(answers).to_have_count(len(HOSTILE))
    for place, name in enumerate(HOSTILE):
        await expect(answers.nth(place)).to_contain_text(name)
        assert not re.search("NaN|undefined|object Object", await answers.nth(place).inner_text()), name
    await say(page, "Go")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await expect(messages(page).last.get_by_text("in all")).to_be_visible()
    await page.reload()
    await expect(answers).to_have_count(len(HOSTILE) + 1)
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()


SPOIL = """() => new Promise((done) => {
  const asking = indexedDB.open("tertulia");
  asking.onsuccess = () => {
    const all = asking.result.transaction("answers", "readwrite");
    const getting = all.objectStore("answers").getAll();
    getting.onsuccess = () => getting.result.forEach((one) => {
      one.answer.usage.prompt_tokens = { toString: 1, valueOf: null };
      all.objectStore("answers").put(one);
    });
    all.oncomplete = () => done();
  };
})"""


async def test_an_answer_that_cannot_be_drawn_keeps_no_other_from_being_drawn(page: Page, site: Site, watch):
    await enter(page, site)
    await say(page, "Go")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    await say(page, "On")
    await expect(page.get_by_text("Hello from afar.")).to_have_count(2)
    await page.wait_for_timeout(500)  # it is written a moment later
    await page.evaluate(SPOIL)
    watch.expected.append("Cannot convert object to primitive value")
    await page.reload()
    await expect(page.get_by_text("Hello from afar.")).to_have_count(2)
    assert watch.wrongs


async def test_the_figures_of_an_imported_answer_are_those_that_it_had(page: Page, site: Site, tmp_path: Path):
    await enter(page, site)
    details = {"completion_tokens_details": {"reasoning_tokens": 9}, "prompt_tokens_details": {"cached_tokens": 8}}
    await take(page, tmp_path / "answer.json", _answered(usage={**GOOD, **details}, provider="afar", finish="length"))
    answer = page.locator(".answer")
    for figure in (
        "200 ms first token",
        "12 in (8 cached)",
        "34 out (9 thinking)",
        "$0.50",
        "1.00 s in all",
        "by afar",
    ):
        await expect(answer).to_contain_text(figure)
    await expect(answer).to_contain_text("cut off")


async def test_an_answer_of_50000_levels_is_kept_without_them(page: Page, site: Site, tmp_path: Path):
    deep = "[" * 50_000 + "]" * 50_000
    usage = f'{{"completion_tokens": 1, "prompt_tokens": 1, "more": {deep}, "cost": {deep}}}'
    plain = json.dumps(_answered(usage="HERE", error="HERE", route="HERE", model="HERE")).replace('"HERE"', usage)
    await enter(page, site)
    await take(page, tmp_path / "deep.json", plain)
    await expect(page.get_by_text("It was said.")).to_be_visible()
    await expect(page.get_by_text("is not kept")).to_have_count(0)
    await page.reload()
    await expect(page.get_by_text("It was said.")).to_be_visible()


def _wrong() -> list[dict[str, Any]]:
    """Settings, each of which is of a wrong type."""
    found: list[dict[str, Any]] = []
    for wrong in (5, ODD, [ODD], "x", True, None, {"function": {"name": ODD}, "type": ODD}):
        schema = {"name": wrong, "description": wrong, "strict": wrong, "schema": wrong}
        functions = [wrong, {"name": wrong, "parameters": wrong}, {"name": "f", "parameters": wrong}]
        inner = {
            "response_format": {"type": "json_schema", "json_schema": schema},
            "stream_options": {"include_usage": wrong},
            "tools": [wrong, *({"type": "function", "function": one} for one in functions)],
            "tool_choice": {"type": "function", "function": {"name": wrong}},
        }
        found += [dict.fromkeys(NAMES, wrong), inner]
        found += [{"response_format": {"type": "json_schema", "json_schema": wrong}}]
    return found


@pytest.mark.parametrize("way", ["file", "link"])
async def test_no_setting_of_a_wrong_type_empties_the_panel(page: Page, site: Site, tmp_path: Path, way: str):
    await enter(page, site)
    settings = _wrong()[:: 3 if way == "link" else 1]
    while settings:
        four, settings = settings[:4], settings[4:]
        session = {"chats": [{"messages": [{"role": "user", "content": "Go"}], "settings": one} for one in four]}
        await (follow(page, site, session) if way == "link" else take(page, tmp_path / "settings.json", session))
        await expect(messages(page)).to_have_count(len(four))
        for number, _ in enumerate(four, 1):
            await column(page, number).get_by_role("button", name="Settings of this conversation").click()
            panel = page.get_by_role("complementary").last
            await expect(panel.get_by_text("Extra JSON")).to_have_count(1)
            await expect(panel.locator("details.group")).to_have_count(8)
            await panel.get_by_role("button", name="Unset all").click()
            await expect(panel.locator(".setting.set")).to_have_count(0)
    assert not site.upstream.requests


async def test_a_setting_of_a_wrong_type_is_told_and_not_sent(page: Page, site: Site, tmp_path: Path):
    await enter(page, site)
    settings = {"tool_choice": 5, "temperature": ODD, "response_format": [ODD]}
    chat = {"messages": [{"role": "user", "content": "Go"}], "settings": settings}
    await take(page, tmp_path / "wrong.json", {"chats": [chat]})
    await page.get_by_role("button", name="Get an answer").click()
    for name in settings:
        await expect(column(page).get_by_role("alert").get_by_text(name, exact=True)).to_be_visible()
    assert not site.upstream.requests


async def test_of_a_link_all_that_would_be_sent_is_seen(page: Page, site: Site):
    call = {"id": "call_a", "type": "function", "function": {"name": "look", "arguments": '{"a": 1}'}}
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/hidden.png"}}
    told = [
        {"role": "user", "content": "Go", "tool_call_id": "hidden-id", "reasoning": "hidden thought"},
        {"role": "assistant", "content": "It is **bold**.", "reasoning": "I think so.", "name": "Nobody"},
        {"role": "assistant", "content": "", "tool_calls": [call], "reasoning": "I look it up."},
        {"role": "assistant", "content": [{"type": "text", "text": "Look"}, picture], "reasoning": "A picture."},
        {"role": "assistant", "content": ""},
    ]
    await enter(page, site)
    await follow(page, site, {"chats": [{"messages": told}]})
    await expect(page.get_by_text("look it through")).to_be_visible()
    shown = messages(page)
    await expect(shown.nth(1).locator("strong")).to_have_text("bold")
    await expect(shown.nth(1).get_by_label("Name", exact=True)).to_have_value("Nobody")
    for place, thought in ((1, "I think so."), (2, "I look it up."), (3, "A picture.")):
        await shown.nth(place).get_by_text("Thought").click()
        await expect(shown.nth(place).get_by_text(thought)).to_be_visible()
    await expect(shown.nth(2).get_by_text("look", exact=True)).to_be_visible()
    await expect(shown.nth(3).get_by_text("https://example.com/hidden.png")).to_be_visible()
    await expect(text(page, 5)).to_have_value("")
    await page.get_by_role("button", name="Continue message 2").click()
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()
    sent = json.dumps(site.upstream.requests[-1].json)
    assert "I think so." in sent and "hidden" not in sent


async def test_an_answer_out_of_a_link_is_edited_and_gone_on_with(page: Page, site: Site):
    told = [{"role": "user", "content": "Go"}, {"role": "assistant", "content": "Once"}]
    await enter(page, site)
    await follow(page, site, {"chats": [{"messages": told}]})
    await page.get_by_role("button", name="Edit message 2").click()
    await text(page, 2).fill("Twice")
    await page.get_by_role("button", name="Done").click()
    await page.reload()
    await expect(messages(page).last).to_contain_text("Twice")
    site.upstream.scripts = [stream(" upon")]
    await page.get_by_role("button", name="Continue message 2").click()
    await expect(page.get_by_text("Twice upon")).to_be_visible()
    assert said(site) == [("user", "Go"), ("assistant", "Twice")]


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (lambda _: "AAAA", "a part of it is missing"),
        (lambda _: "%%%%", "a part of it is missing"),
        (lambda whole: whole[: len(whole) // 2], "a part of it is missing"),
    ],
    ids=["nonsense", "no letters", "cut"],
)
async def test_a_link_that_is_broken_is_told_in_one_sentence(
    page: Page, site: Site, held: Callable[[str], str], told: str
):
    await enter(page, site)
    whole = await page.evaluate(PACK, [site.url, json.dumps({"chats": [{}]})])
    await page.goto(f"{site.url}/playground#share={held(whole.partition('=')[2])}")
    await expect(page.locator(".notice")).to_have_text(f"This link can't be opened: {told}.Close")


async def test_a_link_to_no_session_is_told_in_one_sentence(page: Page, site: Site):
    await enter(page, site)
    for session, told in (("{", "it is not JSON"), ({}, '"chats" has to be a list of conversations')):
        await follow(page, site, session)
        words = page.get_by_text("This link can't be opened")
        await expect(words).to_contain_text(told)
        await expect(words).to_have_text(re.compile(r"[^.]\.Close$"))
