"""What a model writes, taken apart as it comes: text, thinking and tool calls.

One machine for all three and for every format (``formats.py``). It is a coroutine that reads what is there and asks for
more where that could still become a marker. What it finds does not depend on how the text was cut: all is decided by
the leftmost marker that is there, or could still come to be.

It stands on the ``regex`` package for its partial matches. Parsers as libraries: transformers' declarative one knows
three families, raises on what is malformed and comes with transformers; the others come with an engine each.
"""

import re
from collections.abc import Generator
from dataclasses import dataclass
from typing import Literal

import regex

from tertulia.engine.formats import Form, Format, Json, Tags
from tertulia.engine.spell import (
    Pattern,
    Reading,
    Source,
    apart,
    loose,
    pattern,
    read_json,
    read_literals,
    read_tags,
)
from tertulia.types import Tool

Kind = Literal["text", "thought", "call", "arguments"]


@dataclass(slots=True)
class Event:
    """A piece of an answer. ``text``, ``thought`` and ``arguments`` go on, ``call`` begins one, by its name. ``start``:
    where a piece of text began in what the model wrote, in characters."""

    kind: Kind
    text: str
    start: int = 0


@dataclass(frozen=True, slots=True)
class _Form:
    """A form as patterns: what may follow a call's arguments, what leads on to a further call, what ends the list."""

    form: Form
    tail: list[Pattern]
    again: Pattern | None
    close: list[Pattern]


class Patterns:
    """A format and the tools on offer as patterns. Made once for a request, read by each of its choices."""

    def __init__(self, format: Format, tools: list[Tool]) -> None:
        self.schemas = {tool.function.name: tool.function.parameters for tool in tools}
        names = "|".join(regex.escape(name) for name in sorted(self.schemas, key=len, reverse=True))
        forms = format.forms if tools else ()
        self.forms = [_read_form(form, names) for form in forms]
        self.begins = tuple(form.begin for form in forms if form.begin)
        self.thinking = format.thinking
        found = {
            fresh: self._openers(format, [_head(form.open, form, names, str(i)) for i, form in enumerate(forms)], fresh)
            for fresh in (True, False)
        }
        self.openers = {fresh: pattern("|".join(found[fresh])) if found[fresh] else None for fresh in found}
        ends = [rf"\s*+(?:{loose(one)})" for one in (self.thinking.end,)] if self.thinking else []
        if self.thinking and self.thinking.until:
            ends.append(rf"\s*+(?={loose(self.thinking.until)})")
        self.end = pattern("|".join(ends))

    def _openers(self, format: Format, heads: list[str], fresh: bool) -> list[str]:
        """What can end a stretch of text: ``fresh`` where nothing of it has been read yet."""
        found: list[str] = []
        if self.thinking and (fresh or self.thinking.anywhere):
            found.append(f"(?P<think>{loose(self.thinking.begin)})")
        for place, head in enumerate(heads):
            where = self.forms[place].form.where
            if fresh or where != "start":
                line = r"(?<=\n[ \t]*)" if where == "line" and not fresh else ""
                found.append(f"{line}(?P<form{place}>{head})")
        found += [f"(?P<noise>{loose(noise)})" for noise in format.noise]
        return [rf"\s*+{one}" for one in found]


def _read_form(form: Form, names: str) -> _Form:
    listed = form.open or form.close or form.where == "start"
    again = pattern(loose(form.between) + r"\s*+" + _head("", form, names, "")) if listed else None
    tail = form.call.partition("$arguments")[2]
    return _Form(form, _pieces(tail), again, _pieces(form.close))


def _pieces(text: str) -> list[Pattern]:
    """Each bracket and each marker by itself: models leave some of them out."""
    bits: list[str] = re.findall(r"\$\w+|[}\])]|[^\s}\])$]+", apart(text))
    return [pattern(rf"\s*+{loose(bit)}".removesuffix("?")) for bit in bits]


def _head(opens: str, form: Form, names: str, label: str) -> str:
    """A call up to its arguments. It is one when they begin: with a brace, with a tag, or with anything at all."""
    before, _, after = apart(opens + form.call).partition("$arguments")[0].partition("$name")
    ahead = r"\s*+(?=\{)" if isinstance(form.spelling, Json) else "(?=<)" if isinstance(form.spelling, Tags) else ""
    return f"{loose(before)}(?P<name{label}>{names}){loose(after)}{ahead}"


_WORTH = pattern(r"[\s<\[{`f]")
"""Where an opener may begin: markers begin with a bracket, a fence, white space or ``functools``."""


