"""Moments and lengths of time as people write them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone

_UNITS: dict[str, int] = {
    **dict.fromkeys(("s", "sec", "second", "seconds"), 1),
    **dict.fromkeys(("m", "min", "minute", "minutes"), 60),
    **dict.fromkeys(("h", "hour", "hours"), 3_600),
    **dict.fromkeys(("d", "day", "days"), 86_400),
    **dict.fromkeys(("w", "week", "weeks"), 604_800),
}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*([a-z]+)")


def since(text: str) -> timedelta | datetime:
    """`2h`, `1d 12h`, `30min ago`, or a date or time in ISO 8601, UTC unless it names an offset. Raises ValueError.

    A length of time counts back from the database's now, which is not known yet when it is read.
    """
    seconds = _seconds(text.strip().lower().removesuffix("ago").strip())
    try:
        if seconds is not None:
            return timedelta(seconds=seconds)
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is no moment; write a length of time such as 2h or 1d, or 2026-01-31 or 2026-01-31T08:00"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def length(text: str) -> float:
    """Seconds of `90s`, `10m`, `1h 30m`, or of a plain number. Raises ValueError."""
    cleaned = text.strip().lower()
    seconds = float(cleaned) if re.fullmatch(r"\d+(\.\d+)?", cleaned) else _seconds(cleaned)
    if seconds is None:
        raise ValueError(f"{text!r} is no length of time; write 90s, 10m or 2h")
    return seconds


def resolve(told: timedelta | datetime, now: datetime) -> datetime:
    """The moment meant, with `now` on the database's clock. What lies before the calendar is its first day."""
    if isinstance(told, datetime):
        return told
    try:
        return now - told
    except OverflowError:
        return datetime.min.replace(tzinfo=timezone.utc)


def _seconds(text: str) -> float | None:
    """The parts of a length added up; None where it is none."""
    parts = _PART.findall(text)
    if not parts or _PART.sub("", text).strip() or any(name not in _UNITS for _, name in parts):
        return None
    return sum(float(number) * _UNITS[name] for number, name in parts)
