"""What probes found, kept in one file from one start to the next, by provider and model."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
from filelock import FileLock, Timeout
from msgspec import Struct, field

from tertulia.router.probe import Finding

log = logging.getLogger("tertulia.router")

KEPT = 30 * 86400
"""Seconds after which what was not tried again is forgotten."""
_PATIENCE = 5
_NONE: Mapping[str, tuple[bool, int]] = {}


class Entry(Struct):
    """A model at a provider: when it was last ``tried`` (Unix seconds), whether that ``failed`` (an error came in
    between, or what worked before doesn't), what that cost in US dollars, and the findings by field."""

    tried: int = 0
    failed: bool = False
    cost: float = 0.0
    fields: dict[str, Finding] = field(default_factory=dict[str, Finding])


class _Content(Struct):
    """The file: what was ``spent`` on a ``day``, and what was ``found`` by provider and model."""

    day: str = ""
    spent: float = 0.0
    found: dict[str, dict[str, Entry]] = field(default_factory=dict[str, dict[str, Entry]])


class _Nowhere(Exception):
    """There is no file to keep anything in."""


class Probes:
    """The findings in the file at ``path``, which several processes may write; without a path
    they are kept in this process only. ``changed`` is called on the event loop
    when another field works, or doesn't, than before."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self.changed: Callable[[], None] = lambda: None
        self._clock = clock
        self._content = _Content()
        self._told: dict[tuple[str, str], dict[str, tuple[bool, int]]] = {}
        self._stamp: tuple[int, int] | None = None
        self._turn = asyncio.Lock()
        self._take(*_load(path))

    def known(self, provider: str, model: str) -> dict[str, Finding]:
        """The findings by field; none for what was never probed."""
        entry = self.entry(provider, model)
        return dict(entry.fields) if entry else {}

    def entry(self, provider: str, model: str) -> Entry | None:
        return self._content.found.get(provider, {}).get(model)

    def fields(self, provider: str, model: str) -> Mapping[str, tuple[bool, int]]:
        """For each field that something was found out about: whether it works, and when that was (Unix seconds)."""
        return self._told.get((provider, model), _NONE)

    @property
    def spent(self) -> float:
        """US dollars that were paid today (UTC)."""
        return self._content.spent if self._content.day == self._today() else 0.0

    async def keep(self, provider: str, model: str, found: Mapping[str, Finding], paid: float = 0.0) -> None:
        """Keep what a probe ``found``, and add what was ``paid`` for it to today's sum. What could not be found out
        this time leaves what was found out before."""
        now = int(self._clock())

        def add(content: _Content) -> None:
            _pay(content, self._today(), paid)
            models = content.found.setdefault(provider, {})
            models[model] = _join(models.get(model, Entry()), found, now)

        await self._change(add)

    async def pay(self, paid: float) -> None:
        """Add what was ``paid`` for a probe that came to nothing to today's sum."""
        await self._change(lambda content: _pay(content, self._today(), paid))

    async def read(self) -> None:
        """Read the file anew if another process has written it."""
        async with self._turn:
            if self.path.name and _stamp(self.path) != self._stamp:
                self._take(*await asyncio.to_thread(_load, self.path))

    async def _change(self, change: Callable[[_Content], None]) -> None:
        oldest = self._clock() - KEPT
        async with self._turn:
            try:
                self._take(*await asyncio.to_thread(_rewrite, self.path, change, oldest))
                return
            except _Nowhere:
                pass
            except (OSError, Timeout) as error:
                log.warning("what probes found can't be kept in %s: %s", self.path, error)
            content = msgspec.convert(msgspec.to_builtins(self._content), _Content)
            change(content)
            self._take(content, self._stamp)

    def _take(self, content: _Content, stamp: tuple[int, int] | None) -> None:
        before = _works(self._told)
        self._content, self._stamp = content, stamp
        self._told = {
            (provider, model): {
                name: (finding.works, finding.when)
                for name, finding in entry.fields.items()
                if finding.works is not None
            }
            for provider, models in content.found.items()
            for model, entry in models.items()
        }
        if _works(self._told) != before:
            self.changed()

    def _today(self) -> str:
        return time.strftime("%Y-%m-%d", time.gmtime(self._clock()))


def _works(told: dict[tuple[str, str], dict[str, tuple[bool, int]]]) -> dict[tuple[str, str, str], bool]:
    return {(*pair, name): works for pair, fields in told.items() for name, (works, _) in fields.items()}


def _join(old: Entry, found: Mapping[str, Finding], now: int) -> Entry:
    """``old`` with what was found since. A field that was not tried this time is left as it was."""
    lost = any(
        finding.works is False and name in old.fields and old.fields[name].works for name, finding in found.items()
    )
    fields = dict(old.fields)
    for name, finding in found.items():
        if finding.works is not None or name not in fields or fields[name].works is None:
            fields[name] = finding
    return Entry(
        tried=now,
        failed=lost or any(finding.again for finding in found.values()),
        cost=sum(finding.cost or 0.0 for finding in found.values()),
        fields=fields,
    )


def _pay(content: _Content, today: str, paid: float) -> None:
    content.spent = paid + (content.spent if content.day == today else 0.0)
    content.day = today


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino


def _load(path: Path) -> tuple[_Content, tuple[int, int] | None]:
    """The file and its stamp. One that can't be read is as good as none: probing fills it again."""
    stamp = _stamp(path)
    if not path.name:
        return _Content(), None
    try:
        return msgspec.json.decode(path.read_bytes(), type=_Content), stamp
    except FileNotFoundError:
        pass
    except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
        log.warning("what probes found before is lost: %s can't be read: %s", path, error)
    return _Content(), stamp


def _rewrite(path: Path, change: Callable[[_Content], None], oldest: float) -> tuple[_Content, tuple[int, int] | None]:
    """Change the file: all of it or nothing, and one process at a time."""
    if not path.name:
        raise _Nowhere
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock", timeout=_PATIENCE):
        content, _ = _load(path)
        change(content)
        for provider, models in list(content.found.items()):
            content.found[provider] = {model: one for model, one in models.items() if one.tried >= oldest}
        part = path.with_name(f"{path.name}.part")
        with part.open("wb") as file:
            file.write(msgspec.json.format(msgspec.json.encode(content)))
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
        return content, _stamp(path)
