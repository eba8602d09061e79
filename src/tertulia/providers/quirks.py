"""What is odd about a provider, as small pure functions by name: a row of the table names those that it needs.

Each takes the fields that are about to be sent and gives them as that provider wants them. Forms are another matter:
see :mod:`tertulia.providers.forms`.
"""

from collections.abc import Callable
from typing import Any, cast

import msgspec

from tertulia.errors import ConfigError
from tertulia.providers import forms
from tertulia.providers.table import Row
from tertulia.types import ChatRequest, Message
from tertulia.wires import openai

Fields = dict[str, Any]
_OURS = ("models", "continue", "stream_options")
"""What is said to us and to nobody else."""
_PLAIN = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})


def prepare(request: ChatRequest, row: Row, *, stream: bool) -> Fields:
    """The fields to send for ``request``, whose model is the provider's own id. Raises Unsupported for a form that the
    provider has no way to say."""
    fields = openai.fields_of(request)
    for name in _OURS:
        fields.pop(name, None)
    fields["stream"] = stream
    if stream:
        fields["stream_options"] = {"include_usage": True}
    if [message for message in request.messages if message.tool_calls]:
        fields["messages"] = [_history(message) if message.tool_calls else message for message in request.messages]
    if isinstance(request.logit_bias, list):
        fields["logit_bias"] = {str(token): bias for token, bias in enumerate(request.logit_bias) if bias}
    if request.response_format is not None or request.structured_outputs is not None:
        fields = forms.settle(fields, row.response_format, vllm="vllm" in row.quirks)
    for name in row.quirks:
        fields = QUIRKS[name](fields)
    return fields


def check(row: Row) -> None:
    """Raises ConfigError for a quirk or a dialect of forms that there isn't."""
    for what, said, known in (
        ("quirks", row.quirks, QUIRKS),
        ("response_format", (row.response_format,), forms.DIALECTS),
    ):
        for name in said:
            if name not in known:
                raise ConfigError(f"[providers.{row.name}]: {what} has no {name!r}; there are {', '.join(known)}")


def _history(message: Message) -> Fields:
    """A message that calls tools, with what most providers insist on: the calls' type, their arguments as a string
    under that name, a content."""
    said = cast(Fields, msgspec.to_builtins(message))
    for call in said["tool_calls"]:
        function = call["function"]
        given = function.pop("parameters", None)
        arguments = function.get("arguments", given)
        encoded = arguments if isinstance(arguments, str) else msgspec.json.encode(arguments or {}).decode()
        call |= {"type": "function", "function": {"name": function["name"], "arguments": encoded}}
    return {"content": None, **said}


# ---------------------------------------------------------------- the quirks


def vllm(fields: Fields) -> Fields:
    """vLLM goes on with the last message only if it is told to begin none."""
    going = fields.get("continue_final_message") and "add_generation_prompt" not in fields
    return {**fields, "add_generation_prompt": False} if going else fields


def no_stream_options(fields: Fields) -> Fields:
    """It refuses stream_options."""
    return _without(fields, "stream_options")


def max_tokens(fields: Fields) -> Fields:
    """It knows max_tokens alone."""
    return _renamed(fields, "max_completion_tokens", "max_tokens")


def max_completion_tokens(fields: Fields) -> Fields:
    """It refuses max_tokens, as OpenAI does for models that think."""
    return _renamed(fields, "max_tokens", "max_completion_tokens")


def no_store(fields: Fields) -> Fields:
    """It refuses store and metadata, which OpenAI's clients send."""
    return _without(fields, "store", "metadata")


def no_continue(fields: Fields) -> Fields:
    """It refuses to be told to go on with the last message, and does so by itself, or not at all."""
    return _without(fields, "continue_final_message", "add_generation_prompt")


def no_developer(fields: Fields) -> Fields:
    """It knows no developer: what he says, the system says."""
    return _each(fields, lambda said: {**said, "role": "system"} if said["role"] == "developer" else said)


def plain_history(fields: Fields) -> Fields:
    """It refuses messages with more than role, content, name and calls, such as thoughts that clients send back."""
    return _each(fields, lambda said: {name: value for name, value in said.items() if name in _PLAIN})


def one_reasoning(fields: Fields) -> Fields:
    """It knows the thoughts of earlier turns as ``reasoning``, and refuses their other name."""
    return _each(fields, _thought)


def plain_content(fields: Fields) -> Fields:
    """It takes a message's text as one string."""
    return _each(fields, _joined)


def tgi(fields: Fields) -> Fields:
    """It refuses a top_p of 1, which says nothing."""
    return _without(fields, "top_p") if fields.get("top_p") == 1 else fields


QUIRKS: dict[str, Callable[[Fields], Fields]] = {
    quirk.__name__: quirk
    for quirk in (
        vllm,
        no_stream_options,
        max_tokens,
        max_completion_tokens,
        no_store,
        no_continue,
        no_developer,
        plain_history,
        one_reasoning,
        plain_content,
        tgi,
    )
}


def _without(fields: Fields, *names: str) -> Fields:
    return {name: value for name, value in fields.items() if name not in names}


def _renamed(fields: Fields, old: str, new: str) -> Fields:
    return {**_without(fields, old), new: fields[old]} if old in fields else fields


def _each(fields: Fields, change: Callable[[Fields], Fields]) -> Fields:
    """``fields`` with every message changed."""
    said = (cast(Fields, msgspec.to_builtins(message)) for message in fields["messages"])
    return {**fields, "messages": [change(message) for message in said]}


def _thought(said: Fields) -> Fields:
    other = said.pop("reasoning_content", None)
    return {**said, "reasoning": other} if other and not said.get("reasoning") else said


def _joined(said: Fields) -> Fields:
    parts = said.get("content")
    if not isinstance(parts, list):
        return said
    texts = [cast(Fields, part).get("text") for part in cast(list[Any], parts)]
    whole = all(isinstance(text, str) for text in texts)
    return {**said, "content": "".join(cast(list[str], texts))} if whole else said
