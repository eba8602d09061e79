"""Files that are made to use up whoever reads them, each small itself."""

import struct
import zlib
from io import BytesIO

import numpy as np
from PIL import Image

from drawing import file, gradient

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
