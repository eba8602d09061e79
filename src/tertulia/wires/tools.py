"""Tools on offer, the choice among them, and the calls and results of earlier turns: checked, and left said in one way.

Pure. Whoever reads a request after this may rely on it:

- ``tools`` holds one tool at least, of different names, or is None;
- ``tool_choice`` is None, ``auto``, ``none``, ``required`` or ``{"type": "function", "function": {"name": N}}``, where
  N is one of the tools; ``required`` too only comes with tools;
- each call of an earlier turn has an id and arguments that are a JSON object, as a string or as it is;
- each message of role ``tool`` has the id of a call before it.
"""

import re
from collections import deque
from collections.abc import Iterable
from itertools import islice
from typing import Any, cast

import msgspec

from tertulia.errors import BadRequest
from tertulia.types import CallFunction, ChatRequest, Message, Tool
from tertulia.wires.refusal import show
from tertulia.wires.schema import check_schema

MOST_TOOLS = 512
"""OpenAI takes 128; whoever joins the tools of several servers may have more."""

_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MODES = ("auto", "none", "required")


# ---------------------------------------------------------------- tools on offer


def check_tools(tools: list[Tool]) -> None:
    """Raise BadRequest for names that clash or are none, and for parameters that are no JSON Schema of an object."""
    if len(tools) > MOST_TOOLS:
        raise BadRequest(f"tools may hold at most {MOST_TOOLS} items, not {len(tools)}", param="tools")
    names: dict[str, int] = {}
    for i, tool in enumerate(tools):
        if tool.type != "function":
            raise BadRequest(f"tools[{i}].type must be 'function', not {show(tool.type)}", param=f"tools[{i}].type")
        name, path = tool.function.name, f"tools[{i}].function"
        _check_name(name, f"{path}.name")
        if (first := names.setdefault(name, i)) != i:
            raise BadRequest(
                f"{path}.name must differ from tools[{first}]'s, which is {show(name)} too", param=f"{path}.name"
            )
        if tool.function.parameters is not None:
            _check_parameters(tool.function.parameters, f"{path}.parameters")


def _check_name(name: str, path: str) -> None:
    if not _NAME.fullmatch(name):
        raise BadRequest(f"{path} must be 1 to 64 letters, digits, '_', '-' or '.', not {show(name)}", param=path)


def _check_parameters(parameters: Any, path: str) -> None:
    """``{}`` is a function without arguments, as null is."""
    if not isinstance(parameters, dict):
        raise BadRequest(f"{path} must be a JSON Schema: an object, not {show(parameters)}", param=path)
    schema = cast(dict[str, Any], parameters)
    check_schema(schema, path)
    kind = schema.get("type", "object")
    if kind != "object" and not (isinstance(kind, list) and "object" in kind):
        raise BadRequest(f"{path}.type must be 'object', not {show(kind)}: arguments have names", param=f"{path}.type")


# ---------------------------------------------------------------- the choice among them


def settle_choice(request: ChatRequest) -> None:
    """Leave ``tool_choice`` said in OpenAI's first way. Hugging Face's clients name a tool without the ``type``, or by
    its bare name as TGI takes it. ``allowed_tools`` becomes what it comes to: those tools alone on offer.

    Raises BadRequest for a choice that there isn't.
    """
    choice = request.tool_choice
    if isinstance(choice, dict) and choice.get("type") == "allowed_tools":
        choice = _allow(request, choice.get("allowed_tools"))
    if choice in ("auto", "none"):
        request.tool_choice = choice
        return
    names = [tool.function.name for tool in request.tools or ()]
    name = choice if isinstance(choice, str) else _named(choice)
    if not names:
        raise BadRequest(f"tool_choice {show(name)} needs tools beside it", param="tool_choice")
    if choice != "required":
        _check_there(name, names)
        choice = {"type": "function", "function": {"name": name}}
    request.tool_choice = choice


def _allow(request: ChatRequest, allowed: Any) -> str:
    path = "tool_choice.allowed_tools"
    given = cast(dict[str, Any], allowed) if isinstance(allowed, dict) else {}
    mode, tools = given.get("mode"), given.get("tools")
    if mode not in ("auto", "required") or not isinstance(tools, list) or not tools:
        raise BadRequest(f"{path} must have a mode, auto or required, and tools, one at least", param=path)
    names = [tool.function.name for tool in request.tools or ()]
    kept = dict.fromkeys(_named(tool) for tool in cast(list[Any], tools))
    for name in kept:
        _check_there(name, names)
    request.tools = [tool for tool in request.tools or () if tool.function.name in kept]
    return cast(str, mode)


def _named(choice: Any) -> str:
    """The function that an object names: inside ``function``, or beside its type (OpenAI's newer API)."""
    given = cast(dict[str, Any], choice) if isinstance(choice, dict) else {}
    holder = given.get("function", given)
    name = cast(dict[str, Any], holder).get("name") if isinstance(holder, dict) else None
    if given.get("type", "function") != "function" or not isinstance(name, str):
        modes = ", ".join(_MODES)
        raise BadRequest(
            f'tool_choice must be one of {modes}, or name a tool: {{"type": "function", "function": {{"name": ...}}}}',
            param="tool_choice",
        )
    return name


