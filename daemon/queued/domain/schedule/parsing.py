"""A text becomes a schedule, whichever of the three ways of writing it uses."""

from __future__ import annotations

import re

from queued.domain.schedule.cron import read_cron, read_nickname
from queued.domain.schedule.errors import ScheduleError
from queued.domain.schedule.hints import refuse_known_mistakes
from queued.domain.schedule.schedule import Schedule
from queued.domain.schedule.sentence import read_sentence
from queued.domain.schedule.zones import find_zone, foreign_zone

#: Longest text that is read.
LONGEST = 256

_CRON_WORD = re.compile(r"[\d*?~,&#%/+HLWhlw-]+|[\w,#%/&-]*(?:[*#%&~]|\d[,/-])[\w,*#%/&-]*")


def parse(text: str, default_zone: str | None = None) -> Schedule:
    """The schedule that a text means: a cron line, a nickname such as `@daily`, or words such as `every 5 minutes`.

    `default_zone` is used where the text names no zone; without either the schedule is in UTC. ScheduleError says what
    is wrong and what to write instead; a text is never understood as something other than it says.
    """
    plain = " ".join(text.split())
    try:
        return _read(plain, default_zone)
    except ScheduleError as error:
        raise error.about(plain) from None


def _read(text: str, default_zone: str | None) -> Schedule:
    if len(text) > LONGEST:
        raise ScheduleError(f"it has {len(text)} characters", f"write at most {LONGEST}")
    if default_zone is not None:
        find_zone(default_zone)
    foreign = foreign_zone(text)
    if foreign is not None:
        find_zone(foreign)
    if text.startswith("@"):
        return read_nickname(text, default_zone)
    refuse_known_mistakes(text)
    words = text.split()
    if len(words) > 1 and all(_CRON_WORD.fullmatch(word) for word in words[:2]):
        return read_cron(text, default_zone)
    return read_sentence(text, default_zone)
