"""The models that can be asked for, and who serves each: looked up in one step, however many there are."""

import difflib
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import chain, pairwise
from typing import Protocol

from msgspec import Struct

from tertulia.catalog.catalog import Listing, Row
from tertulia.errors import BadRequest, Unauthorized, UnknownModel
from tertulia.router.entry import tell
from tertulia.router.order import LOCAL, Candidate, State, Wish, lacks, read_wish
from tertulia.types import Architecture, Backend, Entry, ModelCard, Pricing, ProviderCard

UNNAMED = frozenset({None, "", "default", "dummy", "tgi"})
"""What clients send that have no model to name; ``dummy`` is huggingface_hub's, ``tgi`` TGI's."""
FRESH = 0.2
"""Seconds for which it is not looked again what is installed here."""
GONE = "it no longer serves it"
RESTS = "it failed several times in a row, and is asked again in a while"
Known = Callable[[str, str], Mapping[str, tuple[bool, int]]]
"""What probes found of ``(provider, model)``: for each field whether it works, and when that was (Unix seconds)."""


class Party(Struct, frozen=True, kw_only=True):
    """A provider. ``why`` says what is missing before it can be asked (a key); nothing when it can be. ``custom`` is a
    provider of the user's own: pinned to it, any model id passes through, as it does with ``open``, which serves
    whatever there is. ``fields`` are what it is known to refuse, or to honour."""

    name: str
    backend: Backend
    why: str = ""
    custom: bool = False
    models: Mapping[str, str] = {}
    fields: Mapping[str, bool] = {}
    price: tuple[float, float] | None = None
    context: int = 0


class Home(Backend, Protocol):
    """The models of this machine."""

    @property
    def ready(self) -> bool: ...

    async def metrics(self) -> str: ...


