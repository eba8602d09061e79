"""Everything that a request can hold can be set, is sent as it was set, and is marked where it is wrong."""

import json
import re
from collections.abc import Awaitable, Callable
from typing import Any

from playwright.async_api import Locator, Page, expect

from gateway import Site
from web.playing import asked, column, enter, messages, say


async def _open(page: Page, site: Site) -> Locator:
    await enter(page, site)
    await column(page).get_by_role("button", name="Settings").first.click()
    panel = page.get_by_role("complementary")
    for group in (
        "Repetition",
        "Thinking and log-probabilities",
        "Delivery",
        "Tools",
        "Response format",
        "Anything else",
    ):
        await panel.get_by_text(group, exact=True).click()
    return panel


def _field(panel: Locator, name: str) -> Locator:
    return panel.get_by_label(name, exact=True)


def _wrong(panel: Locator, name: str) -> Locator:
    return panel.locator(f"[data-field={name}] .wrong:visible")


async def _send(page: Page, site: Site) -> dict[str, Any]:
    count = len(site.upstream.requests)
    await say(page, "Go")
    await expect(messages(column(page))).not_to_have_count(0)
    await expect(page.get_by_text("Hello from afar.").nth(count)).to_be_visible()
    return asked(site)


def _tool(**function: Any) -> str:
    return json.dumps([{"type": "function", "function": {"name": "f", **function}}])


async def test_what_is_set_is_sent_and_what_is_unset_is_not(page: Page, site: Site):
    panel = await _open(page, site)
    written = {
        "temperature": "0.5", "top_p": "0,9", "top_k": "40", "min_p": "0.05", "seed": "7", "max_tokens": "99",
        "min_tokens": "1", "stop": "END\n\\n\\n", "presence_penalty": "-1", "frequency_penalty": "1.5",
        "repetition_penalty": "1.1", "logit_bias": '{"5": -100}', "top_logprobs": "3", "user": "Ann", "n": "1",
        "models": "up/seeing",
    }  # fmt: skip
    for name, text in written.items():
        await _field(panel, name).fill(text)
    for name, choice in {"logprobs": "on", "reasoning_effort": "low", "continue": "off"}.items():
        await _field(panel, name).select_option(label=choice)
    await _field(panel, "Extra JSON").fill('{"top_a": 0.1}')
    body = await _send(page, site)
    sent = {
        "temperature": 0.5, "top_p": 0.9, "top_k": 40, "min_p": 0.05, "seed": 7, "max_tokens": 99, "min_tokens": 1,
        "stop": ["END", "\n\n"], "presence_penalty": -1, "frequency_penalty": 1.5, "repetition_penalty": 1.1,
        "logit_bias": {"5": -100}, "logprobs": True, "top_logprobs": 3, "reasoning_effort": "low", "top_a": 0.1,
        "user": "Ann", "n": 1, "stream": True, "stream_options": {"include_usage": True},
    }  # fmt: skip
    assert {name: body.get(name) for name in sent} == sent
    await panel.get_by_role("button", name="Unset temperature").click()
    await expect(_field(panel, "temperature")).to_be_focused()
    await expect(_field(panel, "temperature")).to_have_value("")
    body = await _send(page, site)
    assert "temperature" not in body and body["seed"] == 7
    await panel.get_by_role("button", name="Unset all").click()
    body = await _send(page, site)
    assert set(body) == {"model", "messages", "stream", "stream_options"}


async def test_a_slider_and_its_number_are_one(page: Page, site: Site):
    panel = await _open(page, site)
    await panel.get_by_label("temperature, slider").fill("1.5")
    await expect(_field(panel, "temperature")).to_have_value("1.5")
    await _field(panel, "temperature").fill("0.25")
    await expect(panel.get_by_label("temperature, slider")).to_have_value("0.25")
    assert (await _send(page, site))["temperature"] == 0.25


async def test_what_is_wrong_is_marked_where_it_is_and_is_not_sent(
    page: Page, site: Site, axe: Callable[[Page], Awaitable[None]]
):
    panel = await _open(page, site)
    for name, text, why in [
        ("temperature", "2.5", "0 to 2"),
        ("n", "1.5", "whole number"),
        ("min_tokens", "1,000", "whole number"),
        ("max_tokens", "many", "whole number"),
        ("stop", "a\nb\nc\nd\ne", "4 strings at most"),
        ("logit_bias", '{"a": 1}', "token id"),
        ("top_logprobs", "2", "needs logprobs"),
    ]:
        await _field(panel, name).fill(text)
        await expect(_wrong(panel, name)).to_contain_text(why)
        await expect(_field(panel, name)).to_have_attribute("aria-invalid", "true")
    await axe(page)
    await say(page, "Go")
    await expect(column(page).get_by_text("temperature", exact=False).first).to_be_visible()
    await expect(page.get_by_text("Hello from afar.")).to_have_count(0)
    assert not site.upstream.requests
    await panel.get_by_role("button", name="Unset all").click()
    await page.keyboard.press("Escape")
    await page.get_by_label("Message", exact=True).press("Control+Enter")
    await expect(page.get_by_text("Hello from afar.")).to_be_visible()