class Parser(Source):
    """Takes one answer apart. Feed it text as it comes; it gives events.

    ``thinking`` says whether it is inside a thinking block now; true at the beginning where the prompt opened one.
    ``calls`` counts those that are whole.
    """

    def __init__(self, patterns: Patterns, thinking: bool = False) -> None:
        super().__init__()
        self.thinking = thinking
        self.calls = 0
        self._patterns = patterns
        self._events: list[Event] = []
        self._before = 0
        self._strip = thinking
        self._reading = self._answer()
        next(self._reading)

    def feed(self, text: str) -> list[Event]:
        """What is certain now that ``text`` has come."""
        self._before += self.at
        self.text = self.text[self.at :] + text
        self.at = 0
        next(self._reading)
        return self._taken()

    def finish(self, cut: bool) -> list[Event]:
        """The rest, when the answer is over: ``cut``, or by itself."""
        self.done, self.cut = True, cut
        next(self._reading, None)
        return self._taken()

    def _taken(self) -> list[Event]:
        events, self._events = self._events, []
        return events

    # ------------------------------------------------------------ what is told

    def argue(self, text: str) -> None:
        self._tell("arguments", text)

    def _tell(self, kind: Kind, text: str) -> None:
        """Arguments and thoughts go on in the event before them."""
        last = self._events[-1] if self._events else None
        if last and last.kind == kind:
            last.text += text
        elif text:
            self._events.append(Event(kind, text))

    def _think_aloud(self, text: str) -> None:
        self._tell("thought", self._stripped(text.rstrip() if self.done else text))

    def _stripped(self, text: str) -> str:
        """``text`` without the white space that belongs to a marker before it."""
        text = text.lstrip() if self._strip else text
        self._strip = self._strip and not text
        return text

    def _pass(self, to: int) -> bool:
        """Tell what stands before ``to`` as text; whether that was more than white space."""
        whole, end = self.text[self.at : to], self._before + to
        self.at = to
        if text := self._stripped(whole):
            self._events.append(Event("text", text, end - len(text)))
        return bool(text.strip())

    # ------------------------------------------------------------ what is read

    def _answer(self) -> Generator[None, None, None]:
        yield
        if self.thinking:
            yield from self._think()
        while not (self.done and self.at == self.end):
            yield from self._stretch()
        yield

    def _stretch(self) -> Generator[None, None, None]:
        """Text up to something else, and that."""
        fresh = True
        while True:
            openers = self._patterns.openers[fresh]
            match = self.find(openers, _WORTH) if openers else None
            if self.done and match and match.partial and not self._drops(match.start()):
                self._pass(self.end)
                return
            passed = self._pass(match.start() if match else self.end)
            if match and not match.partial and not (passed and fresh):
                break
            if passed and fresh:
                fresh = False
                continue
            if self.done:
                self.at = self.end
                return
            yield
        self.at = match.end()
        self._strip = True
        found = match.groupdict()
        if found.get("think"):
            yield from self._think()
        elif not found.get("noise"):
            place = next(place for place in range(len(self._patterns.forms)) if found.get(f"form{place}"))
            yield from self._calls(self._patterns.forms[place], found[f"name{place}"])

    def _drops(self, place: int) -> bool:
        """Whether what is held from ``place`` on at a cut is surely the beginning of a call: then it is dropped."""
        return self.text[place:].lstrip().startswith(self._patterns.begins)

    def _think(self) -> Generator[None, None, None]:
        """A thinking block, up to what ends it."""
        self.thinking = True
        yield from self.until(self._patterns.end, self._think_aloud)
        self.thinking = False
        self._strip = True

    def _calls(self, form: _Form, name: str) -> Generator[None, None, None]:
        """A call, behind its name, and those that follow in the same list."""
        while True:
            self._events.append(Event("call", name))
            if not (yield from self._arguments(form.form, name)):
                self._strip = False
                return
            self.calls += 1
            for piece in form.tail:
                yield from self.expect(piece)
            again = (yield from self.expect(form.again)) if form.again else None
            if again is None:
                break
            name = again["name"]
        for piece in form.close:
            yield from self.expect(piece)

    def _arguments(self, form: Form, name: str) -> Reading:
        if isinstance(form.spelling, Json):
            return read_json(self)
        if isinstance(form.spelling, Tags):
            return read_tags(self, form.spelling, self._patterns.schemas[name])
        return read_literals(self, form.spelling)
