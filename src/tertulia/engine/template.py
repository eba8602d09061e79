"""A request to the text that the model reads, by the model's own chat template (``mould.py``).

What a template can't do is found when it is loaded (``traits.py``) and made up for (``care.py``).
"""

import json
from dataclasses import dataclass
from typing import Any

from tertulia.engine import care
from tertulia.engine.care import Plain
from tertulia.engine.mould import Mould, picture
from tertulia.engine.traits import Traits
from tertulia.errors import BadRequest, TemplateRefused
from tertulia.types import CallFunction, ChatRequest, Image, Message, Tool

_END = "\u241fthe answer goes on here\u241f"

TOOL_PROMPT = (
    'You can call the functions below. To call one, respond in the format {"name": function name, "parameters": '
    "dictionary of argument name and its value}, one line for each call and nothing else, without variables. "
    "When no function is needed, answer as usual."
)
"""What a model is told whose template knows no tools, unless the request has a ``tool_prompt``."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What the model reads, and what the caller should know of how it came to be."""

    text: str
    warnings: list[str]


class Template:
    """A model's chat template. ``special`` names the tokens that templates spell (``bos_token`` ...). ``tools`` is the
    template for requests with tools, if the model has one of its own. Without ``care`` messages that a template refuses
    are refused; with it they are folded and merged until it takes them, and warnings say so. ``image`` is the word that
    it writes for a picture, if the model sees."""

    def __init__(
        self, source: str, special: dict[str, str], *, tools: str = "", care: bool = True, image: str = ""
    ) -> None:
        self._sees = bool(image)
        self._plain = Mould(source, special, image)
        self._tooled = Mould(tools, special, image) if tools else self._plain
        self._care = care
        self.knows_tools = self._tooled.traits.tools
        """Whether it lists the tools it is given; otherwise the system message does."""

    def render(self, request: ChatRequest, note: str = "") -> Prompt:
        """The prompt for ``request``, with a mark (``mould.PICTURE``) for each picture. A last message of the
        assistant's is left open, for the answer to continue it. ``note`` is added to the system message.

        Raises TemplateRefused with the template's own words, BadRequest for a message that no text model can read.
        """
        try:
            return self._render(request, note)
        except RecursionError:
            raise BadRequest("tools or calls are nested too deeply") from None

    def _render(self, request: ChatRequest, note: str) -> Prompt:
        offered = [] if request.tool_choice == "none" else [_tool(tool) for tool in request.tools or []]
        mould = self._tooled if offered else self._plain
        messages = [_plain(message, index, self._sees) for index, message in enumerate(request.messages)]
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


def _plain(message: Message, index: int, sees: bool) -> Plain:
    """A message as templates know it: parts joined, pictures as marks, null content empty, arguments as objects."""
    content = message.content
    if isinstance(content, list):
        texts: list[str] = []
        for place, part in enumerate(content):
            if not isinstance(part, Image):
                texts.append(part.text)
            elif sees:
                texts.append(picture(index, place))
            else:
                raise BadRequest("this model reads text only, not images", param=f"messages[{index}].content[{place}]")
        content = "".join(texts)
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
