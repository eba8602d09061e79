"""Times and sums of money as people write them."""

import datetime
import re
from decimal import Decimal, InvalidOperation

from tertulia.errors import ConfigError

MICRO = 1_000_000
DAY = 86400
MOST_DAYS = 36_500
"""How far ahead anything may be set to end: later dates can't be told on every calendar."""
_SPAN = re.compile(r"(\d{1,6})([hdw])")
_SECONDS = {"h": 3600, "d": DAY, "w": 7 * DAY}


def ahead(text: str, now: float) -> float:
    """The Unix time that ``30d``, ``12h``, ``8w`` from ``now`` is, or that a date ends at, on the local clock. Raises
    ConfigError, also for what has passed."""
    if span := _SPAN.fullmatch(text):
        moment = now + int(span[1]) * _SECONDS[span[2]]
        if moment > now + MOST_DAYS * DAY:
            raise ConfigError(f"{text} is more than {MOST_DAYS} days: leave it out, and there is no end")
    else:
        moment = _midnight(text, datetime.timedelta(days=1))
    if moment <= now:
        raise ConfigError(f"{text} is not in the future")
    return moment


def back(text: str, now: float) -> float:
    """The Unix time that was ``7d``, ``12h``, ``8w`` before ``now``, or that a date began at. Raises ConfigError."""
    span = _SPAN.fullmatch(text)
    return now - int(span[1]) * _SECONDS[span[2]] if span else _midnight(text, datetime.timedelta())


def _midnight(text: str, after: datetime.timedelta) -> float:
    try:
        day = datetime.date.fromisoformat(text) + after
        return datetime.datetime.combine(day, datetime.time()).timestamp()
    except (ValueError, OverflowError):
        raise ConfigError(f"{text!r} is no time: 12h, 30d, 8w or a date such as 2027-01-31 would be") from None


def micros(text: str) -> int:
    """US dollars, as they are written, in millionths. Raises ConfigError."""
    try:
        amount = Decimal(text.removeprefix("$")) * MICRO
        if not 1 <= amount <= 10**15:
            raise ValueError(text)
    except (InvalidOperation, ValueError):
        raise ConfigError(f"{text!r} is no sum of US dollars: 5 or 0.25 would be") from None
    return int(amount)


def dollars(amount: int) -> str:
    """Millionths of a US dollar as ``$1.25``, with as many digits as it takes."""
    whole, part = divmod(amount, MICRO)
    cents = f"{part:06}".rstrip("0")
    return f"${whole}.{cents:0<2}"


def date(moment: float) -> str:
    """The local date at a Unix time."""
    return datetime.datetime.fromtimestamp(moment).date().isoformat()
