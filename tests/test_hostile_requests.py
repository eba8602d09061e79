"""Hostile URLs and files, posted to `tertulia serve`: each is a 400 that names its part, nothing inward is dialled,
memory stays as it was, and a chat beside them goes on."""

import asyncio
import functools
import json
import os
import time
from collections.abc import AsyncGenerator, Callable, Generator
from io import BytesIO
from pathlib import Path
from typing import Any

import aiohttp
import pytest

import hostile
import seeing
from asking import address
from drawing import Site, data_url, file, gradient, moved, reply
from service import Service, most, resident, serving, settle
from sighted import SEES, install, shown, talking
from tertulia.net import MEBI

MOST_MEMORY = 96
"""What reading may take for a moment, in MB: two pictures of four megapixels, and requests' bodies, more than once."""
KEPT_MEMORY = 32
PART = "messages[0].content[1].image_url"
JSON = {"Content-Type": "application/json"}
IMAGES = """
[images]
hosts = ["pictures.example"]
timeout = 0.5
size = "4M"
pixels = 4_000_000
"""
made = functools.cache(lambda make: data_url(make()))


@pytest.fixture(scope="module")
def dialled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file in which the server's processes write down whom they dial."""
    log = tmp_path_factory.mktemp("dialled") / "log"
    log.touch()
    return log


@pytest.fixture(scope="module")
def sighted(tmp_path_factory: pytest.TempPathFactory, dialled: Path) -> Generator[Service]:
    home, here = tmp_path_factory.mktemp("home"), Path(__file__).parent
    (home / "tertulia").mkdir()
    (home / "tertulia" / "config.toml").write_text(IMAGES)
    more = {
        "PYTHONPATH": f"{here / 'fence'}{os.pathsep}{here}",
        "FENCE_NAMES": json.dumps(hostile.NAMES),
        "FENCE_LOG": str(dialled),
    }
    with serving(home, model=SEES, store=install(tmp_path_factory.mktemp("store")), more=more) as running:
        running.wait()
        yield running


@pytest.fixture
async def inner() -> AsyncGenerator[Site, None]:
    """A server that nobody may reach. It would have a picture for all."""
    async with Site() as inner:
        inner.pages["/"] = reply(file(gradient()))
        yield inner


@pytest.fixture
async def session(sighted: Service) -> AsyncGenerator[aiohttp.ClientSession, None]:
    timeout = aiohttp.ClientTimeout(total=40)
    async with aiohttp.ClientSession(sighted.address, timeout=timeout) as made:
        yield made


async def ask(session: aiohttp.ClientSession, url: str) -> tuple[int, Any]:
    body = BytesIO(json.dumps({"messages": shown(url), **talking(max_tokens=2)}).encode())
    async with session.post("/v1/chat/completions", data=body, headers=JSON) as answer:
        return answer.status, await answer.json()


async def refuse(session: aiohttp.ClientSession, urls: dict[str, str]) -> dict[str, str]:
    """Ask about all of ``urls``, four at a time; gives what was told of each."""
    turn, told = asyncio.Semaphore(4), dict[str, str]()

    async def one(name: str, url: str) -> None:
        async with turn:
            status, body = await ask(session, url)
        assert (status, body.get("error", {}).get("param")) == (400, PART), (name, status, body)
        told[name] = body["error"]["message"]

    await asyncio.gather(*(one(name, url) for name, url in urls.items()))
    return told


