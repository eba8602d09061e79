"""URLs and files that are made to harm whoever reads them: each is a 400, none reaches inward, none takes memory."""

import asyncio
import functools
import gzip
import time
from collections.abc import AsyncGenerator, Callable
from pathlib import Path

import pytest

import hostile
from drawing import PARAM, Answer, Names, Site, data_url, file, gradient, keep, moved, reply
from tertulia import config
from tertulia.engine.pictures import Pictures
from tertulia.errors import BadRequest
from tertulia.net import MEBI, Net

SETTINGS = config.Images(hosts=["pictures.example"], timeout=0.4, size=4 * MEBI, pixels=4_000_000)
MOST_MEMORY = 48 * MEBI
NAMES = {
    "silent.example": [["wait"], ["127.0.0.1"]],
    "pictures.example": [["127.0.0.1"]],
    "inner.example": [["127.0.0.1"]],
    "six.example": [["::1"]],
    "mapped.example": [["::ffff:127.0.0.1"]],
    "meta.example": [["169.254.169.254"]],
    "twice.example": [["93.184.216.34"], ["127.0.0.1"]],
    "both.example": [["93.184.216.34", "127.0.0.1"]],
    "public.example": [["93.184.216.34"]],
}

INWARD = [
    *("http://127.0.0.1:{port}/", "http://localhost:{port}/", "http://127.1:{port}/", "http://2130706433:{port}/"),
    *(
        "http://0x7f000001:{port}/",
        "http://0x7f.0.0.1:{port}/",
        "http://0177.0.0.1:{port}/",
        "http://017700000001:{port}/",
    ),
    *("http://127.0.0.1.:{port}/", "http://[::1]:{port}/", "http://[::ffff:127.0.0.1]:{port}/", "http://[::]:{port}/"),
    *("http://0.0.0.0:{port}/", "http://0:{port}/", "http://[::127.0.0.1]:{port}/", "http://[2002:7f00:1::]:{port}/"),
    *("http://[64:ff9b::7f00:1]:{port}/", "http://[fe80::1%25lo]:{port}/", "http://169.254.169.254/latest/meta-data/"),
    *("http://10.0.0.1/", "http://192.168.0.1/", "http://100.64.0.1/", "http://[fd00:ec2::254]/", "http://224.0.0.1/"),
    *(
        "http://①②⑦.⓪.⓪.①:{port}/",
        "http://127。0。0。1:{port}/",
        "http://inner.example:{port}/",
        "http://six.example:{port}/",
    ),
    *(
        "http://mapped.example:{port}/",
        "http://meta.example/",
        "http://twice.example:{port}/",
        "http://both.example:{port}/",
    ),
    *(
        "http://pictures.example@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}\\@pictures.example/",
        "//127.0.0.1:{port}/",
    ),
    *("http://user:secret@pictures.example/a.png", "http://pictures.example:{port}/\r\nHost: inner", "http://:{port}/"),
    *(
        "file:///etc/hostname",
        "ftp://127.0.0.1:{port}/",
        "gopher://127.0.0.1:{port}/",
        "unix:/run/docker.sock",
        "/etc/hostname",
    ),
    *(
        "http://public.example:22/",
        "http://public.example:{port}0000/",
        "http://" + "a" * 9000,
        "http://%6c%6fcalhost:{port}/",
    ),
    *("http://" + "a." * 1000 + "b/", "data:image/png,\ud800", "http://\ud800/", "http://silent.example:{port}/"),
    *("", "http://", "javascript:alert(1)", "blob:http://127.0.0.1:{port}/", "http://[::1", "http://a b/"),
]
"""URLs, of which none may connect to the server whose port is filled in."""

REDIRECTS = [
    *(
        "http://127.0.0.1:{port}/",
        "http://[::ffff:7f00:1]:{port}/",
        "http://inner.example:{port}/",
        "//localhost:{port}/",
    ),
    *("http://twice.example:{port}/", "file:///etc/hostname", "ftp://127.0.0.1:{port}/", "data:image/png;base64,AAAA"),
    *("http://user:secret@pictures.example/", "http://0x7f.1:{port}/", "http://[::1", "", "/redirect"),
]


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


