"""JSON values laid out as a formatter would: on one line where that fits, else an item a line. Pure."""

from collections.abc import Callable, Iterable
from typing import Any, cast

from msgspec import Struct

Pairs = Iterable[tuple[str, Any]]
_JOINER = 0x200D  # between the parts of one emoji
_PIECE = 50_000
_DEEPEST = 16
"""Levels that have lines of their own. What is deeper stands on one: indenting it would make a short request long."""


class Code(str):
    """An expression that stands as it is where a value is expected."""

    __slots__ = ()


class Escapes(dict[int, str]):
    """For str.translate: ``special`` characters, and ``strange(code)`` for all that can't be seen."""

    def __init__(self, special: dict[str, str], strange: Callable[[int], str]) -> None:
        super().__init__({ord(char): text for char, text in special.items()})
        self._strange = strange

    def __missing__(self, code: int) -> str:
        char = chr(code)
        self[code] = text = char if char.isprintable() or code == _JOINER else self._strange(code)
        return text


class Style(Struct, frozen=True):
    """How a language writes values. ``text`` writes a string, ``key`` an object's key; ``words`` are True, False and
    None; ``padding`` stands inside an object's braces on one line, ``comma`` behind the last item where each has a
    line; ``width`` is a line's, 0 where nothing but the empty stands on one line."""

    text: Callable[[str], str]
    key: Callable[[str], str]
    words: tuple[str, str, str] = ("true", "false", "null")
    indent: str = "    "
    width: int = 88
    padding: str = ""
    comma: str = ","


def lay(value: Any, style: Style, depth: int = 0, used: int = 0, *, broken: bool = False) -> str:
    """``value`` as code whose first line has ``used`` columns before it and one behind it, and whose others are
    indented by ``depth``. ``broken`` gives each item a line though one would do."""
    room = 0 if broken else style.width - used - 1
    if not isinstance(value, (dict, list)) or not value:
        return _atom(cast(Any, value), style)
    if depth >= _DEEPEST:
        return _line(cast(Any, value), style)
    if (line := _flat(value, style, room)) is not None:
        return line
    inner = style.indent * (depth + 1)
    if isinstance(value, list):
        items = [inner + lay(item, style, depth + 1, len(inner)) for item in cast(list[Any], value)]
        opening, closing = "[]"
    else:
        items = list[str]()
        for name, item in cast(dict[str, Any], value).items():
            start = f"{inner}{style.key(name)}: "
            items.append(start + lay(item, style, depth + 1, columns(start)))
        opening, closing = "{}"
    return f"{opening}\n" + ",\n".join(items) + f"{style.comma}\n{style.indent * depth}{closing}"


def call(function: str, arguments: Pairs, style: Style, depth: int = 0) -> str:
    """A call with named arguments, or one without a name in front, each on lines of its own."""
    lines = list[str]()
    for name, value in arguments:
        start = style.indent * (depth + 1) + (f"{name}=" if name else "")
        lines.append(f"{start}{lay(value, style, depth + 1, len(start))},\n")
    return f"{function}(\n{''.join(lines)}{style.indent * depth})"


def columns(text: str) -> int:
    """How wide ``text`` is at most: whatever may be wide counts as such."""
    return len(text) if text.isascii() else sum(1 if char < "\u1100" else 2 for char in text)


def escape(text: str, escapes: Escapes) -> str:
    """``text`` with what needs it escaped. Of a long one a piece at a time: no other thread runs meanwhile."""
    if len(text) <= _PIECE:
        return text.translate(escapes)
    return "".join(text[at : at + _PIECE].translate(escapes) for at in range(0, len(text), _PIECE))


def quote(text: str, escapes: dict[str, Escapes]) -> str:
    """``text`` between the quotes that need fewer escapes; ``escapes`` says what needs them in either kind."""
    mark = "'" if text.count('"') > text.count("'") else '"'
    plain = text.isprintable() and mark not in text and "\\" not in text
    return f"{mark}{text if plain else escape(text, escapes[mark])}{mark}"


def _atom(value: Any, style: Style) -> str:
    match value:
        case Code():
            return str(value)
        case str():
            return style.text(value)
        case None:
            return style.words[2]
        case bool():
            return style.words[0] if value else style.words[1]
        case list():
            return "[]"
        case dict():
            return "{}"
        case _:
            return repr(value)


def _line(value: Any, style: Style) -> str:
    """``value`` on one line, however wide."""
    if not isinstance(value, (dict, list)) or not value:
        return _atom(cast(Any, value), style)
    if isinstance(value, list):
        return f"[{', '.join(_line(item, style) for item in cast(list[Any], value))}]"
    items = (f"{style.key(name)}: {_line(item, style)}" for name, item in cast(dict[str, Any], value).items())
    return f"{{{style.padding}{', '.join(items)}{style.padding}}}"


def _flat(value: Any, style: Style, room: int) -> str | None:
    """``value`` on one line; None where that is wider than ``room``, found out without writing all of it."""
    if room < 2 or (isinstance(value, str) and len(value) > room):
        return None
    if not isinstance(value, (dict, list)) or not value:
        text = _atom(cast(Any, value), style)
        return text if "\n" not in text and columns(text) <= room else None
    items = list[str]()
    if isinstance(value, list):
        left = room - 2
        for item in cast(list[Any], value):
            text = _flat(item, style, left) if left > 0 else None
            if text is None:
                return None
            items.append(text)
            left -= columns(text) + 2
        return f"[{', '.join(items)}]"
    left = room - 2 - 2 * len(style.padding)
    for name, item in cast(dict[str, Any], value).items():
        key = style.key(name) if len(name) <= left else None
        text = _flat(item, style, left - columns(key) - 2) if key else None
        if key is None or text is None:
            return None
        items.append(f"{key}: {text}")
        left -= columns(items[-1]) + 2
    return f"{{{style.padding}{', '.join(items)}{style.padding}}}"
