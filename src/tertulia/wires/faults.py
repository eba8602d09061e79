"""What goes wrong, as bytes: errors written in OpenAI's shape, and read in any shape that servers give them. Pure."""

import math
import re
import time
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from typing import Any, cast

import msgspec

from tertulia import errors
from tertulia.errors import TertuliaError, Timeout, Upstream

Plain = dict[str, Any]
_encoder = msgspec.json.Encoder()
_BY_CODE: dict[str, type[TertuliaError]] = {
    kind.code: kind
    for kind in vars(errors).values()
    if isinstance(kind, type) and issubclass(kind, TertuliaError) and kind.code
}
_BY_TYPE: dict[str, type[TertuliaError]] = {
    "invalid_request_error": errors.BadRequest,
    "validation": errors.BadRequest,
    "template_error": errors.TemplateRefused,
    "rate_limit_error": errors.Busy,
    "overloaded": errors.Busy,
}
_STATUS = {
    "authentication_error": 401,
    "permission_error": 403,
    "not_found_error": 404,
    "insufficient_quota": 429,
    "rate_limit_exceeded": 429,
    "rate_limit_error": 429,
    "overloaded": 429,
    "overloaded_error": 529,
    "invalid_request_error": 400,
    "context_length_exceeded": 400,
    "validation": 422,
    "timeout": 504,
}
_FATAL = frozenset({400, 413, 422})
"""Statuses that say that the request is at fault: everybody would refuse it."""
_ELSEWHERE = frozenset({"model_not_supported", "model_not_found", "model_not_available", "unsupported_model"})
"""Codes that say that only this provider can't."""
_TOO_LONG = re.compile(r"context.?(length|window)|maximum context|prompt is too long|max_total_tokens", re.I)
_TEXTS = ("message", "detail", "error_message", "msg", "error_description", "reason", "title")


def write_error(error: TertuliaError) -> bytes:
    """The body, or the event, that tells ``error``."""
    told = {"message": error.message, "type": error.type, "param": error.param, "code": error.told or error.code}
    try:
        return _encoder.encode({"error": told})
    except UnicodeEncodeError:  # half a surrogate pair got into the message
        told = {name: text and text.encode("utf-8", "replace").decode() for name, text in told.items()}
        return _encoder.encode({"error": told})


def read_error(status: int, body: bytes, headers: Mapping[str, str], provider: str = "") -> TertuliaError:
    """The error that a response with ``status`` tells, in any of the shapes that servers give it.

    Of a ``provider`` the status is kept, and whether another may do better; a defect of its own is none of ours."""
    retry_after = _seconds(headers)
    try:
        plain = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        plain = None
    if isinstance(plain, list) and plain:  # some send a list of one
        plain = cast(list[Any], plain)[0]
    if isinstance(plain, dict) and plain:
        fields = cast(Plain, plain)
        return _theirs(provider, status, fields, retry_after) if provider else told(status, fields, retry_after)
    text = " ".join(body.decode("utf-8", "replace").split())
    if len(text) > 200 or text.startswith("<") or text in ("{}", "[]", "null"):
        text = ""
    if provider:
        return _theirs(provider, status, {"message": text} if text else {}, retry_after)
    message = f"the backend answered {status}{': ' if text else ''}{text}"
    return errors.by_status(status)(message, retry_after=retry_after)


def told(status: int, plain: Plain, retry_after: int | None = None) -> TertuliaError:
    """The error in ``plain``; a status of 0 means that it came inside a stream."""
    error = plain.get("error")
    inner = cast(Plain, error) if isinstance(error, dict) else plain
    message = inner.get("message") or (error if isinstance(error, str) else None) or f"the backend answered {status}"
    code, kind, param = inner.get("code"), inner.get("type") or plain.get("error_type"), inner.get("param")
    said = inner.get("http_status_code") or (code if isinstance(code, int) else 0)
    if isinstance(said, int) and not status:
        status = said
    found = _BY_CODE.get(code) if isinstance(code, str) else None
    if found is None or (status and found.status != status):
        found = errors.by_status(status) if status else _BY_TYPE.get(kind if isinstance(kind, str) else "", Upstream)
    return found(str(message), param=param if isinstance(param, str) else None, retry_after=retry_after)


# ---------------------------------------------------------------- a provider's


