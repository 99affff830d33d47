"""A sentence such as `every weekday at five pm in Asia/Tokyo` is read, phrase by phrase, in any order."""

from __future__ import annotations

from difflib import get_close_matches

from queued.domain.schedule.clocks import Clocks
from queued.domain.schedule.errors import ScheduleError
from queued.domain.schedule.saying import Saying
from queued.domain.schedule.tokens import Token
from queued.domain.schedule.words import DAYS, EVERYTHING, LISTING, NUMBERS, ORDINALS, RANGING

_EXAMPLE = "write words such as `every 5 minutes` or `every day at 17:00`, or a cron line such as `0 17 * * *`"


class Phrases(Clocks):
    """Reads tokens from left to right into a Saying."""

    def __init__(self, tokens: list[Token]) -> None:
        super().__init__(tokens)
        self.said = Saying()
        self.every_seen = False

    def read(self) -> Saying:
        """Everything that the sentence says."""
        while self.more():
            if self.accept(LISTING):
                continue
            if self.accept({"every"}):
                self.every()
            elif self.accept({"at"}):
                self.at()
            elif self.accept({"from"}):
                self.from_()
            elif self.accept({"starting"}):
                self.accept({"at", "on", "from", "with"})
                self.starting()
            elif self.accept({"on"}):
                self.on()
            elif self.accept({"in"}):
                self.zone()
            elif not self.hours():
                self.stray()
        return self.said

    def every(self) -> None:
        """`every 5 minutes`, `every monday and friday`, `every 1st of the month`."""
        if self.every_seen:
            raise ScheduleError("it says `every` twice", "write it once, and the rest with `on` and `at`")
        self.every_seen = True
        if self.days_of_the_month() or self.weekdays():
            return
        if not self.more():
            raise ScheduleError("it does not say every what", "write `every 5 minutes` or `every day`")
        counted = self.peek().kind == "number" or self.low() in NUMBERS
        self.said.count = self.number() if counted else 1
        unit = self.unit()
        if unit is None:
            found = f"{self.peek().text!r}" if self.more() else "nothing"
            raise ScheduleError(f"{found} after `every` is not a period", self.guess() or "write `every 5 minutes`")
        if self.said.count == 0:
            raise ScheduleError("it counts 0", f"write `every {unit}` or a larger number")
        self.said.unit = unit

    def at(self) -> None:
        """`at 5 pm and 11`, `at noon`, `at minute 12`, `at second 10 and 40`."""
        self.accept({"the"})
        if not self.numbered_units() and not self.hours(bare=True):
            raise ScheduleError(
                f"{self.found()} after `at` is not a time", "write `at 17:00`, `at 5 pm` or `every hour at minute 12`"
            )

    def from_(self) -> None:
        """`from Monday to Friday`, `from the 25th to the last`, `from 8am to 5pm`, `from minute 10`."""
        if self.unit_ahead():
            self.starting()
        elif not self.weekdays() and not self.monthdays() and not self.hours(bare=True):
            raise ScheduleError(
                f"{self.found()} after `from` begins nothing", "write `from 8am to 5pm` or `from Mon to Fri`"
            )

    def starting(self) -> None:
        """`starting at minute 1`."""
        unit = self.unit()
        if unit is None or not self.more() or self.peek().kind != "number":
            raise ScheduleError(
                "it does not say where to start", "write `starting at minute 1` or `starting at hour 8`"
            )
        self.said.start = (unit, self.number())

    def on(self) -> None:
        """`on monday`, `on the 1st and last`, `on day 2 and 5`, `on the hour`, `on minute 10`, `on America/Bogota`."""
        if self.numbered_units() or self.weekdays():
            return
        index = self.index
        self.accept({"the"})
        if self.low() in ("hour", "minute") and self.said.pace is None:
            self.said.pace = self.take().low
            return
        self.index = index
        if not self.monthdays():
            self.zone()

    def numbered_units(self) -> bool:
        """`minute 10 and 30`, `secs 5`, `days 1,15`."""
        if not self.unit_ahead():
            return False
        unit = self.unit()
        if unit == "day":
            self.said.monthdays += [str(day) for day in self.numbers("day of the month", 1, 31)]
        elif unit == "minute":
            self.said.minutes += self.numbers("minute", 0, 59)
        elif unit == "second":
            self.said.seconds += self.numbers("second", 0, 59)
        else:
            raise ScheduleError(f"a number of a {unit} says nothing", "write times such as `at 8:00 and 17:00`")
        return True

    def weekdays(self) -> bool:
        """`monday`, `Mon,Tue,Wed`, `mon-thu`, `weekday`."""
        if self.accept({"weekday", "weekdays"}):
            self.said.weekdays.append((1, 5))
            return True
        return self.listed(self.weekday)

    def weekday(self) -> bool:
        """One weekday, or a range of them."""
        if self.low() not in DAYS:
            return False
        first = last = DAYS[self.take().low]
        index = self.index
        if self.accept(RANGING):
            if self.low() in DAYS:
                last = DAYS[self.take().low]
            else:
                self.index = index
        self.said.weekdays.append((first, last))
        return True

    def days_of_the_month(self) -> bool:
        """`1st and last of the month`: ordinals that say so. `second` alone is a unit."""
        index = self.index
        if self.monthdays() and self.of_the_month:
            return True
        self.index = index
        self.said.monthdays.clear()
        return False

    def monthdays(self) -> bool:
        """`the 1st and last`, `the 25th to the last`, each perhaps `of the month`."""
        found = self.listed(self.monthday)
        self.of_the_month = False
        index = self.index
        if found and self.accept({"day", "days"}) and self.low() != "of":
            self.index = index
        if found and self.low() == "of":
            self.take()
            self.accept({"the", "every", "each"})
            self.of_the_month = self.low() in ("month", "months")
            if not self.of_the_month:
                raise ScheduleError(f"{self.found()} after `of` is not the month", "write `of the month`")
            self.take()
        return found

    def monthday(self) -> bool:
        first = self.ordinal()
        if first is None:
            return False
        index = self.index
        if self.accept(RANGING):
            last = self.ordinal()
            if last is not None:
                self.said.monthdays.append(f"{first}-{last}")
                return True
            self.index = index
        self.said.monthdays.append(first)
        return True

    def ordinal(self) -> str | None:
        """A day of the month as cron writes it: `1st`, `the twenty-first`, `last`."""
        index = self.index
        self.accept({"the"})
        if self.more() and self.peek().kind == "ordinal":
            day = self.take().text[:-2]
            if not 1 <= int(day) <= 31:
                raise ScheduleError(f"no month has a day {day}", "write 1st to 31st, or last")
            return str(int(day))
        for length in (3, 2, 1):
            words = "".join(token.low for token in self.tokens[self.index : self.index + length])
            joined = words if "-" in words else "-".join(t.low for t in self.tokens[self.index : self.index + length])
            if joined in ORDINALS:
                self.index += length
                return ORDINALS[joined]
        self.index = index
        return None

    def hours(self, bare: bool = False) -> bool:
        """Times of the day, or a range of them. A number alone is an hour after `at` and `from` only."""
        first = self.time(bare)
        if first is None:
            return False
        if self.accept(RANGING):
            last = self.time(bare=True)
            if last is None:
                raise ScheduleError(f"{self.found()} is not the end of a range of hours", "write `8am to 5pm`")
            if self.said.span is not None:
                raise ScheduleError("it has two ranges of hours", "make a recurring task of each")
            self.said.span = (first, last)
            return True
        self.said.times.append(first)
        index = self.index
        while self.accept_many(LISTING):
            following = self.time(bare=True)
            if following is None:
                self.index = index
                break
            self.said.times.append(following)
            index = self.index
        return True

    def zone(self) -> None:
        """The word that must be a zone."""
        if not self.more() or self.peek().kind not in ("zone", "word"):
            raise ScheduleError(f"{self.found()} is not a time zone", "write `in Europe/Rome`, or leave it out")
        if self.said.zone is not None:
            raise ScheduleError("it names two time zones", "write one")
        self.said.zone = self.take().text

    def stray(self) -> None:
        """A word outside every phrase: a zone, or a mistake."""
        token = self.peek()
        close = self.guess()
        if token.kind == "zone" or (token.kind == "word" and token.text[0].isupper() and not close):
            self.zone()
        elif self.weekdays():
            raise ScheduleError(f"{token.text!r} stands alone", f"write `every {token.text}` or `on {token.text}`")
        elif self.monthdays():
            raise ScheduleError(f"{token.text!r} stands alone", f"write `every {token.text} of the month`")
        else:
            raise ScheduleError(f"{token.text!r} has no meaning here", close or _EXAMPLE)

    def guess(self) -> str | None:
        """The known word that the next one resembles."""
        if not self.more() or self.peek().kind != "word" or self.low() in EVERYTHING or len(self.low()) < 3:
            return None
        near = get_close_matches(self.low(), sorted(EVERYTHING), 1, 0.75)
        return f"write `{near[0]}`" if near else None
