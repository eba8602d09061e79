"""/docs tells everything about chat completion here: models, code, every field, streams, headers, errors, addresses."""

import json
import typing
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import msgspec
import pytest
from playwright.async_api import Page, Route, expect

from gateway import Site, Start
from schemas import shared
from tertulia import types
from tertulia.server import openapi
from tertulia.types import ChatRequest, Chunk, Completion

Axe = Callable[[Page], Awaitable[None]]
KINDS: dict[str, tuple[type[msgspec.Struct], str]] = {
    "request": (ChatRequest, "input.json"),
    "answer": (Completion, "output.json"),
    "stream": (Chunk, "stream_output.json"),
}
PRIVATE = {"extra", "warnings", "caller", "asked", "raw", "meta", "comment"}
OURS: dict[str, Any] = openapi._fixed()["x-tertulia"]  # pyright: ignore[reportPrivateUsage]


async def shown(page: Page, site: Site, fragment: str = "") -> None:
    await page.goto(f"{site.url}/docs{fragment}")
    await expect(page.locator("#stream .field-row").first).to_be_attached()
    await expect(page.locator(".snippet[aria-busy]")).to_have_count(0)


async def paths(page: Page, kind: str) -> set[str]:
    rows = page.locator(f"#{kind} .field-row")
    return set(await rows.evaluate_all("rows => rows.map(row => row.dataset.path)"))


def fields(kind: Any, path: str = "") -> Iterator[str]:
    """The paths of all fields that a type's values have on the wire."""
    for part in typing.get_args(kind):
        deeper = f"{path}[]" if typing.get_origin(kind) is list else path
        yield from fields(part, deeper)
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        hints = typing.get_type_hints(kind, include_extras=True)
        for name, spelt in zip(kind.__struct_fields__, kind.__struct_encode_fields__, strict=True):
            if kind in (ChatRequest, Chunk) and name in PRIVATE:
                continue
            here = f"{path}.{spelt}" if path else spelt
            yield here
            yield from fields(hints[name], here)
        if kind.__struct_config__.tag:
            yield f"{path}.type"


def specified(node: Any, root: Any, path: str = "") -> Iterator[str]:
    """The paths of all fields of a schema of the page's."""
    if "$ref" in node:
        yield from specified(root["$defs"][node["$ref"].rpartition("/")[2]], root, path)
    for word in ("allOf", "oneOf", "anyOf"):
        for part in node.get(word, ()):
            yield from specified(part, root, path)
    for name, part in node.get("properties", {}).items():
        here = f"{path}.{name}" if path else name
        yield here
        yield from specified(part, root, here)
    if "items" in node:
        yield from specified(node["items"], root, f"{path}[]")


async def test_every_field_that_is_read_or_written_has_its_row_and_its_own_anchor(page: Page, site: Site):
    await shown(page, site)
    for name, (kind, _) in KINDS.items():
        wanted = set(fields(kind))
        assert len(wanted) > 15 and wanted <= await paths(page, name), wanted - await paths(page, name)
    ids = await page.locator("[id]").evaluate_all("all => all.map(one => one.id)")
    assert len(ids) == len(set(ids))
    assert types.ChatRequest.__struct_encode_fields__[0] == "messages"
    row = page.locator('[data-path="messages[].role"]')
    await expect(row).to_contain_text("required")
    await expect(row).to_contain_text("one of assistant, developer")
    temperature = page.locator('[data-path="temperature"]')
    await expect(temperature).to_contain_text("number | null")
    await expect(temperature).to_contain_text("from 0 to 2")
    await expect(temperature).to_contain_text("without it: the model's own")
    await expect(page.locator('#request [data-path="messages[].content"] > .head')).to_contain_text(
        "string | object[] | null"
    )
    await expect(page.locator('#answer [data-path="choices[].message.tool_call_id"]')).to_contain_text("never sent")


@pytest.mark.parametrize("name", KINDS)
async def test_every_field_of_the_specification_has_its_row(page: Page, site: Site, name: str):
    plain = json.loads(shared("spec", KINDS[name][1]).read_text("utf-8"))
    wanted = set(specified(plain, plain))
    await shown(page, site)
    assert len(wanted) > 20 and wanted <= await paths(page, name), wanted - await paths(page, name)


