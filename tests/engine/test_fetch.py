"""Pictures behind URLs: whom they are fetched from, and what is not fetched."""

import asyncio
import gzip
import time
from collections.abc import AsyncGenerator
from pathlib import Path

import numpy as np
import pytest

from drawing import PARAM, Names, Site, file, gradient, keep, moved, reply
from tertulia import config
from tertulia.engine import pictures
from tertulia.engine.pictures import Pictures
from tertulia.errors import BadRequest, Busy
from tertulia.net import Net

NAMES = {"pictures.example": [["127.0.0.1"]], "other.example": [["127.0.0.1"]], "inner.example": [["127.0.0.1"]]}


@pytest.fixture
async def site() -> AsyncGenerator[Site, None]:
    async with Site() as site:
        site.pages["/a.png"] = reply(file(gradient()))
        yield site


@pytest.fixture
async def net() -> AsyncGenerator[Net, None]:
    async with Net(resolver=Names(NAMES)) as net:
        yield net


def allowing(net: Net, *hosts: str, **more: object) -> Pictures:
    return Pictures(config.Images(hosts=list(hosts), timeout=2, **more), net)  # pyright: ignore[reportArgumentType]


async def refused(loader: Pictures, url: str) -> str:
    with pytest.raises(BadRequest) as caught:
        await loader.load(url, PARAM, keep)
    assert caught.value.param == PARAM
    return caught.value.message


async def test_a_host_that_is_allowed_by_name_is_asked_and_no_other(net: Net, site: Site):
    loader = allowing(net, "Pictures.Example")
    found = await loader.load(f"http://pictures.example:{site.port}/a.png#part", PARAM, keep)
    assert np.array_equal(found.pixels, gradient())
    assert "not a public address" in await refused(loader, f"http://other.example:{site.port}/a.png")
    assert "not a public address" in await refused(loader, f"http://127.0.0.1:{site.port}/a.png")
    assert site.connections == 1
    assert (
        await allowing(net, "127.0.0.1").load(f"http://127.0.0.1:{site.port}/a.png", PARAM, keep)
    ).digest == found.digest


