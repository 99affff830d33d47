"""When a recurring task runs: schedules as cron lines, as nicknames, and in words.

    parse("*/10 * * * * Europe/Rome")     five fields, or six with seconds first; a zone last
    parse("@daily")                       @yearly @annually @monthly @weekly @daily @midnight @noon @hourly
    parse("every weekday at five pm")     phrases with every, at, from, on, in, starting, in any order

A schedule answers with moments in UTC. With both a day of the month and a weekday it runs on days that are either, as
crontab(5) has it. Beyond common cron it understands `L` and negative days (from the end of the month), `#` (the nth weekday
of the month), `%` (each nth week, counted from Monday 2018-12-31), `&` (day of the month and weekday must both match),
ranges over the end (`22-2`), and steps beyond the range (`*/90` is the first value only). `~` is refused: a random time
would differ from host to host.

What cron cannot say runs truly: `every 90 minutes` is elapsed time (`elapsed`), `every 2 days` counts days of the calendar
(`sentence`). What happens when the clocks change is told in `calendar`; missed runs and jitter are in `misfire`.
"""

from __future__ import annotations

from queued.domain.schedule.calendar import Calendar
from queued.domain.schedule.elapsed import Elapsed
from queued.domain.schedule.errors import ScheduleError
from queued.domain.schedule.misfire import POLICIES, MisfirePolicy, due_between, jitter_of
from queued.domain.schedule.parsing import parse
from queued.domain.schedule.schedule import Schedule

__all__ = [
    "POLICIES",
    "Calendar",
    "Elapsed",
    "MisfirePolicy",
    "Schedule",
    "ScheduleError",
    "due_between",
    "jitter_of",
    "parse",
]
