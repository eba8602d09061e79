"""What is seen of an answer: text, thoughts, calls, likelihoods, choices, figures, faults, the exchange itself."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from playwright.async_api import Locator, Page, expect

from gateway import MODEL, Site
from upstream import (
    DONE,
    Script,
    chunk,
    completion,
    delta,
    finish,
    refusal,
    script,
    text,
    tokens,
    usage,
)
from upstream import (
    answer as reply,
)
from web.playing import enter, say


async def _answer(page: Page, site: Site, *scripts: Script, words: str = "Go") -> Locator:
    site.upstream.scripts = list(scripts)
    await enter(page, site)
    await say(page, words)
    return page.locator(".answer")


async def _set(page: Page, settings: dict[str, Any]) -> None:
    """Set fields of the request, by the panel's last one."""
    await page.get_by_role("button", name="Settings").first.click()
    await page.get_by_text("Anything else").click()
    await page.get_by_label("Extra JSON", exact=True).fill(json.dumps(settings))
    await page.keyboard.press("Escape")


async def test_an_answer_tells_its_figures_from_the_servers_usage(
    page: Page, site: Site, axe: Callable[[Page], Awaitable[None]]
):
    told = tokens(1200, 345) | {
        "prompt_tokens_details": {"cached_tokens": 1024},
        "completion_tokens_details": {"reasoning_tokens": 40},
    }
    pieces = [text("One", first=True), 0.3, text(" two."), finish("length"), chunk(usage=told), DONE]
    answer = await _answer(page, site, script(*pieces))
    await expect(answer.get_by_text("One two.")).to_be_visible()
    figures = answer.locator(".figures")
    await expect(figures).to_contain_text("1,200 in (1,024 cached)")
    await expect(figures).to_contain_text("345 out (40 thinking)")
    await expect(figures).to_contain_text("$0.0019")  # 1200 at $1 and 345 at $2 a million
    await expect(figures).to_contain_text("first token")
    await expect(figures).to_contain_text("tokens/s")
    await expect(answer.get_by_text("by scripted")).to_be_visible()
    await expect(answer.get_by_text("cut off: max_tokens")).to_be_visible()
    await axe(page)


async def test_figures_that_nobody_told_are_unknown_or_said_to_be_estimated(page: Page, site: Site):
    answer = await _answer(page, site, script(text("Hello there", first=True), finish(), DONE))
    await expect(answer.locator(".figures")).to_contain_text("≈")
    await _set(page, {"stream_options": {"include_usage": False}})
    await say(page, "Again")
    await expect(answer.nth(1).get_by_text("tokens unknown")).to_be_visible()


async def test_thoughts_are_folded_and_say_how_long_they_took(page: Page, site: Site):
    thinking = [delta({"role": "assistant", "reasoning": "Let me *see*."}), 0.3]
    answer = await _answer(page, site, script(*thinking, text("Paris."), finish(), usage(), DONE))
    await expect(answer.get_by_text("Thinking ...")).to_be_visible()
    await expect(answer.get_by_text("Let me see.")).not_to_be_visible()
    await expect(answer.get_by_text("Paris.")).to_be_visible()
    await answer.get_by_text("Thought for").click()
    await expect(answer.get_by_text("Let me see.")).to_be_visible()


async def test_calls_are_shown_as_calls_and_broken_arguments_are_named(page: Page, site: Site):
    def call(index: int, name: str, arguments: str) -> dict[str, Any]:
        function = {"name": name, "arguments": arguments}
        return {"index": index, "id": f"call_{index}", "type": "function", "function": function}

    calls = [call(0, "get_weather", '{"city":"Paris"}'), call(1, "search", '{"query": ')]
    given = delta({"role": "assistant", "tool_calls": calls})
    answer = await _answer(page, site, script(given, finish("tool_calls"), usage(), DONE))
    await expect(answer.locator(".call").nth(0)).to_contain_text("get_weather")
    await expect(answer.locator(".call").nth(0).locator("pre")).to_have_text('{ "city": "Paris" }')
    await expect(answer.get_by_text("calls tools")).to_be_visible()


