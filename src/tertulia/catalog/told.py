"""What providers tell of their models, in the many shapes of ``GET /models``: pure.

OpenAI's list is ids alone. Others add a context length, prices, modalities and abilities, each under names of its own.
What can't be read is left out; only what is no list at all is an error.
"""

import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

import msgspec
from msgspec import Struct

from tertulia.errors import Upstream

Plain = dict[str, Any]
_CONTEXT = ("context_length", "context_window", "max_model_len", "context_size", "max_context_length")
_KIND = ("type", "model_type", "mode", "kind", "task")
_NO_CHAT = re.compile(
    r"embed|rerank|whisper|(^|\W|_)(tts|asr|ocr|stt)(\W|_|$)|dall-e|moderation|transcri|realtime|speech|diffusion"
    r"|(^|\W)(flux|sora)|gpt-image|prompt-guard|text-to-|image-gen",
    re.I,
)
_ABILITIES = {
    "tools": ("supports_tools", "supports_function_calling", "function_calling", "function-calling", "tools"),
    "response_format": (
        "supports_structured_output",
        "structured-outputs",
        "structured_outputs",
        "response_format",
        "json_schema",
    ),
    "logprobs": ("logprobs",),
}
_DAY = re.compile(r"\d{4}-\d\d-\d\d(T|$)")
_DEAREST = 0.001
"""Dollars that a single token may cost; a "price per token" above that was meant per million."""


class Told(Struct, frozen=True, kw_only=True):
    """A model as a provider tells of it: the ``id`` it has there, its context in tokens (0: not said), its price in US
    dollars per million tokens read and written, what it reads (empty: not said), fields that it honours or doesn't."""

    id: str
    context: int = 0
    price: tuple[float, float] | None = None
    input: tuple[str, ...] = ()
    fields: dict[str, bool] = {}
    live: bool = True
    author: bool = False


class Mapping(Struct, frozen=True, kw_only=True):
    """A model of the Hub as a provider is registered to serve it: the Hub's id, the provider, the id there. Of the
    model itself the Hub's score for how much it trends (None: not told) and the day it came there (ISO 8601)."""

    model: str
    provider: str
    id: str
    input: tuple[str, ...] = ()
    live: bool = True
    author: bool = False
    trending: float | None = None
    released: str = ""


def read_models(provider: str, body: bytes) -> list[Told]:
    """The models of a provider's list that hold conversations. Raises Upstream if it is no list."""
    return [_told(provider, name, item) for name, item in _items(body) if _chats(name, item)]


def read_parts(body: bytes) -> dict[tuple[str, str], Told]:
    """What Hugging Face's router tells of other providers: by model and provider. Raises Upstream if it is no list."""
    return {
        (name, str(part["provider"])): _told("", name, part)
        for name, item in _items(body)
        for part in _dicts(item.get("providers"))
        if part.get("provider")
    }


def read_mappings(body: bytes, reads: tuple[str, ...]) -> list[Mapping]:
    """The mappings of the Hub's list of models, for conversation; ``reads`` is what its models read. Raises Upstream if
    it is no list."""
    found: list[Mapping] = []
    for name, item in _items(body):
        mapping = item.get("inferenceProviderMapping")
        entries = list(_dicts(mapping)) or [{"provider": key, **_dict(one)} for key, one in _dict(mapping).items()]
        found += [
            Mapping(
                model=name,
                provider=str(one["provider"]),
                id=str(one["providerId"]),
                input=reads,
                live=one.get("status") == "live",
                author=one.get("isModelAuthor") is True,
                trending=_number(item.get("trendingScore")),
                released=_day(item.get("createdAt")),
            )
            for one in entries
            if one.get("provider") and one.get("providerId") and one.get("task") == "conversational"
            if one.get("status") in ("live", "error")
        ]
    return found


# ---------------------------------------------------------------- shapes


def _items(body: bytes) -> Iterator[tuple[str, Plain]]:
    """The models of a list, whatever the list is called, with their ids."""
    try:
        plain: Any = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Upstream("the answer is not JSON") from None
    whole = _dict(plain)
    listed = whole.get("data", whole.get("models")) if whole else plain
    if not isinstance(listed, list):
        raise Upstream("the answer is no list of models")
    for item in _dicts(cast(list[Any], listed)):
        name = item.get("id") or item.get("name")
        if isinstance(name, str) and 0 < len(name) <= 200 and name.isprintable():  # it goes to terminals and pages
            yield name, item


