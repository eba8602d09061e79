"""URLs and files that are made to harm whoever reads them: each is a 400, none reaches inward, none takes memory."""

import functools
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from drawing import PARAM, Names, Site, data_url, file, gradient, keep, moved, reply
from hostile import BODIES, FILES, HARMLESS, INWARD, NAMES, REDIRECTS
from tertulia import config
from tertulia.engine.pictures import Pictures
from tertulia.errors import BadRequest
from tertulia.net import MEBI, Net

SETTINGS = config.Images(hosts=["pictures.example"], timeout=0.4, size=4 * MEBI, pixels=4_000_000)
MOST_MEMORY = 48 * MEBI


@pytest.fixture
async def inner() -> AsyncGenerator[Site, None]:
    """A server that nobody may reach. It would have a picture for all."""
    async with Site() as inner:
        inner.pages["/"] = reply(file(gradient()))
        yield inner


@pytest.fixture
async def loader() -> AsyncGenerator[Pictures, None]:
    async with Net(resolver=Names(NAMES)) as net:
        yield Pictures(SETTINGS, net)


async def refuse(loader: Pictures, url: str) -> str:
    """The refusal, which names the part, and came in time."""
    began = time.monotonic()
    with pytest.raises(BadRequest) as caught:
        await loader.load(url, PARAM, keep)
    assert time.monotonic() - began < 5
    assert caught.value.param == PARAM and len(caught.value.message) < 500
    return caught.value.message


@pytest.mark.parametrize("url", INWARD)
async def test_a_url_that_leads_inward_or_nowhere_connects_to_nobody(loader: Pictures, inner: Site, url: str):
    await refuse(loader, url.replace("{port}", str(inner.port)))
    assert inner.connections == 0


@pytest.mark.parametrize("place", REDIRECTS)
async def test_a_redirect_that_leads_inward_connects_to_nobody(loader: Pictures, inner: Site, place: str):
    async with Site() as site:
        site.pages["/redirect"] = moved(place.replace("{port}", str(inner.port)))
        await refuse(loader, f"http://pictures.example:{site.port}/redirect")
        assert (inner.connections, site.connections) == (0, 4 if place == "/redirect" else 1)


@pytest.mark.parametrize("name", BODIES)
async def test_an_answer_that_harms_is_left(loader: Pictures, name: str):
    async with Site() as site:
        site.pages["/"], told = BODIES[name]
        before = peak()
        assert told in await refuse(loader, f"http://pictures.example:{site.port}/")
        assert peak(since=before) < MOST_MEMORY


made = functools.cache(lambda make: data_url(make()))


@pytest.mark.parametrize("name", FILES)
async def test_a_file_that_harms_is_refused(loader: Pictures, name: str):
    make, told = FILES[name]
    url = made(make)
    before = peak()
    assert told in await refuse(loader, url)
    assert peak(since=before) < MOST_MEMORY


@pytest.mark.parametrize("name", HARMLESS)
async def test_what_harms_in_a_file_is_not_read(loader: Pictures, name: str):
    url = made(HARMLESS[name])
    before, began = peak(), time.monotonic()
    assert (await loader.load(url, PARAM, keep)).pixels.size <= 8 * 8 * 3
    assert time.monotonic() - began < 2 and peak(since=before) < MOST_MEMORY


def peak(since: int = 0) -> int:
    """The most memory that this process had, beyond ``since``; without it what it has now, from where the most is
    counted anew."""
    if not since:
        try:
            Path("/proc/self/clear_refs").write_text("5")
        except OSError:
            pytest.skip("this system doesn't tell how much memory was used")
    name = "VmHWM:" if since else "VmRSS:"
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) * 1024 - since
