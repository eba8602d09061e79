"""The access log, written some lines at a time: a write for each costs more than most of what it tells."""

import asyncio
import logging

MOMENT = 0.05
"""Seconds that a line waits at most for others to be written with."""
access = logging.getLogger("tertulia.access")


class Lines:
    """Lines on their way to the log, in order. Who stops the server calls :meth:`flush` at the end."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None

    def add(self, line: str, *, urgent: bool = False) -> None:
        """Log ``line`` in a MOMENT, or with all that wait at once if it is ``urgent``."""
        self._waiting.append(line)
        if urgent:
            self.flush()
        elif self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(MOMENT, self.flush)

    def flush(self) -> None:
        """Log what waits: one record, of as many lines."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        lines, self._waiting = self._waiting, []
        if lines:
            access.info("\n".join(lines))


class Form(logging.Formatter):
    """Gives each line of the access log's records the head that a record has."""

    def format(self, record: logging.LogRecord) -> str:
        if record.name != access.name or type(record.msg) is not str or "\n" not in record.msg:
            return super().format(record)
        lines, record.msg = record.msg, ""
        head = super().format(record)
        record.msg = lines
        return head + lines.replace("\n", "\n" + head)
