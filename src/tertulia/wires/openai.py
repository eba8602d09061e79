"""OpenAI's dialect: the chat completion API's bytes to words and back. Pure.

The server reads requests and writes answers with it, providers write requests and read answers.
"""

from collections.abc import Iterable
from typing import Any, cast

import msgspec
from msgspec import UNSET, structs

from tertulia.errors import BadRequest, Upstream
from tertulia.types import (
    Attempt,
    CallFunction,
    ChatRequest,
    Chunk,
    Completion,
    Function,
    Image,
    ImageUrl,
    Message,
    ModelCard,
    ProviderCard,
    Text,
    Tool,
    ToolCall,
)
from tertulia.wires import faults
from tertulia.wires.faults import read_error as read_error
from tertulia.wires.faults import write_error as write_error
from tertulia.wires.refusal import refuse, show
from tertulia.wires.tools import check_tools, settle_choice, settle_history

_SPELT = ChatRequest.__struct_encode_fields__[:-4]  # without what is ours: extra, warnings, caller, asked
_FIELDS = frozenset(_SPELT)
_MESSAGE = frozenset(Message.__struct_fields__)
_PART = frozenset({"type", *Text.__struct_fields__, *Image.__struct_fields__})
_IMAGE_URL = frozenset(ImageUrl.__struct_fields__)
_CALL, _CALL_FUNCTION = frozenset(ToolCall.__struct_fields__), frozenset(CallFunction.__struct_fields__)
_TOOL, _FUNCTION = frozenset(Tool.__struct_fields__), frozenset(Function.__struct_fields__)
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
LONGEST_NAME = 256
_NULL_USAGE = b',"usage":null'

_encoder = msgspec.json.Encoder()
_chunks = msgspec.json.Decoder(Chunk)

# ---------------------------------------------------------------- requests


def read_request(body: bytes) -> ChatRequest:
    """The request in ``body``. Raises BadRequest, whose ``param`` is the path of what is wrong.

    Fields that nobody knows are kept in ``extra`` and named in ``warnings``. Empty stop strings are left out, with a
    warning; of ``max_tokens`` and ``max_completion_tokens`` the latter wins, with a warning. What tools and their
    history then look like is said in :mod:`tertulia.wires.tools`.
    """
    fields = read_object(body)
    known = fields if fields.keys() <= _FIELDS else {name: fields[name] for name in fields if name in _FIELDS}
    try:
        request = msgspec.convert(known, ChatRequest)
    except msgspec.ValidationError as complaint:
        raise refuse(complaint, known) from None
    if len(known) != len(fields):
        request.extra = {name: fields[name] for name in fields if name not in _FIELDS}
    _check(request, known)
    request.warnings = [f"{name} is not a known field" for name in request.extra]
    names = frozenset[str]().union(*known["messages"])  # much faster than a look at each message
    request.warnings += [f"{name} is not a known field and was left out" for name in _strays(known, names)]
    _settle(request, known, names)
    return request


def read_object(body: bytes) -> dict[str, Any]:
    """The JSON object in ``body``. Raises BadRequest."""
    given = _decode(body)
    if not isinstance(given, dict):
        raise BadRequest(f"the body must be a JSON object, not {show(given)}")
    return cast(dict[str, Any], given)


def write_request(request: ChatRequest) -> bytes:
    """The body that ``request`` is sent on with: unknown fields kept, what is ours left out."""
    return write_fields(fields_of(request))


def fields_of(request: ChatRequest) -> dict[str, Any]:
    """What ``request`` says, by its fields' names on the wire."""
    given = zip(_SPELT, structs.astuple(request), strict=False)
    fields: dict[str, Any] = {spelt: value for spelt, value in given if value is not None}
    fields.update(request.extra)
    return fields


def write_fields(fields: dict[str, Any]) -> bytes:
    """A body of these fields. Raises BadRequest for what can't be said in JSON."""
    try:
        return _encoder.encode(fields)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except UnicodeEncodeError:
        raise BadRequest("there is half a surrogate pair in the request: it is not text", param="messages") from None


