"""Time zones by name: IANA names and offsets from UTC."""

from __future__ import annotations

import re
from datetime import timedelta, timezone, tzinfo
from difflib import get_close_matches
from zoneinfo import ZoneInfo, available_timezones

from queued.domain.schedule.errors import ScheduleError

OFFSET = re.compile(r"([+-])(\d{2}):?(\d{2})")
_LOOSE_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])(\d{1,2})(?::?(\d{2}))?")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+)*")

#: Zones that are offsets by definition: some distributions ship them apart from the rest.
FIXED = {"UTC": 0, "GMT": 0, "EST": -5, "MST": -7, "HST": -10}

#: What people write, from other systems and from clocks, and the zone that they mean.
MEANT = {
    "Eastern Time (US & Canada)": "America/New_York",
    "Central Time (US & Canada)": "America/Chicago",
    "Mountain Time (US & Canada)": "America/Denver",
    "Pacific Time (US & Canada)": "America/Los_Angeles",
    "Atlantic Time (Canada)": "America/Halifax",
    "Eastern Standard Time": "America/New_York",
    "Central Standard Time": "America/Chicago",
    "Mountain Standard Time": "America/Denver",
    "Pacific Standard Time": "America/Los_Angeles",
    "GMT Standard Time": "Europe/London",
    "W. Europe Standard Time": "Europe/Berlin",
    "Romance Standard Time": "Europe/Paris",
    "Central Europe Standard Time": "Europe/Budapest",
    "Central European Standard Time": "Europe/Warsaw",
    "E. South America Standard Time": "America/Sao_Paulo",
    "Tokyo Standard Time": "Asia/Tokyo",
    "China Standard Time": "Asia/Shanghai",
    "India Standard Time": "Asia/Kolkata",
    "AUS Eastern Standard Time": "Australia/Sydney",
    "Mumbai": "Asia/Kolkata",
    "New Delhi": "Asia/Kolkata",
    "Beijing": "Asia/Shanghai",
    "EDT": "America/New_York",
    "CST": "America/Chicago",
    "CDT": "America/Chicago",
    "MDT": "America/Denver",
    "PST": "America/Los_Angeles",
    "PDT": "America/Los_Angeles",
    "BST": "Europe/London",
    "CEST": "Europe/Berlin",
    "EEST": "Europe/Athens",
    "IST": "Asia/Kolkata",
    "JST": "Asia/Tokyo",
    "KST": "Asia/Seoul",
    "AEST": "Australia/Sydney",
    "AEDT": "Australia/Sydney",
    "NZST": "Pacific/Auckland",
    "Z": "UTC",
}


def find_zone(name: str) -> tzinfo:
    """The zone of that name, or of that offset from UTC; ScheduleError suggests the nearest one otherwise."""
    match = OFFSET.fullmatch(name)
    if match is not None and match[3] in ("00", "15", "30", "45") and int(match[2]) <= 14:
        ahead = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(ahead if match[1] == "+" else -ahead, f"{match[1]}{match[2]}:{match[3]}")
    # `posix/` and `right/` are copies of the whole tree, and the latter counts leap seconds.
    if _NAME.fullmatch(name) and name[0].isupper() and name not in MEANT:
        try:
            return ZoneInfo(name)
        except (LookupError, OSError, ValueError):
            if name in FIXED:
                return timezone(timedelta(hours=FIXED[name]), name)
    raise ScheduleError(f"there is no time zone {name!r}", _suggestion(name))


def looks_like_zone(text: str) -> bool:
    """Whether a word can only be meant as a zone: it has a slash, or is an offset, or begins upper-case."""
    return bool(OFFSET.fullmatch(text) or (_NAME.fullmatch(text) and ("/" in text or text[0].isupper())))


def foreign_zone(text: str) -> str | None:
    """The longest zone name of another system that the text holds, of those that are more than one word."""
    held = [name for name in MEANT if " " in name and name in text]
    return max(held, key=len) if held else None


def _suggestion(name: str) -> str:
    """What to write instead of a zone that does not exist."""
    if name in MEANT:
        return f"write {MEANT[name]}"
    match = _LOOSE_OFFSET.fullmatch(name)
    if match is not None:
        minutes = match[3] if match[3] in ("00", "15", "30", "45") else "00"
        return f"write {match[1]}{min(int(match[2]), 14):02}:{minutes}"
    known = available_timezones()
    if not known:
        return "install the system's time zones (package tzdata), or write an offset such as +01:00"
    wanted = name.lower().replace(" ", "_")
    by_lower = {zone.lower(): zone for zone in sorted(known, reverse=True)}
    by_city = {zone.rpartition("/")[2].lower(): zone for zone in sorted(known, reverse=True) if "/" in zone}
    close = by_lower.get(wanted) or by_city.get(wanted)
    if close is None:
        near = get_close_matches(wanted, by_lower, 1, 0.85)
        near_city = get_close_matches(wanted, by_city, 1, 0.85)
        close = by_lower[near[0]] if near else by_city[near_city[0]] if near_city else None
    return f"write {close}" if close else "write a name such as Europe/Rome, or an offset such as +01:00"
