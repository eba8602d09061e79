"""What a chat template can do, found by rendering small probes with it: never by the model's name.

A probe is a chat of words that stand in no template; what of them is found in the text is what the template shows.
A template that refuses even the plainest probe is taken to know all there is: then its own words are the answer.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tertulia.engine.care import Plain

Draw = Callable[[dict[str, Any]], str | None]
"""Renders with these values; None where the template refuses them."""

_SWITCHES = ("enable_thinking", "thinking")
_LEVELS = ("reasoning_effort", "thinking_effort", "reasoning_strength", "thinking_mode", "thinking_option")
_BUDGET = "thinking_budget"
_ON = ("enabled", "on")
_LADDERS: dict[str, tuple[str, ...]] = {
    "none": ("none", "no_think", "disabled", "off", "minimal", "low"),
    "minimal": ("minimal", "low", *_ON),
    "low": ("low", *_ON),
    "medium": ("medium", *_ON),
    "high": ("high", *_ON),
    "xhigh": ("xhigh", "max", "high", *_ON),
    "max": ("max", "xhigh", "high", *_ON),
}
"""How templates may call an effort, the nearest word first."""
_WORDS = tuple(dict.fromkeys(word for words in _LADDERS.values() for word in words))
_PLAIN_WORDS = frozenset({"low", "medium", "high"})
"""What a model knows whose template writes down whatever word it is given."""

_USER, _MORE, _ANSWER, _SYSTEM, _LATER = "qzuserq", "qzmoreq", "qzanswerq", "qzsystemq", "qzlaterq"
_NAME, _OTHER, _ABOUT, _KEY, _VALUE = "qznameq", "qzotherq", "qzaboutq", "qzkeyq", "qzvalueq"
_RESULT, _SECOND = "qzresultq", "qzsecondq"
_NINE, _LONG = ("qzcall001", "qzcall002"), "qzcall_0123456789"
_UNKNOWN = ""


def _tool(**about: str) -> Plain:
    parameters: Plain = {"type": "object", "properties": {_KEY: {"type": "string", **about}}}
    return {"type": "function", "function": {"name": _NAME, **about, "parameters": parameters}}


_TOOL, _BARE_TOOL = _tool(description=_ABOUT), _tool()
_SAYS_SYSTEM: Plain = {"role": "system", "content": _SYSTEM}


@dataclass(frozen=True, slots=True)
class Traits:
    """What a template can do.

    ``tools``: it lists the tools; ``described``: those without descriptions too. ``system``: it shows a system message
    at the head; ``lasting``: whoever has the last word; ``systems``: others too, and where they stand. ``repeats``:
    neighbours may have equal roles. ``arguments``: calls are shown with their arguments as ``object`` or as ``text``,
    or not at all (empty); ``bare``: only without content; ``several``: more than one in a turn. ``results``: results
    are shown where calls are not. ``nine``: ids of calls have nine letters and digits. ``thought``: it looks for
    reasoning under ``thinking``. ``efforts``: the variables that say an effort.
    """

    tools: bool = False
    described: bool = True
    system: bool = True
    lasting: bool = True
    systems: bool = True
    repeats: bool = True
    arguments: str = "object"
    bare: bool = False
    several: bool = True
    results: bool = True
    nine: bool = False
    thought: bool = False
    efforts: dict[str, dict[str, Any]] = field(default_factory=dict[str, dict[str, Any]])

    def effort(self, effort: str | None) -> dict[str, Any]:
        """The variables for a request's ``reasoning_effort``; nothing is said to the template where it said none."""
        return {} if effort is None else self.efforts.get(effort, self.efforts.get(_UNKNOWN, {}))


def find_traits(draw: Draw, variables: set[str], words: set[str]) -> Traits:
    """The traits of a template that looks at ``variables`` and has ``words`` as constants or attributes."""
    thought = "thinking" in words
    probe = _Probe(draw)
    if not probe.works:
        return Traits(thought=thought)
    arguments, bare = probe.arguments()
    return Traits(
        tools=probe.shows([_user()], [_NAME, _ABOUT], tools=[_TOOL]),
        described=probe.shows([_user()], [_NAME, _KEY], tools=[_BARE_TOOL]),
        system=probe.shows([_SAYS_SYSTEM, _user()], [_SYSTEM, _USER]),
        lasting=probe.shows([_SAYS_SYSTEM, _user(), _says("assistant", _ANSWER)], [_SYSTEM]),
        systems=probe.systems(),
        repeats=probe.repeats(),
        arguments=arguments,
        bare=bare,
        several=not arguments or probe.several(arguments, bare),
        # A template that writes any role's name down would show a role that its model has never seen.
        results="tool" in words and probe.results(),
        nine=bool(arguments) and not probe.any_id(arguments, bare),
        thought=thought,
        efforts=probe.efforts(variables),
    )


def _says(role: str, content: str | None) -> Plain:
    return {"role": role, "content": content}


def _user() -> Plain:
    return _says("user", _USER)