async def test_choices_are_tabs_and_the_chosen_one_is_what_is_said(page: Page, site: Site):
    pieces = [text(word, index=index, first=True) for index, word in enumerate(("Red", "Green", "Blue"))]
    ends = [finish(index=index) for index in range(3)]
    site.upstream.scripts = [script(*pieces, *ends, usage(), DONE)]
    await enter(page, site)
    await _set(page, {"n": 3})
    await say(page, "A colour")
    tabs = page.get_by_role("tab")
    await expect(tabs).to_have_count(3)
    await expect(page.get_by_role("tabpanel")).to_have_text("Red")
    await tabs.nth(0).focus()
    await page.keyboard.press("ArrowRight")
    await expect(tabs.nth(1)).to_be_focused()
    await expect(tabs.nth(1)).to_have_attribute("aria-selected", "true")
    await expect(page.get_by_role("tabpanel")).to_have_text("Green")
    await say(page, "And another")
    await expect(page.locator(".answer")).to_have_count(2)
    assert site.upstream.requests[-1].json["messages"][1]["content"] == "Green"


async def test_likelihoods_are_a_heat_map_with_what_could_have_stood_there(
    page: Page, site: Site, axe: Callable[[Page], Awaitable[None]]
):
    def token(word: str, chance: float, *others: tuple[str, float]) -> dict[str, Any]:
        rivals = [{"token": one, "logprob": value, "bytes": None} for one, value in ((word, chance), *others)]
        return {**rivals[0], "top_logprobs": rivals}

    likely = [token("The", -0.01), token(" capital", -1.6, (" city", -0.3)), token("\n", -3.0)]
    choice = {"index": 0, "delta": {"role": "assistant", "content": "The capital\n"}, "finish_reason": None}
    pieces = [chunk({**choice, "logprobs": {"content": likely, "refusal": None}}), finish(), usage(), DONE]
    site.upstream.scripts = [script(*pieces)]
    await enter(page, site)
    await _set(page, {"logprobs": True, "top_logprobs": 2})
    await say(page, "Go")
    await page.get_by_role("button", name="Tokens", exact=True).click()
    heat = page.get_by_role("listbox", name="Tokens")
    await expect(heat.locator(".token")).to_have_text(["The", " capital", "↵"])
    await expect(heat.locator(".token.h3")).to_have_text(" capital")
    await heat.locator(".token").nth(1).hover()
    rivals = page.locator(".rivals")
    await expect(rivals.get_by_role("listitem").nth(0)).to_contain_text('" city"74.1 %')
    await expect(rivals.get_by_role("listitem").nth(1)).to_contain_text('" capital"chosen20.2 %')
    await heat.focus()
    await page.keyboard.press("End")
    await expect(rivals.get_by_role("listitem")).to_have_text('"\\n"chosen5.0 %')
    await axe(page)
    await page.keyboard.press("Escape")
    await expect(rivals).to_be_hidden()


async def test_a_fault_stands_where_it_happened_with_what_would_work(page: Page, site: Site):
    answer = await _answer(page, site, script(text("So far", first=True), 0.05, chunk(error={"message": "no"})))
    await expect(answer.get_by_text("So far")).to_be_visible()
    await expect(answer.get_by_role("alert")).to_contain_text("continue the message, or regenerate it")
    await expect(answer.get_by_role("alert")).to_contain_text("req-")
    site.upstream.scripts = [refusal(429, "slow down", {"Retry-After": "7"})]
    await say(page, "Again")
    await expect(page.get_by_role("alert").last).to_contain_text("It asks to wait 7 s.")
    site.upstream.scripts = [refusal(401, "wrong key")]
    await say(page, "Again")
    await expect(page.get_by_role("alert").last).to_contain_text("give the server a key that this one takes")
    site.upstream.scripts = [refusal(502, "broken", code="constructor")]
    await say(page, "Again")
    await expect(page.get_by_role("alert").last).to_contain_text("broken")
    await expect(page.get_by_text("after 1 other")).to_have_count(0)


