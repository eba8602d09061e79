"""Messages made fit for a template that takes them in one way only: pure functions over plain message dicts.

Each gives a new list and leaves the one it was given, and its messages, alone. Those of :data:`CARES` change what the
model is told, so each has a warning; the others only spell.
"""

import json
import re
from collections.abc import Callable
from itertools import count, islice, takewhile
from typing import Any, cast

Plain = dict[str, Any]
"""A message as templates know it: role, content, and what some have beside (tool_calls, tool_call_id, name,
reasoning_content)."""

_NINE = re.compile(r"[A-Za-z0-9]{9}")
_APART = "\n\n"

# ---------------------------------------------------------------- text of our own


def add_text(messages: list[Plain], text: str, takes_system: bool) -> list[Plain]:
    """``text`` added to the system message; without one it becomes one, or heads the first message where the template
    takes none."""
    if not text:
        return messages
    system: Plain = {"role": "system", "content": text}
    if messages and messages[0]["role"] == "system":
        return [_joined(messages[0], system), *messages[1:]]
    return [system, *messages] if takes_system else fold_system([system, *messages])


def _joined(first: Plain, second: Plain) -> Plain:
    """Two messages as one; what the second says comes after a blank line."""
    both = {**second, **first}
    for key in ("content", "reasoning_content"):
        texts = [message[key] for message in (first, second) if message.get(key)]
        if texts or key in both:
            both[key] = _APART.join(texts)
    return both


# ---------------------------------------------------------------- calls and their results


def number_calls(messages: list[Plain], nine: bool) -> list[Plain]:
    """Every call with an id that no other has while it waits, and every result with the id of its call. With ``nine``
    all ids are of nine letters and digits. New ids count up, so that a longer history begins like a shorter one."""
    taken = {call["id"] for message in messages for call in message.get("tool_calls", ())}
    fresh = (name for number in count() if (name := f"call{number:05d}") not in taken)

    def fit(old: str | None, used: list[str]) -> str:
        return old if old and old not in used and (not nine or _NINE.fullmatch(old)) else next(fresh)

    waiting: list[tuple[str | None, str]] = []
    found: list[Plain] = []
    for message in messages:
        if calls := message.get("tool_calls"):
            numbered: list[Plain] = []
            for call in calls:
                new = fit(call["id"], [used for _, used in waiting])
                waiting.append((call["id"], new))
                numbered.append({**call, "id": new})
            message = {**message, "tool_calls": numbered}
        elif message["role"] == "tool":
            old = message.get("tool_call_id")
            # A result that doesn't say whose it is, or names no call, belongs to the first call that has none yet.
            pair = next((pair for pair in waiting if old not in taken or pair[0] == old), None)
            if pair:
                waiting.remove(pair)
            message = {**message, "tool_call_id": pair[1] if pair else fit(old, [])}
        elif message["role"] == "user":
            waiting = []
        found.append(message)
    return found


def spell_arguments(messages: list[Plain], as_text: bool) -> list[Plain]:
    """Arguments as objects where they are JSON of one, or as JSON text."""

    def spelt(arguments: Any) -> Any:
        if as_text:
            return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        return parse_arguments(arguments)

    return _each_call(messages, lambda function: {**function, "arguments": spelt(function["arguments"])})


def describe(tool: Plain) -> Plain:
    """A tool with a description of itself and of its parameters, if only an empty one."""
    function: Plain = {"description": "", **tool["function"]}
    schema = function["parameters"]
    if isinstance(schema, dict) and isinstance(properties := cast(Plain, schema).get("properties"), dict):
        items = cast(Plain, properties).items()
        known: Plain = {name: {"description": "", **item} if isinstance(item, dict) else item for name, item in items}
        function["parameters"] = {**cast(Plain, schema), "properties": known}
    return {**tool, "function": function}


def wrap_arguments(messages: list[Plain]) -> list[Plain]:
    """Arguments that are no object inside one."""

    def wrapped(arguments: Any) -> Any:
        known = parse_arguments(arguments)
        return arguments if isinstance(known, dict) else {"arguments": known}

    return _each_call(messages, lambda function: {**function, "arguments": wrapped(function["arguments"])})


def parse_arguments(arguments: Any) -> Any:
    """Arguments as the object that their text stands for; text that is none stays as it is."""
    if not isinstance(arguments, str):
        return {} if arguments is None else arguments
    if not arguments.strip():
        return {}
    try:
        return json.loads(arguments)
    except (ValueError, RecursionError):
        return arguments


def _each_call(messages: list[Plain], change: Callable[[Plain], Plain]) -> list[Plain]:
    return [
        {
            **message,
            "tool_calls": [{**call, "function": change(call["function"])} for call in message["tool_calls"]],
        }
        if "tool_calls" in message
        else message
        for message in messages
    ]


def bare_calls(messages: list[Plain]) -> list[Plain]:
    """Calls without content, for templates that look at one or the other: the text becomes a turn of its own."""
    found: list[Plain] = []
    for message in messages:
        if "tool_calls" not in message:
            found.append(message)
            continue
        if message["content"]:
            found.append({"role": "assistant", "content": message["content"]})
        found.append({**message, "content": None})
    return found


