"""How candidates have done: who is given a rest, who is how fast; and how much may be tried again."""

import time
from collections.abc import Callable

from msgspec import Struct, structs

from tertulia.router.order import WELL, State

Key = tuple[str, str]
SHARE = 0.3
"""What the newest answer counts for in a speed: older ones fade."""
STALE = 600.0
"""Seconds after which a speed is no longer known: the slow may have become fast."""
MOST = 4096
"""Candidates that are remembered; pinned to a provider, callers name models as they like."""
LONGEST_REST = 300.0
RESERVE = 100.0
"""Second attempts that are allowed at once before the share of requests counts."""


class _Record(Struct):
    """What is remembered of a candidate. ``until`` is when its rest ends; ``trying`` is whether somebody is finding out
    if it has helped."""

    failures: int = 0
    rest: float = 0.0
    until: float = 0.0
    trying: bool = False


class Told(Struct, frozen=True):
    """How a candidate does, for people. ``rest`` is how many seconds of its rest are left, None where it has none;
    ``failures`` are those in a row. ``error`` is the kind of the last failure, ``error_ago`` its age in seconds;
    ``latency`` is in seconds, ``speed`` in tokens a second, ``ago`` their age."""

    provider: str
    model: str
    rest: float | None
    failures: int
    error: str
    error_ago: float | None
    latency: float | None
    speed: float | None
    ago: float | None


class Health:
    """The health of candidates by ``(provider, id)``. After ``failures`` in a row one rests for ``pause`` seconds, then
    twice that, and so on; then one request tries it, and the others follow if that went well."""

    def __init__(self, failures: int = 3, pause: float = 15, clock: Callable[[], float] = time.monotonic) -> None:
        self.states: dict[Key, State] = {}
        self._records: dict[Key, _Record] = {}
        self._errors: dict[Key, tuple[str, float]] = {}
        self._failures = failures
        self._pause = pause
        self._clock = clock
        self._resting: set[Key] = set()
        self._swept = clock()

    def look(self) -> dict[Key, State]:
        """The states as they are now: those whose rest is over are ready to be tried, old speeds are forgotten."""
        now = self._clock()
        for key in list(self._resting):
            record = self._records[key]
            if now > record.until + LONGEST_REST and not record.trying:  # nobody has asked since
                self._forget(key)
                continue
            self._set(key, resting=now < record.until or record.trying)
        if now >= self._swept + STALE / 10:
            self._swept = now
            self._sweep(now)
        return self.states

    def _sweep(self, now: float) -> None:
        for key, state in list(self.states.items()):
            if not state.resting and now > state.seen + STALE:
                del self.states[key]
        while len(self.states) > MOST:
            self._forget(next(iter(self.states)))
        while len(self._records) > MOST:
            self._forget(next(iter(self._records)))

    def _forget(self, key: Key) -> None:
        self.states.pop(key, None)
        self._records.pop(key, None)
        self._resting.discard(key)

    def begin(self, key: Key) -> None:
        """A request is being sent."""
        if key in self._resting:
            self._records[key].trying = True
            self._set(key, resting=True)

    def leave(self, key: Key) -> None:
        """The request was given up by its caller: nothing was found out."""
        if key in self._resting:
            self._records[key].trying = False

    def fail(self, key: Key, retry_after: float | None = None, why: str = "") -> None:
        """It could not answer. ``retry_after`` is how long it asked to be left alone, in seconds; ``why`` is the kind
        of failure, in a word."""
        self._errors.pop(key, None)  # the newest last
        self._errors[key] = (why, self._clock())
        if len(self._errors) > MOST:
            del self._errors[next(iter(self._errors))]
        record = self._records.setdefault(key, _Record())
        record.failures += 1
        record.trying = False
        if record.failures < self._failures and not retry_after:
            return
        record.rest = min(2 * record.rest, LONGEST_REST) if record.rest else self._pause
        rest = min(retry_after or 0, LONGEST_REST) if record.failures < self._failures else record.rest
        record.until = self._clock() + max(rest, min(retry_after or 0, LONGEST_REST))
        self._resting.add(key)
        self._set(key, resting=True)

    def begun(self, key: Key) -> None:
        """Its answer has begun: it is well again."""
        if self._records.pop(key, None) is not None:
            self._resting.discard(key)
            self._set(key, resting=False)

    def answer(self, key: Key, first: float | None, tokens: int, seconds: float) -> None:
        """It answered: ``first`` seconds to the first piece of a stream, ``tokens`` in ``seconds`` in all."""
        self.begun(key)
        old = self.states.get(key, WELL)
        speed = tokens / seconds if tokens > 1 and seconds > 0 else None
        self.states[key] = State(False, _mix(old.speed, speed), _mix(old.latency, first), self._clock())

    def tell(self) -> list[Told]:
        """How everybody does who was asked of late."""
        states, now = self.look(), self._clock()
        return [self._told(key, states.get(key, WELL), now) for key in {**states, **self._records, **self._errors}]

    def _told(self, key: Key, state: State, now: float) -> Told:
        record = self._records.get(key) or _Record()
        error, when = self._errors.get(key, ("", None))
        return Told(
            provider=key[0],
            model=key[1],
            rest=max(record.until - now, 0.0) if state.resting else None,
            failures=record.failures,
            error=error,
            error_ago=None if when is None else now - when,
            latency=state.latency,
            speed=state.speed,
            ago=now - state.seen if state.seen else None,
        )

    def _set(self, key: Key, *, resting: bool) -> None:
        old = self.states.get(key, WELL)
        if old.resting != resting:
            self.states[key] = structs.replace(old, resting=resting, seen=old.seen or self._clock())


def _mix(old: float | None, new: float | None) -> float | None:
    if old is None or new is None:
        return old if new is None else new
    return old + SHARE * (new - old)


class Budget:
    """How much may be tried again: the share ``ratio`` of all requests, with a reserve, so that an outage is not
    multiplied by those who wait for it to end."""

    def __init__(self, ratio: float) -> None:
        self._ratio = ratio
        self._left = RESERVE if ratio else 0.0

    def earn(self) -> None:
        """A request has come."""
        self._left = min(self._left + self._ratio, RESERVE)

    @property
    def left(self) -> float:
        """How many more attempts may be made now, of RESERVE at most."""
        return self._left

    @property
    def any(self) -> bool:
        """Whether one more attempt may be made."""
        return self._left >= 1

    def take(self) -> bool:
        """Whether one more attempt may be made, which is then counted."""
        allowed = self.any
        self._left -= allowed
        return allowed