async def test_warnings_are_told_and_text_that_is_not_streamed_has_no_speed(page: Page, site: Site):
    site.upstream.scripts = [reply(completion("Whole."))]
    await enter(page, site)
    await _set(page, {"stream": False, "nonsense": 1})
    await say(page, "Go")
    answer = page.locator(".answer")
    await expect(answer.get_by_text("Whole.", exact=True)).to_be_visible()
    await expect(answer.get_by_text("nonsense is not a known field")).to_be_visible()
    await expect(answer.locator(".figures")).to_contain_text("2 out")
    await expect(answer.locator(".figures")).not_to_contain_text("tokens/s")


async def test_request_and_response_are_shown_as_they_were_and_can_be_copied(page: Page, site: Site):
    answer = await _answer(
        page, site, script(text("Hi :)", first=True), finish(), usage(), DONE), words='Say "hi"\n</b>'
    )
    await expect(answer.get_by_text("Hi :)")).to_be_visible()
    await answer.get_by_text("Request and response").click()
    await answer.get_by_role("button", name="Copy code").first.click()
    sent = json.loads(await page.evaluate("navigator.clipboard.readText()"))
    assert sent["model"].startswith(MODEL) and sent["messages"][-1]["content"] == 'Say "hi"\n</b>'
    await answer.get_by_role("button", name="Copy code").last.click()
    came = (await page.evaluate("navigator.clipboard.readText()")).split("\n")
    assert [json.loads(line)["choices"][0]["delta"].get("content") for line in came[:1]] == ["Hi :)"]
    assert json.loads(came[-1])["usage"]["completion_tokens"] == 2
    await answer.get_by_role("button", name="Raw").click()
    await expect(answer.locator(".raw")).to_have_text("Hi :)")


async def test_the_route_is_told_where_others_were_asked_first(
    page: Page, site: Site, axe: Callable[[Page], Awaitable[None]]
):
    site.upstream.scripts = [script(text("Hi", first=True), finish(), usage(), DONE)]
    await enter(page, site)
    view = """async () => {
      const { answerView } = await import("/assets/playground/answer.js");
      const { blank, fold } = await import("/assets/shared/stream.js");
      const route = [{ provider: "first", model: "m", outcome: "failed", why: "503: <b>busy</b>", seconds: 0.2 },
                     { provider: "second", model: "m", outcome: "served", seconds: 0.4 }];
      const answer = blank({ model: "m" });
      fold(answer, { kind: "head", at: 1, headers: { "x-tertulia-route": JSON.stringify(route) } });
      fold(answer, { kind: "end", at: 2 });
      const { element, update } = answerView(answer);
      document.querySelector("#main").replaceChildren(element);
      update();
    }"""
    await page.evaluate(view)
    await expect(page.get_by_text("after 1 other try")).to_be_visible()
    await page.get_by_text("Route", exact=True).click()
    await expect(page.get_by_role("row").nth(1)).to_have_text("firstfailed200 ms503: <b>busy</b>")
    await page.set_viewport_size({"width": 360, "height": 800})
    await axe(page)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        ({"status": 200, "code": "upstream_error", "kept": True}, "continue the message, or regenerate it"),
        ({"status": 200, "code": "upstream_error"}, "Try again, or choose another provider"),
        ({"status": 400, "param": "messages[0].content[1].image_url"}, "take away that part, or choose another model"),
        ({"status": 400, "param": "messages[2].tool_calls"}, "Change that message"),
        ({"status": 400, "param": "temperature"}, "Change or unset it in the settings"),
        ({"status": 401, "code": "invalid_api_key"}, "Try again to be asked for a token"),
        ({"status": 0}, "Start it, or reload the page"),
    ],
)
async def test_an_error_says_what_would_work(page: Page, site: Site, error: dict[str, Any], words: str):
    await page.goto(f"{site.url}/docs")
    told = await page.evaluate(
        """async ({ kept, ...error }) => {
          const { troubles } = await import("/assets/playground/figures.js");
          const choices = [{ content: kept ? "Half of" : "" }];
          return troubles({ error: { message: "It failed.", ...error }, choices })[0].textContent;
        }""",
        error,
    )
    assert words in told