def _decode(body: bytes) -> Any:
    try:
        return msgspec.json.decode(body)
    except RecursionError:
        raise BadRequest("the body is nested too deeply") from None
    except UnicodeDecodeError:
        raise BadRequest("the body is not UTF-8") from None
    except msgspec.DecodeError as error:
        try:
            body.decode()
        except UnicodeDecodeError:
            raise BadRequest("the body is not UTF-8") from None
        if not body.strip():
            raise BadRequest("the body is empty: a JSON object is needed") from None
        hint = "; is there half a surrogate pair (\\ud83d and the like) in it?" if b"\\ud" in body.lower() else ""
        raise BadRequest(f"the body is not JSON: {error}{hint}") from None


def _check(request: ChatRequest, given: dict[str, Any]) -> None:
    """What the types can't say."""
    for name in (request.model or "", *(request.models or ())):
        if len(name) > LONGEST_NAME or not name.isprintable():
            raise BadRequest(
                f"model must be a name of {LONGEST_NAME} printable characters at most, not {show(name)}", param="model"
            )
    if request.top_logprobs and not request.logprobs:
        raise BadRequest("top_logprobs needs logprobs: true beside it", param="top_logprobs")
    if isinstance(request.logit_bias, dict):
        for key in request.logit_bias:
            if not (key.isascii() and key.isdigit() and len(key) < 12):
                raise BadRequest(
                    f"logit_bias maps token ids to numbers; {show(key)} is no token id", param="logit_bias"
                )
    elif request.logit_bias and any(abs(bias or 0) > 100 for bias in request.logit_bias):
        raise BadRequest("logit_bias holds numbers between -100 and 100", param="logit_bias")
    if None in [message.content for message in request.messages]:
        for i, message in enumerate(given["messages"]):
            if "content" not in message and message["role"] not in ("assistant", "function"):
                param = f"messages[{i}].content"
                raise BadRequest(f"{param} is required: a string or a list of parts", param=param)
    if request.tools:
        check_tools(request.tools)
    if request.reasoning_effort is not None and request.reasoning_effort not in EFFORTS:
        raise BadRequest(
            f"reasoning_effort must be one of {', '.join(EFFORTS)}, not {show(request.reasoning_effort)}",
            param="reasoning_effort",
        )
    if request.response_format is not None and not isinstance(request.response_format.get("type"), str):
        raise BadRequest("response_format.type is required: a string", param="response_format.type")


def _settle(request: ChatRequest, given: dict[str, Any], names: frozenset[str]) -> None:
    """What may be said in two ways is left said in one. ``names`` are the fields that messages have."""
    if not request.tools:
        request.tools = None
        if request.parallel_tool_calls is not None:
            request.warnings.append("parallel_tool_calls is ignored: there are no tools")
            request.parallel_tool_calls = None
    if request.tool_choice is not None:
        settle_choice(request)
    if "tool_calls" in names or "tool" in [message["role"] for message in given["messages"]]:
        settle_history(request.messages)
    if "function_call" in names and any(message.function_call for message in request.messages):
        request.warnings.append("messages[].function_call is an old form that models here don't see; use tool_calls")
    if request.max_completion_tokens is not None and request.max_tokens is not None:
        if request.max_tokens != request.max_completion_tokens:
            request.warnings.append("max_tokens is ignored: max_completion_tokens is given too")
        request.max_tokens = None
    if request.stop == "" or (isinstance(request.stop, list) and "" in request.stop):
        request.warnings.append("stop: an empty string is ignored")
        request.stop = [word for word in request.stop if word] or None


def _strays(given: dict[str, Any], names: frozenset[str]) -> list[str]:
    """The unknown fields below the top, which the types have no room for. ``names`` are those that messages have."""
    strays: dict[str, None] = {}

    def look(where: str, items: Any, known: frozenset[str]) -> None:
        for item in items:
            if isinstance(item, dict) and not (fields := cast(dict[str, Any], item)).keys() <= known:
                strays.update(dict.fromkeys(f"{where}.{name}" for name in fields.keys() - known))

    messages: list[dict[str, Any]] = given["messages"]
    if not names <= _MESSAGE:
        look("messages[]", messages, _MESSAGE)
    calling = "tool_calls" in names
    for message in messages:
        if type(content := message.get("content")) is list:
            look("messages[].content[]", content, _PART)
            parts = cast(list[dict[str, Any]], content)
            look("messages[].content[].image_url", (part.get("image_url") for part in parts), _IMAGE_URL)
        if calling and (calls := message.get("tool_calls")):
            look("messages[].tool_calls[]", calls, _CALL)
            look("messages[].tool_calls[].function", (call.get("function") for call in calls), _CALL_FUNCTION)
    if tools := given.get("tools"):
        look("tools[]", tools, _TOOL)
        look("tools[].function", (tool.get("function") for tool in tools), _FUNCTION)
    return sorted(strays)