def split_calls(messages: list[Plain]) -> list[Plain]:
    """Calls that are made together as a turn for each, followed by its result."""
    found: list[Plain] = []
    place = 0
    while place < len(messages):
        asks = _run(messages, place, lambda message: "tool_calls" in message)
        results = _run(messages, place + len(asks), lambda message: message["role"] == "tool")
        if not asks:
            found.append(messages[place])
            place += 1
            continue
        place += len(asks) + len(results)
        for ask in asks:
            # What was said and thought before the calls stands before the first.
            silent: Plain = {"role": "assistant", "content": None if ask["content"] is None else ""}
            for number, call in enumerate(ask["tool_calls"]):
                found.append({**(silent if number else ask), "tool_calls": [call]})
                found += [result for result in results if result["tool_call_id"] == call["id"]]
        ids = {call["id"] for ask in asks for call in ask["tool_calls"]}
        found += [result for result in results if result["tool_call_id"] not in ids]
    return found


def _run(messages: list[Plain], start: int, test: Callable[[Plain], bool]) -> list[Plain]:
    """The messages from ``start`` on, as far as they pass."""
    return list(takewhile(test, islice(messages, start, None)))


def write_calls(messages: list[Plain], results_too: bool = True) -> list[Plain]:
    """Calls as text, for templates that know none: a JSON line each behind the content, as the generic envelope asks
    for them. Results become a user's turn that names the function."""
    names: dict[str, str] = {}
    found: list[Plain] = []
    for index, message in enumerate(messages):
        if calls := message.get("tool_calls"):
            names |= {call["id"]: call["function"]["name"] for call in calls}
            texts = [message["content"] or "", "\n".join(_call_line(call["function"]) for call in calls)]
            plain = {key: value for key, value in message.items() if key != "tool_calls"}
            found.append({**plain, "content": "\n".join(text for text in texts if text)})
        elif message["role"] == "tool" and results_too:
            name = message.get("name") or names.get(message.get("tool_call_id", ""), "the function")
            result: Plain = {"role": "user", "content": f"{name} returned:\n{message['content']}"}
            follows = index and messages[index - 1]["role"] == "tool"
            found[-1:] = [_joined(found[-1], result)] if follows else [*found[-1:], result]
        else:
            found.append(message)
    return found


def _call_line(function: Plain) -> str:
    arguments = parse_arguments(function["arguments"])
    return json.dumps({"name": function["name"], "parameters": arguments}, ensure_ascii=False)


# ---------------------------------------------------------------- systems and roles


def merge_systems(messages: list[Plain]) -> list[Plain]:
    """All system messages as one, at the head."""
    systems = [message for message in messages if message["role"] == "system"]
    if not systems:
        return messages
    whole = systems[0]
    for other in systems[1:]:
        whole = _joined(whole, other)
    return [whole, *(message for message in messages if message["role"] != "system")]


def fold_system(messages: list[Plain]) -> list[Plain]:
    """A system message at the head put before what the user says first. Where the user doesn't begin it becomes a
    user's message itself."""
    if not messages or messages[0]["role"] != "system":
        return messages
    system, *rest = messages
    if rest and rest[0]["role"] == "user":
        texts = [message["content"] for message in (system, rest[0]) if message["content"]]
        return [{**rest[0], "content": _APART.join(texts)}, *rest[1:]]
    return [{**system, "role": "user"}, *rest] if system["content"] else rest


def merge_roles(messages: list[Plain]) -> list[Plain]:
    """Messages of one role that follow each other as one. Calls and results stay apart."""
    found: list[Plain] = []
    for message in messages:
        if found and _merges(found[-1], message):
            found[-1] = _joined(found[-1], message)
        else:
            found.append(message)
    return found


def _merges(first: Plain, second: Plain) -> bool:
    """Whether two neighbours may become one."""
    same = first["role"] == second["role"] and first["role"] != "tool"
    return same and "tool_calls" not in first and "tool_calls" not in second


def fill_turns(messages: list[Plain]) -> list[Plain]:
    """An all but empty turn wherever user and assistant don't take turns: before an assistant who speaks first, and
    between a tool's result and a user. (Some templates refuse a turn that is quite empty.)"""
    found: list[Plain] = []
    turn = "user"
    for message in messages:
        if message["role"] in ("user", "assistant") and "tool_calls" not in message:
            if message["role"] != turn:
                found.append({"role": turn, "content": " "})
            turn = "assistant" if message["role"] == "user" else "user"
        found.append(message)
    return found


Care = Callable[[list[Plain]], list[Plain]]

_WHY = "the model's template"
CARES: dict[str, tuple[Care, str]] = {
    "wrap": (wrap_arguments, f"arguments of calls that are no JSON object were put into one: {_WHY} takes only those"),
    "write": (write_calls, f"calls and their results were written as text: {_WHY} refuses them as they are"),
    "split": (split_calls, f"several calls of one turn were given one by one: {_WHY} takes one at a time"),
    "systems": (merge_systems, f"a later system message was merged into the first one: {_WHY} takes one, at the head"),
    "fold": (fold_system, f"the system message was folded into the first user message: {_WHY} takes none"),
    "roles": (merge_roles, f"adjacent messages of equal roles were merged: {_WHY} wants the roles to alternate"),
    "turns": (fill_turns, f"empty turns were put between others: {_WHY} wants the roles to alternate"),
}
"""What can be done for a template, in the order in which it is done, and what the caller is told of it."""


def arrange(messages: list[Plain], names: set[str]) -> tuple[list[Plain], list[str]]:
    """``messages`` with the cares of these names, and a warning for each that had something to do."""
    warnings: list[str] = []
    for name, (care, warning) in CARES.items():
        if name in names and (arranged := care(messages)) != messages:
            messages = arranged
            warnings.append(warning)
    return messages, warnings