async def test_a_field_is_found_by_name_and_by_address(page: Page, site: Site, axe: Axe):
    await shown(page, site, "#request.messages.content(image_url).image_url.url")
    url = page.locator('[data-path="messages[].content[].image_url.url"]')
    await expect(url).to_be_in_viewport()
    await axe(page)
    box = page.get_by_label("Find a field")
    await box.fill("cached_tok")
    await expect(page.get_by_role("status").filter(has_text="2 fields")).to_be_visible()
    for kind in ("answer", "stream"):
        row = page.locator(f'#{kind} [data-path="usage.prompt_tokens_details.cached_tokens"]')
        await expect(row).to_be_visible()
        await expect(page.locator(f'#{kind} [data-path="created"]')).to_be_hidden()
    await expect(page.locator("#request")).to_contain_text("No field here.")
    await expect(page.get_by_role("heading", name="Errors")).to_be_hidden()
    await page.get_by_role("navigation", name="On this page").get_by_role("link", name="Errors").click()
    await expect(page.get_by_role("heading", name="Errors")).to_be_in_viewport()
    await expect(box).to_have_value("")
    unfold = page.locator("#request").get_by_role("button", name="Unfold all")
    await expect(url).to_be_hidden()
    await unfold.press("Enter")
    await expect(url).to_be_visible()
    await unfold.press("Enter")
    await expect(url).to_be_hidden()
    row = page.locator('[data-path="stream_options"]')
    await row.locator("summary").press("Enter")
    await expect(row.get_by_text("include_usage").first).to_be_visible()


async def test_code_for_text_and_image_follows_what_is_chosen_and_can_be_copied(page: Page, site: Site):
    await shown(page, site)
    text = page.locator(".card", has=page.get_by_label("Message")).first
    await text.get_by_label("Model").select_option("up/model")
    await text.get_by_label("Provider").select_option("scripted")
    await text.get_by_label("Message").fill('Say "hi" :)')
    await text.get_by_role("button", name="cURL").click()
    code = text.locator(".snippet code")
    await expect(code).to_contain_text("up/model:scripted")
    await expect(code).to_contain_text(":)")
    await expect(code).to_contain_text(f"{site.url}/v1/chat/completions")
    await text.get_by_label("Provider").select_option("cheapest")
    await expect(code).to_contain_text("up/model:cheapest")
    await expect(code).not_to_contain_text('"stream"')
    await text.get_by_label("Stream the answer").check()
    await expect(code).to_contain_text('"stream": true')
    await text.get_by_text("Settings").click()
    await text.get_by_label("Base URL").fill("https://chat.example.org/v1")
    await text.get_by_label("Base URL").press("Enter")
    await expect(code).to_contain_text("https://chat.example.org/v1")
    await text.locator(".snippet").get_by_role("button", name="Copy code").click()
    await expect(page.get_by_text("Copied")).to_be_visible()
    assert await page.evaluate("navigator.clipboard.readText()") == await code.text_content()

    image = page.locator(".card", has=page.get_by_label("Image address"))
    await expect(image.locator(".snippet code")).to_contain_text("image_url")
    await image.get_by_label("Image address").fill("https://pictures.example.org/cat.png")
    await image.get_by_label("Image address").press("Enter")
    await image.get_by_role("button", name="Python").click()
    await expect(image.locator(".snippet code")).to_contain_text("https://pictures.example.org/cat.png")
    assert not site.upstream.requests


async def test_a_button_that_is_pressed_while_the_code_is_made_anew_is_still_clicked(page: Page, site: Site):
    await shown(page, site)
    text = page.locator(".card", has=page.get_by_label("Message")).first
    button = text.get_by_role("button", name="cURL")
    await text.get_by_label("Message").press_sequentially("Anew")
    await button.hover()
    await page.mouse.down()  # which leaves the field, so that the code is made anew
    await expect(text.locator(".snippet code")).to_contain_text("Anew")
    await page.mouse.up()
    await expect(text.locator(".snippet code")).to_contain_text("curl ")
    await expect(button).to_have_attribute("aria-pressed", "true")


