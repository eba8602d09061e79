"""How a call's arguments are spelt, read as they come and told as JSON.

Each reader is a coroutine over a :class:`Source`: it yields where it needs more text, and returns whether the arguments
are whole.
"""

import json
import re
from collections.abc import Callable, Generator
from functools import cache, lru_cache
from typing import Any, cast

import regex

from tertulia.engine.formats import PLACES, Literals, Tags

Reading = Generator[None, None, bool]
Pattern = regex.Pattern[str]
Match = regex.Match[str]
_WORDS = {"True": True, "False": False, "None": None}
"""Python's spelling, which templates that know JSON write too."""


class Source:
    """Text that comes in pieces: what is here and not read yet is ``text[at:]``; ``done`` when no more will come,
    because the answer was ``cut`` or by itself."""

    def __init__(self) -> None:
        self.text = ""
        self.at = 0
        self.done = False
        self.cut = False

    def argue(self, text: str) -> None:
        """Go on with the arguments of the call that is being read."""
        raise NotImplementedError

    def next(self) -> Generator[None, None, str]:
        """Read white space; the character behind it, or none when there is no more."""
        while True:
            while self.at < len(self.text):
                if not self.text[self.at].isspace():
                    return self.text[self.at]
                self.at += 1
            if self.done:
                return ""
            yield

    def expect(self, pattern: Pattern) -> Generator[None, None, Match | None]:
        """What ``pattern`` finds here, which is then read; None if it finds nothing. What a cut left half is gone."""
        while True:
            match = pattern.match(self.text, self.at, partial=not self.done or self.cut)
            if match is None:
                return None
            if not match.partial:
                self.at = match.end()
                return match
            if self.done:
                self.at = len(self.text)
                return None
            yield

    def find(self, pattern: Pattern, first: Pattern | None = None) -> Match | None:
        """The leftmost place from here on where ``pattern`` stands, or could come to stand; ``first`` finds where it
        is worth looking. The library's own search prefers a whole match to one further left that may become whole."""
        places = (spot.start() for spot in first.finditer(self.text, self.at)) if first else range(self.at, self.end)
        for place in places:
            if match := pattern.match(self.text, place, partial=not self.done or self.cut):
                return match
        return None

    @property
    def end(self) -> int:
        return len(self.text)

    def until(self, pattern: Pattern, tell: Callable[[str], None]) -> Generator[None, None, Match | None]:
        """Tell what comes before ``pattern``, and read that too; None if it didn't come. What a cut left half is
        gone."""
        while True:
            match = self.find(pattern)
            stop = match.start() if match else self.end
            if stop > self.at:
                tell(self.text[self.at : stop])
            self.at = stop
            if match and not match.partial:
                self.at = match.end()
                return match
            if self.done:
                self.at = self.end
                return None
            yield


# ---------------------------------------------------------------- patterns

pattern = lru_cache(256)(regex.compile)

_LOOSE = {'": ': r'"\s*+:\s*+', ", ": r"\s*+,\s*+", "; ": r"\s*+;\s*+", "{": r"\s*+\{\s*+", "[": r"\s*+\[\s*+"}


def loose(text: str) -> str:
    """A pattern for ``text`` with white space free to vary: there where it has some, and around JSON's punctuation.
    A place (``$name``) stands for what is read there."""

    def read(bit: re.Match[str]) -> str:
        if bit[1]:
            found, written = PLACES[bit[1]]
            return found if written else f"(?:{found})?"
        return _LOOSE.get(bit[0]) or (r"\s*+" if bit[0].isspace() else regex.escape(bit[0]))

    return re.sub(r'\$(\w+)|": |, |; |\s+|[^\s{\[$",;]+|.', read, apart(text), flags=re.DOTALL)


def apart(text: str) -> str:
    """``text`` with white space behind markers, and before those that are closed by a bar."""
    return re.sub(r"(?<=>)(?=\S)|(?<=\S)(?=<[|｜])", " ", text)


# ---------------------------------------------------------------- JSON


def quote(text: str) -> str:
    """``text`` as the inside of a JSON string."""
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, spelt as an escape
        return json.dumps(text)[1:-1]
    return json.dumps(text, ensure_ascii=False)[1:-1]


_WORD = pattern(r"true|false|null|-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?")
_VALUE, _KEY, _COLON, _NEXT = range(4)