class Watch:
    """Beside it a stream of text goes on, and the memory of the engine and of the gateway is looked at."""

    def __init__(self, session: aiohttp.ClientSession, service: Service) -> None:
        self.pids = {"engine": service.engine(), "gateway": service.process.pid}
        self.pieces = 0
        self.ended = 0
        self.gap = 0.0
        self._session = session

    async def __aenter__(self) -> "Watch":
        for _ in range(2):  # so that what is used is there
            assert (await ask(self._session, address(seeing.picture("a", 64, 64))))[0] == 200
        self._talk = asyncio.create_task(self._chat())
        async with asyncio.timeout(20):
            while not self.pieces:
                await asyncio.sleep(0.01)
        self.before = {name: settle(pid) for name, pid in self.pids.items()}
        return self

    async def _chat(self) -> None:
        while True:
            asked = {"messages": [{"role": "user", "content": "the"}], "stream": True, "ignore_eos": True}
            last = time.monotonic()
            async with self._session.post("/v1/chat/completions", json=talking(**asked, max_tokens=400)) as answer:
                assert answer.status == 200
                text = b""
                async for line in answer.content:
                    self.gap, last = max(self.gap, time.monotonic() - last), time.monotonic()
                    self.pieces += line.startswith(b"data: {")
                    text = line if line.strip() else text
                assert text.strip() == b"data: [DONE]"
            self.ended += 1

    async def __aexit__(self, kind: Any, *_: object) -> None:
        before = self.pieces
        async with asyncio.timeout(20):
            while kind is None and self.pieces == before and not self._talk.done():
                await asyncio.sleep(0.01)
        if self._talk.done():
            self._talk.result()
        self._talk.cancel()
        if kind is None:
            for name, pid in self.pids.items():
                peak, now = ((taken - self.before[name]) / MEBI for taken in (most(pid), resident(pid)))
                assert peak < MOST_MEMORY and now < KEPT_MEMORY, f"{name}: peak +{peak:.0f} MB, kept +{now:.0f} MB"
            assert self.gap < 3, f"the stream stood still for {self.gap:.1f} s"


def dials(dialled: Path, port: int) -> list[str]:
    return [line for line in dialled.read_text().splitlines() if line.endswith(f" {port}")]


async def test_urls_that_lead_inward_or_nowhere(
    session: aiohttp.ClientSession, sighted: Service, inner: Site, dialled: Path
) -> None:
    urls = [url.replace("{port}", str(inner.port)) for url in hostile.INWARD if "\ud800" not in url]
    assert len(urls) > 40
    async with Watch(session, sighted) as watch:
        for _ in range(2):  # one of the hosts is elsewhere the second time
            told = await refuse(session, {url: url for url in urls})
        assert watch.pieces > 20
    assert len(told) == len(set(urls))
    assert all(len(message) < 500 for message in told.values())
    assert inner.connections == 0
    assert dials(dialled, inner.port) == [f"93.184.216.34 {inner.port}"] * 3, "outside, which the server may try"


async def test_a_url_that_is_no_unicode_is_refused(session: aiohttp.ClientSession, sighted: Service) -> None:
    for url in ("data:image/png,\ud800", "http://\ud800/"):
        status, body = await ask(session, url)
        assert (status, body["error"]["type"]) == (400, "invalid_request_error")


async def test_redirects_that_lead_inward(session: aiohttp.ClientSession, sighted: Service, inner: Site) -> None:
    async with Site() as site, Watch(session, sighted):
        places = {f"/{at}": place for at, place in enumerate(hostile.REDIRECTS)} | {"/redirect": "/redirect"}
        for path, place in places.items():
            site.pages[path] = moved(place.replace("{port}", str(inner.port)))
        await refuse(session, {path: f"http://pictures.example:{site.port}{path}" for path in places})
        assert site.connections >= len(places)
    assert inner.connections == 0


async def test_answers_that_go_on_for_ever_or_are_none(session: aiohttp.ClientSession, sighted: Service) -> None:
    async with Site() as site, Watch(session, sighted):
        for at, (page, _) in enumerate(hostile.BODIES.values()):
            site.pages[f"/{at}"] = page
        urls = {name: f"http://pictures.example:{site.port}/{at}" for at, name in enumerate(hostile.BODIES)}
        told = await refuse(session, urls)
    assert "answered 404" in told["not there"] and "larger than" in told["endless"]


@pytest.mark.parametrize("door", [data_url, None], ids=["in base64", "by URL"])
async def test_files_that_are_bombs_broken_or_no_pictures(
    session: aiohttp.ClientSession, sighted: Service, door: Callable[[bytes], str] | None
) -> None:
    files = {name: make() for name, (make, _) in hostile.FILES.items()}
    async with Site() as site:
        site.pages |= {f"/{at}": reply(content) for at, content in enumerate(files.values())}
        urls = {name: f"http://pictures.example:{site.port}/{at}" for at, name in enumerate(files)}
        async with Watch(session, sighted):
            told = await refuse(session, {name: door(content) for name, content in files.items()} if door else urls)
    if door:
        assert all(expected in told[name] for name, (_, expected) in hostile.FILES.items())


async def test_what_harms_in_a_file_is_not_read_and_the_picture_is_seen(
    session: aiohttp.ClientSession, sighted: Service
) -> None:
    async with Watch(session, sighted):
        for name, make in hostile.HARMLESS.items():
            assert (await ask(session, made(make)))[0] == 200, name
