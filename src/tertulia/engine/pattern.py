"""Regular expressions in the one reading that JSON Schema's validators and llguidance agree on.

Schemas are written in ECMAScript's dialect, validated in Python's or Go's, enforced by a Rust engine. Where these
differ (``.``, ``\\W``, ``[[]``, ``{``) the text is rewritten to what all of them would match, and where there is no
such thing it is refused.
"""

import re

_SPACE = r" \t\n\r\f\v"
_WORD = "0-9A-Za-z_"
_CLASSES = {
    "d": "0-9",
    "w": _WORD,
    "s": _SPACE,
    # For the negatives, all that any engine counts in: Unicode's digits, letters and spaces too.
    "D": r"\p{N}",
    "W": r"\p{L}\p{M}\p{N}\p{Pc}\x{200c}\x{200d}",
    "S": r"\s\x1c-\x1f\x{85}\x{feff}",
}
_PLAIN = {"n", "r", "t", "f", "v"}
_QUANTIFIER = re.compile(r"\{\d+(,\d*)?\}")
_LOOK = {"(?=": "look-ahead", "(?!": "look-ahead", "(?<=": "look-behind", "(?<!": "look-behind"}


def rewrite(pattern: str) -> str:
    """``pattern`` in llguidance's dialect. Raises ValueError that says what in it has no one meaning."""
    out: list[str] = []
    place = 0
    while place < len(pattern):
        char = pattern[place]
        repeats = char in "*+?"
        if char == "\\":
            text, place = _escape(pattern, place)
        elif char == "[":
            text, place = _class(pattern, place)
        elif char == "(":
            text, place = _group(pattern, place)
        elif char == "{" and (met := _QUANTIFIER.match(pattern, place)):
            text, place, repeats = met[0], met.end(), True
        elif pattern.startswith("{,", place):
            raise ValueError("{,n}")
        else:
            text = r"[^\n\r\x{2028}\x{2029}]" if char == "." else "\\" + char if char in "{}]" else char
            place += 1
        if repeats and pattern[place : place + 1] == "+":
            raise ValueError("a possessive quantifier")
        out.append(text)
    return "".join(out)


def _group(pattern: str, place: int) -> tuple[str, int]:
    for start, name in _LOOK.items():
        if pattern.startswith(start, place):
            raise ValueError(f"a {name}")
    if pattern.startswith("(?:", place):
        return "(?:", place + 3
    if named := re.compile(r"\(\?P?<\w+>").match(pattern, place):
        return "(?:", named.end()
    if pattern.startswith("(?", place):
        raise ValueError(f"the group {pattern[place : place + 3]!r}")
    return "(?:", place + 1


def _escape(pattern: str, place: int, *, negated: bool = False) -> tuple[str, int]:
    """The escape at ``place`` and where it ends; ``negated`` where it stands in a class of what may not be."""
    char = pattern[place + 1 : place + 2]
    if char in _CLASSES and char:
        body = _CLASSES[char.swapcase() if negated else char]
        return f"[{'^' if char.isupper() else ''}{body}]", place + 2
    if char in _PLAIN and char:
        return "\\" + char, place + 2
    for form in (r"\\u([0-9a-fA-F]{4})", r"\\x([0-9a-fA-F]{2})"):
        if met := re.compile(form).match(pattern, place):
            return rf"\x{{{met[1]}}}", met.end()
    if met := re.compile(r"\\[pP]\{[\w=]+\}").match(pattern, place):
        return met[0], met.end()
    if char and not char.isalnum():
        return literal(char), place + 2
    raise ValueError(f"the escape \\{char}")


def _class(pattern: str, place: int) -> tuple[str, int]:
    """The character class at ``place`` and where it ends."""
    start = "[^" if pattern.startswith("[^", place) else "["
    place += len(start)
    if pattern[place : place + 1] == "]":
        raise ValueError(f"the class {start}]")
    out: list[str] = [start]
    while place < len(pattern):
        if pattern[place] == "]":
            return "".join([*out, "]"]), place + 1
        first, place = _member(pattern, place, start == "[^")
        if pattern[place : place + 1] == "-" and pattern[place + 1 : place + 2] not in ("]", "") and _single(first):
            last, end = _member(pattern, place + 1, start == "[^")
            if _single(last):
                first, place = f"{first}-{last}", end
        out.append(first)
    raise ValueError("a class without its end")


def _member(pattern: str, place: int, negated: bool) -> tuple[str, int]:
    if pattern[place] == "\\":
        return _escape(pattern, place, negated=negated)
    return literal(pattern[place]), place + 1


def _single(member: str) -> bool:
    """Whether it is one character, and not a class."""
    return len(member) == 1 or member[:2] == r"\x" or member[1:] in _PLAIN