# ---------------------------------------------------------------- chunks and answers


def read_chunk(data: bytes) -> Chunk:
    """The chunk in the data of one event, which it keeps as ``raw``. Raises what the event says went wrong, or
    Upstream if it says nothing that can be understood."""
    try:
        chunk = _chunks.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        chunk = _read_odd(data)
    chunk.raw = data if b"\n" not in data else UNSET
    chunk.meta = chunk.comment = UNSET
    return chunk


def _read_odd(data: bytes) -> Chunk:
    try:
        plain = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Upstream(f"the backend sent an event of {len(data)} bytes that is not JSON") from None
    if not isinstance(plain, dict):
        raise Upstream(f"the backend sent an event that is {show(plain)}, not a chunk")
    fields = cast(dict[str, Any], plain)
    if fields.get("error"):
        raise faults.told(0, fields)
    try:  # a stranger's "raw" or "meta" is not ours
        return msgspec.convert({k: v for k, v in fields.items() if k not in ("raw", "meta", "comment")}, Chunk)
    except msgspec.ValidationError as complaint:
        raise Upstream(f"the backend sent a chunk that can't be read: {complaint}") from None


def write_chunk(chunk: Chunk, include_usage: bool = False) -> bytes:
    """``chunk`` as the data of an event: the bytes it was read from where they will do. Empty when nothing in it is
    for this client: the usage is only for who asked for it, and so is its ``null`` on the other chunks."""
    usage, raw = chunk.usage, chunk.raw
    if usage and not include_usage and not chunk.choices:
        return b""
    if isinstance(raw, bytes):
        if usage is UNSET:
            if not include_usage:
                return raw
            if raw.endswith(b"}"):
                return raw[:-1] + _NULL_USAGE + b"}"
        elif include_usage:
            return raw
        elif usage is None and _NULL_USAGE in raw:
            return raw.replace(_NULL_USAGE, b"", 1)
    if usage is None or (usage and not include_usage):
        usage = UNSET
    if isinstance(raw, bytes) or chunk.meta or usage is not chunk.usage:
        chunk = structs.replace(chunk, raw=UNSET, meta=UNSET, usage=usage)
    data = _encoder.encode(chunk)
    return data[:-1] + _NULL_USAGE + b"}" if include_usage and usage is UNSET else data


def write_completion(completion: Completion) -> bytes:
    return _encoder.encode(completion)


def write_models(cards: Iterable[ModelCard]) -> bytes:
    return _encoder.encode({"object": "list", "data": [_card(card) for card in cards]})


def write_model(card: ModelCard) -> bytes:
    return _encoder.encode(_card(card))


def read_models(body: bytes) -> list[ModelCard]:
    """The models of a list. Raises Upstream if it is none."""
    try:
        plain = msgspec.json.decode(body)
        return [msgspec.convert({"created": 0, "owned_by": "", **item}, ModelCard) for item in plain["data"]]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError) as error:
        raise Upstream(f"the backend sent a list of models that can't be read: {error}") from None


def _card(card: ModelCard) -> dict[str, Any]:
    plain: dict[str, Any] = {"id": card.id, "object": "model", **msgspec.to_builtins(card)}
    if card.providers is not None:
        plain["providers"] = [_provider(one) for one in card.providers]
    return plain


def _provider(card: ProviderCard) -> dict[str, Any]:
    """In the router's shape, in which these always stand."""
    always = {"provider": card.provider, "status": card.status, "is_model_author": False}
    return always | msgspec.to_builtins(card)


def write_route(route: Iterable[Attempt]) -> str:
    """Who was asked and what became of it, as JSON."""
    return _encoder.encode(list(route)).decode()


def write_count(tokens: int) -> bytes:
    return _encoder.encode({"object": "chat.completion.input_tokens", "input_tokens": tokens})


def read_count(body: bytes) -> int:
    """A count of prompt tokens. Raises Upstream if it is none."""
    try:
        return int(msgspec.json.decode(body)["input_tokens"])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, ValueError) as error:
        raise Upstream(f"the backend sent a count that can't be read: {error}") from None
