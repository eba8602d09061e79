"""Files on their way into the store: the room they need, their hashes, and getting them safely onto the disk."""

import hashlib
import os
import shutil
from collections.abc import Collection, Generator
from contextlib import contextmanager
from pathlib import Path

from msgspec import Struct

from tertulia.catalog.progress import Progress, size
from tertulia.errors import StoreError

STRETCH = 1 << 20


class File(Struct, frozen=True):
    """A file of an installed model."""

    name: str
    sha256: str
    bytes: int


def digest(path: Path, progress: Progress) -> str:
    """The sha256 of the file at ``path``."""
    found = hashlib.sha256()
    label = f"checking {path.name.removesuffix('.part')}"
    with path.open("rb") as file, progress.bar(label, path.stat().st_size) as bar:
        while stretch := file.read(STRETCH):
            found.update(stretch)
            bar.update(len(stretch))
    return found.hexdigest()


def git_name(path: Path) -> str:
    """The sha1 by which git knows the contents of the file at ``path``."""
    content = path.read_bytes()
    return hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False).hexdigest()


def clear(folder: Path, keep: Collection[str] = ()) -> None:
    """Remove everything from ``folder`` but the names in ``keep``."""
    for path in folder.iterdir():
        if path.name not in keep:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()


def weigh(path: Path, progress: Progress) -> File:
    """What the manifest says of the file at ``path``."""
    return File(path.name, digest(path, progress), path.stat().st_size)


def free(folder: Path) -> int:
    """The bytes that may still be written in ``folder``."""
    return shutil.disk_usage(folder).free


def check_room(folder: Path, needed: int, what: str) -> None:
    """Raise StoreError unless ``needed`` bytes fit on the disk of ``folder``."""
    left = free(folder)
    if needed > left:
        raise StoreError(
            f"{what} needs {size(needed)} more on disk and {size(left)} are free in the store; make room (tertulia rm),"
            " or keep models on another disk (TERTULIA_STORE_PATH)"
        )


def settle(folder: Path) -> None:
    """Wait until everything in ``folder`` is on the disk and not only on its way there."""
    for path in folder.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    settle_names(folder)


def settle_names(folder: Path) -> None:
    """Wait until the names in ``folder`` are on the disk, where there is a way to (not on Windows)."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


@contextmanager
def told(doing: str) -> Generator[None]:
    """Turn the operating system's refusals (a full disk, a folder that may not be written) into StoreErrors."""
    try:
        yield
    except OSError as error:
        raise StoreError(f"{doing} failed: {error.strerror or error}") from None
