"""Pictures out of files and data: URLs: their pixels, and what of a file is let near the decoder."""

import asyncio
import base64
import os
import random
import sys
import threading
from collections.abc import AsyncGenerator
from urllib.parse import quote

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from drawing import PARAM, data_url, file, gradient, keep
from tertulia import config
from tertulia.engine import pictures
from tertulia.engine.lean import lean
from tertulia.engine.pictures import Picture, Pictures
from tertulia.errors import BadRequest, Busy
from tertulia.net import Net

EXACT = [
    ("PNG", {}),
    ("PNG", {"compress_level": 9}),
    ("WEBP", {"lossless": True}),
    ("TIFF", {}),
    *(("TIFF", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits")),
]


@pytest.fixture
async def loader() -> AsyncGenerator[Pictures, None]:
    async with Net() as net:
        made = Pictures(config.Images(), net)
        yield made
        await made.aclose()


@pytest.mark.parametrize(("kind", "options"), EXACT)
async def test_a_picture_is_the_same_however_it_came(loader: Pictures, kind: str, options: dict[str, object]):
    picture = await loader.load(data_url(file(gradient(), kind, **options), "image/wrong"), PARAM, keep)
    assert picture.pixels.dtype == np.uint8 and np.array_equal(picture.pixels, gradient())
    assert picture.digest == (await loader.load(data_url(file(gradient())), PARAM, keep)).digest
    assert len(picture.digest) == 32 and loader.count == 20


async def test_other_pixels_and_another_shape_are_other_pictures(loader: Pictures):
    shapes = [gradient(), gradient()[::-1], np.zeros((4, 6, 3), np.uint8), np.zeros((6, 4, 3), np.uint8)]
    assert len({(await loader.load(data_url(file(pixels)), PARAM, keep)).digest for pixels in shapes}) == 4


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0, "optimize": True}])
async def test_a_jpeg_is_read_as_others_read_it(loader: Pictures, options: dict[str, object]):
    content = file(gradient(61, 47), "JPEG", quality=90, **options)
    picture = await loader.load(data_url(content), PARAM, keep)
    assert np.array_equal(picture.pixels, np.asarray(Image.open(pictures.BytesIO(content))))


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
async def test_every_orientation_is_righted(loader: Pictures, kind: str, orientation: int):
    exif = Image.Exif()
    exif[0x0112] = orientation
    options = {"lossless": True} if kind == "WEBP" else {}
    content = file(gradient(), kind, exif=exif, **options)
    expected = ImageOps.exif_transpose(Image.open(pictures.BytesIO(content)))
    assert np.array_equal(
        (await loader.load(data_url(content), PARAM, keep)).pixels, np.asarray(expected.convert("RGB"))
    )


async def test_what_is_transparent_is_white(loader: Pictures):
    clear = np.dstack([gradient(), np.zeros((16, 24), np.uint8)])
    clear[:, :12, 3] = 255
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True, "exact": True}), ("TIFF", {})):
        pixels = (await loader.load(data_url(file(clear, kind, **options)), PARAM, keep)).pixels
        assert np.array_equal(pixels[:, :12], gradient()[:, :12]) and (pixels[:, 12:] == 255).all()
    half = np.full((2, 2, 4), (0, 0, 0, 128), np.uint8)
    assert ((await loader.load(data_url(file(half)), PARAM, keep)).pixels == 127).all()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "YCbCr", "I;16"])
async def test_every_kind_of_colour_becomes_rgb(loader: Pictures, mode: str):
    kind = "TIFF" if mode in ("CMYK", "YCbCr") else "PNG"
    step = 255 if mode in ("1", "P") else 5  # what has few colours is dithered by who writes it
    grey = np.repeat((np.arange(0, 256, step, dtype=np.uint8))[None, :, None], 3, 2).repeat(4, 0)
    content = file(grey[..., 0].astype(np.uint16) * 257) if mode == "I;16" else file(grey, kind, mode)
    found = (await loader.load(data_url(content), PARAM, keep)).pixels
    assert found.shape == grey.shape and np.abs(found.astype(int) - grey).max() <= 2


async def test_of_an_animation_the_first_frame_is_read(loader: Pictures):
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue", "green")]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {}), ("TIFF", {})):
        out = pictures.BytesIO()
        frames[0].save(out, kind, save_all=True, append_images=frames[1:], **options)
        pixels = (await loader.load(data_url(out.getvalue()), PARAM, keep)).pixels
        assert (pixels == (255, 0, 0)).all(), kind
    still = file(np.dstack([gradient(), np.full((16, 24), 255, np.uint8)]), "GIF")
    assert (await loader.load(data_url(still), PARAM, keep)).pixels.shape == (16, 24, 3)


# ---------------------------------------------------------------- data: URLs


