"""Schedules that people write and that mean nothing here, or something else than they think; and what to write instead."""

from __future__ import annotations

import re

from queued.domain.schedule.errors import ScheduleError

_POINT = "it is a point in time, and a schedule repeats"
_ONCE = "enqueue the job with `wait_until=` to run it once, or write `every day at 17:00` to repeat it"
_VAGUE = "it does not say at which times"

#: A pattern of the whole text, what is wrong with it, and what to write. `{1}` is the first group of the pattern.
_HINTS: tuple[tuple[str, str, str], ...] = (
    (r"", "it is empty", "write words such as `every 5 minutes`, or a cron line such as `0 5 * * *`"),
    (r"(?:now|today|tonight|tomorrow|yesterday|next .*|in \d+ .*)", _POINT, _ONCE),
    (r"\d{4}-\d\d?-\d\d?.*", _POINT, _ONCE),
    (r"(\d+ ?[smhdwMy])", "it is a duration, not a schedule", "write `every {1}`"),
    (
        r"(?:\d+ ?[smhdwMy] ?){2,}|[Pp][Tt]?[\d.]+.*",
        "it is a duration, not a schedule",
        "write `every 90 minutes` or the like",
    ),
    (r"(\d+ (?:second|minute|hour|day|week|month|year)s?)", "it is a duration, not a schedule", "write `every {1}`"),
    (r"(?:every )?1\.(second|minute|hour|day|week|month|year)s?", "it has a dot in it", "write `every {1}`"),
    (r"(?:every )?(\d+)\.(second|minute|hour|day|week|month|year)s?", "it has a dot in it", "write `every {1} {2}s`"),
    (r"(?:once )?(?:a|per|each) (second|minute|hour|day|week|month|year)", "it has no `every`", "write `every {1}`"),
    (r"once (?:every )?(.+)", "it has no meaning for `once`", "write `every {1}`"),
    (r"(?:CRON_)?TZ=(\S+) (.*)", "the time zone comes last", "write `{2} {1}`"),
    (r"twice (?:a|per|every) day|twice daily", _VAGUE, "write `every 12 hours` or `every day at 6am and 6pm`"),
    (r"twice (?:a|per|an|every) hour", _VAGUE, "write `every 30 minutes`"),
    (r"twice (?:a|per|every) week", _VAGUE, "write `every mon and thu`"),
    (r"twice (?:a|per|every) month", _VAGUE, "write `every month on the 1st and 15th`"),
    (r"secondly", "it is not a period here", "write `every second`"),
    (r"minutely", "it is not a period here", "write `every minute`"),
    (
        r"hourly\b.*",
        "`hourly` is not a word of schedules",
        "write `every hour`, `every hour at minute 12` or `@hourly`",
    ),
    (r"daily\b.*", "`daily` is not a word of schedules", "write `every day`, `every day at 5am` or `@daily`"),
    (r"everyday\b.*", "`everyday` is one word", "write `every day`"),
    (r"weekly\b.*", "`weekly` is not a word of schedules", "write `every week`, `every monday at 5am` or `@weekly`"),
    (r"bi-?weekly\b.*|fortnightly\b.*", "it is not a word of schedules", "write `every 2 weeks`"),
    (
        r"monthly\b.*",
        "`monthly` is not a word of schedules",
        "write `every month`, `every month on the 15th` or `@monthly`",
    ),
    (r"(?:yearly|annually)\b.*", "it is not a word of schedules", "write `every year` or `@yearly`"),
    (r"quarterly\b.*|every quarter\b.*", "a quarter is not a period here", "write `every 3 months`"),
    (r"every (?:fortnight)\b.*", "a fortnight is not a period here", "write `every 2 weeks`"),
    (r"every weekends?\b.*|on weekends?\b.*", "a weekend is not a period here", "write `every sat and sun`"),
    (r"every (?:other|2nd|second) (day|week|month|year)\b.*", "it is not a period here", "write `every 2 {1}s`"),
    (r"every (?:other|2nd) (second|minute|hour)\b.*", "it is not a period here", "write `every 2 {1}s`"),
    (
        r".*\b(?:first|1st|second|2nd|third|3rd|fourth|4th|fifth|5th|last) (sun|mon|tue|wed|thu|fri|sat).*",
        "a certain weekday of the month has no words here",
        "write a cron line: `0 0 * * {1}#1` for the first of the month, `0 0 * * {1}#L` for the last",
    ),
    (
        r"every other (\w+)",
        "it is not a period here",
        "write a cron line such as `0 0 * * mon%2`, or `every 2 weeks on {1}`",
    ),
    (r"every 3rd (second|minute|hour|day|week|month|year)\b.*", "it is not a period here", "write `every 3 {1}s`"),
    (r"every half(?: an)?[ -]hour", "half an hour is not a period here", "write `every 30 minutes`"),
    (r"every quarter[ -](?:of an )?hour", "it is not a period here", "write `every 15 minutes`"),
    (r"every (\d+)\.5 hours", "it counts half hours", "write it in minutes, such as `every 90 minutes`"),
    (r"every morning\b.*", _VAGUE, "write `every day at 8am`"),
    (r"every (?:evening|night)\b.*", _VAGUE, "write `every day at 8pm`"),
    (r"(?:always|constantly|continuously)", _VAGUE, "write `every minute` or `every second`"),
    (r"(?:never|none|off|disabled|false)", "it is not a time", "write `enabled: false` beside the schedule"),
)
#: One letter may be a unit, and then its case counts; words may be written in any.
_COMPILED = [
    (re.compile(pattern if "smhd" in pattern else f"(?i:{pattern})"), problem, instead)
    for pattern, problem, instead in _HINTS
]


def refuse_known_mistakes(text: str) -> None:
    """Raise ScheduleError if the text is one of the mistakes that are worth a sentence of their own."""
    for pattern, problem, instead in _COMPILED:
        match = pattern.fullmatch(text)
        if match is not None:
            raise ScheduleError(problem, instead.format(match[0], *match.groups()))