async def test_models_streams_headers_errors_addresses_and_limits_are_told(page: Page, site: Site):
    await shown(page, site)
    models = page.locator("#models")
    await expect(models.get_by_role("link", name="deepseek-ai/DeepSeek-R1", exact=True)).to_be_visible()
    await expect(models.get_by_role("listitem").filter(has_text="Qwen/Qwen2.5-VL-7B-Instruct")).to_contain_text(
        "images"
    )
    assert await page.locator("#stream .code-block code").text_content() == OURS["stream"]["example"].rstrip()
    await expect(page.locator("#stream")).to_contain_text("to its beginning 60 s")
    for one in OURS["headers"]:
        title = "Headers of requests" if one["on"] == "request" else "Headers of answers"
        row = page.get_by_role("table", name=title).get_by_role("row").filter(has_text=one["name"])
        await expect(row.first).to_contain_text(one["example"])
    errors = await page.get_by_role("table", name="All errors").text_content() or ""
    for one in OURS["errors"]:
        assert (one["code"] or one["type"]) in errors and one["do"].replace("`", "") in errors
    addresses = await page.get_by_role("table", name="All addresses").text_content() or ""
    document = json.loads(openapi.document(site.config.server))
    assert all(path in addresses for path in [*document["paths"], "/playground", "/settings/tokens"])
    await expect(page.get_by_role("table", name="Names of models")).to_contain_text("org/name:cheapest")
    await expect(page.locator("#task")).to_contain_text(f"{site.url}/v1")


async def test_it_is_as_good_on_a_small_dark_screen(page: Page, site: Site, axe: Axe):
    await page.set_viewport_size({"width": 360, "height": 740})
    await page.emulate_media(color_scheme="dark")
    await shown(page, site)
    await axe(page)
    for kind in ("request", "answer", "stream"):
        await page.locator(f"#{kind}").get_by_role("button", name="Unfold all").click()
    assert await page.evaluate("document.documentElement.scrollWidth") == 360
    contents = page.get_by_role("navigation", name="On this page")
    await expect(contents.get_by_role("link", name="Headers")).to_be_hidden()
    await contents.get_by_text("On this page").click()
    await contents.get_by_role("link", name="Headers").click()
    await expect(page.get_by_role("heading", name="Headers")).to_be_in_viewport()


async def test_without_a_token_the_fields_are_told_and_the_rest_says_what_it_wants(page: Page, start: Start):
    async with start(tokens=["a-long-secret"]) as site:
        await page.goto(f"{site.url}/docs")
        await page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
        await expect(page.locator("#models").get_by_role("alert")).to_contain_text("a token is needed")
        await expect(page.locator("#code")).to_contain_text("The code takes a token, too.")
        await expect(page.locator('#request [data-path="messages"]')).to_be_visible()
        await expect(page.get_by_role("dialog")).to_have_count(0)


async def test_what_the_server_says_instead_of_its_description_stands_where_the_fields_would(page: Page, site: Site):
    async def refuse(route: Route) -> None:
        await route.fulfill(status=500, json={"error": {"message": "something <b>went</b> wrong here"}})

    await page.route("**/openapi.json", refuse)
    await page.goto(f"{site.url}/docs")
    await expect(page.locator("#request").get_by_role("alert")).to_have_text("something <b>went</b> wrong here")
    await expect(page.get_by_role("heading", level=1)).to_have_text("Chat completion")


@pytest.mark.parametrize("fragment", ["#%", "#%E0%A4%A", "#toString", "#<img src=x>"])
async def test_a_fragment_that_leads_nowhere_hinders_nothing(page: Page, site: Site, fragment: str):
    await shown(page, site, fragment)
    await expect(page.locator(".snippet .code-block")).to_have_count(2)


async def test_a_token_in_the_place_of_its_variable_is_refused_and_kept_nowhere(page: Page, site: Site):
    secret = "hf_" + "aB3" * 11
    await shown(page, site)
    code = page.locator("#code .card").first
    await code.get_by_text("Settings", exact=True).click()
    await code.get_by_label("Token variable").fill(secret)
    await code.get_by_label("Token variable").press("Enter")
    await expect(code.get_by_role("alert")).to_contain_text("not a token itself")
    await code.get_by_role("button", name="cURL").click()
    assert secret not in await page.evaluate("JSON.stringify({ ...localStorage, ...sessionStorage }) + location.href")
    await code.get_by_label("Token variable").fill("MY_TOKEN")
    await code.get_by_label("Token variable").press("Enter")
    await expect(code.locator(".snippet pre")).to_contain_text("MY_TOKEN")
    await shown(page, site)
    await expect(code.locator(".snippet pre")).to_contain_text("MY_TOKEN")


async def test_code_asks_the_server_where_the_page_was_had(page: Page, site: Site):
    """As behind a proxy that ends TLS: the server itself can't know the scheme."""
    async with page.expect_request("**/api/snippets") as asked:
        await page.goto(f"{site.url}/docs")
    assert (await asked.value).post_data_json["settings"]["base_url"] == f"{site.url}/v1"