def _call(name: str, ident: str, arguments: str) -> Plain:
    spelt: Any = {_KEY: _VALUE} if arguments == "object" else f'{{"{_KEY}": "{_VALUE}"}}'
    return {"id": ident, "type": "function", "function": {"name": name, "arguments": spelt}}


def _result(content: str, name: str, ident: str) -> Plain:
    return {"role": "tool", "content": content, "name": name, "tool_call_id": ident}


class _Probe:
    """The probes of one template. Templates that were made for requests with tools only are shown one each time."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw
        self._tools: list[Plain] | None = None
        self.works = self._text([_user()]) is not None
        if not self.works:
            self._tools = [_TOOL]
            self.works = self._text([_user()]) is not None

    def _text(self, messages: list[Plain], **values: Any) -> str | None:
        return self._draw({"tools": self._tools, "add_generation_prompt": True, **values, "messages": messages})

    def shows(self, messages: list[Plain], needles: Iterable[str], **values: Any) -> bool:
        text = self._text(messages, **values)
        return text is not None and all(needle in text for needle in needles)

    def systems(self) -> bool:
        later = _says("system", _LATER)
        needles = (_SYSTEM, _LATER, _USER)
        between = [_SAYS_SYSTEM, _user(), _says("assistant", _ANSWER), later, _says("user", _MORE)]
        return self.shows([_SAYS_SYSTEM, later, _user()], needles) and self.shows(between, needles)

    def repeats(self) -> bool:
        users = [_user(), _says("user", _MORE)]
        answers = [_says("assistant", _ANSWER), _says("assistant", _LATER)]
        needles = (_USER, _MORE, _ANSWER, _LATER)
        return self.shows([*users, *answers, _says("user", _SECOND)], (*needles, _SECOND))

    def _calls(self, names: list[str], ids: Iterable[str], arguments: str, bare: bool) -> str | None:
        pairs = list(zip(names, ids, (_RESULT, _SECOND), strict=False))
        calls = [_call(name, ident, arguments) for name, ident, _ in pairs]
        asks = {**_says("assistant", None if bare else _ANSWER), "tool_calls": calls}
        return self._text([_user(), asks, *(_result(result, name, ident) for name, ident, result in pairs)])

    def arguments(self) -> tuple[str, bool]:
        """How calls have to be spelt so that they are shown rightly: neither as Python's own spelling of a dict nor as
        text inside text. Objects are preferred: that is what transformers gives."""
        for bare in (False, True):
            for arguments in ("object", "text"):
                text = self._calls([_NAME], _NINE, arguments, bare)
                shown = text is not None and all(needle in text for needle in (_NAME, _VALUE, _RESULT))
                if text is not None and shown and f"{{'{_KEY}'" not in text and f'\\"{_KEY}' not in text:
                    return arguments, bare
        return "", False

    def several(self, arguments: str, bare: bool) -> bool:
        text = self._calls([_NAME, _OTHER], _NINE, arguments, bare)
        return text is not None and all(needle in text for needle in (_NAME, _OTHER, _RESULT, _SECOND))

    def any_id(self, arguments: str, bare: bool) -> bool:
        return self._calls([_NAME], [_LONG], arguments, bare) is not None

    def results(self) -> bool:
        chat = [_user(), _says("assistant", _ANSWER), _result(_RESULT, _NAME, _NINE[0])]
        return self.shows(chat, (_ANSWER, _RESULT))

    def efforts(self, variables: set[str]) -> dict[str, dict[str, Any]]:
        """For each effort the variables that say it."""
        switches = [name for name in _SWITCHES if name in variables]
        thinks = dict.fromkeys(switches, True)
        levels = {name: self._levels(name, thinks) for name in _LEVELS if name in variables}
        found: dict[str, dict[str, Any]] = {_UNKNOWN: thinks}
        for effort, ladder in _LADDERS.items():
            said: dict[str, Any] = dict.fromkeys(switches, effort != "none")
            for name, (words, bears) in levels.items():
                if word := next((word for word in ladder if word in words), ""):
                    said[name] = word
                elif bears and name == "reasoning_effort":
                    said[name] = effort
                elif effort != "none" and "high" in words:
                    said[name] = "high"
            if effort == "none" and _BUDGET in variables:
                said[_BUDGET] = 0
            found[effort] = said
        return found

    def _levels(self, name: str, thinks: dict[str, Any]) -> tuple[set[str], bool]:
        """The words that a variable's template knows, and whether it bears others.

        A word is known if it makes a difference, or if all unknown ones are refused. Where any word is only written
        down, the model was taught the plain ones.
        """

        def say(word: str) -> str | None:
            return self._text([_user()], **thinks, **{name: word})

        unknown = say(_VALUE)
        if unknown is None:
            return {word for word in _WORDS if say(word) is not None}, False
        known = {word for word in _WORDS if say(word) not in (None, unknown.replace(_VALUE, word))}
        return known or (set(_PLAIN_WORDS) if _VALUE in unknown else set()), True
