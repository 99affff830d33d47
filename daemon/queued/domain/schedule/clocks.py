"""Reading from a row of tokens: single words, numbers, units, lists, and times of the day."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet

from queued.domain.schedule.errors import ScheduleError
from queued.domain.schedule.tokens import Token
from queued.domain.schedule.words import HOURS, LISTING, NOONS, NUMBERS, ONES, RANGING, TENS, UNITS

_HALVES = frozenset({"am", "pm"})


class Clocks:
    """A reader at one place in a row of tokens. What it cannot read it leaves in its place."""

    def __init__(self, tokens: list[Token]) -> None:
        self.tokens = tokens
        self.index = 0
        self.of_the_month = False

    def more(self) -> bool:
        return self.index < len(self.tokens)

    def peek(self) -> Token:
        return self.tokens[self.index]

    def low(self) -> str:
        """The next word in lower case; empty at the end."""
        return self.tokens[self.index].low if self.more() else ""

    def take(self) -> Token:
        self.index += 1
        return self.tokens[self.index - 1]

    def found(self) -> str:
        """The next word for a message."""
        return repr(self.peek().text) if self.more() else "nothing"

    def accept(self, words: AbstractSet[str]) -> bool:
        """Pass over the next word if it is one of these."""
        if self.low() in words:
            self.index += 1
            return True
        return False

    def accept_many(self, words: AbstractSet[str]) -> bool:
        """Pass over all next words that are of these."""
        start = self.index
        while self.accept(words):
            pass
        return self.index > start

    def listed(self, item: Callable[[], bool]) -> bool:
        """One item or several, joined by commas, `and` or `or`."""
        if not item():
            return False
        index = self.index
        while self.accept_many(LISTING) and item():
            index = self.index
        self.index = index
        return True

    def number(self) -> int:
        """A number in digits or in words up to fifty-nine."""
        if self.peek().kind == "number":
            return int(self.take().text)
        word = self.take().low
        value = NUMBERS[word]
        if word in TENS:
            index = self.index
            self.accept({"-"})
            if self.low() in ONES:
                return value + NUMBERS[self.take().low]
            self.index = index
        return value

    def numbers(self, name: str, low: int, high: int) -> list[int]:
        """`10`, `10 and 30`, `1,15`, `1-5`."""
        values: list[int] = []

        def item() -> bool:
            if not self.more() or self.peek().kind != "number":
                return False
            first = last = self.number()
            index = self.index
            if self.accept(RANGING) and self.more() and self.peek().kind == "number":
                last = self.number()
            else:
                self.index = index
            if not low <= first <= last <= high:
                raise ScheduleError(f"{max(first, last)} is not a {name} here", f"write {low} to {high}, in order")
            values.extend(range(first, last + 1))
            return True

        self.listed(item)
        return values

    def unit(self) -> str | None:
        """The next word if it is a unit of time."""
        text = self.peek().text if self.more() else ""
        name = UNITS.get(text if len(text) == 1 else text.lower())
        if name is not None:
            self.index += 1
        return name

    def unit_ahead(self) -> bool:
        """Whether a unit and a number come next, as in `minute 12`."""
        index = self.index
        found = self.unit() is not None and self.more() and self.peek().kind == "number"
        self.index = index
        return found

    def time(self, bare: bool) -> tuple[int, int] | None:
        """Hour and minute, if a time comes next; a number alone is one only if `bare`. 24 is the end of the day."""
        index = self.index
        if not self.more():
            return None
        token = self.take()
        if token.low in NOONS:
            return NOONS[token.low]
        sure = bare
        minute = 0
        if token.kind == "clock":
            sure = True
            hour, minute = self._clock(token.text)
        elif token.kind == "number":
            hour = int(token.text)
            sure = self.accept({"o'clock"}) or sure
        elif token.low in HOURS:
            hour = HOURS[token.low]
            minute, spoken = self._spoken_minutes()
            sure = sure or spoken
        else:
            self.index = index
            return None
        if self.low() in _HALVES or self.low() in NOONS:
            return self._half(hour, minute, self.take().low)
        if not sure:
            self.index = index
            return None
        if hour > 24 or (hour == 24 and minute):
            raise ScheduleError(f"{token.text!r} is not a time", "write 0:00 to 23:59")
        return hour, minute

    def _clock(self, text: str) -> tuple[int, int]:
        hour, minute, *second = (int(part) for part in text.split(":"))
        if minute > 59:
            raise ScheduleError(f"{text!r} is not a time", "write 0:00 to 23:59")
        if second:
            raise ScheduleError(
                f"{text!r} has seconds", f"write a cron line with six fields: `{second[0]} {minute} {hour} * * *`"
            )
        return hour, minute

    def _spoken_minutes(self) -> tuple[int, bool]:
        """What follows an hour in words: `o'clock`, `hundred`, `thirty`, `dark twenty`; and whether anything did."""
        if self.accept({"o'clock", "hundred"}):
            return 0, True
        dark = self.accept({"dark"})
        if self.low() in NUMBERS:
            return self.number(), True
        if dark:
            raise ScheduleError("`dark` has no minutes behind it", "write `zero dark twenty`, or `0:20`")
        return 0, False

    def _half(self, hour: int, minute: int, half: str) -> tuple[int, int]:
        """The hour of the day that 12-hour clocks mean."""
        said = f"{hour}:{minute:02} {half}"
        if half in NOONS:
            if hour != 12:
                raise ScheduleError(f"{said!r} is not a time", f"write 12 {half}, or `{half}` alone")
            # Said with its hour, midnight is the end of the day, which cron writes as hour 24.
            return (24 if half == "midnight" else 12), minute
        if not 0 <= hour <= 12 or (hour == 0 and half == "pm"):
            raise ScheduleError(
                f"{said!r} is not a time", f"write {hour}:{minute:02}" if hour < 24 else "write 1 to 12"
            )
        return hour % 12 + (12 if half == "pm" else 0), minute