async def test_base64_is_read_as_people_write_it(loader: Pictures):
    content = file(gradient(5, 3))
    plain = base64.b64encode(content).decode()
    lines = "\r\n  ".join(plain[at : at + 20] for at in range(0, len(plain), 20))
    urlsafe = base64.urlsafe_b64encode(content).decode()
    for body in (plain, plain.rstrip("="), lines, urlsafe, quote(plain, safe="")):
        for head in ("image/png;base64", ";base64", "image/png;charset=x;BASE64", "text/plain;base64 "):
            assert np.array_equal((await loader.load(f" DATA:{head},{body}\n", PARAM, keep)).pixels, gradient(5, 3))
    assert np.array_equal((await loader.load("data:image/png," + quote(content), PARAM, keep)).pixels, gradient(5, 3))


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("data:image/png;base64", "no comma"),
        ("data:image/png;base64,", "it is empty"),
        ("data:,", "it is empty"),
        ("data:image/png;base64,????", "not base64"),
        ("data:image/png;base64,AAAAA", "not base64"),
        ("data:image/png;base64,\u00e9\u00e9\u00e9\u00e9", "not base64"),
        ("data:text/html,<svg xmlns='http://www.w3.org/2000/svg'/>", "web page or SVG"),
        (data_url(b"%PDF-1.7"), "PDF"),
        (data_url(b"\0\0\0 ftypheic"), "HEIC"),
        (data_url(file(gradient(), "BMP")), "BMP"),
        (data_url(file(gradient(), "ICO")), "png, jpeg, webp, gif and tiff are"),
        (data_url(file(gradient(), "PPM")), "png, jpeg, webp, gif and tiff are"),
    ],
)
async def test_what_is_no_picture_is_told_what_would_be(loader: Pictures, url: str, told: str):
    with pytest.raises(BadRequest, match=told) as caught:
        await loader.load(url, PARAM, keep)
    assert caught.value.param == PARAM


@pytest.mark.parametrize("more", ["", "\n" * 40_000, "%41" * 30_000])
async def test_a_data_url_that_is_too_long_is_refused_whatever_it_is_long_of(more: str):
    body = base64.b64encode(bytes(20_000)).decode() + more
    with pytest.raises(BadRequest, match=r"larger than 0\.01 MB"):
        pictures.read_data(f"data:image/png;base64,{body}", 10_000)


async def test_a_picture_may_be_two_hundred_times_as_long_as_wide(loader: Pictures):
    for width, height in ((200, 1), (1, 200), (4000, 20)):
        found = await loader.load(data_url(file(gradient(width, height))), PARAM, keep)
        assert found.pixels.shape == (height, width, 3)
    for width, height in ((201, 1), (1, 201), (4001, 20)):
        with pytest.raises(BadRequest, match=f"{width} x {height} pixels, one side more than 200 times .* crop it"):
            await loader.load(data_url(file(gradient(width, height))), PARAM, keep)


# ---------------------------------------------------------------- what reaches the decoder


@given(st.sampled_from(["PNG", "JPEG", "WEBP", "GIF", "TIFF"]), st.data())
def test_a_file_that_is_cut_or_changed_anywhere_is_a_picture_or_a_refusal(kind: str, data: st.DataObject):
    content = bytearray(file(gradient(), kind))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(0, len(content)))
    for broken in (bytes(content), bytes(content[:end])):
        try:
            picture = pictures.read(broken, 1 << 20, 1 << 20)
            assert picture.pixels.ndim == 3
        except BadRequest as error:
            assert error.message


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF", "TIFF"])
def test_a_file_that_is_cut_off_is_refused(kind: str):
    noise = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)
    content = file(noise, kind)
    for share in (0.2, 0.5, 0.9, 0.97):
        with pytest.raises(BadRequest, match=r"cut off|broken"):
            pictures.read(content[: int(len(content) * share)], 1 << 20, 1 << 20)


def test_nothing_but_what_is_drawn_reaches_the_decoder():
    secret = random.Random(1).randbytes(3000)
    exif = Image.Exif()
    exif[0x010E] = "a description"
    exif[0x0112] = 6
    for kind, options in (("JPEG", {"comment": secret}), ("PNG", {}), ("GIF", {"comment": secret}), ("TIFF", {})):
        content = file(gradient(), kind, icc_profile=secret, exif=exif, **options)
        small = lean(content)
        assert (small.kind, small.width, small.height) == (kind, 24, 16)
        assert kind == "GIF" or small.orientation == 6
        image = Image.open(pictures.BytesIO(small.data))
        image.load()
        assert not {"icc_profile", "exif", "comment"} & set(image.info)
        assert kind == "TIFF" or len(small.data) < len(content) - 2000


# ---------------------------------------------------------------- how many at once


