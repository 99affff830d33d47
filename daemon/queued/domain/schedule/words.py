"""The vocabulary of schedules in words."""

from __future__ import annotations

from queued.domain.schedule.fields import WEEKDAYS

#: Units of time. One letter is a unit in this case only: `M` is a month and `m` a minute.
UNITS = {
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), "second"),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), "minute"),
    **dict.fromkeys(("h", "hr", "hrs", "hour", "hours"), "hour"),
    **dict.fromkeys(("d", "day", "days"), "day"),
    **dict.fromkeys(("w", "week", "weeks"), "week"),
    **dict.fromkeys(("M", "month", "months"), "month"),
    **dict.fromkeys(("y", "year", "years"), "year"),
}

_DAY_NAMES = ("sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday")

#: Weekdays in short, in full, and in the plural.
DAYS = {
    **{name: number for number, name in enumerate(WEEKDAYS)},
    **{name: number for number, name in enumerate(_DAY_NAMES)},
    **{name + "s": number for number, name in enumerate(_DAY_NAMES)},
    "tues": 2,
    "weds": 3,
    "thur": 4,
    "thurs": 4,
}

_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen"
)
_UNDER_TWENTY = _SMALL.split()
_TENS = {"twenty": 20, "thirty": 30, "forty": 40, "fifty": 50}

#: Numbers of one word, from zero to fifty.
NUMBERS = {**{name: number for number, name in enumerate(_UNDER_TWENTY)}, **_TENS}
TENS = frozenset(_TENS)
ONES = frozenset(_UNDER_TWENTY[1:10])

#: Hours of one word.
HOURS = {**{name: number for number, name in enumerate(_UNDER_TWENTY[:13])}, "oh": 0}

#: Times of one word, as hour and minute.
NOONS = {"noon": (12, 0), "midday": (12, 0), "midnight": (0, 0)}

_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth "
    "sixteenth seventeenth eighteenth nineteenth twentieth twenty-first twenty-second twenty-third twenty-fourth "
    "twenty-fifth twenty-sixth twenty-seventh twenty-eighth twenty-ninth thirtieth thirty-first"
)

#: Days of the month in words, as cron writes them.
ORDINALS = {**{name: str(number) for number, name in enumerate(_ORDINALS.split(), 1)}, "last": "L"}

#: What joins the items of a list, and the ends of a range.
LISTING = frozenset({",", "and", "or"})
RANGING = frozenset({"to", "through", "-"})

#: Words that begin a phrase or otherwise have a meaning of their own.
_GRAMMAR = "every at from on in the of starting weekday weekdays am pm o'clock dark hundred to through and or"

EVERYTHING = frozenset({*UNITS, *DAYS, *NUMBERS, *HOURS, *NOONS, *ORDINALS, *_GRAMMAR.split()})