async def test_tools_are_written_or_inserted_checked_and_chosen(page: Page, site: Site):
    panel = await _open(page, site)
    tools = _field(panel, "tools")
    for text, why in [
        ('[\n  {"type": "function",}\n]', "line 2, column 23"),
        ('{"type": "function"}', "must be a JSON list"),
        (_tool(name="a b"), "tools[0].function.name"),
        (_tool(parameters={"type": "strin"}), "parameters.type must be one of"),
        (_tool(parameters={"properties": {"a": {"$ref": "#/$defs/b"}}}), "properties.a.$ref leads nowhere"),
    ]:
        await tools.fill(text)
        await expect(_wrong(panel, "tools")).to_contain_text(why)
    await tools.fill("")
    await panel.get_by_role("button", name="Insert: Weather").click()
    await panel.get_by_role("button", name="Insert: Sum").click()
    await expect(_wrong(panel, "tools")).to_have_count(0)
    await _field(panel, "tool_choice").select_option(label="only add")
    body = await _send(page, site)
    assert [tool["function"]["name"] for tool in body["tools"]] == ["get_weather", "add"]
    assert body["tool_choice"] == {"type": "function", "function": {"name": "add"}}
    await tools.fill("")
    await expect(_wrong(panel, "tool_choice")).to_contain_text("needs tools")


async def test_a_response_format_is_made_of_its_parts_and_its_schema_checked(page: Page, site: Site):
    panel = await _open(page, site)
    kind = _field(panel, "response_format")
    await expect(_field(panel, "Schema")).to_be_hidden()
    await kind.select_option("json_schema")
    schema = _field(panel, "Schema")
    wrong = panel.locator("[data-field=response_format] .wrong:visible")
    for text, why in [
        ('{"type": "object",\n "properties": }', "line 2, column 16"),
        ('{"type": "text"}', "schema.type must be one of"),
        ('{"properties": []}', "schema.properties must be an object"),
        ('{"required": "a"}', "schema.required must be a list"),
        ('{"enum": []}', "schema.enum must be a list of values"),
        ('{"items": {"$ref": "#/$defs/none"}}', "leads nowhere"),
        ('{"properties": {}, "required": ["a"], "additionalProperties": false}', 'names "a"'),
    ]:
        await schema.fill(text)
        await expect(wrong).to_contain_text(why)
    await schema.fill('{"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}')
    await _field(panel, "Schema's name").fill("an answer")
    await expect(wrong).to_contain_text("json_schema.name")
    await _field(panel, "Schema's name").fill("answer")
    await expect(wrong).to_have_count(0)
    await _field(panel, "strict").select_option("false")
    form = (await _send(page, site))["response_format"]
    assert form["type"] == "json_schema"
    assert form["json_schema"]["name"] == "answer" and form["json_schema"]["strict"] is False
    assert form["json_schema"]["schema"]["required"] == ["a"]
    await kind.select_option("json_object")
    assert (await _send(page, site))["response_format"] == {"type": "json_object"}
    await kind.select_option("json_schema")  # what was written is there again
    assert (await _send(page, site))["response_format"] == form


async def test_extra_json_is_an_object_and_has_the_last_word(page: Page, site: Site):
    panel = await _open(page, site)
    extra = _field(panel, "Extra JSON")
    await extra.fill('{"a": 1')
    await expect(_wrong(panel, "extra")).to_contain_text(re.compile("line 1, column 8"))
    await extra.fill("[1]")
    await expect(_wrong(panel, "extra")).to_contain_text("a JSON object is needed")
    await _field(panel, "temperature").fill("1")
    await extra.fill(json.dumps({"temperature": 0, "mine": {"deep": [None, "x"]}}))
    body = await _send(page, site)
    assert body["temperature"] == 0 and body["mine"] == {"deep": [None, "x"]}


async def test_what_a_provider_cant_honour_is_said_and_still_there_to_be_set(page: Page, site: Site):
    await enter(page, site)
    shown = """async () => {
      const { settingsPanel } = await import("/assets/playground/settings.js");
      const providers = [{ provider: "one", supports_tools: false, capabilities: { seed: false, n: false } },
                         { provider: "two", capabilities: { n: false } }];
      const panel = (provider) => settingsPanel({ provider, settings: {} }, { providers }, () => {});
      return ["", "one", "two"].map((provider) => Object.fromEntries([...panel(provider).querySelectorAll(".lack")]
        .map((one) => [one.closest(".setting").dataset.field, one.textContent])));
    }"""
    everybody, one, two = await page.evaluate(shown)
    assert everybody == {
        "seed": "Not honoured by one: others are asked first.",
        "n": "No provider of this model honours this.",
        "tools": "Not honoured by one: others are asked first.",
    }
    assert one == dict.fromkeys(("seed", "n", "tools"), "one does not honour this.")
    assert two == {"n": "two does not honour this."}


async def test_settings_are_there_again_after_a_reload(page: Page, site: Site):
    panel = await _open(page, site)
    await _field(panel, "seed").fill("7")
    await _field(panel, "tools").fill("[{")
    await page.wait_for_function("document.title.length > 0")
    await page.get_by_label("Message", exact=True).fill("kept")
    await expect(_wrong(panel, "tools")).to_be_visible()
    await page.reload()
    await expect(page.get_by_role("button", name=re.compile("Model: up."))).not_to_have_count(0)
    await column(page).get_by_role("button", name="Settings").first.click()
    panel = page.get_by_role("complementary")
    await expect(_field(panel, "seed")).to_have_value("7")
    await expect(_field(panel, "tools")).to_have_value("[{")
