"""A model's own chat template, in Jinja's immutable sandbox, with the helpers that templates expect.

The helpers are those of transformers' ``apply_chat_template``: ``raise_exception``, ``strftime_now``, a ``tojson`` that
escapes nothing for HTML, loop controls, and ``{% generation %}`` as a block without effect.

What a template can't do is found when it is loaded (``traits.py``) and made up for (``care.py``).
"""

import datetime
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

from jinja2 import TemplateError, nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tertulia.engine import care
from tertulia.engine.care import Plain
from tertulia.engine.traits import Traits, find_traits
from tertulia.errors import BadRequest, StoreError, TemplateRefused
from tertulia.types import CallFunction, ChatRequest, Image, Message, Tool

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
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
        default=_listed,
    )


def _listed(value: Any) -> list[Any]:
    """What Jinja's filters give is an iterator; templates write it down as the list that it is elsewhere."""
    if isinstance(value, Iterator):
        return list(cast("Iterator[Any]", value))
    raise TypeError(f"{type(value).__name__} is no JSON")


def _now(form: str) -> str:
    return datetime.datetime.now().strftime(form)  # local time: the day where the model runs


_FAILURES = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a template may raise that was not made for the messages it is given."""

TOOL_PROMPT = (
    'You can call the functions below. To call one, respond in the format {"name": function name, "parameters": '
    "dictionary of argument name and its value}, one line for each call and nothing else, without variables. "
    "When no function is needed, answer as usual."
)
"""What a model is told whose template knows no tools, unless the request has a ``tool_prompt``."""


class _Given(list[Any]):
    """A list that a template was given, and may not change."""


class _Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's immutable sandbox, but for lists that a template made itself: some queue the ids of calls in one."""

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        own = type(obj) is list and attr in ("append", "pop")
        return own or super().is_safe_attribute(obj, attr, value)


def _given(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _given(item) for key, item in cast("dict[Any, Any]", value).items()}
    return _Given(map(_given, cast("list[Any]", value))) if isinstance(value, list) else value


class Mould:
    """One compiled template, and what it can do."""

    def __init__(self, source: str, special: dict[str, str]) -> None:
        environment = _Sandbox(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols])
        environment.filters["tojson"] = _tojson
        helpers: dict[str, Any] = environment.globals
        helpers.update(raise_exception=_raise, strftime_now=_now)
        try:
            tree = environment.parse(source)
            self._template = environment.from_string(tree)
        except (TemplateError, RecursionError) as error:
            raise StoreError(f"the model's chat template can't be read: {error}") from None
        self._special = special
        self.traits: Traits = find_traits(self._try, *_words(tree))

    def _try(self, values: dict[str, Any]) -> str | None:
        try:
            return self.draw(values)
        except TemplateRefused:
            return None

    def draw(self, values: dict[str, Any]) -> str:
        """The text for these values. Raises TemplateRefused, with the template's own words."""
        try:
            return self._template.render({"documents": None, **self._special, **_given(values)})
        except SecurityError as error:
            raise TemplateRefused(f"the model's chat template does what is not allowed: {error}") from None
        except _FAILURES as error:
            raise TemplateRefused(
                f"the model's chat template refuses these messages: {error}", param="messages"
            ) from None


