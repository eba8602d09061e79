"""What is written down of a model that is here. Only this file reads and writes ``manifest.json``."""

import hashlib
import logging
import time
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from tertulia.catalog import facts
from tertulia.catalog.files import File
from tertulia.catalog.tensors import Held

_NAME = "manifest.json"
_log = logging.getLogger(__name__)


class _Manifest(Struct, frozen=True, kw_only=True):
    id: str
    source: str
    sha256: str
    bytes: int
    format: str
    quantization: str
    architecture: str
    context: int
    template: str
    tokenizer: str
    created: int
    files: tuple[File, ...]
    held: Held = Held()
    version: int = 1


class Installed(_Manifest, frozen=True, kw_only=True):
    """A model that is here, whole and checked.

    ``sha256`` and ``bytes`` are those of the weights (of several files: the digest of a list of theirs, in name order),
    ``format`` is ``gguf`` or ``safetensors``, ``context`` is 0 where the files don't say, ``template`` and
    ``tokenizer`` are ``gguf``, a file's name or ``none``, ``created`` is the Unix time of its pull. ``held`` counts the
    weights; it counts none in models that were pulled before it was written down.
    """

    folder: Path

    @property
    def weights(self) -> list[Path]:
        """The files that hold the weights."""
        return [self.folder / file.name for file in self.files if _is_weights(file)]


def write(folder: Path, identity: str, source: str, files: tuple[File, ...]) -> Installed:
    """Write the manifest of the model whose files are in ``folder``. Raises StoreError if they can't be read."""
    weights = sorted((file for file in files if _is_weights(file)), key=lambda file: file.name)
    lines = "".join(f"{file.sha256}  {file.name}\n" for file in weights)
    manifest = _Manifest(
        id=identity,
        source=source,
        sha256=weights[0].sha256 if len(weights) == 1 else hashlib.sha256(lines.encode()).hexdigest(),
        bytes=sum(file.bytes for file in weights),
        created=int(time.time()),
        files=files,
        **structs.asdict(facts.read(folder, [file.name for file in files])),
    )
    (folder / _NAME).write_bytes(msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n")
    return Installed(folder=folder, **structs.asdict(manifest))


def read(folder: Path) -> Installed | None:
    """The model in ``folder``; None if there is none, or none whose manifest can be read, which is logged."""
    try:
        manifest = msgspec.json.decode((folder / _NAME).read_bytes(), type=_Manifest)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except msgspec.DecodeError as error:
        _log.warning("%s is passed over, its manifest can't be read (%s): remove it and pull again", folder, error)
        return None
    return Installed(folder=folder, **structs.asdict(manifest))


def _is_weights(file: File) -> bool:
    return file.name.endswith((".gguf", ".safetensors"))
