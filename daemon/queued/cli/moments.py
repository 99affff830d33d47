"""Moments as people type them."""

from __future__ import annotations

import argparse
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
    """`2h`, `1d 12h`, `30min ago`, or a date or time in ISO 8601, UTC unless it names an offset.

    A length of time counts back from the database's now, which is not known yet when options are read.
    """
    cleaned = text.strip().lower().removesuffix("ago").strip()
    parts = _PART.findall(cleaned)
    if parts and not _PART.sub("", cleaned).strip() and all(name in _UNITS for _, name in parts):
        return timedelta(seconds=sum(float(number) * _UNITS[name] for number, name in parts))
    try:
        moment = datetime.fromisoformat(re.sub(r"[zZ]$", "+00:00", text.strip()))
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no moment; write a length of time such as 2h or 1d, or 2026-01-31 or 2026-01-31T08:00"
        ) from None
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=timezone.utc)


def length(text: str) -> float:
    """Seconds of `90s`, `10m`, `1h 30m`, or of a plain number."""
    if re.fullmatch(r"\d+(\.\d+)?", text.strip()):
        return float(text)
    told = _PART.findall(text.strip().lower())
    if not told or _PART.sub("", text.strip().lower()).strip() or any(name not in _UNITS for _, name in told):
        raise argparse.ArgumentTypeError(f"{text!r} is no length of time; write 90s, 10m or 2h")
    return sum(float(number) * _UNITS[name] for number, name in told)


def resolve(told: timedelta | datetime | None, now: datetime) -> datetime | None:
    """The moment meant, with `now` on the database's clock."""
    return now - told if isinstance(told, timedelta) else told