def _words(tree: nodes.Template) -> tuple[set[str], set[str]]:
    """The variables that a template looks at, and the names of attributes and texts that it has. (Jinja's own search
    for undeclared variables compiles the template a second time.)"""
    variables = {node.name for node in tree.find_all(nodes.Name) if node.ctx == "load"}
    texts = {node.value for node in tree.find_all(nodes.Const) if isinstance(node.value, str)}
    return variables, texts | {node.attr for node in tree.find_all(nodes.Getattr)}


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads, and what the caller should know of how it came to be."""

    text: str
    warnings: list[str]


class Template:
    """A model's chat template. ``special`` names the tokens that templates spell (``bos_token`` ...). ``tools`` is the
    template for requests with tools, if the model has one of its own. Without ``care`` messages that a template refuses
    are refused; with it they are folded and merged until it takes them, and warnings say so."""

    def __init__(self, source: str, special: dict[str, str], *, tools: str = "", care: bool = True) -> None:
        self._plain = Mould(source, special)
        self._tooled = Mould(tools, special) if tools else self._plain
        self._care = care
        self.knows_tools = self._tooled.traits.tools
        """Whether it lists the tools it is given; otherwise the system message does."""

    def render(self, request: ChatRequest, note: str = "") -> Prompt:
        """The prompt for ``request``. A last message of the assistant's is left open, for the answer to continue it.
        ``note`` is added to the system message.

        Raises TemplateRefused with the template's own words, BadRequest for a message that no text model can read.
        """
        try:
            return self._render(request, note)
        except RecursionError:
            raise BadRequest("tools or calls are nested too deeply") from None

    def _render(self, request: ChatRequest, note: str) -> Prompt:
        offered = [] if request.tool_choice == "none" else [_tool(tool) for tool in request.tools or []]
        mould = self._tooled if offered else self._plain
        messages = [_plain(message, index) for index, message in enumerate(request.messages)]
        goes_on = continues(request)
        if goes_on:
            messages[-1]["content"] += _END
        texts = [_tool_text(request, offered, mould.traits.tools), note]
        messages = _spelt(messages, mould.traits)
        messages = care.add_text(messages, "\n\n".join(filter(None, texts)), _takes_system(mould.traits, messages))
        values: dict[str, Any] = {
            "tools": _listed_tools(offered, mould.traits) or None,
            "add_generation_prompt": not goes_on and request.add_generation_prompt is not False,
            **mould.traits.effort(request.reasoning_effort),
            **(request.chat_template_kwargs or {}),
        }
        text, warnings = self._draw(mould, messages, values)
        if request.tools and not offered and request.tool_prompt:
            warnings.append("tool_prompt has no effect where tool_choice is none")
        if not goes_on:
            return Prompt(text, warnings)
        if _END not in text:
            raise TemplateRefused("the model's chat template drops a last message of the assistant's", param="messages")
        return Prompt(text[: text.rindex(_END)], warnings)

    def _draw(self, mould: Mould, messages: list[Plain], values: dict[str, Any]) -> tuple[str, list[str]]:
        """The text, and warnings of the cares that it took: those that the template is known to need, and more of them
        only where it refuses these messages all the same."""
        needs = _needs(mould.traits, messages) if self._care else set[str]()
        refusal: TemplateRefused | None = None
        tried: list[list[Plain]] = []
        for more in _TRIES if self._care else _TRIES[:1]:
            arranged, warnings = care.arrange(messages, {*needs, *more})
            if arranged in tried:
                continue
            tried.append(arranged)
            try:
                return mould.draw({"messages": _thought(arranged, mould.traits), **values}), warnings
            except TemplateRefused as error:
                refusal = refusal or error
        raise refusal or AssertionError


_LAST = ("wrap", "systems", "roles", "turns", "split", "fold", "write")
_TRIES: list[tuple[str, ...]] = [(), *((name,) for name in _LAST), *(_LAST[:end] for end in range(2, len(_LAST) + 1))]
"""The cares that are tried on a template that refuses, one alone and then several: what changes least comes first."""


def _needs(traits: Traits, messages: list[Plain]) -> set[str]:
    can = {
        "systems": traits.systems,
        "fold": _takes_system(traits, messages),
        "roles": traits.repeats,
        "split": traits.several,
    }
    return {name for name, it_can in can.items() if not it_can}


def _takes_system(traits: Traits, messages: list[Plain]) -> bool:
    return traits.system and (traits.lasting or messages[-1]["role"] == "user")


def _spelt(messages: list[Plain], traits: Traits) -> list[Plain]:
    """Calls and results in the spelling of this template; as text where it knows none."""
    messages = care.number_calls(messages, traits.nine)
    if not traits.arguments:
        return care.write_calls(messages, results_too=not traits.results)
    messages = care.spell_arguments(messages, traits.arguments == "text")
    return care.bare_calls(messages) if traits.bare else messages


def _thought(messages: list[Plain], traits: Traits) -> list[Plain]:
    """Reasoning under every name that templates look for."""
    found: list[Plain] = []
    for message in messages:
        if reasoning := message.get("reasoning_content"):
            message = {**message, "reasoning": reasoning}
            # Those that look for ``thinking`` refuse it beside both content and calls.
            if traits.thought and not (message["content"] and "tool_calls" in message):
                message["thinking"] = reasoning
        found.append(message)
    return found


def _tool(tool: Tool) -> Plain:
    """A tool as templates know it: with what it was given."""
    function = tool.function
    plain: Plain = {"name": function.name}
    if function.description is not None:
        plain["description"] = function.description
    plain["parameters"] = function.parameters or {"type": "object", "properties": {}}
    return {"type": "function", "function": plain}


def _listed_tools(offered: list[Plain], traits: Traits) -> list[Plain]:
    """The tools for the template, if it knows any."""
    if not traits.tools:
        return []
    return offered if traits.described else [care.describe(tool) for tool in offered]


def _tool_text(request: ChatRequest, offered: list[Plain], knows_tools: bool) -> str:
    """What is said of the tools beside the template."""
    if not offered or knows_tools:
        return (request.tool_prompt or "") if offered else ""
    return f"{request.tool_prompt or TOOL_PROMPT}\n\n{json.dumps(offered, ensure_ascii=False)}"


def continues(request: ChatRequest) -> bool:
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


def _plain(message: Message, index: int) -> Plain:
    """A message as templates know it: text parts joined, null content empty, arguments as objects."""
    content = message.content
    if isinstance(content, list):
        for place, part in enumerate(content):
            if isinstance(part, Image):
                raise BadRequest("this model reads text only, not images", param=f"messages[{index}].content[{place}]")
        content = "".join(part.text for part in content if not isinstance(part, Image))
    role = "system" if message.role == "developer" else message.role
    plain: Plain = {"role": role, "content": content or ""}
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


def _call(function: CallFunction) -> Plain:
    arguments = function.parameters if function.arguments is None else function.arguments
    return {"name": function.name, "arguments": {} if arguments is None else arguments}