class Index:
    """``rows`` and ``listings`` are the catalog's, ``parties`` the providers in the table's order; ``home`` the models
    of this machine, which may change at any time. ``known`` is what probes found."""

    def __init__(
        self,
        home: Home,
        parties: Sequence[Party],
        rows: Iterable[Row],
        listings: Mapping[str, Mapping[str, Listing]],
        known: Known = lambda provider, model: {},
    ) -> None:
        self.home = home
        self.parties = {party.name: party for party in parties}
        self._rows = {row.id: row for row in rows}
        self._listings = listings
        self._known = known
        self._cards: list[ModelCard] | None = None
        self.renew()

    def renew(self) -> None:
        """Make everything anew: what is installed, listed or found out has changed."""
        self._here = self.home.models()
        self._looked = time.monotonic()
        self._names: dict[str, str] = {}
        self._candidates: dict[str, list[Candidate]] = {}
        self._theirs: dict[tuple[str, str], Candidate] = {}
        # who told its models itself: of others it isn't known what else they serve
        self._asked = {name for of in self._listings.values() for name, listing in of.items() if listing.seen}
        for card in self._here:
            self._add(self._at_home(card), card.aliases)
        for row in self._rows.values():
            self._name(row.id, row.names)
        for party in self.parties.values():
            for model, listing in self._offers(party).items():
                self._add(self._candidate(party, model, listing), ())

    def _offers(self, party: Party) -> dict[str, Listing]:
        """The models of a party, by our ids: as shipped, as it said itself, as the user says."""
        offers = {row.id: row.providers[party.name] for row in self._rows.values() if party.name in row.providers}
        offers |= {model: of[party.name] for model, of in self._listings.items() if party.name in of}
        return offers | {model: Listing(id=there, context=party.context) for model, there in party.models.items()}

    def _candidate(self, party: Party, model: str, listing: Listing) -> Candidate:
        row = self._rows.get(model)
        fields = dict(party.fields) | dict(listing.fields)
        if row is not None:
            fields["image"] = "image" in row.input and fields.get("image", True)
        fields |= {name: works for name, (works, _) in self._known(party.name, model).items()}
        return Candidate(
            provider=party.name,
            model=model,
            id=listing.id,
            backend=party.backend,
            context=listing.context or party.context or (row.context if row else 0),
            price=listing.price or party.price,
            fields=fields,
            live=listing.live,
            author=listing.author,
        )

    def _at_home(self, card: ModelCard) -> Candidate:
        row = self._rows.get(card.id)
        # The engine holds any model to a call or a form: what a probe found of it is better known still.
        inputs = card.architecture.input_modalities if card.architecture else row.input if row else ()
        fields = {"tools": True, "response_format": True, "image": "image" in inputs}
        return Candidate(
            provider=LOCAL,
            model=card.id,
            id=card.id,
            backend=self.home,
            price=(0.0, 0.0),
            fields=fields | {name: works for name, (works, _) in self._known(LOCAL, card.id).items()},
        )

    def _add(self, candidate: Candidate, names: Iterable[str]) -> None:
        self._candidates.setdefault(candidate.model, []).append(candidate)
        self._theirs[candidate.provider, candidate.id] = candidate
        self._name(candidate.model, names)

    def _name(self, model: str, names: Iterable[str]) -> None:
        for name in (model, *names):
            self._names.setdefault(name, model)
            self._names.setdefault(name.casefold(), model)

    # ---------------------------------------------------------------- asking

    def _fresh(self) -> None:
        """See whether something was installed or removed, now and then."""
        if (now := time.monotonic()) - self._looked < FRESH:
            return
        self._looked = now
        if self.home.models() is not self._here:
            self.renew()
            self._cards = None

    def read(self, name: str) -> Wish:
        """What ``name`` asks for."""
        return read_wish(name, self.parties)

    def able(self, wanted: Sequence[str], tokens: int) -> list[str]:
        """Up to three models that are not known to lack any of ``wanted``, as they can be asked for; where there is
        none, up to three that could be asked if something were there that is missing, with what that is. Where images
        are wanted, those that are known to see are preferred."""
        ranks: list[list[str]] = [[], [], [], []]
        for candidate in chain.from_iterable(self._candidates.values()):
            if lacks(candidate, wanted, tokens):
                continue
            rank = 0 if "image" not in wanted or candidate.fields.get("image") else 1
            if self._usable(candidate):
                ranks[rank].append(candidate.name)
            elif candidate.live:
                ranks[rank + 2].append(f"{candidate.name} ({self.parties[candidate.provider].why})")
        return next((names for names in ranks if names), ranks[0])[:3]

    def resolve(self, name: str | None, provider: str = "") -> str:
        """The id of the model that ``name`` means, where it is known; ``name`` where it isn't. No name means the first
        model of ``provider``, or of this machine. Raises UnknownModel where there is none."""
        self._fresh()
        if name is None or name in UNNAMED:
            return self._first(provider) if provider and provider != LOCAL else self._default()
        return self._names.get(name) or self._names.get(name.casefold()) or name

    def _first(self, provider: str) -> str:
        found = (model for model, of in self._candidates.items() if any(one.provider == provider for one in of))
        model = next(found, None)
        if model is None:
            raise UnknownModel(f"name the model that {provider} is to be asked for", param="model")
        return model

    def _default(self) -> str:
        usable = (model for model in self._candidates if any(self._usable(one) for one in self._candidates[model]))
        first = self._here[0].id if self._here else next(usable, None)
        if first is None:
            raise UnknownModel(
                "no model is installed here and no provider has a key: `tertulia pull smollm2` fetches one",
                param="model",
            )
        return first

    def find(self, wish: Wish) -> list[Candidate]:
        """Everybody who could answer ``wish``; nobody where the model is not known (see :meth:`unknown`). Raises
        Unauthorized where the provider that it is pinned to has no key, BadRequest where that doesn't serve it."""
        self._fresh()
        model = self.resolve(wish.model, wish.provider)
        if wish.provider:
            return self._pinned(model, wish)
        return [candidate for candidate in self._candidates.get(model, ()) if self._usable(candidate)]

    def at_home(self, model: str | None = None) -> list[Candidate]:
        """A model of this machine; all of them, the default one first, without a name. None if there is none."""
        self._fresh()
        if model:
            model = self._names.get(model, model)
            return [one for one in self._candidates.get(model, ()) if one.provider == LOCAL]
        return [self._candidates[card.id][0] for card in self._here]

    def _pinned(self, model: str, wish: Wish) -> list[Candidate]:
        party = self.parties.get(wish.provider)
        here = self._candidates.get(model, ())
        found = next((one for one in here if one.provider == wish.provider), None)
        found = found or self._theirs.get((wish.provider, wish.model))
        if party is None:
            return [found] if found else []
        if party.why:
            raise Unauthorized(f"{party.name} can't be asked: {party.why}", param="model")
        if found is None and here and party.name in self._asked:
            others = ", ".join(one.name for one in here)
            raise BadRequest(f"{party.name} is not known to serve {model}; these are: {others}", param="model")
        return [found or self._candidate(party, model, Listing(id=model))]

    def _usable(self, candidate: Candidate) -> bool:
        return candidate.provider == LOCAL or (candidate.live and not self.parties[candidate.provider].why)

    def knows(self, wish: Wish) -> bool:
        """Whether the model that is asked for is one that there is, whoever may serve it."""
        return self.resolve(wish.model) in self._candidates or self.resolve(wish.model) in self._rows

    def unknown(self, wish: Wish) -> UnknownModel:
        """The error for a model that nobody here serves: why, or what is near."""
        asked, model = wish.model, self.resolve(wish.model)
        if len(asked) > 200:
            return UnknownModel("there is no such model here", param="model")
        if served := self._candidates.get(model):
            if wish.provider == LOCAL:
                return UnknownModel(f"{model} is not installed here; `tertulia pull {model}` fetches it", param="model")
            reasons = "; ".join(f"{one.provider}: {self.parties[one.provider].why or GONE}" for one in served[:4])
            return UnknownModel(f"nobody who serves {model} can be asked ({reasons})", param="model")
        near = self._near(asked)
        what = f"; the nearest {'is' if len(near) == 1 else 'are'} {', '.join(near)}" if near else ""
        hint = f"; `tertulia pull {model}` fetches it" if model in self._rows and self._rows[model].source else ""
        return UnknownModel(f"there is no model {asked!r} here{what}{hint}", param="model")

    def _near(self, asked: str) -> list[str]:
        """Up to three models that can be asked and are called alike: of the names that share most of their letters'
        pairs, as difflib takes a millisecond for twenty names."""
        usable = [
            name for name, model in self._names.items() if any(map(self._usable, self._candidates.get(model, ())))
        ]
        pairs = set(map("".join, pairwise(asked.casefold())))
        alike = nlargest(20, usable, key=lambda name: len(pairs.intersection(map("".join, pairwise(name.casefold())))))
        near = [self._names[name] for name in difflib.get_close_matches(asked, alike, 3, 0.4)]
        return list(dict.fromkeys(near or (self._names[name] for name in usable)))[:3]

    # ---------------------------------------------------------------- telling

    def cards(self, states: Mapping[tuple[str, str], State], *, stand_in: bool = False) -> list[ModelCard]:
        """The models that can be asked, this machine's first. Where a model of this machine stands in for those that
        nobody has a key for, these too."""
        self._fresh()
        mine = {card.id: card for card in self._here}
        return [
            self._card(model, candidates, mine.get(model), states, stand_in)
            for model, candidates in self._candidates.items()
            if stand_in or any(map(self._usable, candidates))
        ]

    def entries(self, states: Mapping[tuple[str, str], State]) -> list[Entry]:
        """Every model that there is: this machine's first, then the catalog's, then what else is listed."""
        self._fresh()
        mine = {card.id: card for card in self._here}
        told = [row for row in self._rows.values() if row.trending is not None]
        ranks = {row.id: rank for rank, row in enumerate(sorted(told, key=lambda row: -(row.trending or 0)), 1)}
        return [
            tell(
                self._card(model, self._candidates.get(model, []), mine.get(model), states, stand_in=False),
                self._rows.get(model),
                ranks.get(model, 0),
            )
            for model in dict.fromkeys((*mine, *self._rows, *self._candidates))
        ]

    def _card(
        self,
        model: str,
        candidates: list[Candidate],
        mine: ModelCard | None,
        states: Mapping[tuple[str, str], State],
        stand_in: bool,
    ) -> ModelCard:
        row = self._rows.get(model)
        inputs = list(row.input) if row else ["text"]
        if row is None and mine and mine.architecture:
            inputs = mine.architecture.input_modalities
        return ModelCard(
            id=model,
            created=mine.created if mine else 0,
            owned_by=mine.owned_by if mine else model.partition("/")[0],
            status=mine.status if mine else "",
            context_length=(mine.context_length if mine else 0) or max((one.context for one in candidates), default=0),
            bytes=mine.bytes if mine else 0,
            description=row.description if row else mine.description if mine else "",
            aliases=mine.aliases if mine else list(row.aliases) if row else [],
            architecture=Architecture(inputs, list(row.output) if row else ["text"]),
            providers=[self._provider(one, states.get(one.key), stand_in) for one in candidates],
        )

    def _provider(self, one: Candidate, state: State | None, stand_in: bool) -> ProviderCard:
        found = self._known(one.provider, one.model)
        fields, why = one.fields, "" if one.provider == LOCAL or stand_in else self.parties[one.provider].why
        wrong = RESTS if state and state.resting else "" if one.live else GONE
        return ProviderCard(
            provider=one.provider,
            status="no key" if why else "error" if wrong else "live",
            context_length=one.context or None,
            pricing=Pricing(*one.price) if one.price else None,
            supports_tools=fields.get("tools"),
            supports_structured_output=fields.get("response_format"),
            first_token_latency_ms=round(state.latency * 1000, 1) if state and state.latency is not None else None,
            throughput=round(state.speed, 2) if state and state.speed is not None else None,
            is_model_author=one.author or None,
            capabilities={name: works for name, (works, _) in found.items()},
            probed={name: when for name, (_, when) in found.items()},
            why=why or wrong,
        )
