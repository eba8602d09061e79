"""Weights from a path on this machine: a GGUF file, or a folder as the Hub would hold it, ours too."""

import os
from pathlib import Path

from tertulia.catalog.catalog import Shipped
from tertulia.catalog.choose import choose
from tertulia.catalog.files import STRETCH, File, check_room, clear, weigh
from tertulia.catalog.progress import Progress
from tertulia.errors import StoreError

_HOMES = (Path(__file__).parents[1] / "shipped", Path(__file__).parents[3] / "models")
"""Where the weights lie that come with Tertulia: in an installed package, and in a checkout."""


def from_path(path: Path, folder: Path, progress: Progress) -> list[File]:
    """Put the model at ``path`` into ``folder``: hard links where the disk is the same, else copies."""
    clear(folder)
    if path.is_dir():
        choice = choose([item.name for item in path.iterdir() if item.is_file()], "", str(path))
        if choice.note:
            progress.say(choice.note)
        sources = [path / name for name in choice.paths]
    elif path.suffix == ".gguf":
        sources = [path]
    else:
        raise StoreError(f"{path} is neither a GGUF file nor a folder with one or with safetensors")
    for source in sources:
        _link(source.resolve(), folder / source.name, progress)
    return [weigh(folder / source.name, progress) for source in sources]


def from_shipped(source: Shipped, folder: Path, progress: Progress) -> list[File]:
    """Put a model that comes with Tertulia into ``folder``. Raises StoreError if it is not the one that was meant."""
    home = next((home / source.folder for home in _HOMES if (home / source.folder).is_dir()), None)
    if home is None:
        raise StoreError(f"the weights of {source.folder} are not in this installation of Tertulia")
    files = from_path(home, folder, progress)
    if source.sha256 not in [file.sha256 for file in files]:
        raise StoreError(f"the weights in {home} are not those that this version of Tertulia was made with")
    return files


def _link(source: Path, target: Path, progress: Progress) -> None:
    try:
        os.link(source, target)
    except OSError:
        length = source.stat().st_size
        check_room(target.parent, length, source.name)
        with source.open("rb") as old, target.open("wb") as new, progress.bar(f"copying {source.name}", length) as bar:
            while stretch := old.read(STRETCH):
                new.write(stretch)
                bar.update(len(stretch))
