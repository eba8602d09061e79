"""Pages in a real Chromium, over a gateway in this process or over a real server.

All tests here share one browser, and so one event loop; each has a fresh page that may ask this machine only, and in
which nothing may go wrong unseen.
"""

import inspect
import os
import shutil
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, async_playwright, expect

from gateway import Site, Start, opened
from service import Service, serving

_AXE = Path(__file__).parents[1] / "js" / "node_modules" / "axe-core" / "axe.min.js"

expect.set_options(timeout=5_000)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


def _chromium(fetched: str) -> str:
    """A browser of this machine, or the one that was ``fetched``; `make test` sees to it that there is one."""
    # The shell has no window to draw: a page in it opens in less than half of the time.
    names = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", fetched)
    found = os.environ.get("TERTULIA_TEST_CHROMIUM") or next(filter(None, map(shutil.which, names)), "")
    if not found:
        pytest.skip("there is no Chromium here: `make browser` gets it, or name one in TERTULIA_TEST_CHROMIUM")
    return found


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncGenerator[Browser, None]:
    # Root has no sandbox. Nothing but this machine can be asked: a page that tries has an error in its console, which
    # fails its test, and no request has to be routed through here, which would make all of them slow and uncached.
    options = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]
    options.append("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost")
    async with async_playwright() as playwright:
        path = _chromium(playwright.chromium.executable_path)
        browser = await playwright.chromium.launch(executable_path=path, args=[*options, "--disable-quic"])
        yield browser
        await browser.close()


class Watch:
    """What went wrong in a page. A test that means something to fail adds a part of its message to ``expected``."""

    def __init__(self) -> None:
        self.wrongs: list[str] = []
        # Statuses are looked at where they matter, and a site may be closed before the page over it.
        self.expected: list[str] = ["Failed to load resource: the server responded", "net::ERR_CONNECTION_REFUSED"]

    def unseen(self) -> list[str]:
        return [wrong for wrong in self.wrongs if not any(part in wrong for part in self.expected)]


@pytest_asyncio.fixture(loop_scope="session")
async def watch() -> Watch:
    return Watch()


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser: Browser, watch: Watch) -> AsyncGenerator[Page, None]:
    """A page of 1280 by 900 with nothing stored. The test fails on any error in it and on any request elsewhere."""
    context = await browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    await context.grant_permissions(["clipboard-read", "clipboard-write"])
    page = await context.new_page()

    page.on("console", lambda line: watch.wrongs.append(line.text) if line.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: watch.wrongs.append(str(error)))
    yield page
    await context.close()
    assert not watch.unseen(), "\n".join(watch.unseen())


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """Start a Site: ``start(*scripts, **settings of [server])``, a context."""
    return lambda *scripts, **server: opened(tmp_path, *scripts, **server)


@pytest_asyncio.fixture(loop_scope="session")
async def site(tmp_path: Path) -> AsyncGenerator[Site, None]:
    """A Site that says "Hello from afar." to everything, until its upstream is told something else."""
    async with opened(tmp_path) as site:
        yield site


@pytest.fixture(scope="session")
def real(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    """`tertulia serve` over the default model, for all tests here."""
    with serving(tmp_path_factory.mktemp("home")) as running:
        running.wait()
        yield running


@pytest.fixture
def axe() -> Callable[[Page], Awaitable[None]]:
    """Check a page's accessibility with axe-core: nothing serious or critical may be wrong with it as it is now."""
    if not _AXE.exists():
        pytest.skip("axe-core is not installed: npm ci in tests/js")
    source = _AXE.read_text("utf-8")

    async def check(page: Page) -> None:
        await page.evaluate(source)
        found = await page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        serious = [one for one in found["violations"] if one["impact"] in ("serious", "critical")]
        told = [f"{one['id']}: {one['help']}: {node['html'][:200]}" for one in serious for node in one["nodes"][:5]]
        assert not told, "\n".join(told)

    return check
