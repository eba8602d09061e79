"""Who could answer a request, and who is tried first. Pure: a function of request, candidates and health.

A model may be named with a suffix: ``model:provider`` is pinned to it, ``model:policy`` says how to choose. The
policies are Hugging Face's: ``fastest`` (measured tokens a second), ``cheapest`` (price of the tokens written),
``preferred`` (the user's own order). ``local`` is a provider: this machine's engine.
"""

from collections.abc import Mapping, Sequence
from math import inf

from msgspec import Struct

from tertulia.types import Backend, ChatRequest, Image, Text

LOCAL = "local"
POLICIES = ("fastest", "cheapest", "preferred")
CHARACTERS = 5
"""Characters that a token has at most on average: a prompt is taken to be no shorter than its characters over this."""


class Wish(Struct, frozen=True):
    """A model that was asked for, the provider it is pinned to (or none), and the policy."""

    model: str
    provider: str = ""
    policy: str = ""


class Candidate(Struct, frozen=True, kw_only=True):
    """A model as one provider serves it: ``model`` is its id here, ``id`` the one it has there. ``context`` is in
    tokens (0: not known), ``price`` in US dollars per million tokens read and written. ``fields`` says which fields of
    a request are known to be honoured or not; what it doesn't hold is not known of and excludes nobody.
    One that is not ``live`` is no longer served: it is asked only where it is pinned."""

    provider: str
    model: str
    id: str
    backend: Backend
    context: int = 0
    price: tuple[float, float] | None = None
    fields: Mapping[str, bool] = {}
    live: bool = True
    author: bool = False

    @property
    def name(self) -> str:
        """How it is asked for."""
        return self.model if self.provider == LOCAL else f"{self.model}:{self.provider}"

    @property
    def key(self) -> tuple[str, str]:
        """What its health is kept under."""
        return self.provider, self.id


class State(Struct, frozen=True):
    """How a candidate has done of late: whether it is given a rest, its tokens a second, its seconds to the first;
    ``seen`` is when that was, on the clock that measured it."""

    resting: bool = False
    speed: float | None = None
    latency: float | None = None
    seen: float = 0.0


WELL = State()


def read_wish(name: str, providers: Mapping[str, object]) -> Wish:
    """What ``name`` asks for. What stands behind the last colon counts only if it is a policy or a provider."""
    model, colon, suffix = name.rpartition(":")
    if colon and suffix in POLICIES:
        return Wish(model, policy=suffix)
    if colon and (suffix in providers or suffix == LOCAL):
        return Wish(model, provider=suffix)
    return Wish(name)


ANY_OBJECT = {"type": "json_object"}
_PLAIN = (
    "tool_prompt",
    "structured_outputs",
    "seed",
    "logit_bias",
    "stop",
    "reasoning_effort",
    "frequency_penalty",
    "presence_penalty",
    "top_k",
    "min_p",
)


def needs(request: ChatRequest) -> tuple[str, ...]:
    """The fields of ``request`` that not every provider honours, by the names that tables and probes have for them."""
    wanted = [name for name in _PLAIN if getattr(request, name) is not None]
    if request.tools and request.tool_choice != "none":
        wanted.append("tools")
        if request.tool_choice not in (None, "auto"):
            wanted.append("tool_choice")
    form = request.response_format
    if form is not None and form.get("type") != "text":
        wanted.append("json_object" if form == ANY_OBJECT else "response_format")
    if request.n is not None and request.n > 1:
        wanted.append("n")
    if request.logprobs:
        wanted.append("logprobs")
    for message in request.messages:
        if type(message.content) is list and (shown := [one for one in message.content if isinstance(one, Image)]):
            wanted.append("image")
            if any(not one.image_url.url.startswith("data:") for one in shown):
                wanted.append("image_url")
            break
    return tuple(wanted)


def characters(request: ChatRequest) -> int:
    """The text of its messages."""
    count = 0
    for message in request.messages:
        content = message.content
        if type(content) is str:
            count += len(content)
        elif content:
            count += sum(len(part.text) for part in content if isinstance(part, Text))
    return count


def length(request: ChatRequest) -> int:
    """The fewest tokens that prompt and answer can be expected to have together."""
    return characters(request) // CHARACTERS + (request.max_completion_tokens or request.max_tokens or 1)


def lacks(candidate: Candidate, wanted: Sequence[str], tokens: int) -> list[str]:
    """What of ``wanted`` a candidate is known not to honour; ``context`` where ``tokens`` are more than it takes."""
    fields = candidate.fields
    if fields and "json_object" in wanted and "json_object" not in fields:
        fields = {**fields, "json_object": fields.get("response_format", True)}
    missing = [name for name in wanted if fields.get(name) is False] if fields else []
    if candidate.context and tokens > candidate.context:
        missing.append("context")
    return missing


def order(
    candidates: Sequence[Candidate],
    health: Mapping[tuple[str, str], State],
    policy: str,
    preferred: Sequence[str] = (),
) -> list[Candidate]:
    """``candidates`` as they are to be tried: a permutation. Who is given a rest comes last; who is level keeps the
    user's order, then the table's."""
    if len(candidates) == 1:
        return list(candidates)
    place = {name: index for index, name in enumerate(preferred)}
    states = [health.get(candidate.key, WELL) for candidate in candidates]

    def rank(index: int) -> tuple[bool, float, int, int]:
        candidate, state = candidates[index], states[index]
        if policy == "cheapest":
            first = candidate.price[1] if candidate.price else inf
        elif policy == LOCAL:
            first = float(candidate.provider != LOCAL)
        elif policy == "preferred":
            first = 0.0
        else:
            first = -inf if state.speed is None else -state.speed  # who was not measured of late is measured now
        return state.resting, first, place.get(candidate.provider, len(place)), index

    return [candidates[index] for index in sorted(range(len(candidates)), key=rank)]