class _Json:
    """Goes through an object, character by character."""

    def __init__(self) -> None:
        self._awaited: list[str] = []
        self._want = _VALUE
        self._empty = False
        self._word = ""
        self._inside = self._escaped = False
        self.whole = False

    def take(self, letter: str) -> bool:
        """Whether the object can go on with ``letter``."""
        if self._inside:
            self._inside = self._escaped or letter != '"'
            self._escaped = letter == "\\" and not self._escaped
            return True
        if self._word:
            if _WORD.fullmatch(self._word + letter, partial=True):
                self._word += letter
                return True
            if not _WORD.fullmatch(self._word):
                return False
            self._word = ""
        return letter in " \t\r\n" or self._step(letter)

    def _step(self, letter: str) -> bool:
        want, empty = self._want, self._empty
        self._empty = False
        if letter == '"' and want in (_VALUE, _KEY):
            self._inside, self._want = True, _NEXT if want == _VALUE else _COLON
        elif letter in "{[" and want == _VALUE:
            self._awaited.append("}" if letter == "{" else "]")
            self._want, self._empty = _KEY if letter == "{" else _VALUE, True
        elif self._awaited and letter == self._awaited[-1] and (want == _NEXT or empty):
            self._awaited.pop()
            self._want, self.whole = _NEXT, not self._awaited
        elif letter == "," and want == _NEXT:
            self._want = _KEY if self._awaited[-1] == "}" else _VALUE
        elif letter == ":" and want == _COLON:
            self._want = _VALUE
        elif want == _VALUE and _WORD.fullmatch(letter, partial=True):
            self._word, self._want = letter, _NEXT
        else:
            return False
        return True


def read_json(source: Source) -> Reading:
    """An object, told to the letter. Ends with it, or where it can't go on."""
    object_ = _Json()
    while True:
        begin = source.at
        while source.at < source.end and not object_.whole and object_.take(source.text[source.at]):
            source.at += 1
        source.argue(source.text[begin : source.at])
        if object_.whole or source.at < source.end or source.done:
            return object_.whole
        yield


# ---------------------------------------------------------------- tags


@cache
def _tags(spelling: Tags) -> tuple[Pattern, Pattern]:
    """What opens a value, and what closes it: with the line break before it, if there is one."""
    places = {"$key": r"(?P<key>[^<>\"\n]+)", "$string": "(?P<string>true|false)", "\n": r"\s*+"}
    bits: list[str] = re.split(r"(\$\w+|\n)", spelling.key.rstrip())
    opens = "".join(places.get(bit) or regex.escape(bit) for bit in bits)
    line = r"(?:\r?\n)?" if spelling.end.startswith("\n") else ""
    return pattern(rf"\s*+{opens}"), pattern(line + regex.escape(spelling.end.strip()))


def read_tags(source: Source, spelling: Tags, schema: Any) -> Reading:
    """Values between tags. ``schema`` says which are strings: their text is told as it comes, the others' when they
    are whole."""
    opens, closes = _tags(spelling)
    separator = "{"
    while key := (yield from source.expect(opens)):
        name = key["key"].strip()
        source.argue(f"{separator}{json.dumps(name, ensure_ascii=False)}: ")
        separator = ", "
        if spelling.key.endswith("\n"):
            yield from source.expect(pattern(r"\r?\n|(?=[^\r\n])"))
        types = _types(schema, name)
        said = key["string"] if "string" in key.re.groupindex else None
        if said == "true" or (said is None and types == {"string"}):
            source.argue('"')
            if not (yield from source.until(closes, lambda text: source.argue(quote(text)))):
                return False
            source.argue('"')
        else:
            pieces: list[str] = []
            if not (yield from source.until(closes, pieces.append)):
                return False
            source.argue(_value("".join(pieces), types))
    if source.cut and source.at == source.end:
        return False
    source.argue("{}" if separator == "{" else "}")
    return True


def _types(schema: Any, name: str) -> set[str]:
    """The types that ``schema`` gives to a property; none where it says nothing."""
    properties = cast(dict[str, Any], schema).get("properties") if isinstance(schema, dict) else None
    found = cast(dict[str, Any], properties).get(name) if isinstance(properties, dict) else None
    if not isinstance(found, dict):
        return set()
    described = cast(dict[str, Any], found)
    kind, values = described.get("type"), described.get("enum")
    if kind is None and isinstance(values, list) and all(isinstance(value, str) for value in cast(list[Any], values)):
        return {"string"}
    return {kind} if isinstance(kind, str) else set(cast(list[str], kind)) if isinstance(kind, list) else set()