def in_band(provider: str, plain: Plain) -> TertuliaError | None:
    """The error that an event or a body of a provider tells where an answer was expected; None if it tells none."""
    error = plain.get("error")
    if error or plain.get("object") == "error":
        return _theirs(provider, 0, plain, None)
    if plain.get("choices") is None and not plain.get("usage") and any(plain.get(name) for name in _TEXTS):
        return _theirs(provider, 0, plain, None)
    for choice in _dicts(plain.get("choices")):
        if choice.get("error") or choice.get("finish_reason") == "error":
            return _theirs(provider, 0, {"error": choice.get("error") or {}}, None)
    return None


def not_chat(provider: str, what: str) -> Upstream:
    """The error for an answer that is none."""
    return Upstream(f"{provider} answered {what}: that is no chat completion")


def _theirs(provider: str, status: int, plain: Plain, retry_after: int | None) -> TertuliaError:
    error = plain.get("error")
    inner = cast(Plain, error) if isinstance(error, dict) and error else plain
    code, kind, param = inner.get("code"), inner.get("type") or plain.get("error_type"), inner.get("param")
    words = [word for word in (code, kind) if isinstance(word, str)]
    said = status or _status(inner, plain, words)
    message = _message(inner) or (_text(error) if inner is plain else "")
    known = said if 400 <= said < 600 and said != 503 else 502
    found = _kind(known, words, message)(
        f"{provider} {f'answered {said}' if said else 'failed'}{': ' if message else ''}{message}",
        param=param if isinstance(param, str) else None,
        retry_after=retry_after,
    )
    found.status = known
    found.retryable = known not in _FATAL or not _ELSEWHERE.isdisjoint(words)
    found.told = code if isinstance(code, str) and code else None
    return found


def _kind(status: int, words: list[str], message: str) -> type[TertuliaError]:
    """Our word for it. What is a matter between us and our callers, or a defect of ours, is no word for others'."""
    if status in _FATAL and ("context_length_exceeded" in words or _TOO_LONG.search(message)):
        return errors.ContextOverflow
    match status:
        case 400 | 422:
            return errors.BadRequest
        case 401 | 403 | 413 | 429:
            return errors.by_status(status)
        case 404:
            return errors.NotFound if _ELSEWHERE.isdisjoint(words) else errors.UnknownModel
        case 504:
            return Timeout
        case _:
            return Upstream


def _status(inner: Plain, plain: Plain, words: list[str]) -> int:
    """The status that an error tells of itself; 0 where it tells none."""
    for holder in (inner, plain):
        for name in ("http_status_code", "status_code", "status", "code"):
            value = holder.get(name)
            if isinstance(value, str) and value.isascii() and value.isdigit():
                value = int(value[:4])
            if isinstance(value, int) and 400 <= value < 600:
                return value
    return next((_STATUS[word] for word in words if word in _STATUS), 0)


def _message(inner: Plain) -> str:
    """What it says, and what the provider behind the provider said."""
    texts = [text for name in _TEXTS if (text := _text(inner.get(name)))]
    behind = inner.get("metadata")
    raw = _text(cast(Plain, behind).get("raw")) if isinstance(behind, dict) else ""
    texts = [*texts[:1], raw] if raw and raw not in texts[:1] else texts[:1]
    return "; ".join(texts)


def _text(value: Any) -> str:
    """A message however it is given: text, or FastAPI's list of complaints, or any JSON."""
    if isinstance(value, str):
        return value.strip()
    if isinstance(value, list) and value:
        return "; ".join(_complaint(one) for one in cast(list[Any], value)[:5])
    return _encoder.encode(value).decode() if isinstance(value, dict) and value else ""


def _complaint(one: Any) -> str:
    fields = cast(Plain, one) if isinstance(one, dict) else {}
    said = fields.get("msg") or fields.get("message")
    if not isinstance(said, str):
        return str(cast(object, one))
    place = fields.get("loc")
    where = ".".join(str(step) for step in cast(list[Any], place)) if isinstance(place, list) else ""
    return f"{where}: {said}" if where else said


def _dicts(value: Any) -> Iterable[Plain]:
    return (
        (cast(Plain, one) for one in cast(list[Any], value) if isinstance(one, dict)) if isinstance(value, list) else ()
    )


def _seconds(headers: Mapping[str, str]) -> int | None:
    """How long to wait, in seconds, however that is told."""
    told = headers.get("Retry-After") or ""
    try:
        if not told and (exact := headers.get("retry-after-ms")):
            return _whole(float(exact) / 1000)
        return _whole(float(told)) if told else None
    except ValueError:
        pass
    try:
        return max(0, round(parsedate_to_datetime(told).timestamp() - time.time()))
    except ValueError:
        return None


def _whole(seconds: float) -> int | None:
    return min(max(math.ceil(seconds), 0), 10**9 - 1) if math.isfinite(seconds) else None
