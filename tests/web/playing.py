"""What tests of the playground do again and again."""

import json
import re
from pathlib import Path
from typing import Any

from playwright.async_api import Locator, Page, expect

from gateway import Site


async def enter(page: Page, site: Site, path: str = "/playground") -> None:
    """Open the playground, and wait until it knows the models."""
    await page.goto(site.url + path)
    await expect(page.get_by_role("button", name=re.compile("Model: up."))).not_to_have_count(0)


def column(page: Page, number: int = 1) -> Locator:
    return page.get_by_role("region", name=re.compile(f"Conversation {number}:"))


def messages(place: Page | Locator) -> Locator:
    return place.get_by_role("list").locator("> li.message")


def text(place: Page | Locator, number: int) -> Locator:
    return place.get_by_label(f"Text of message {number}", exact=True)


async def say(page: Page, words: str) -> None:
    """Write and send."""
    await page.get_by_label("Message", exact=True).fill(words)
    await page.keyboard.press("Control+Enter")


async def more(place: Page | Locator, number: int, item: str | re.Pattern[str]) -> None:
    """Choose from the menu of a message."""
    await place.get_by_role("button", name=f"More for message {number}", exact=True).click()
    page = place if isinstance(place, Page) else place.page
    await page.get_by_role("menuitem", name=item).click()


def listed(page: Page) -> Locator:
    """The sessions in the list."""
    return page.get_by_role("complementary", name="Sessions").get_by_role("listitem")


async def choose(page: Page, item: str, menu: str = "More for this session") -> None:
    """Choose from the menu of a session."""
    await page.get_by_role("button", name=menu, exact=True).click()
    await page.get_by_role("menuitem", name=item).click()


async def give(page: Page, path: Path) -> None:
    """Import a file."""
    await page.get_by_role("button", name="More for this session").click()
    async with page.expect_file_chooser() as choosing:
        await page.get_by_role("menuitem", name="Import a file").click()
    await (await choosing.value).set_files(path)


def setting(page: Page, name: str) -> Locator:
    """A number among the settings, which are open."""
    panel = page.get_by_role("complementary").last
    return panel.get_by_role("spinbutton", name=name).or_(panel.get_by_role("textbox", name=name))


def asked(site: Site, number: int = -1) -> Any:
    """What the provider was asked."""
    return site.upstream.requests[number].json


def said(site: Site, number: int = -1) -> list[tuple[str, Any]]:
    """The messages of that, as pairs of role and content."""
    return [(one["role"], one.get("content")) for one in asked(site, number)["messages"]]


def tasks(trace: bytes) -> list[tuple[float, float]]:
    """The tasks of the page's main thread: milliseconds by the clock, and of the processor."""
    events: list[dict[str, Any]] = json.loads(trace)["traceEvents"]
    main = {
        (e["pid"], e["tid"]) for e in events if e["name"] == "thread_name" and e["args"]["name"] == "CrRendererMain"
    }
    found = [e for e in events if e["name"].endswith("RunTask") and (e["pid"], e["tid"]) in main and "tdur" in e]
    return [(task["dur"] / 1000, task["tdur"] / 1000) for task in found]
