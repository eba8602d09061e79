"""URLs, answers and files that are made to harm whoever reads them, each small itself."""

import asyncio
import gzip
import struct
import zlib
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

from drawing import Answer, file, gradient, reply
from tertulia.net import MEBI

MUCH = 2_000_000


def chunk(name: bytes, content: bytes) -> bytes:
    """A part of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(width: int, height: int, *more: bytes, pixels: bytes = b"") -> bytes:
    """A PNG of one bit a pixel."""
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0))
    drawn = chunk(b"IDAT", zlib.compress(pixels, 9))
    return b"\x89PNG\r\n\x1a\n" + head + b"".join(more) + drawn + chunk(b"IEND", b"")


def real_bomb() -> bytes:
    """A hundred megapixels that are all there: zeros, packed."""
    return png(10_000, 10_000, pixels=bytes(10_000 * 1_251))


def texts() -> bytes:
    """A picture with sixty notes of a megabyte each."""
    notes = [chunk(b"zTXt", b"n%d\0\0" % at + zlib.compress(bytes(1 << 20), 9)) for at in range(60)]
    return png(8, 8, *notes, pixels=bytes(16))


def profile() -> bytes:
    """A picture whose colour profile unpacks to 64 MB."""
    return png(8, 8, chunk(b"iCCP", b"p\0\0" + zlib.compress(bytes(64 << 20), 9)), pixels=bytes(16))


def more_than_said() -> bytes:
    """A small picture whose pixels go on for 64 MB."""
    return png(8, 8, pixels=bytes(64 << 20))


def table(entries: int, reach: int) -> bytes:
    """A TIFF's table, each of whose entries names the same ``reach`` bytes."""
    rows = b"".join(struct.pack("<HHII", 40_000 + at, 1, reach, 8) for at in range(entries))
    return b"II*\0" + struct.pack("<IH", 8, entries) + rows + bytes(4)


def exif_bomb() -> bytes:
    """A PNG whose EXIF data names the same megabyte four thousand times."""
    return png(8, 8, chunk(b"eXIf", table(4000, 1_000_000) + bytes(1_000_000)), pixels=bytes(16))


def tiff_bomb() -> bytes:
    """A TIFF of one pixel, with a table as above behind its own."""
    drawn = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (273, 4, 1, 0)]
    drawn += [(277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 1, 1)]
    rows = [struct.pack("<HHII", *row) for row in drawn]
    rows += [struct.pack("<HHII", 40_000 + at, 1, 1_000_000, 8) for at in range(4000)]
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(rows) + bytes(1_000_000)


def strips() -> bytes:
    """A TIFF that says it lies about in half a million strips."""
    drawn = [(256, 3, 1, 1), (257, 4, 1, 500_000), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    drawn += [(273, 4, 500_000, 8), (277, 3, 1, 1), (278, 3, 1, 1), (279, 4, 500_000, 8)]
    head = struct.pack("<IH", 8, len(drawn)) + b"".join(struct.pack("<HHII", *row) for row in drawn)
    return b"II*\0" + head + bytes(MUCH)


def odd_tiff() -> bytes:
    """A TIFF packed in a way that would call upon yet another decoder."""
    rows = [(256, 3, 1, 1), (257, 3, 1, 1), (258, 3, 1, 8), (259, 3, 1, 50001), (262, 3, 1, 1), (273, 4, 1, 0)]
    return b"II*\0" + struct.pack("<IH", 8, len(rows)) + b"".join(struct.pack("<HHII", *row) for row in rows) + bytes(4)


def scans() -> bytes:
    """A JPEG of four megapixels that is drawn twenty thousand times over."""
    content = file(np.zeros((2000, 2000), np.uint8), "JPEG", progressive=True)
    start = content.rfind(b"\xff\xda")
    return content[:start] + content[start:-2] * 20_000 + b"\xff\xd9"


def notes() -> bytes:
    """A GIF with a note of a megabyte, in pieces of which each is joined to all that came before."""
    content = file(gradient(), "GIF")
    frame = content.index(b",", 13 + 3 * 256)
    return content[:frame] + b"!\xfe" + (b"\x01x" * (MUCH // 2)) + b"\0" + content[frame:]


def wide_gif() -> bytes:
    """A GIF whose canvas is small and whose frame isn't."""
    content = bytearray(file(gradient(), "GIF"))
    frame = content.index(b",", 13 + 3 * 2)
    content[frame + 5 : frame + 9] = struct.pack("<HH", 65_535, 65_535)
    return bytes(content)


def webp(width: int, height: int) -> bytes:
    """A WebP that says how large it is, and is nothing."""
    size = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    content = b"WEBPVP8X" + struct.pack("<I", 10) + bytes(4) + size
    return b"RIFF" + struct.pack("<I", len(content)) + content


def two_sizes() -> bytes:
    """A JPEG whose second header says another size than its first."""
    out = BytesIO()
    Image.fromarray(gradient()).save(out, "JPEG")
    content = out.getvalue()
    start = content.index(b"\xff\xc0")
    end = start + 2 + struct.unpack_from(">H", content, start + 2)[0]
    large = bytearray(content[start:end])
    large[5:9] = struct.pack(">HH", 60_000, 60_000)
    return content[:start] + bytes(large) + content[start:]


# ---------------------------------------------------------------- URLs

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
"""Where the hosts below are, the first time, the second ..."""

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
"""Places that redirects lead to."""


# ---------------------------------------------------------------- answers, and files


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
"""Answers, and what is told of them."""

FILES: dict[str, tuple[Callable[[], bytes], str]] = {
    "a gigapixel that is said": (lambda: png(50_000, 20_000), "scale it"),
    "a picture that is there": (real_bomb, "scale it"),
    "a picture one pixel wide": (lambda: png(1, 4_000_000, pixels=bytes(8_000_000)), "more than 200 times"),
    "a picture one pixel high": (lambda: png(4_000_000, 1, pixels=bytes(500_001)), "more than 200 times"),
    "no pixel": (lambda: png(0, 5), "scale it"),
    "a webp of 268 megapixels": (lambda: webp(16_383, 16_383), "scale it"),
    "a webp of nothing": (lambda: webp(100, 100), "can't be decoded"),
    "a gif wider than its canvas": (wide_gif, "scale it"),
    "a gif with an endless note": (notes, "too many parts"),
    "a jpeg drawn over and over": (scans, "drawn more than 100 times"),
    "a jpeg of two sizes": (two_sizes, "can't be decoded"),
    "a tiff of half a million strips": (strips, "larger than pictures need"),
    "a tiff for another decoder": (odd_tiff, "packed in way 50001"),
    "half a png": (lambda: PICTURE[: len(PICTURE) // 2], "cut off"),
    "half a jpeg": (lambda: file(gradient(99, 99), "JPEG")[:800], "cut off"),
    "a page": (lambda: b"<svg xmlns='http://www.w3.org/2000/svg'><image href='file:///etc/hostname'/></svg>", "SVG"),
    "a script": (lambda: b"%!PS-Adobe-3.0\n(/etc/hostname) run", "png, jpeg, webp, gif and tiff are"),
}
HARMLESS: dict[str, Callable[[], bytes]] = {
    "notes of 60 MB": texts,
    "a colour profile of 64 MB": profile,
    "pixels that go on for 64 MB": more_than_said,
    "exif data that names itself": exif_bomb,
    "a tiff that names itself": tiff_bomb,
}
