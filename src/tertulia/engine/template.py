"""A model's own chat template, in Jinja's immutable sandbox, with the helpers that templates expect.

The helpers are those of transformers' ``apply_chat_template``: ``raise_exception``, ``strftime_now``, a ``tojson`` that
escapes nothing for HTML, loop controls, and ``{% generation %}`` as a block without effect.
"""

import datetime
import json
from contextlib import suppress
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tertulia.errors import BadRequest, StoreError, TemplateRefused
from tertulia.types import CallFunction, ChatRequest, Image, Message

_END = "\u241fthe answer goes on here\u241f"


class _Generation(Extension):
    tags = {"generation"}  # noqa: RUF012 - the base class's own form

    def parse(self, parser: Parser) -> nodes.Node | list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


def _raise(message: str) -> None:
    raise TemplateError(message)


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)  # local time: the day where the model runs


_FAILURES = (TemplateError, ArithmeticError, AttributeError, LookupError, TypeError, ValueError, RecursionError)
"""What a template may raise that was not made for the messages it is given."""


class Template:
    """A compiled chat template. ``special`` names the tokens that templates spell (``bos_token`` ...)."""

    def __init__(self, source: str, special: dict[str, str]) -> None:
        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
        )
        environment.filters["tojson"] = _tojson
        helpers: dict[str, Any] = environment.globals
        helpers.update(raise_exception=_raise, strftime_now=_now)
        try:
            self._template = environment.from_string(source)
        except TemplateError as error:
            raise StoreError(f"the model's chat template can't be read: {error}") from None
        self._special = special

    def render(self, request: ChatRequest, note: str = "") -> str:
        """The prompt for ``request``. A last message of the assistant's is left open, for the answer to continue it.
        ``note`` is added to the system message.

        Raises TemplateRefused with the template's own words, BadRequest for a message that no text model can read.
        """
        messages = [_plain(message, index) for index, message in enumerate(request.messages)]
        if note:
            _add_note(messages, note)
        goes_on = _continues(request)
        if goes_on:
            messages[-1]["content"] += _END
        values: dict[str, Any] = {
            "messages": messages,
            "tools": None,
            "documents": None,
            "add_generation_prompt": not goes_on and request.add_generation_prompt is not False,
            **self._special,
            **(request.chat_template_kwargs or {}),
        }
        try:
            text = self._template.render(values)
        except SecurityError as error:
            raise TemplateRefused(f"the model's chat template does what is not allowed: {error}") from None
        except _FAILURES as error:
            raise TemplateRefused(
                f"the model's chat template refuses these messages: {error}", param="messages"
            ) from None
        if not goes_on:
            return text
        if _END not in text:
            raise TemplateRefused("the model's chat template drops a last message of the assistant's", param="messages")
        return text[: text.rindex(_END)]


def _add_note(messages: list[dict[str, Any]], note: str) -> None:
    if messages[0]["role"] == "system":
        messages[0]["content"] += f"\n\n{note}"
    else:
        messages.insert(0, {"role": "system", "content": note})


def _continues(request: ChatRequest) -> bool:
    """Whether the answer continues the last message: said, or taken as meant when the assistant has the last word."""
    last = request.messages[-1]
    if request.continue_final_message:
        if request.add_generation_prompt:
            raise BadRequest(
                "continue_final_message and add_generation_prompt exclude each other", param="continue_final_message"
            )
        if last.role != "assistant" or last.tool_calls:
            raise BadRequest(
                "continue_final_message needs a last message of the assistant's, with text",
                param="continue_final_message",
            )
        return True
    silent = request.continue_final_message is None and not request.add_generation_prompt
    return silent and last.role == "assistant" and not last.tool_calls


def _plain(message: Message, index: int) -> dict[str, Any]:
    """A message as templates know it: text parts joined, null content empty, arguments as objects."""
    content = message.content
    if isinstance(content, list):
        for place, part in enumerate(content):
            if isinstance(part, Image):
                raise BadRequest("this model reads text only, not images", param=f"messages[{index}].content[{place}]")
        content = "".join(part.text for part in content if not isinstance(part, Image))
    role = "system" if message.role == "developer" else message.role
    plain: dict[str, Any] = {"role": role, "content": content or ""}
    if message.name is not None:
        plain["name"] = message.name
    if message.tool_call_id is not None:
        plain["tool_call_id"] = message.tool_call_id
    reasoning = message.reasoning_content or message.reasoning
    if reasoning:
        plain["reasoning_content"] = reasoning
    if message.tool_calls:
        plain["tool_calls"] = [
            {"id": call.id, "type": "function", "function": _call(call.function)} for call in message.tool_calls
        ]
    return plain


def _call(function: CallFunction) -> dict[str, Any]:
    arguments = function.parameters if function.arguments is None else function.arguments
    if isinstance(arguments, str):
        with suppress(ValueError, RecursionError):
            arguments = json.loads(arguments)
    return {"name": function.name, "arguments": {} if arguments is None else arguments}
