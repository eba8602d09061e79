"""Server-sent events, both ways. Pure: bytes in, bytes out (WHATWG HTML, section 9.2)."""

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"
BUSY = b": busy\n\n"
"""A comment that says more than a ping: not only the connection lives, the work goes on."""


def encode(data: bytes) -> bytes:
    """One event whose data is ``data``, which holds no line break (JSON never does)."""
    return b"data: " + data + b"\n\n"


_BREAKS = (("\u2028".encode(), rb"\u2028"), ("\u2029".encode(), rb"\u2029"), ("\x85".encode(), rb"\u0085"))


def plain(data: bytes) -> bytes:
    """``data``, which is JSON, without the characters that some clients (huggingface_hub) end a line at although the
    standard doesn't: they are escaped."""
    if not data.isascii():
        for char, escaped in _BREAKS:
            data = data.replace(char, escaped)
    return data


class Feed:
    """Reads events from bytes that arrive in any pieces; comments, names and ids are passed over.

    ``limit`` bounds an event's length in bytes: one that is longer raises ValueError.
    """

    def __init__(self, limit: int = 16 << 20) -> None:
        self._rest: list[bytes] = []  # a line that has not ended, as it came: joined once, however long it gets
        self._waiting = 0
        self._data: list[bytes] = []
        self._limit = limit
        self._begun = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of every event that ``piece`` completes, in order."""
        if not self._waiting and piece.startswith(b"data: ") and piece.endswith(b"\n\n") and len(piece) < self._limit:
            events = piece[6:-2].split(b"\n\ndata: ")
            if piece.count(b"\n") == 2 * len(events) and b"\r" not in piece:  # whole events of one line: as a rule
                self._begun = True
                return events
        self._waiting += len(piece)
        events = []
        if b"\n" in piece or b"\r" in piece or (self._rest and self._rest[-1].endswith(b"\r")):
            events = self._lines(b"".join([*self._rest, piece]) if self._rest else piece)
        else:
            self._rest.append(piece)
        if self._waiting > self._limit:
            raise ValueError(f"an event is longer than {self._limit} bytes")
        return events

    def _lines(self, text: bytes) -> list[bytes]:
        held = b""
        if b"\r" in text:
            if text.endswith(b"\r"):  # the other half of a CRLF may still come
                text, held = text[:-1], b"\r"
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        *lines, rest = text.split(b"\n")
        rest += held
        if not self._begun and lines:
            self._begun = True
            lines[0] = lines[0].removeprefix(b"\xef\xbb\xbf")  # a byte order mark
        self._rest = [rest] if rest else []
        events: list[bytes] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data = []
                    self._waiting = len(rest)
            elif line.startswith(b"data:"):
                self._data.append(line[6:] if line[5:6] == b" " else line[5:])
            elif line == b"data":
                self._data.append(b"")
        if not self._data:  # comments and the like are gone for good
            self._waiting = len(rest)
        return events

    def close(self) -> list[bytes]:
        """What is left when the stream has ended: an event whose last blank line never came."""
        return self.feed(b"\n\n")
