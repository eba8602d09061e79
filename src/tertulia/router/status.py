"""How everybody does who could be asked: for GET /status."""

from collections.abc import Callable, Iterable
from typing import Any

from msgspec import Struct

from tertulia.router.health import RESERVE, Budget, Health, Told
from tertulia.router.index import Index
from tertulia.router.order import LOCAL

SHOWN = 50
"""Models of a provider that are told of: callers name them as they like."""


class Provider(Struct, frozen=True):
    """A provider. ``why`` says what is missing before it can be asked. ``custom`` is one of the user's own;
    ``process`` tells of one that is a program here. ``asked`` are those of its models that were asked of late, the
    last one first."""

    name: str
    why: str
    custom: bool
    process: Any
    asked: list[Told]


class Standing(Struct, frozen=True):
    """``processes`` are those of this machine's models; ``retries`` is how many second attempts may be made now, of
    ``reserve`` at most."""

    processes: list[Any]
    providers: list[Provider]
    retries: float
    reserve: float


def stand(index: Index, health: Health, budget: Budget) -> Standing:
    """How everybody does now."""
    asked: dict[str, list[Told]] = {}
    for told in sorted(health.tell(), key=_age):
        asked.setdefault(told.provider, []).append(told)
    home = Provider(LOCAL, "", False, None, asked.get(LOCAL, [])[:SHOWN])
    others = [
        Provider(party.name, party.why, party.custom, _tell(party.backend), asked.get(party.name, [])[:SHOWN])
        for party in index.parties.values()
    ]
    return Standing(list(_tell(index.home) or ()), [home, *others], round(budget.left, 2), RESERVE)


def _age(told: Told) -> float:
    """Seconds since anything was heard of it."""
    return min((age for age in (told.ago, told.error_ago) if age is not None), default=0.0)


def _tell(backend: object) -> Any:
    """What a backend that is a process, or several, tells of them."""
    tell: Callable[[], Iterable[Any]] | None = getattr(backend, "tell", None)
    return tell() if tell else None
