"""Which files of a repository or a folder make a model. Pure: names in, names out."""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from msgspec import Struct

from tertulia import gguf
from tertulia.errors import StoreError

BESIDE = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "chat_template.jinja",
    "chat_template.json",
    "preprocessor_config.json",
    "processor_config.json",
)
"""What is read beside safetensors."""
_NEEDED = ("config.json", "tokenizer.json")
_LIKED = ("Q4_K_M", "Q8_0", "Q4_0", "Q4_K_S", "Q5_K_M", "Q6_K", "Q4_1", "Q5_0", "Q5_1", "BF16", "F16", "F32")
_LABEL = re.compile(r"(?<![A-Z0-9])(I?Q\d(?:_[A-Z0-9]+)+|BF16|FP?16|FP?32)(?![A-Z0-9])")
_PIECE = re.compile(r"-\d{5}-of-\d{5}\.gguf$")
_NOT_WEIGHTS = ("mmproj", "imatrix")


class Choice(Struct, frozen=True):
    """The paths that are needed; ``note`` says why these, where there was a choice."""

    paths: tuple[str, ...]
    note: str = ""


def label(path: str) -> str:
    """The quantisation that the name of a GGUF file claims (``Q4_K_M``); empty if it claims none."""
    found = _LABEL.findall(PurePosixPath(path).stem.upper().replace(".", "-"))
    return found[-1] if found else ""


def choose(paths: Sequence[str], wanted: str, where: str) -> Choice:
    """The files of ``where`` that make one model: safetensors and what stands beside them, or one GGUF file.

    ``wanted`` is a quantisation or the name of a GGUF file; empty takes safetensors before GGUF, and the GGUF file that
    most people would take. Raises StoreError when there is nothing to take, naming what there is.
    """
    pieces = [path for path in paths if _PIECE.search(path)]
    ggufs = sorted(
        path
        for path in paths
        if path.endswith(".gguf") and path not in pieces and not any(word in path.lower() for word in _NOT_WEIGHTS)
    )
    tensors = _tensors(paths)
    if tensors and not wanted:
        missing = [name for name in _NEEDED if name not in paths]
        if missing:
            raise StoreError(f"{where} has safetensors but no {' and no '.join(missing)}: it can't be loaded")
        index = [name + ".index.json" for name in ("model.safetensors",) if name + ".index.json" in paths]
        return Choice((*(name for name in BESIDE if name in paths), *index, *tensors))
    if not ggufs:
        held = " (its GGUF files come in pieces, which Tertulia can't read)" if pieces else ""
        kind = "GGUF file" if tensors else "safetensors and no GGUF file"
        raise StoreError(f"{where} has no {kind}{held}")
    return _named(ggufs, wanted, where) if wanted else _liked(ggufs, where)


def _tensors(paths: Sequence[str]) -> list[str]:
    found = sorted(path for path in paths if path.endswith(".safetensors") and "/" not in path)
    # Some repositories hold the same weights twice, the second time under the names of another library.
    return [path for path in found if path.startswith("model")] or found


def _named(ggufs: list[str], wanted: str, where: str) -> Choice:
    asked = wanted.casefold().removesuffix(".gguf")
    exact = [path for path in ggufs if asked in (path.casefold()[:-5], PurePosixPath(path).stem.casefold())]
    found = exact or [path for path in ggufs if label(path).casefold() == asked]
    if len(found) != 1:
        known = ", ".join(label(path) or PurePosixPath(path).name for path in ggufs)
        raise StoreError(f"{where} has {len(found) or 'no'} GGUF files for {wanted!r}; there are {known}")
    if not _readable(found[0]):
        raise StoreError(f"Tertulia can't read {label(found[0])}; of {where} it could read {_offer(ggufs)}")
    return Choice((found[0],))


def _liked(ggufs: list[str], where: str) -> Choice:
    readable = [path for path in ggufs if _readable(path)]
    if not readable:
        raise StoreError(f"{where} has no GGUF file that Tertulia can read; it has {_offer(ggufs)}")
    order = {name: rank for rank, name in enumerate(_LIKED)}
    best = min(readable, key=lambda path: (order.get(label(path), len(order)), path))
    others = [path for path in readable if path != best]
    return Choice((best,), f"took {PurePosixPath(best).name}; {where} also has {_offer(others)}" if others else "")


def _readable(path: str) -> bool:
    named = label(path).replace("FP", "F")
    known = {kind[0] for kind in gguf.TYPES.values()}
    # Q4_K_M is made of Q4_K and others; Q4_0_4_4 is not Q4_0.
    return not named or named in known or ("_K_" in named and named.rpartition("_")[0] in known)


def _offer(ggufs: list[str]) -> str:
    return ", ".join(label(path) or PurePosixPath(path).name for path in ggufs if _readable(path)) or "none"