async def test_one_is_decoded_at_a_time_and_the_loop_goes_on(loader: Pictures, monkeypatch: pytest.MonkeyPatch):
    running, most, gate = 0, 0, threading.Event()
    plain = pictures.read

    def slow(source: bytes | str, size: int, pixels: int) -> pictures.Picture:
        nonlocal running, most
        running += 1
        most = max(most, running)
        gate.wait(5)
        running -= 1
        return plain(source, size, pixels)

    monkeypatch.setattr(pictures, "read", slow)
    loads = [asyncio.create_task(loader.load(data_url(file(gradient())), PARAM, keep)) for _ in range(5)]
    await asyncio.sleep(0.1)
    loads[0].cancel()  # its thread goes on, so its turn does
    await asyncio.sleep(0.1)
    assert running == most == 1
    gate.set()
    found = await asyncio.gather(*loads, return_exceptions=True)
    assert most == 1 and isinstance(found[0], asyncio.CancelledError)
    assert all(isinstance(one, pictures.Picture) for one in found[1:])


async def test_a_picture_has_its_turn_until_it_is_used(loader: Pictures):
    """So no more than one picture's pixels are there at once, however many a request has."""
    using, most = 0, 0

    async def use(picture: pictures.Picture) -> int:
        nonlocal using, most
        using += 1
        most = max(most, using)
        await asyncio.sleep(0.02)
        using -= 1
        return picture.pixels.size

    urls = [data_url(file(gradient(width))) for width in range(20, 30)]
    sizes = await asyncio.gather(*(loader.load(url, PARAM, use) for url in urls))
    assert sizes == [3 * 16 * width for width in range(20, 30)] and most == 1


async def test_a_fault_of_who_uses_it_is_told_and_its_turn_ends(loader: Pictures):
    async def use(picture: pictures.Picture) -> None:
        raise BadRequest("it has no eyes", param="messages")

    for _ in range(3):
        with pytest.raises(BadRequest, match="no eyes") as caught:
            await loader.load(data_url(file(gradient())), PARAM, use)
        assert caught.value.param == "messages"


async def test_only_so_many_may_wait(monkeypatch: pytest.MonkeyPatch):
    gate, picture = threading.Event(), pictures.read(file(gradient()), 1 << 20, 1 << 20)
    monkeypatch.setattr(pictures, "read", lambda *_: gate.wait(5) and picture)
    async with Net() as net:
        few = Pictures(config.Images(queue=4, count=2), net)
        loads = [asyncio.create_task(few.load("data:,x", PARAM, keep)) for _ in range(4)]
        await asyncio.sleep(0)
        with pytest.raises(Busy, match="more pictures are being read") as caught:
            await few.load("data:,x", PARAM, keep)
        assert caught.value.retry_after
        gate.set()
        await asyncio.gather(*loads)
        assert await few.load("data:,x", PARAM, keep)


async def test_what_a_request_may_have_is_never_too_much_for_the_queue():
    async with Net() as net:
        few = Pictures(config.Images(queue=1, count=3), net)
        url = data_url(file(gradient()))
        assert len(await asyncio.gather(*(few.load(url, PARAM, keep) for _ in range(3)))) == 3


async def test_who_waits_too_long_is_told_to_come_again(loader: Pictures, monkeypatch: pytest.MonkeyPatch):
    gate, picture = threading.Event(), pictures.read(file(gradient()), 1 << 20, 1 << 20)
    monkeypatch.setattr(pictures, "PATIENCE", 0.05)
    monkeypatch.setattr(pictures, "read", lambda *_: gate.wait(5) and picture)
    loads = [asyncio.create_task(loader.load("data:,x", PARAM, keep)) for _ in range(pictures.DECODES + 1)]
    with pytest.raises(Busy) as caught:
        await loads[-1]
    assert caught.value.retry_after
    gate.set()
    await asyncio.gather(*loads[:-1])


async def test_a_file_that_was_read_is_known_again_and_its_picture_asked_for(loader: Pictures):
    asked: list[tuple[bytes, int, int]] = []

    def again(digest: bytes, height: int, width: int) -> Picture | None:
        asked.append((digest, height, width))
        return other if len(asked) > 1 else None

    url, other = data_url(file(gradient(30, 20))), Picture(gradient(1, 1), b"other")
    first = await loader.load(url, PARAM, keep, again)
    assert not asked
    assert (await loader.load(url, PARAM, keep, again)).digest == first.digest, "whose rows are gone is read again"
    assert await loader.load(url, PARAM, keep, again) is other
    assert asked == [(first.digest, *first.pixels.shape[:2])] * 2
    await loader.load(data_url(file(gradient(31, 20))), PARAM, keep, again)
    assert len(asked) == 2


async def test_only_so_many_files_are_remembered(loader: Pictures, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pictures, "FILES", 2)
    for width in range(1, 6):
        await loader.load(data_url(file(gradient(width, 20))), PARAM, keep)
    assert len(loader._files) == 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a thread can't give way by itself")
async def test_the_thread_that_decodes_gives_way_and_ends_when_told():
    async with Net() as net:
        made = Pictures(config.Images(), net)
        own = os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
        thread = await made.work(threading.current_thread)
        assert await made.work(lambda: os.getpriority(os.PRIO_PROCESS, 0)) == min(own + pictures.YIELDS, 19)
        assert os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) == own
        await made.aclose()
        assert not thread.is_alive()
