"""What an answer shall look like, said in a provider's dialect, out of the many ways in which clients say it. Pure.

OpenAI's ``response_format``, what huggingface_hub makes of it for some providers, TGI's, and vLLM's
``structured_outputs`` come to a form: JSON (of a schema, or any object), or a text of a pattern.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec
from msgspec import Struct

from tertulia.errors import BadRequest, Unsupported

Fields = dict[str, Any]


class Form(Struct, frozen=True):
    """JSON of a ``schema`` (None: any object), or text of the pattern ``regex``. ``about`` are OpenAI's name,
    description and strictness for it."""

    schema: Any = None
    regex: str = ""
    about: Fields = {}


def settle(fields: Fields, dialect: str, *, vllm: bool) -> Fields:
    """``fields`` with their form said in ``dialect``, or in vLLM's own way if it ``vllm`` is and there is no other.

    Raises BadRequest for a form that can't be understood, Unsupported for one that can't be said."""
    asked, other = _dict(fields.get("response_format")), _dict(fields.get("structured_outputs"))
    rest = {name: value for name, value in fields.items() if name not in ("response_format", "structured_outputs")}
    free = asked.get("type", "text") == "text"
    if other and not free:
        raise BadRequest("response_format and structured_outputs exclude each other", param="structured_outputs")
    if other and vllm:
        return {**rest, "structured_outputs": other}
    if other:
        return {**rest, "response_format": _say(_structured(other), dialect, "structured_outputs")}
    if free:
        return rest
    form = read(asked)
    if form is None:  # its own, perhaps: it will say
        return fields
    if form.regex and vllm:
        return {**rest, "structured_outputs": {"regex": form.regex}}
    return {**rest, "response_format": _say(form, dialect, "response_format")}


def read(asked: Fields) -> Form | None:
    """The form in a ``response_format`` of any spelling; None if it is none that we know."""
    kind = asked.get("type")
    if kind == "regex" and isinstance(asked.get("value"), str):
        return Form(regex=asked["value"])
    if kind not in ("json_object", "json_schema", "json"):
        return None
    holder = asked
    if isinstance(asked.get("json_schema"), dict):
        holder = _dict(asked["json_schema"])
    elif isinstance(asked.get("value"), dict) and isinstance(asked["value"].get("schema"), dict):
        holder = _dict(asked["value"])
    about = {} if holder is asked else {name: value for name, value in holder.items() if name != "schema"}
    return Form(_schema(holder.get("value" if holder is asked and "value" in asked else "schema")), about=about)


def _schema(given: Any) -> Any:
    """A schema may be given as its text."""
    if not isinstance(given, str):
        return given
    try:
        return msgspec.json.decode(given)
    except (msgspec.DecodeError, RecursionError):
        raise BadRequest("response_format: the schema is not JSON", param="response_format") from None


def _structured(asked: Fields) -> Form:
    if asked.get("json") is not None:
        return Form(_schema(asked["json"]))
    if isinstance(asked.get("regex"), str):
        return Form(regex=asked["regex"])
    return _cant("structured_outputs", "choices and grammars")


def _say(form: Form, dialect: str, param: str) -> Fields:
    if form.regex:
        return {"type": "regex", "value": form.regex} if dialect == "value" else _cant(param, "patterns")
    return DIALECTS[dialect](form)


def _cant(param: str, what: str) -> Any:
    """There may be others that can."""
    error = Unsupported(f"{param}: this provider has no word for {what}, only for JSON", param=param)
    error.retryable = True
    raise error


def _openai(form: Form) -> Fields:
    if form.schema is None:
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": {"name": "answer", **form.about, "schema": form.schema}}


def _json_object(form: Form) -> Fields:
    return {"type": "json_object"} if form.schema is None else {"type": "json_object", "schema": form.schema}


def _flat(form: Form) -> Fields:
    return {"type": "json_object"} if form.schema is None else {"type": "json_schema", "schema": form.schema}


def _value(form: Form) -> Fields:
    return {"type": "json_object", "value": {"type": "object"} if form.schema is None else form.schema}


DIALECTS: dict[str, Callable[[Form], Fields]] = {
    "openai": _openai,
    "json_object": _json_object,
    "flat": _flat,
    "value": _value,
}


def _dict(value: Any) -> Fields:
    return cast(Fields, value) if isinstance(value, dict) else {}