def _value(text: str, types: set[str]) -> str:
    """The JSON of a value that is spelt as JSON, or is a string: where it is no JSON, or may be a string and isn't
    null."""
    try:
        value = _WORDS[text] if text in _WORDS else json.loads(text)
    except (ValueError, RecursionError):
        value = text
    if "string" in types and value is not None:
        value = text
    return json.dumps(value, ensure_ascii=False)


# ---------------------------------------------------------------- literals

_ESCAPE = r"\\(?:x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<letter>[^xuU]))"
_LETTERS = {"n": "\n", "t": "\t", "r": "\r", "b": "\b", "f": "\f", "a": "\a", "v": "\v", "0": "\0", "\n": ""}
_LITERAL = pattern(r"[-+\w.]++(?=[^-+\w.])")
DEEPEST = 64
"""Levels of lists and objects that literals may have."""


def read_literals(source: Source, spelling: Literals) -> Reading:
    """Named values as a programming language writes them, up to what closes them, which is left there."""
    return _members(source, spelling, spelling.equals, spelling.close, 0)


def _members(source: Source, spelling: Literals, equals: str, close: str, depth: int) -> Reading:
    """``key equals value, ...`` told as a JSON object; ends before ``close``."""
    separator = "{"
    while (yield from source.next()) != close:
        key = yield from _key(source, spelling)
        if key is None or (yield from source.next()) != equals:
            return False
        source.at += 1
        source.argue(f"{separator}{json.dumps(key, ensure_ascii=False)}: ")
        separator = ", "
        if not ((yield from _literal(source, spelling, depth)) and (yield from _comma(source, close))):
            return False
    source.argue("{}" if separator == "{" else "}")
    return True


def _items(source: Source, spelling: Literals, close: str, depth: int) -> Reading:
    """The items of a list told as a JSON array; ends before ``close``."""
    separator = "["
    while (yield from source.next()) != close:
        source.argue(separator)
        separator = ", "
        if not ((yield from _literal(source, spelling, depth)) and (yield from _comma(source, close))):
            return False
    source.argue("[]" if separator == "[" else "]")
    return True


def _comma(source: Source, close: str) -> Reading:
    """Past the comma behind a value; False if neither that nor ``close`` is there."""
    letter = yield from source.next()
    source.at += letter == ","
    return letter in (",", close) and bool(letter)


def _literal(source: Source, spelling: Literals, depth: int) -> Reading:
    """One value."""
    letter = yield from source.next()
    if mark := (yield from _quote(source, spelling)):
        source.argue('"')
        if whole := (yield from _string(source, spelling, mark, lambda text: source.argue(quote(text)))):
            source.argue('"')
        return whole
    if letter and letter in "{[(" and depth < DEEPEST:
        source.at += 1
        if letter == "{":
            whole = yield from _members(source, spelling, ":", "}", depth + 1)
        else:
            whole = yield from _items(source, spelling, "]" if letter == "[" else ")", depth + 1)
        source.at += whole
        return whole
    word = yield from source.expect(_LITERAL)
    if word is None:
        return False
    try:
        value = _WORDS[word[0]] if word[0] in _WORDS else json.loads(word[0])
    except ValueError:
        source.at -= len(word[0])
        return False
    source.argue(json.dumps(value))
    return True


def _key(source: Source, spelling: Literals) -> Generator[None, None, str | None]:
    """A key: a word, or a string."""
    mark = yield from _quote(source, spelling)
    if not mark:
        word = yield from source.expect(_LITERAL)
        return word[0] if word else None
    pieces: list[str] = []
    whole = yield from _string(source, spelling, mark, pieces.append)
    return "".join(pieces) if whole else None


def _quote(source: Source, spelling: Literals) -> Generator[None, None, str]:
    """The quote that stands here, read; none if there is none."""
    found = yield from source.expect(pattern("|".join(map(regex.escape, spelling.quotes))))
    return found[0] if found else ""


def _string(source: Source, spelling: Literals, mark: str, tell: Callable[[str], None]) -> Reading:
    """The inside of a string, up to the quote that closes it."""
    ends = rf"(?P<end>{regex.escape(mark)})"
    if not spelling.escapes:
        return bool((yield from source.until(pattern(ends), tell)))
    while found := (yield from source.until(pattern(f"{ends}|{_ESCAPE}", regex.DOTALL), tell)):
        if found["end"]:
            return True
        tell(_unescape(found))
    return False


def _unescape(found: Match) -> str:
    if found["letter"]:
        return _LETTERS.get(found["letter"]) or (found["letter"] if found["letter"] in "\\'\"" else found[0])
    code = int(found["x"] or found["u"] or found["U"], 16)
    return chr(code) if code < 0x110000 else "\ufffd"