def literal(text: str) -> str:
    """A pattern for ``text`` itself, in a class and outside."""
    return "".join(char if char.isalnum() or char in " _\"'" else rf"\x{{{ord(char):x}}}" for char in text)


def but(texts: list[str]) -> str:
    """A pattern for any text that is none of ``texts``."""
    return f"^{_but(frozenset(texts))}$"


def _but(texts: frozenset[str]) -> str:
    firsts = sorted({text[0] for text in texts if text})
    ways = [] if "" in texts else [""]
    ways += [literal(first) + _but(frozenset(text[1:] for text in texts if text[:1] == first)) for first in firsts]
    ways.append(f"[^{''.join(map(literal, firsts))}](?s:.*)" if firsts else "(?s:.+)")
    return f"(?:{'|'.join(ways)})"


_YEAR = "(?:[0-9]{3}[1-9]|[0-9]{2}[1-9]0|[0-9][1-9]00|[1-9]000)"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:0[48]|[2468][048]|[13579][26])00)"
_DATE = (
    f"(?:{_YEAR}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)"
    f"|02-(?:0[1-9]|1[0-9]|2[0-8]))|{_LEAP}-02-29)"
)
_HOUR = "(?:[01][0-9]|2[0-3]):[0-5][0-9]"
_TIME = rf"{_HOUR}:[0-5][0-9](?:\.[0-9]{{1,9}})?(?:Z|[+-]{_HOUR})"
_LABEL = "[a-zA-Z](?:[a-zA-Z0-9]|-[a-zA-Z0-9]){0,14}"
_HOST = rf"{_LABEL}(?:\.{_LABEL}){{0,5}}"
_CHAR = "(?:[a-zA-Z0-9._~!$&'()*+,;=@-]|%[0-9a-fA-F]{2})"
_TAIL = rf"(?:\?(?:{_CHAR}|[:/?])*)?(?:#(?:{_CHAR}|[:/?])*)?"
_SCHEME = "[a-zA-Z][a-zA-Z0-9+.-]*:"
_URI = rf"{_SCHEME}(?://{_HOST}(?::[0-9]{{1,5}})?(?:/(?:{_CHAR}|:)*)*|(?:{_CHAR}|:)+(?:/(?:{_CHAR}|:)*)*){_TAIL}"
_RELATIVE = rf"(?:/?{_CHAR}+(?:/(?:{_CHAR}|:)*)*{_TAIL}|/|[?#](?:{_CHAR}|[:/?])*)"
_POINTER = "(?:/(?:[^/~]|~[01])*)*"
_BYTE = "(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])"
_PART = r"(?:[A-Za-z0-9 _,:;=@!%&~\x22'<>/#-]|\.|\\[dDwWsS./+*?()$^|\\-]|\[\^?(?:[A-Za-z0-9_ ./]|[a-z]-z|0-9)+\])"

FORMATS: dict[str, str] = {
    "date": _DATE,
    "date-time": f"{_DATE}T{_TIME}",
    "time": _TIME,
    "hostname": _HOST,
    "host-name": _HOST,
    "idn-hostname": _HOST,
    "email": rf"[a-zA-Z0-9!#$%&'*+/=?^_`{{|}}~-]+(?:\.[a-zA-Z0-9!#$%&'*+/=?^_`{{|}}~-]+)*@{_HOST}",
    "ipv4": rf"{_BYTE}(?:\.{_BYTE}){{3}}",
    "uri": _URI,
    "iri": _URI,
    "uri-reference": f"(?:{_URI}|{_RELATIVE})",
    "iri-reference": f"(?:{_URI}|{_RELATIVE})",
    "uri-template": r"(?:[a-zA-Z0-9._~/:?#&=-]|\{[a-zA-Z0-9_]+\})+",
    "json-pointer": _POINTER,
    "relative-json-pointer": f"(?:0|[1-9]{{1,9}})(?:#|{_POINTER})",
    "regex": rf"\^?(?:{_PART}[*+?]?)*\$?",
    "color": "#[0-9a-fA-F]{6}",
    "byte": "(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?",
}
"""What answers have for a format, of all that would pass: what every validator lets pass."""
FORMATS["idn-email"] = FORMATS["email"]
FORMATS["ip-address"] = FORMATS["ipv4"]
THEIRS = ("duration", "ipv6", "uuid")
"""Formats that llguidance has right."""
RANGES: dict[str, tuple[int, int]] = {
    **{f"int{bits}": (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": (0, 2**bits - 1) for bits in (8, 16, 32, 64)},
}
"""OpenAPI's formats of numbers."""
FREE = ("float", "double", "password", "binary")
"""OpenAPI's formats that rule nothing out."""