def _check_there(name: str, names: list[str]) -> None:
    if name not in names:
        raise BadRequest(
            f"tool_choice: there is no tool {show(name)} among tools, which has {_some(names)}", param="tool_choice"
        )


def _some(names: Iterable[str]) -> str:
    """Some of ``names``, for an error to tell."""
    first = [show(name) for name in islice(names, 9)]
    return ", ".join(first if len(first) < 9 else [*first[:8], "more"]) or "none"


# ---------------------------------------------------------------- earlier turns


def settle_history(messages: list[Message]) -> None:
    """Leave each call and each result of earlier turns with its id. A call without one is given one that nobody has; a
    result without one answers the next call that has no result yet. Calls may stay without one.

    Raises BadRequest for results without a call, ids that match nothing or twice, and arguments that are no JSON.
    """
    calls = _Calls({call.id for message in messages for call in message.tool_calls or () if call.id})
    for i, message in enumerate(messages):
        message.tool_calls = message.tool_calls or None  # SDKs send [] where they mean none
        if message.tool_calls:
            calls.make(message, f"messages[{i}]")
        elif message.role == "tool":
            calls.answer(message, f"messages[{i}]")
        elif message.role != "assistant":
            calls.leave()


class _Calls:
    """The calls up to a message. ``taken`` are the ids that the conversation gives."""

    def __init__(self, taken: set[str]) -> None:
        self._taken = taken
        self._next = 0
        self._answered: dict[str, bool] = {}  # of each id's latest call: some servers give every turn's first the same
        self._order: deque[str] = deque()  # the turn's calls, those without a result among them
        self._over = False

    def make(self, message: Message, where: str) -> None:
        """Take in the calls of ``message``."""
        if message.role != "assistant":
            path = f"{where}.tool_calls"
            raise BadRequest(f"{path}: only the assistant calls tools, not the role {message.role}", param=path)
        if self._over:
            self._order.clear()
            self._over = False
        here: set[str] = set()
        for j, call in enumerate(message.tool_calls or ()):
            path = f"{where}.tool_calls[{j}]"
            _check_name(call.function.name, f"{path}.function.name")
            _settle_arguments(call.function, f"{path}.function")
            call.id = self._name(call.id)
            if call.id in here:
                raise BadRequest(
                    f"{path}.id must differ from the message's other calls', one of which is {show(call.id)} too",
                    param=f"{path}.id",
                )
            here.add(call.id)
            self._answered[call.id] = False
            self._order.append(call.id)

    def _name(self, given: str | None) -> str:
        """``given``, or ``call_N`` where N counts the calls, past what is taken."""
        while not given and f"call_{self._next}" in self._taken:
            self._next += 1
        self._next += 1
        return given or f"call_{self._next - 1}"

    def answer(self, message: Message, where: str) -> None:
        """Take in ``message`` as a call's result."""
        if not self._answered:
            raise BadRequest(f"{where} is a tool's result, but no message before it calls a tool", param=where)
        path, named = f"{where}.tool_call_id", message.tool_call_id or self._open()
        if not named:
            raise BadRequest(
                f"{where} is a tool's result, but every call before it has one; say which in tool_call_id", param=where
            )
        if named not in self._answered:
            known = _some(reversed(self._answered))
            raise BadRequest(f"{path} must be a call's id before it ({known}), not {show(named)}", param=path)
        if self._answered[named]:
            raise BadRequest(f"{path}: the call {show(named)} has its result already", param=path)
        self._answered[named] = True
        message.tool_call_id = named

    def _open(self) -> str | None:
        """The turn's first call that has no result."""
        while self._order and self._answered[self._order[0]]:
            self._order.popleft()
        return self._order[0] if self._order else None

    def leave(self) -> None:
        """Somebody else has the word: the next calls are another turn's."""
        self._over = True


def _settle_arguments(function: CallFunction, path: str) -> None:
    """Clients say "no arguments" as null, as an empty string, or not at all: all are ``{}``."""
    if function.arguments in (None, ""):
        function.arguments = "{}" if function.parameters in (None, "") else None
    if function.arguments is not None:
        name, arguments = "arguments", function.arguments
    else:
        name, arguments = "parameters", function.parameters
    wanted = f"{path}.{name} must be a JSON object, as a string or as it is"
    if isinstance(arguments, str):
        try:
            arguments = msgspec.json.decode(arguments)
        except RecursionError:
            raise BadRequest(f"{path}.{name} is nested too deeply", param=f"{path}.{name}") from None
        except ValueError as error:
            raise BadRequest(f"{wanted}; this string is not JSON: {error}", param=f"{path}.{name}") from None
    if not isinstance(arguments, dict):
        raise BadRequest(f"{wanted}, not {show(arguments)}", param=f"{path}.{name}")
