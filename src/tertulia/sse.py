"""Server-sent events, both ways. Pure: bytes in, bytes out (WHATWG HTML, section 9.2)."""

DONE = b"data: [DONE]\n\n"
PING = b": ping\n\n"


def encode(data: bytes) -> bytes:
    """One event whose data is ``data``, which holds no line break (JSON never does)."""
    return b"data: " + data + b"\n\n"


class Feed:
    """Reads events from bytes that arrive in any pieces; comments, names and ids are passed over.

    ``limit`` bounds an event's length in bytes: one that is longer raises ValueError.
    """

    def __init__(self, limit: int = 16 << 20) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size = 0
        self._limit = limit

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of every event that ``piece`` completes, in order."""
        text = self._rest + piece if self._rest else piece
        if b"\r" in text:
            if text.endswith(b"\r"):  # the other half of a CRLF may still come
                text, held = text[:-1], b"\r"
            else:
                held = b""
            text = text.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        else:
            held = b""
        *lines, rest = text.split(b"\n")
        self._rest = rest + held
        events: list[bytes] = []
        for line in lines:
            if not line:
                if self._data:
                    events.append(b"\n".join(self._data))
                    self._data, self._size = [], 0
            elif line.startswith(b"data:"):
                value = line[6:] if line[5:6] == b" " else line[5:]
                self._data.append(value)
                self._size += len(value)
        if self._size + len(self._rest) > self._limit:
            raise ValueError(f"an event is longer than {self._limit} bytes")
        return events

    def close(self) -> list[bytes]:
        """What is left when the stream has ended: an event whose last blank line never came."""
        return self.feed(b"\n\n")
