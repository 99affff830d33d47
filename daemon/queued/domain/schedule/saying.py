"""What a schedule in words says, before it is known whether that makes sense together."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Saying:
    """The facts of a sentence. Hours and minutes are as written: 24 is midnight at the end of a day."""

    #: `every 5 minutes` is 5 and `minute`; None when the sentence has no unit, as in `every monday` or `at noon`.
    count: int = 1
    unit: str | None = None
    #: Ranges of weekdays; one day is a range of itself.
    weekdays: list[tuple[int, int]] = field(default_factory=list)
    #: Days of the month as cron writes them.
    monthdays: list[str] = field(default_factory=list)
    #: Hours and minutes of the day.
    times: list[tuple[int, int]] = field(default_factory=list)
    #: `8am to 5pm`.
    span: tuple[tuple[int, int], tuple[int, int]] | None = None
    #: `at minute 10 and 30`, `at second 5`.
    minutes: list[int] = field(default_factory=list)
    seconds: list[int] = field(default_factory=list)
    #: `on the hour` or `on the minute`.
    pace: str | None = None
    #: `starting at minute 1`.
    start: tuple[str, int] | None = None
    zone: str | None = None