def _told(provider: str, name: str, item: Plain) -> Told:
    parts = list(_dicts(item.get("providers")))
    live = [part for part in parts if part.get("status") != "error"]
    about = {key: _dict(item.get(key)) for key in ("metadata", "top_provider", "architecture", "capabilities", "meta")}
    fields = _fields(item, about["capabilities"], live)
    reads = _reads(item, about)
    if reads:
        fields["image"] = "image" in reads
    prices = {price for part in live if (price := _price(provider, part))}
    return Told(
        id=name,
        context=_context([item, about["metadata"], about["top_provider"], *live]) or _whole(about["meta"].get("n_ctx")),
        price=_price(provider, item)
        or _price(provider, about["metadata"])
        or (prices.pop() if len(prices) == 1 else None),
        input=reads,
        fields=fields,
        live=item.get("status") != "error" and (not parts or bool(live)),
        author=item.get("is_model_author") is True,
    )


def _chats(name: str, item: Plain) -> bool:
    """Whether a model holds conversations, as far as can be told."""
    if item.get("supports_chat") is False or item.get("active") is False:
        return False
    if isinstance(endpoints := item.get("endpoints"), list) and endpoints:
        said = " ".join(map(str, cast(list[Any], endpoints)))
        return "chat" in said
    writes = item.get("output_modalities") or _dict(item.get("architecture")).get("output_modalities")
    if isinstance(writes, list) and "text" not in writes:
        return False
    kinds = [kind for key in _KIND if isinstance(kind := item.get(key), str) and kind]
    return not any(_NO_CHAT.search(word) for word in (name, *kinds)) and not set(kinds) & {"image", "audio", "video"}


def _context(places: Iterable[Plain]) -> int:
    """The longest context that is told. Where several parts serve a model, one of them may do."""
    return max((_whole(place.get(key)) for place in places for key in _CONTEXT), default=0)


def _reads(item: Plain, about: dict[str, Plain]) -> tuple[str, ...]:
    for place in (item, about["architecture"]):
        told = place.get("input_modalities")
        if isinstance(told, list) and told:
            return tuple(word for word in ("text", "image", "audio", "video") if word in told)
    sees = [item.get("supports_image_input"), item.get("supports_vision"), about["capabilities"].get("vision")]
    if True in sees:
        return ("text", "image")
    return ("text",) if False in sees else ()


def _fields(item: Plain, capabilities: Plain, parts: list[Plain]) -> dict[str, bool]:
    """Which fields are told to be honoured or not; of parts one is enough. A list of parameters is whole, a list of
    features may leave something out."""
    fields: dict[str, bool] = {}
    parameters, *others = (item.get(key) for key in ("supported_parameters", "supported_features", "features"))
    features = [word for one in others if isinstance(one, list) for word in cast(list[Any], one)]
    for name, words in _ABILITIES.items():
        places = (item, capabilities, *parts)
        said = [place[word] for place in places for word in words if isinstance(place.get(word), bool)]
        if isinstance(parameters, list) and parameters:
            said.append(any(word in parameters for word in words))
        if any(word in features for word in words):
            said.append(True)
        if said:
            fields[name] = any(said)
    return fields


def _price(provider: str, item: Plain) -> tuple[float, float] | None:
    """Dollars per million tokens, read and written."""
    told = _dict(item.get("pricing"))
    if "prompt" in told:
        return _pair(_by_token(told["prompt"]), _by_token(told.get("completion")))
    for one, other in (("input", "output"), ("input_tokens", "output_tokens")):
        pair = _pair(_number(told.get(one)), _number(told.get(other)))
        # What is rented by the hour, or not told, stands as 0 in some lists.
        if pair is not None and (any(pair) or item.get("is_free") is True):
            return pair
    if provider == "novita":  # in ten-thousandths of a dollar
        read, written = (_number(item.get(f"{side}_token_price_per_m")) for side in ("input", "output"))
        return None if read is None or written is None else _pair(read / 10_000, written / 10_000)
    return (0.0, 0.0) if item.get("is_free") is True else None


def _by_token(value: Any) -> float | None:
    if isinstance(value, dict):
        return _number(_dict(value).get("price_per_m_decimal"))
    price = _number(value)
    return price if price is None or price > _DEAREST else price * 1_000_000


def _pair(read: float | None, written: float | None) -> tuple[float, float] | None:
    return None if read is None or written is None else (round(read, 6), round(written, 6))


def _number(value: Any) -> float | None:
    """A price: never negative (-1 stands for "it depends" in some lists)."""
    try:
        number = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else -1.0
    except (ValueError, OverflowError):
        return None
    return number if 0 <= number < 1e6 else None


def _day(value: Any) -> str:
    """The day of a time as the Hub tells it."""
    return value[:10] if isinstance(value, str) and _DAY.match(value) else ""


def _whole(value: Any) -> int:
    return int(value) if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e12 else 0


def _dicts(value: Any) -> Iterator[Plain]:
    if isinstance(value, list):
        yield from (cast(Plain, one) for one in cast(list[Any], value) if isinstance(one, dict))


def _dict(value: Any) -> Plain:
    return cast(Plain, value) if isinstance(value, dict) else {}
