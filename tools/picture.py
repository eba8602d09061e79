"""Make the README's picture of the playground: docs/playground.png.

    tertulia serve --port 8080          # with the default model and Qwen2.5-Coder-0.5B-Instruct installed
    python tools/picture.py http://127.0.0.1:8080

Two models answer the same question. Needs playwright and a Chromium.
"""

import asyncio
import shutil
import sys
from pathlib import Path

from playwright.async_api import Page, async_playwright, expect

TARGET = Path(__file__).parents[1] / "docs" / "playground.png"
SECOND = "Qwen/Qwen2.5-Coder-0.5B-Instruct"
QUESTION = "Write a Python function that tells whether a number is prime."


async def draw(page: Page, url: str) -> None:
    await page.goto(f"{url}/playground")
    await page.get_by_role("button", name="Compare").click()
    column = page.get_by_role("region", name="Conversation 2")
    await column.get_by_role("button", name="Model:").click()
    await page.get_by_role("combobox", name="Search models").fill(SECOND)
    await page.keyboard.press("Enter")
    prompt = page.get_by_placeholder("Write a message")
    await prompt.fill(QUESTION)
    await prompt.press("Control+Enter")
    await expect(page.get_by_text("in all")).to_have_count(2, timeout=300_000)
    TARGET.parent.mkdir(exist_ok=True)
    await page.screenshot(path=TARGET)


async def main(url: str) -> None:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = await browser.new_page(viewport={"width": 1280, "height": 800}, color_scheme="light")
        await draw(page, url.rstrip("/"))
        await browser.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
