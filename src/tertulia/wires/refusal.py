"""What is wrong with a request, said so that it can be put right: a msgspec complaint becomes a BadRequest."""

import re
from typing import Any, cast, get_args, get_origin, get_type_hints

import msgspec

from tertulia.errors import BadRequest
from tertulia.types import ChatRequest, Message

_PLACE = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<path>.*)`)?$", re.DOTALL)
_STEP = re.compile(r"\.([^.\[]+)|\[(\d+)\]|\[(\.\.\.)\]")
_WORDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "a string",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_MISSING = object()


def refuse(complaint: msgspec.ValidationError, given: Any) -> BadRequest:
    """The error for what msgspec found in ``given``, a request as plain objects."""
    match = _PLACE.match(str(complaint))
    what, path = (match["what"], match["path"] or "") if match else (str(complaint), "")
    param = path.removeprefix(".").replace("[...]", "")
    if missing := re.match(r"Object missing required field `(.*)`", what):
        if missing[1] == "function" and (kind := _kind(given, path)) != "function":
            return BadRequest(f"{param}.type must be 'function', not {show(kind)}", param=f"{param}.type")
        param = f"{param}.{missing[1]}".removeprefix(".")
        return BadRequest(f"{param} is required{_example(param)}", param=param)
    value = _at(given, path)
    return BadRequest(f"{param or 'the body'} {_must(what, param, value)}", param=param or None)


def show(value: Any) -> str:
    """``value`` as an error may repeat it: short values whole, long ones by their size."""
    match value:
        case None | bool() | int() | float():
            text = msgspec.json.encode(value).decode()
            return text if len(text) <= 40 else f"a number of {len(text)} digits"
        case str():
            return f"'{value}'" if len(value) <= 40 else f"a string of {len(value)} characters"
        case list():
            return "a list"
        case _:
            return "an object"


def _must(what: str, param: str, value: Any) -> str:
    not_that = "" if value is _MISSING else f", not {show(value)}"
    if re.match(r"Invalid (enum )?value ", what):
        known = get_args(get_type_hints(Message)["role"]) if param.endswith(".role") else ("text", "image_url")
        return f"must be one of {', '.join(known)}{not_that}"
    if length := re.match(r"Expected `array` of length (<=|>=) (\d+)", what):
        if length[1] == ">=":
            return f"must not be empty{_example(param)}"
        return f"may hold at most {length[2]} items, not {len(value)}"
    if re.match(r"Expected `\w+` [<>]", what):
        return f"must be {_range(param)}{not_that}"
    if kinds := re.match(r"Expected `(.*)`, got `(.*)`", what):
        wanted = [word for word in kinds[1].split(" | ") if word != "null" or kinds[1] == "null"]
        return f"must be {' or '.join(_WORDS.get(word, word) for word in wanted)}{not_that}"
    return f"is not right: {what}"


def _kind(given: Any, path: str) -> Any:
    """The type that a tool, or a call, at ``path`` says it has: what else there is has no ``function``."""
    holder = _at(given, path)
    return cast(dict[str, Any], holder).get("type", "function") if isinstance(holder, dict) else "function"


def _range(param: str) -> str:
    """The numbers that the type of a field allows, in words."""
    name = re.split(r"[.\[]", param, maxsplit=1)[0]
    meta = _meta(get_type_hints(ChatRequest, include_extras=True).get(name))
    if meta is None:
        return "within its range"
    low, high = (meta.ge if meta.ge is not None else meta.gt), (meta.le if meta.le is not None else meta.lt)
    if low is None or high is None:
        return f"at least {low:g}" if low is not None else f"at most {high:g}"
    if abs(low) > 1 << 53:
        return "a 64-bit whole number"
    return f"between {low:g} and {high:g}" if meta.gt is None else f"above {low:g} and at most {high:g}"


def _meta(hint: Any) -> msgspec.Meta | None:
    """The first bounds on a number that ``hint`` holds, at any depth."""
    for part in get_args(hint):
        if isinstance(part, msgspec.Meta):
            if (part.ge, part.gt, part.le, part.lt) != (None, None, None, None):
                return part
        elif get_origin(part) is not None and (found := _meta(part)):
            return found
    return None


def _example(param: str) -> str:
    return ': [{"role": "user", "content": "Hello"}] would do' if param == "messages" else ""


def _at(given: Any, path: str) -> Any:
    for name, index, other in _STEP.findall(path):
        if other:
            return _MISSING
        try:
            given = given[name or int(index)]
        except (KeyError, IndexError, TypeError):
            return _MISSING
    return given
