"""The shell: curl, with the body in single quotes, or from standard input where it is too long for an argument."""

import shlex

from tertulia.snippets.ask import BILL_TO, Ask
from tertulia.snippets.layout import Escapes, Style, escape, lay

_LONGEST = 100_000
"""Characters that may be one argument: Linux takes 128 KiB."""


def _strange(code: int) -> str:
    if code > 0xFFFF:
        high, low = divmod(code - 0x10000, 0x400)
        return f"\\u{0xD800 + high:04x}\\u{0xDC00 + low:04x}"
    return f"\\u{code:04x}"


_ESCAPES = Escapes({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}, _strange)


def text(value: str) -> str:
    """A string as JSON; what can't be seen is escaped."""
    return f'"{escape(value, _ESCAPES)}"'


STYLE = Style(text, text, width=80, comma="")


def word(value: str) -> str:
    """``value`` as one word of the shell, between single quotes."""
    return "'" + value.replace("'", "'\\''") + "'"


def curl(ask: Ask) -> str:
    """curl, which is everywhere."""
    body = lay(ask.body, STYLE, 1, broken=True)
    token = f"${{{ask.token}:-{ask.fallback}}}" if ask.fallback else f"${ask.token}"
    options = [f'-H "Authorization: Bearer {token}"', "-H 'Content-Type: application/json'"]
    options += [f"-H {word(f'{BILL_TO}: {ask.bill_to}')}"] if ask.bill_to else []
    if len(body) > _LONGEST or len(body.encode("utf-8", "surrogatepass")) > _LONGEST:
        options.append(f"-d @- <<'END'\n    {body}\nEND")
    else:
        options.append(f"-d {word(body)}")
    start = f"curl {'-N ' if ask.stream else ''}{shlex.quote(ask.endpoint)}"
    return " \\\n    ".join([start, *options]) + "\n"
