"""What of a picture's file makes its pixels, and nothing else of it.

A decoder reads far more than that: comments, colour profiles, thumbnails, tables of tables. Most of the ways to make it
use gigabytes or hours are in there. What is handed on is only what is drawn, of a size that is known beforehand.
"""

import re
import struct
from collections.abc import Callable
from dataclasses import dataclass

from tertulia.errors import BadRequest


@dataclass(frozen=True, slots=True)
class Lean:
    """A file of the format ``kind`` (Pillow's name) whose header says ``width`` and ``height``; ``orientation`` is
    EXIF's, 1 to 8."""

    kind: str
    width: int
    height: int
    orientation: int
    data: bytes


class Broken(ValueError):
    """A file is not what its beginning says."""


_MOST_PARTS = 200_000
_MOST_SCANS = 100
_MOST_WORK = 1_200_000_000
"""Pixels that all scans of a JPEG may touch: 30 scans of 40 megapixels."""
_MOST_TABLES = 1 << 20

_GUESSES = (
    (rb"\s*<", "it looks like a web page or SVG"),
    (rb"%PDF", "it looks like a PDF"),
    (rb"....ftyp", "it looks like HEIC, AVIF or a video"),
    (rb"BM", "it looks like BMP"),
    (rb"II\+\0|MM\0\+", "it looks like BigTIFF"),
    (rb"\s*\Z", "it is empty"),
)


def lean(data: bytes) -> Lean:
    """Read the structure of a file; its type is decided by what is in it. Raises BadRequest."""
    for start, read in _KINDS:
        if start.match(data):
            try:
                return read(data)
            except (struct.error, IndexError):
                raise BadRequest("the picture's file is cut off: send all of it") from None
            except Broken as error:
                raise BadRequest(f"the picture's file is broken ({error}): save it anew") from None
    guess = next((f" ({guess})" for start, guess in _GUESSES if re.match(start, data, re.DOTALL)), "")
    raise BadRequest(f"that is not a picture that can be read{guess}: png, jpeg, webp, gif and tiff are")