def drip(*pieces: bytes, pause: float = 0) -> Answer:
    """The pieces, and the last one for ever."""

    async def answer(writer: asyncio.StreamWriter) -> None:
        for piece in pieces[:-1]:
            writer.write(piece)
        while True:
            writer.write(pieces[-1])
            await writer.drain()
            await asyncio.sleep(pause)

    return answer


OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n"
PICTURE = file(gradient())
BODIES: dict[str, tuple[bytes | Answer, str]] = {
    "endless": (drip(OK + b"\r\n", bytes(65536)), "larger than"),
    "endless in pieces": (
        drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + bytes(65536) + b"\r\n"),
        "larger",
    ),
    "a size of a terabyte": (OK + b"Content-Length: 1099511627776\r\n\r\n", "larger than"),
    "a size that is none": (OK + b"Content-Length: -1\r\n\r\n", "not HTTP"),
    "slow": (drip(OK + b"\r\n", b"x", pause=0.05), "longer than the 0.4 s"),
    "slow head": (drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n", pause=0.05), "longer than the 0.4 s"),
    "endless head": (drip(b"HTTP/1.1 200 OK\r\n", b"X-A: b\r\n" * 1000), "check the URL"),
    "silent": (drip(b"", b"", pause=0.1), "longer than the 0.4 s"),
    "cut": (OK + b"Content-Length: 900000\r\n\r\n" + PICTURE, "cut the connection"),
    "packed bomb": (reply(gzip.compress(bytes(64 * MEBI), 9), more="Content-Encoding: gzip\r\n"), "larger than"),
    "packed twice": (reply(gzip.compress(PICTURE), more="Content-Encoding: gzip, gzip\r\n"), "can't be undone"),
    "a page": (reply(b"<!doctype html><p>not here", "image/png"), "web page"),
    "not HTTP": (b"SSH-2.0-OpenSSH_9.6\r\n", "not HTTP"),
    "not there": (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", "answered 404"),
    "empty": (reply(b""), "empty"),
}


@pytest.mark.parametrize("name", BODIES)
async def test_an_answer_that_harms_is_left(loader: Pictures, name: str):
    async with Site() as site:
        site.pages["/"], told = BODIES[name]
        before = peak()
        assert told in await refuse(loader, f"http://pictures.example:{site.port}/")
        assert peak(since=before) < MOST_MEMORY


FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a gigapixel that is said": (lambda: hostile.png(50_000, 20_000), "scale it"),
    "a picture that is there": (hostile.real_bomb, "scale it"),
    "a picture one pixel wide": (lambda: hostile.png(1, 4_000_000, pixels=bytes(8_000_000)), "more than 200 times"),
    "a picture one pixel high": (lambda: hostile.png(4_000_000, 1, pixels=bytes(500_001)), "more than 200 times"),
    "no pixel": (lambda: hostile.png(0, 5), "scale it"),
    "a webp of 268 megapixels": (lambda: hostile.webp(16_383, 16_383), "scale it"),
    "a webp of nothing": (lambda: hostile.webp(100, 100), "can't be decoded"),
    "a gif wider than its canvas": (hostile.wide_gif, "scale it"),
    "a gif with an endless note": (hostile.notes, "too many parts"),
    "a jpeg drawn over and over": (hostile.scans, "drawn more than 100 times"),
    "a jpeg of two sizes": (hostile.two_sizes, "can't be decoded"),
    "a tiff of half a million strips": (hostile.strips, "larger than pictures need"),
    "a tiff for another decoder": (hostile.odd_tiff, "packed in way 50001"),
    "half a png": (lambda: PICTURE[: len(PICTURE) // 2], "cut off"),
    "half a jpeg": (lambda: file(gradient(99, 99), "JPEG")[:800], "cut off"),
    "a page": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/hostname'/></svg>", "SVG"),
    "a script": (lambda: b"%!PS-Adobe-3.0\n(/etc/hostname) run", "png, jpeg, webp, gif and tiff are"),
}
HARMLESS: dict[str, Callable[[], bytes]] = {
    "notes of 60 MB": hostile.texts,
    "a colour profile of 64 MB": hostile.profile,
    "pixels that go on for 64 MB": hostile.more_than_said,
    "exif data that names itself": hostile.exif_bomb,
    "a tiff that names itself": hostile.tiff_bomb,
}
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
