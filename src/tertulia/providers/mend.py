"""Answers that are not quite in OpenAI's shape, made into our words from what is there: plain objects in, pure."""

from collections.abc import Iterator
from typing import Any, cast

import msgspec
from msgspec import UNSET, UnsetType, structs

from tertulia.types import (
    Answer,
    AnswerCall,
    AnswerFunction,
    Choice,
    Chunk,
    ChunkChoice,
    Completion,
    CompletionDetails,
    Delta,
    DeltaCall,
    DeltaFunction,
    Logprobs,
    PromptDetails,
    Usage,
)

Plain = dict[str, Any]
UNKNOWN = -1
"""An index or a number of tokens that was not told."""
_MOST = 1e15  # tokens, or dollars, beyond which a figure is none


def read(data: bytes) -> Plain | None:
    """The JSON object in ``data``; None if it is none."""
    found = _plain(data)
    return cast(Plain, found) if isinstance(found, dict) else None


def _plain(data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def kind(data: bytes) -> str:
    """What ``data`` is, where it is no answer: its kind and its length, none of its words."""
    if not data.strip():
        return "nothing"
    if data.lstrip()[:1] == b"<":
        return "HTML"
    return f"{len(data)} bytes that are not JSON" if _plain(data) is None else "JSON of another shape"


def chunk(fields: Plain) -> Chunk | None:
    """The chunk in ``fields``; None if there is none."""
    told = usage(fields.get("usage"))
    if not isinstance(fields.get("choices"), list) and told is None:
        return None
    return Chunk(
        id=_text(fields.get("id")),
        created=_whole(fields.get("created"), 0),
        model=_text(fields.get("model")),
        system_fingerprint=_text(fields.get("system_fingerprint")) or None,
        choices=[_choice(place, item) for place, item in enumerate(_dicts(fields.get("choices")))],
        usage=told or UNSET,
    )


def completion(fields: Plain) -> Completion | None:
    """The whole answer in ``fields``; None if there is none."""
    choices = [_whole_choice(place, item) for place, item in enumerate(_dicts(fields.get("choices")))]
    if not choices or None in choices:
        return None
    return Completion(
        id=_text(fields.get("id")),
        created=_whole(fields.get("created"), 0),
        model=_text(fields.get("model")),
        system_fingerprint=_text(fields.get("system_fingerprint")),
        choices=[choice for choice in choices if choice],
        usage=usage(fields.get("usage")) or Usage(UNKNOWN, UNKNOWN, UNKNOWN),
    )


def usage(value: Any) -> Usage | None:
    """The usage in ``value``: UNKNOWN stands for what it doesn't tell. None where it tells nothing."""
    if not isinstance(value, dict):
        return None
    fields = cast(Plain, value)
    prompt = _whole(fields.get("prompt_tokens"), _whole(fields.get("input_tokens")))
    said = _whole(fields.get("completion_tokens"), _whole(fields.get("output_tokens")))
    total = _whole(fields.get("total_tokens"))
    if prompt == said == total == UNKNOWN:
        return None
    if prompt == UNKNOWN and said != UNKNOWN and total >= said:
        prompt = total - said
    elif said == UNKNOWN and prompt != UNKNOWN and total >= prompt:
        said = total - prompt
    if total == UNKNOWN and UNKNOWN not in (prompt, said):
        total = prompt + said
    cached = _dict(fields.get("prompt_tokens_details")).get("cached_tokens", fields.get("prompt_cache_hit_tokens"))
    thought = _dict(fields.get("completion_tokens_details")).get("reasoning_tokens")
    return Usage(
        prompt_tokens=prompt,
        completion_tokens=said,
        total_tokens=total,
        prompt_tokens_details=None if cached is None else PromptDetails(_whole(cached, 0)),
        completion_tokens_details=None if thought is None else CompletionDetails(_whole(thought, 0)),
        cost=_cost(fields.get("cost")),
        estimated=fields.get("estimated") is True,
    )


def sane(usage: Usage) -> Usage:
    """``usage`` without figures that can't be true, which may be itself: negative ones, and endless ones."""
    tokens = (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens)
    cost = _cost(usage.cost)
    if cost == usage.cost and all(UNKNOWN <= number < _MOST for number in tokens):
        return usage
    prompt, said, total = (_whole(number) for number in tokens)
    return structs.replace(usage, prompt_tokens=prompt, completion_tokens=said, total_tokens=total, cost=cost)


def _cost(value: Any) -> float | None:
    told = isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST
    return float(value) if told else None


# ---------------------------------------------------------------- choices


def _choice(place: int, item: Plain) -> ChunkChoice:
    given = item.get("delta") or item.get("message")
    delta = _delta(_dict(given) if given else {"content": item.get("text")})
    logprobs = _logprobs(item.get("logprobs"))
    return ChunkChoice(
        index=_whole(item.get("index"), place),
        delta=delta,
        finish_reason=_reason(item.get("finish_reason")),
        logprobs=UNSET if logprobs is None else logprobs,
    )


def _whole_choice(place: int, item: Plain) -> Choice | None:
    given = item.get("message") or item.get("delta")
    if not isinstance(given, dict) and not isinstance(item.get("text"), str):
        return None
    delta = _delta(cast(Plain, given) if isinstance(given, dict) else {"content": item["text"]})
    calls = [_answer_call(call) for call in delta.tool_calls or ()]
    answer = Answer(
        content=delta.content or None,
        refusal=delta.refusal or None,
        reasoning=delta.reasoning or UNSET,
        reasoning_content=delta.reasoning_content or UNSET,
        tool_calls=calls or UNSET,
    )
    return Choice(
        index=_whole(item.get("index"), place),
        message=answer,
        finish_reason=_reason(item.get("finish_reason")) or "stop",
        logprobs=_logprobs(item.get("logprobs")),
    )


def _answer_call(call: DeltaCall) -> AnswerCall:
    function = call.function or DeltaFunction()
    return AnswerCall(id=call.id or "", function=AnswerFunction(function.name or "", function.arguments or ""))


def _delta(fields: Plain) -> Delta:
    content, thinking = _parts(fields.get("content"))
    thoughts = [_parts(fields.get(name))[0] for name in ("reasoning_content", "reasoning", "thinking")]
    thought = next((text for text in (*thoughts, thinking) if text), "")
    calls = fields.get("tool_calls")
    given = [_call(item) for item in _dicts([calls] if isinstance(calls, dict) else calls)]
    if isinstance(old := fields.get("function_call"), dict):  # OpenAI's first way to say it
        given.append(_call({"index": 0, "function": old}))
    refusal = fields.get("refusal")
    return Delta(
        role=fields["role"] if isinstance(fields.get("role"), str) else UNSET,
        content=content,
        reasoning=thought or UNSET,
        reasoning_content=thought or UNSET,
        tool_calls=given or UNSET,
        refusal=refusal if isinstance(refusal, str) else UNSET,
    )


def _parts(value: Any) -> tuple[str | None, str]:
    """The text and the thinking in a content of text or of parts."""
    if isinstance(value, str):
        return value, ""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in _dicts([value] if isinstance(value, dict) else value):
        thinking = part.get("thinking")
        if thinking:
            thoughts.append(_parts(thinking)[0] or "")
        elif isinstance(part.get("text"), str):
            texts.append(part["text"])
    return ("".join(texts) if texts else None), "".join(thoughts)


def _call(fields: Plain) -> DeltaCall:
    """A piece of a call. Some servers leave out the ``function`` around name and arguments."""
    function = _dict(fields.get("function")) or fields
    name = function.get("name")
    arguments = function.get("arguments", function.get("parameters"))
    identity = fields.get("id")
    return DeltaCall(
        index=_whole(fields.get("index")),
        id=str(cast(object, identity)) if isinstance(identity, str | int) else UNSET,
        type=UNSET,
        function=DeltaFunction(name=name if isinstance(name, str) else UNSET, arguments=_arguments(arguments)),
    )


def _arguments(value: Any) -> str | UnsetType:
    if value is None or isinstance(value, str):
        return UNSET if value is None else value
    return msgspec.json.encode(value).decode()


def _logprobs(value: Any) -> Logprobs | None:
    try:
        return msgspec.convert(value, Logprobs) if isinstance(value, dict) else None
    except msgspec.ValidationError:
        return None


def _reason(value: Any) -> str | None:
    return value if isinstance(value, str) else "stop" if value else None


# ---------------------------------------------------------------- plain objects


def _text(value: Any) -> str:
    return str(cast(object, value)) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def _whole(value: Any, otherwise: int = UNKNOWN) -> int:
    """A whole number of 0 or more, however it is given."""
    if isinstance(value, str) and value.isascii() and value.isdigit():
        return int(value[:15])
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < _MOST:
        return int(value)
    return otherwise


def _dicts(value: Any) -> Iterator[Plain]:
    if isinstance(value, list):
        yield from (cast(Plain, one) for one in cast(list[Any], value) if isinstance(one, dict))


def _dict(value: Any) -> Plain:
    return cast(Plain, value) if isinstance(value, dict) else {}