def _png(data: bytes) -> Lean:
    parts, at, orientation = [data[:8]], 8, 1
    if data[12:16] != b"IHDR":
        raise Broken("its header is not first")
    width, height = struct.unpack_from(">II", data, 16)
    for _ in range(_MOST_PARTS):
        size, name = struct.unpack_from(">I4s", data, at)
        end = at + 12 + size
        if end > len(data):
            raise IndexError
        if name in (b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"):
            parts.append(data[at:end])
        elif name == b"eXIf":
            orientation = _orientation(data[at + 8 : end - 4])
        if name == b"IEND":
            return Lean("PNG", width, height, orientation, b"".join(parts))
        at = end
    raise Broken("it has too many parts")


_JPEG_DRAWN = frozenset({0xC4, 0xCC, 0xDB, 0xDC, 0xDD, 0xE0, 0xEE})
_JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_JPEG_MARK = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


def _jpeg(data: bytes) -> Lean:
    parts, at, width, height, orientation, scans = [b"\xff\xd8"], 2, 0, 0, 1, 0
    for _ in range(_MOST_PARTS):
        found = _JPEG_MARK.search(data, at)
        if not found:
            raise IndexError
        mark, start = data[found.end() - 1], found.end()
        if mark == 0xD9:
            break
        end = start + struct.unpack_from(">H", data, start)[0]
        if mark in _JPEG_FRAMES:
            height, width = struct.unpack_from(">HH", data, start + 3)
        elif mark == 0xE1 and data.startswith(b"Exif\0\0", start + 2):
            orientation = _orientation(data[start + 8 : end])
        if mark == 0xDA:
            scans += 1
            if scans > _MOST_SCANS or scans * width * height > _MOST_WORK:
                raise Broken(f"it is drawn more than {scans - 1} times over")
            following = _JPEG_MARK.search(data, end)
            end = following.start() if following else len(data)
        if mark == 0xDA or mark in _JPEG_DRAWN or mark in _JPEG_FRAMES:
            parts.append(data[found.start() : end])
        at = end
    else:
        raise Broken("it has too many parts")
    if not scans:
        raise Broken("there is no picture in it")
    return Lean("JPEG", width, height, orientation, b"".join((*parts, b"\xff\xd9")))


def _webp(data: bytes) -> Lean:
    end, at, size, orientation = 8 + struct.unpack_from("<I", data, 4)[0], 12, None, 1
    if end > len(data) + 1:  # some writers forget the last byte, which is padding
        raise IndexError
    for _ in range(_MOST_PARTS):
        if at + 8 > end:
            break
        name, length = struct.unpack_from("<4sI", data, at)
        if name == b"VP8X":
            size = size or tuple(int.from_bytes(data[at + place : at + place + 3], "little") + 1 for place in (12, 15))
        elif name == b"VP8 ":
            size = size or tuple(side & 0x3FFF for side in struct.unpack_from("<HH", data, at + 14))
        elif name == b"VP8L":
            bits = struct.unpack_from("<I", data, at + 9)[0]
            size = size or ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
        elif name == b"EXIF":
            orientation = _orientation(data[at + 8 : at + 8 + length])
        at += 8 + length + length % 2
    if size is None:
        raise Broken("there is no picture in it")
    return Lean("WEBP", size[0], size[1], orientation, data[:end])


def _gif(data: bytes) -> Lean:
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    at = 13 + _colours(flags)
    head, control = data[:at], b""
    for _ in range(_MOST_PARTS):
        mark = data[at]
        if mark == 0x21:
            end = _blocks(data, at + 2)
            control = data[at:end] if data[at + 1] == 0xF9 else control
            at = end
        elif mark == 0x2C:
            left, top, wide, high, flags = struct.unpack_from("<HHHHB", data, at + 1)
            end = _blocks(data, at + 11 + _colours(flags))
            frame = data[at:end]
            return Lean("GIF", max(width, left + wide), max(height, top + high), 1, head + control + frame + b";")
        else:
            break
    raise Broken("there is no picture in it")


def _colours(flags: int) -> int:
    """The bytes of the table of colours that stands behind ``flags``."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _blocks(data: bytes, at: int) -> int:
    """Where a chain of blocks ends, each of which begins with its length."""
    for _ in range(_MOST_PARTS):
        if not data[at]:
            return at + 1
        at += data[at] + 1
    raise Broken("it has too many parts")


_TIFF_DRAWN = frozenset(
    {*range(256, 260), 262, 266, 273, *range(277, 280), 284, 292, 293, 317, 320, *range(322, 326), 338, 339, 347}
) | {529, 530, 531, 532}
_TIFF_PACKED = frozenset({1, 2, 3, 4, 5, 7, 8, 32773, 32946})
_TIFF_SIZES = dict(enumerate((1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8), 1))


def _tiff(data: bytes) -> Lean:
    order = "<" if data[:2] == b"II" else ">"
    said, drawn, tables = dict[int, int](), dict[int, bytes](), 0
    for tag, kind, count, entry in _entries(data, order):
        if count == 1 and kind in (3, 4):
            said.setdefault(tag, struct.unpack_from(order + ("H" if kind == 3 else "I"), entry, 8)[0])
        if tag in _TIFF_DRAWN and tag not in drawn:
            drawn[tag] = entry
            tables += count * _TIFF_SIZES.get(kind, 1)
    if tables > _MOST_TABLES:
        raise Broken("its tables are larger than pictures need")
    if (packed := said.get(259, 1)) not in _TIFF_PACKED:
        raise Broken(f"it is packed in way {packed}, and not by LZW, deflate, JPEG or PackBits")
    place = len(data) + len(data) % 2
    head = data[:4] + struct.pack(order + "I", place) + data[8:] + bytes(len(data) % 2)
    table = struct.pack(order + "H", len(drawn)) + b"".join(drawn[tag] for tag in sorted(drawn)) + bytes(4)
    turned = said.get(274, 1)
    return Lean("TIFF", said.get(256, 0), said.get(257, 0), turned if turned in range(1, 9) else 1, head + table)


def _entries(data: bytes, order: str) -> list[tuple[int, int, int, bytes]]:
    """The first table of a TIFF: tag, kind, count, and the entry as it stands there."""
    at = struct.unpack_from(order + "I", data, 4)[0]
    places = range(at + 2, at + 2 + 12 * struct.unpack_from(order + "H", data, at)[0], 12)
    return [(*struct.unpack_from(order + "HHI", data, place), data[place : place + 12]) for place in places]


def _orientation(exif: bytes) -> int:
    """The orientation that EXIF data names; 1 if there is none."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    if order is None:
        return 1
    try:
        for tag, kind, count, entry in _entries(exif, order):
            if (tag, kind, count) == (274, 3, 1):
                turned = struct.unpack_from(order + "H", entry, 8)[0]
                return turned if turned in range(1, 9) else 1
    except struct.error:
        pass
    return 1


_KINDS: tuple[tuple[re.Pattern[bytes], Callable[[bytes], Lean]], ...] = (
    (re.compile(rb"\x89PNG\r\n\x1a\n"), _png),
    (re.compile(rb"\xff\xd8\xff"), _jpeg),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"GIF8[79]a"), _gif),
    (re.compile(rb"II\*\0|MM\0\*"), _tiff),
)