async def test_a_host_learns_nothing_about_who_asks(net: Net, site: Site, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    site.pages["/a.png"] = reply(file(gradient()), more="Set-Cookie: a=b\r\n")
    loader = allowing(net, "pictures.example")
    for _ in range(2):
        await loader.load(f"http://pictures.example:{site.port}/a.png", PARAM, keep)
    names = {line.partition(":")[0].lower() for line in site.heads[1].splitlines()[1:] if line}
    assert names == {"host", "accept", "accept-encoding", "user-agent", "connection"}
    assert site.connections == 2  # none is kept open


async def test_what_a_file_is_decides_its_content(net: Net, site: Site):
    site.pages["/page.html"] = reply(file(gradient(), "WEBP", lossless=True), "text/html")
    found = await allowing(net, "pictures.example").load(f"http://pictures.example:{site.port}/page.html", PARAM, keep)
    assert np.array_equal(found.pixels, gradient())


async def test_a_file_that_was_packed_on_its_way_is_unpacked(net: Net, site: Site):
    site.pages["/a.png"] = reply(gzip.compress(file(gradient())), more="Content-Encoding: gzip\r\n")
    found = await allowing(net, "pictures.example").load(f"http://pictures.example:{site.port}/a.png", PARAM, keep)
    assert np.array_equal(found.pixels, gradient())


async def test_three_redirects_are_followed_and_a_fourth_is_not(net: Net, site: Site):
    site.pages |= {
        "/3": moved("/2", 301),
        "/2": moved(f"//other.example:{site.port}/1", 307),
        "/1": moved("a.png", 308),
    }
    site.pages["/4"] = moved("/3", 303)
    loader = allowing(net, "pictures.example", "other.example")
    assert (await loader.load(f"http://pictures.example:{site.port}/3", PARAM, keep)).pixels.shape == (16, 24, 3)
    assert "more than 3 redirects" in await refused(loader, f"http://pictures.example:{site.port}/4")


async def test_every_redirect_is_checked_anew(net: Net, site: Site):
    loader = allowing(net, "pictures.example")
    for place in (f"http://inner.example:{site.port}/a.png", f"http://127.0.0.1:{site.port}/a.png"):
        site.pages["/go"] = moved(place)
        before = site.connections
        assert "not a public address" in await refused(loader, f"http://pictures.example:{site.port}/go")
        assert site.connections == before + 1


async def test_a_name_is_looked_up_once_for_each_request(site: Site):
    names = Names({"twice.example": [["93.184.216.34"], ["127.0.0.1"]], "both.example": [["1.1.1.1", "127.0.0.1"]]})
    async with Net(resolver=names) as net:
        loader = allowing(net)
        await refused(loader, f"http://twice.example:{site.port}/a.png")
        assert names.asked == ["twice.example"]
        assert "not a public address" in await refused(loader, f"http://twice.example:{site.port}/a.png")
        await refused(loader, f"http://both.example:{site.port}/a.png")
    assert site.connections == 0


async def test_a_proxy_that_is_configured_is_asked(net: Net, site: Site):
    site.pages["http://far.example/a.png"] = reply(file(gradient()))
    loader = allowing(net, proxy=f"http://127.0.0.1:{site.port}")
    assert (await loader.load("http://far.example/a.png", PARAM, keep)).pixels.shape == (16, 24, 3)
    await refused(loader, "http://192.168.1.1/a.png")
    assert site.connections == 1


async def test_many_files_are_fetched_at_once_but_not_any_number(net: Net, site: Site, monkeypatch: pytest.MonkeyPatch):
    gate = asyncio.Event()

    async def late(writer: asyncio.StreamWriter) -> None:
        await gate.wait()
        writer.write(reply(file(gradient())))
        await writer.drain()

    site.pages["/late.png"] = late
    monkeypatch.setattr(pictures, "PATIENCE", 0.2)
    loader = allowing(net, "pictures.example")
    url = f"http://pictures.example:{site.port}/late.png"
    loads = [asyncio.create_task(loader.load(url, PARAM, keep)) for _ in range(pictures.FETCHES)]
    await asyncio.sleep(0.1)
    with pytest.raises(Busy):
        await loader.load(url, PARAM, keep)
    assert site.connections == pictures.FETCHES
    monkeypatch.setattr(pictures, "PATIENCE", 10)
    gate.set()
    assert len({picture.digest for picture in await asyncio.gather(*loads)}) == 1


async def test_who_hangs_up_ends_the_fetching(net: Net, site: Site):
    gone = asyncio.Event()

    async def endless(writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.01)
        finally:
            gone.set()

    site.pages["/"] = endless
    load = asyncio.create_task(
        allowing(net, "pictures.example").load(f"http://pictures.example:{site.port}/", PARAM, keep)
    )
    await asyncio.sleep(0.1)
    load.cancel()
    async with asyncio.timeout(1):
        await gone.wait()


# ---------------------------------------------------------------- mirrors


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "pictures"
    (root / "new york").mkdir(parents=True)
    (tmp_path / "secret.png").write_bytes(file(gradient()))
    (tmp_path / "pictures.png").write_bytes(file(gradient()))
    (root / "a.png").write_bytes(file(gradient()))
    (root / "new york" / "b+c.png").write_bytes(file(gradient()))
    (root / ".hidden.png").write_bytes(file(gradient()))
    (root / "inside.png").symlink_to("a.png")
    (root / "outside.png").symlink_to(tmp_path / "secret.png")
    (root / "loop.png").symlink_to("loop.png")
    return root


@pytest.mark.parametrize(
    "path", ["a.png", "a.png?size=2&x=%2e%2e", "inside.png", "new%20york/b+c.png", "x/../a.png", "%61.png"]
)
async def test_a_folder_stands_for_the_beginning_of_a_url(net: Net, folder: Path, path: str):
    loader = allowing(net, mirror={"https://cdn.britannica.com/61/": str(folder)})
    assert np.array_equal((await loader.load(f"https://CDN.britannica.com/61/{path}", PARAM, keep)).pixels, gradient())
    assert np.array_equal(
        (await loader.load(f"https://cdn.britannica.com:443/61/{path}", PARAM, keep)).pixels, gradient()
    )


@pytest.mark.parametrize(
    "path",
    [
        *("../secret.png", "%2e%2e/secret.png", "..%2fsecret.png", "%2e%2e%2fsecret.png", "%252e%252e/secret.png"),
        *("..%5csecret.png", "x/%2e%2e/%2e%2e/secret.png", "outside.png", "loop.png", ".hidden.png", "", "new%20york"),
        *("a.png/", "a.png%00", "/a.png", "%2fetc/hostname", "none.png", "%ff%fe.png", "a" * 300, "./%2e./secret.png"),
    ],
)
async def test_nothing_outside_a_folder_is_read(net: Net, folder: Path, path: str):
    loader = allowing(net, mirror={"https://cdn.example/61/": str(folder), "https://cdn.example/": str(folder)})
    assert "send the picture as a data: URL" in await refused(loader, "https://cdn.example/61/" + path)


async def test_a_mirror_ends_where_its_url_does(net: Net, folder: Path, site: Site):
    loader = allowing(
        net, mirror={"https://cdn.example": str(folder), "https://one.example/x.png": str(folder / "a.png")}
    )
    assert (await loader.load("https://cdn.example/a.png", PARAM, keep)).pixels.shape == (16, 24, 3)
    assert (await loader.load("https://one.example/x.png?y", PARAM, keep)).pixels.shape == (16, 24, 3)
    for url in ("https://cdn.example.evil/a.png", "https://one.example/x.pngs", "http://cdn.example/a.png"):
        assert "can't be reached" in await refused(loader, url)


async def test_a_file_of_a_mirror_has_the_bound_of_any(net: Net, folder: Path):
    (folder / "large.png").write_bytes(bytes(1001))
    loader = allowing(net, mirror={"https://cdn.example/": str(folder)}, size=1000)
    assert "larger than" in await refused(loader, "https://cdn.example/large.png")


async def test_an_address_stands_for_the_beginning_of_a_url(net: Net, site: Site):
    site.pages |= {
        "/copy/b.png?x=1": reply(file(gradient())),
        "/copy/go": moved("b.png?x=1"),
        "/copy/out": moved("/a.png"),
    }
    loader = allowing(net, mirror={"https://cdn.example/": f"http://127.0.0.1:{site.port}/copy/"})
    for path in ("b.png?x=1", "go"):
        assert (await loader.load("https://cdn.example/" + path, PARAM, keep)).pixels.shape == (16, 24, 3)
    before = site.connections
    for path in ("..%2fa.png", "x/..%2f..%2fa.png", "..%5ca.png", "%252e%252e%252fa.png"):
        await refused(loader, "https://cdn.example/" + path)
    assert site.connections == before
    assert site.heads[0].startswith("GET /copy/b.png?x=1 ")
    for path in ("a.png", "copy/b.png?x=1", "copy/..%2fa.png"):  # the copy's own address is nobody's to name
        await refused(loader, f"http://127.0.0.1:{site.port}/{path}")
    assert site.connections == before


async def test_where_a_copy_lies_is_not_told(net: Net, site: Site):
    site.pages |= {"/copy/cut.png": b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\nx", "/copy/odd.png": b"odd\r\n\r\n"}
    loader = allowing(net, mirror={"https://cdn.example/": f"http://127.0.0.1:{site.port}/copy/"})
    dead = allowing(net, mirror={"https://cdn.example/": "http://127.0.0.1:9/copy/"})
    for one, name in ((loader, "cut.png"), (loader, "odd.png"), (loader, "none.png"), (dead, "a.png")):
        told = await refused(one, f"https://cdn.example/{name}")
        assert "cdn.example" in told and "127.0.0.1" not in told


async def test_a_redirect_may_lead_to_a_mirror(net: Net, site: Site, folder: Path):
    site.pages["/go"] = moved("https://cdn.example/a.png")
    loader = allowing(net, "pictures.example", mirror={"https://cdn.example/": str(folder)})
    began = time.monotonic()
    assert (await loader.load(f"http://pictures.example:{site.port}/go", PARAM, keep)).pixels.shape == (16, 24, 3)
    assert time.monotonic() - began < 1
