"""What providers and the Hub said of their models when they were last asked, merged over what is shipped.

It is one JSON file beside the store. Reading it needs no network; what a provider said stays until it says otherwise.
"""

import logging
import os
import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import msgspec
from msgspec import Struct, structs

from tertulia.catalog import catalog
from tertulia.catalog.catalog import Listing, Row
from tertulia.catalog.told import Mapping as Mapped
from tertulia.catalog.told import Told

log = logging.getLogger("tertulia.catalog")

NAME = "catalog.json"
HUB = "hub"
"""What the Hub is called among those who were asked."""
Listings = dict[str, dict[str, Listing]]


class Live(Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What was said. ``models`` are listings by model and provider, ``input`` what a model reads where that was told,
    ``trending`` and ``released`` what the Hub told of it, ``asked`` the Unix time of each provider's last answer.
    ``version`` is the file's."""

    version: int = 1
    asked: dict[str, int] = {}
    models: Listings = {}
    input: dict[str, tuple[str, ...]] = {}
    trending: dict[str, float] = {}
    released: dict[str, str] = {}

    def listings(self) -> Listings:
        """Who serves which model, as shipped and as said since: what is said wins, what is not said stays. A shipped
        listing that its provider no longer knows is not ``live``."""
        found = {row.id: dict(row.providers) for row in catalog.rows() if row.providers}
        for model, of in self.models.items():
            known = found.setdefault(model, {})
            for provider, said in of.items():
                known[provider] = _fill(said, known.get(provider))
        for of in found.values():
            for provider, listing in of.items():
                if not listing.seen and provider in self.asked:
                    of[provider] = structs.replace(listing, live=False)
        return found

    def rows(self) -> tuple[Row, ...]:
        """The catalog's models, and those that were told of since. Of these a row needs that it is known what they
        read; all others are in :meth:`listings` alone."""
        shipped = catalog.rows()
        known = {row.id for row in shipped}
        more = [(model, self.models[model]) for model in self.input if model in self.models and model not in known]
        return (
            *(
                structs.replace(row, trending=self.trending[row.id]) if row.id in self.trending else row
                for row in shipped
            ),
            *(
                Row(
                    id=model,
                    context=max(one.context for one in of.values()),
                    licence="",
                    description="",
                    input=self.input[model],
                    trending=self.trending.get(model),
                    released=self.released.get(model, ""),
                )
                for model, of in more
            ),
        )


def beside(store: Path) -> Path:
    """Where the file is, for a store at ``store``."""
    return store.parent / NAME


def read(file: Path) -> Live:
    """What was said last; nothing where nobody was asked yet, or where the file can't be read."""
    try:
        live = msgspec.json.decode(file.read_bytes(), type=Live)
    except FileNotFoundError:
        return Live()
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("%s can't be read, and is left aside: %s (`tertulia models --refresh` makes it anew)", file, error)
        return Live()
    return live if live.version == Live().version else Live()


def write(file: Path, live: Live) -> None:
    """Put ``live`` into ``file``, in one step. Raises OSError."""
    file.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(msgspec.json.encode(live))
            out.flush()
            os.fsync(out.fileno())
        Path(name).replace(file)
    except BaseException:
        with suppress(OSError):
            Path(name).unlink()
        raise


# ---------------------------------------------------------------- merging


def merge(
    old: Live,
    told: Mapping[str, Sequence[Told]],
    mapped: Sequence[Mapped] | None,
    parts: Mapping[tuple[str, str], Told],
    wanted: Collection[str],
    now: int,
) -> Live:
    """``old`` with what was said now. ``told`` is what each provider that answered said of itself, ``mapped`` what the
    Hub said (None: it did not answer), ``parts`` what Hugging Face's router said of others, by model and provider. Of
    what the Hub says, models of the catalog are kept, and those of the ``wanted`` providers.

    Whoever answered is believed whole: a model that it no longer names is gone. The others keep what they said."""
    names = _Names(old, mapped or ())
    models: Listings = {}
    reads = dict(old.input)
    for model, of in old.models.items():
        for provider, listing in of.items():
            # Of who has no list of its own, all was said by the Hub.
            if provider not in told and (mapped is None or provider in old.asked):
                models.setdefault(model, {})[provider] = listing
    for one in mapped or ():
        model = names.known(one.model)
        if one.provider in wanted or model in names.shipped:
            listing = Listing(id=one.id, live=one.live, author=one.author, seen=now)
            _put(models, model, one.provider, listing)
            reads.setdefault(model, one.input)
    for provider, items in told.items():
        for item in items:
            model = names.ours(provider, item.id)
            _put(models, model, provider, _listing(item, now))
            if item.input:
                reads[model] = item.input
    for (model, provider), part in parts.items():
        model = names.known(model)
        of = names.shipped.get(model, {}) | models.get(model, {})
        if (listing := of.get(provider)) is not None:
            known = _fill(listing, _listing(part, now, listing.id))
            _put(models, model, provider, structs.replace(known, seen=now, live=known.live and part.live))
    asked = old.asked | dict.fromkeys(told, now) | ({HUB: now} if mapped is not None else {})
    trending, released = _hub(old, mapped, names)
    return Live(
        asked=asked,
        models=models,
        input={model: words for model, words in reads.items() if words and model in models},
        trending={model: score for model, score in trending.items() if model in models or model in names.shipped},
        released={model: day for model, day in released.items() if model in models},
    )


def _hub(old: Live, mapped: Sequence[Mapped] | None, names: "_Names") -> tuple[dict[str, float], dict[str, str]]:
    """How much models trend and since when there are they: as the Hub says now, or said last."""
    if mapped is None:
        return old.trending, old.released
    return (
        {names.known(one.model): one.trending for one in mapped if one.trending is not None},
        {names.known(one.model): one.released for one in mapped if one.released},
    )


class _Names:
    """Which of our models a provider's id means."""

    def __init__(self, old: Live, mapped: Iterable[Mapped]) -> None:
        self.shipped = {row.id: row.providers for row in catalog.rows()}
        self._ours = {
            (provider, listing.id): model
            for model, of in (*self.shipped.items(), *old.models.items())
            for provider, listing in of.items()
        }
        mapped = list(mapped)
        self._models = {one.model.casefold(): one.model for one in mapped}
        # Short names mean different models elsewhere; a whole id is the same everywhere.
        self._models |= {name.casefold(): row.id for row in catalog.rows() for name in row.names if "/" in name}
        self._ours |= {(one.provider, one.id): self.known(one.model) for one in mapped}

    def ours(self, provider: str, name: str) -> str:
        return self._ours.get((provider, name)) or self.known(name)

    def known(self, name: str) -> str:
        return self._models.get(name.casefold(), name)


def _put(models: Listings, model: str, provider: str, listing: Listing) -> None:
    of = models.setdefault(model, {})
    of[provider] = _fill(listing, of.get(provider))


def _listing(told: Told, now: int, name: str = "") -> Listing:
    return Listing(
        id=name or told.id,
        context=told.context,
        price=told.price,
        fields=told.fields,
        author=told.author,
        live=told.live,
        seen=now,
    )


def _fill(said: Listing, known: Listing | None) -> Listing:
    """``said``, with what it leaves open as it was known before."""
    if known is None or known.id != said.id:
        return said
    return structs.replace(
        said,
        context=said.context or known.context,
        price=said.price or known.price,
        fields={**known.fields, **said.fields},
        author=said.author or known.author,
    )
