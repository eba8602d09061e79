"""A request turned into the candidates that could answer it, in the order in which they are tried. Pure."""

from collections.abc import Iterable, Mapping, Sequence

from msgspec import Struct

from tertulia.config import Router as Settings
from tertulia.errors import BadRequest, ContextOverflow, TertuliaError, Unauthorized, Unsupported
from tertulia.router.index import Index
from tertulia.router.order import Candidate, State, Wish, lacks, length, needs, order
from tertulia.types import Attempt, ChatRequest, Image


class Plan(Struct):
    """Who is tried, in this order, and what has become of whom so far. ``models`` are those that were asked for."""

    candidates: list[Candidate]
    route: list[Attempt]
    models: list[str]


def make_plan(index: Index, request: ChatRequest, settings: Settings, states: Mapping[tuple[str, str], State]) -> Plan:
    """The plan for ``request``: the model that it names, then those that it names as fallbacks, then, as configured, a
    model of this machine. Raises UnknownModel, Unauthorized, or Unsupported, which says who could and how."""
    wanted, tokens = needs(request), length(request)
    wishes = _wishes(index, request)
    plan = Plan([], [], [index.resolve(wish.model, wish.provider) for wish in wishes])
    refused, error = list[tuple[Candidate, list[str]]](), None

    def take(candidates: Iterable[Candidate]) -> list[Candidate]:
        able: list[Candidate] = []
        for candidate in candidates:
            if missing := lacks(candidate, wanted, tokens):
                refused.append((candidate, missing))
                why = f"it can't honour {', '.join(missing)}"
                plan.route.append(Attempt(candidate.provider, candidate.model, "skipped", why))
            else:
                able.append(candidate)
        return able

    for wish in wishes:
        try:
            able = take(index.find(wish))
        except (BadRequest, Unauthorized) as fault:
            error = error or fault
            continue
        plan.candidates += order(able, states, wish.policy or settings.policy, settings.order)
    if settings.stand_in or (settings.fallback and not wishes[0].provider and any(map(index.knows, wishes))):
        tried = {candidate.key for candidate in plan.candidates} | {candidate.key for candidate, _ in refused}
        home = [one for one in index.at_home(settings.fallback) if one.key not in tried]
        able = next((one for one in home if not lacks(one, wanted, tokens)), None)
        plan.candidates += [able] if able else take(home[:1])
    if not plan.candidates:
        raise _nobody(index, request, refused, wanted, tokens) if refused else error or index.unknown(wishes[0])
    return plan


def _wishes(index: Index, request: ChatRequest) -> list[Wish]:
    if request.caller.provider:
        return [Wish(request.model or "", provider=request.caller.provider)]
    return [index.read(name) for name in (request.model or "", *(request.models or ()))]


def _nobody(
    index: Index,
    request: ChatRequest,
    refused: Sequence[tuple[Candidate, list[str]]],
    wanted: Sequence[str],
    tokens: int,
) -> TertuliaError:
    """The error that says which field is in the way, and who could with which change."""
    nearest, missing = min(refused, key=lambda one: len(one[1]))
    names = ", ".join(missing)
    others = index.able(wanted, tokens)
    hints = [f"{', '.join(others)} could"] if others else []
    if missing == ["context"]:
        hints.append(f"{nearest.provider} takes {nearest.context} tokens")
    else:
        hints.append(f"without {names} {nearest.name if len(refused) > 1 else 'it'} could")
    message = f"{_asked(refused)} can't honour {names}; {'; '.join(hints)}"
    if "context" in missing:
        return ContextOverflow(f"about {tokens} tokens are more than fit: {message}", param="messages")
    return Unsupported(message, param=_place(request, missing[0]))


def _asked(refused: Sequence[tuple[Candidate, list[str]]]) -> str:
    return ", ".join(dict.fromkeys(candidate.name for candidate, _ in refused))


def _place(request: ChatRequest, field: str) -> str:
    """The path of what is in the way."""
    if field != "image":
        return field
    return next(
        f"messages[{i}].content[{j}]"
        for i, message in enumerate(request.messages)
        for j, part in enumerate(message.content if isinstance(message.content, list) else ())
        if isinstance(part, Image)
    )
