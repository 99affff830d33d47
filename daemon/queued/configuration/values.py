"""From the text of a scalar to the value of a setting. Pure; every refusal says what to write."""

from __future__ import annotations

import re
from dataclasses import replace
from difflib import get_close_matches

from queued.configuration.addresses import url_fault
from queued.configuration.document import Scalar
from queued.domain.endpoints import parse as endpoint
from queued.domain.settings import FOREVER, Setting

TRUE = frozenset({"true", "yes", "on"})
FALSE = frozenset({"false", "no", "off"})

INTEGER = re.compile(r"[+-]?(0|[1-9][0-9_]{0,19})")
NUMBER = re.compile(r"[+-]?[0-9]{1,15}(\.[0-9]{1,15})?")
NAME = re.compile(r"[a-z_][a-z0-9_]{0,62}")
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
PART = r"([0-9]{1,12}(?:\.[0-9]{1,9})?)\s*(ms|[a-z]+?)s?"
DURATION = re.compile(rf"(?:{PART}(?:\s*,?\s*(?:and\s+)?)?)+", re.I)

#: Seconds. Months and years are left out: nobody knows how long they are.
UNITS = {
    "ms": 0.001,
    "millisecond": 0.001,
    "s": 1.0,
    "sec": 1.0,
    "second": 1.0,
    "m": 60.0,
    "min": 60.0,
    "minute": 60.0,
    "h": 3600.0,
    "hour": 3600.0,
    "d": 86400.0,
    "day": 86400.0,
    "w": 604800.0,
    "week": 604800.0,
}


class WrongValueError(Exception):
    """A value that a setting cannot have. The message says why, and what to write."""


def convert(setting: Setting, scalar: Scalar) -> object:
    """The value that the scalar gives the setting; raises WrongValueError."""
    if setting.kind == "integer":
        return integer(setting, scalar)
    if setting.kind == "seconds":
        return seconds(setting, scalar)
    if setting.kind == "retention":
        if scalar.text.strip().lower() in {"never", "forever"}:
            return None
        return seconds(setting, scalar)
    if setting.kind == "flag":
        return flag(scalar)
    if setting.kind == "choice":
        return choice(setting, scalar.text)
    if setting.kind == "zone":
        return zone(scalar)
    if setting.kind in ("endpoint", "file"):
        return outlet(setting, scalar)
    if setting.kind == "name":
        if not NAME.fullmatch(scalar.text):
            raise WrongValueError(
                f"{shown(scalar.text)} is not a name; write up to 63 of a-z, 0-9 and _, no digit first"
            )
        return scalar.text
    if setting.kind == "url":
        wrong = text_fault(scalar.text) or url_fault(scalar.text)
        if wrong:
            raise WrongValueError(wrong)
        return scalar.text
    return text(scalar, printable=setting.kind != "path")


def integer(setting: Setting, scalar: Scalar) -> int:
    """A whole number within the setting's limits."""
    _number_not_text(scalar)
    if not INTEGER.fullmatch(scalar.text):
        raise WrongValueError(f"{shown(scalar.text)} is not a whole number; write {setting.type}")
    number = int(scalar.text)
    _within(setting, number, scalar.text, "a whole number")
    return number


def seconds(setting: Setting, scalar: Scalar) -> float:
    """A length of time in seconds, from a number of them or from words such as `2 hours 30 minutes`."""
    written = scalar.text.strip()
    if NUMBER.fullmatch(written):
        _number_not_text(scalar)
        length = float(written)
    else:
        length = duration(written)
    if setting.kind == "retention":
        setting = replace(setting, minimum=0.0, maximum=FOREVER)
    _within(setting, length, written, "never, or seconds" if setting.kind == "retention" else "seconds")
    return length


def duration(written: str) -> float:
    """The seconds of `1 day`, `12 hours`, `1h 30m`, `500 ms`; raises WrongValueError."""
    if len(written) > 100 or not DURATION.fullmatch(written):
        raise WrongValueError(
            f'{shown(written)} is not a length of time; write seconds, or text such as "12 hours" or "1 day"'
        )
    total = 0.0
    for amount, unit in re.findall(PART + r"(?![a-z])", written, re.I):
        name = unit.lower()
        if name not in UNITS:
            near = get_close_matches(name, UNITS, 1)
            hint = f"did you mean {near[0]}?" if near else "write ms, seconds, minutes, hours, days or weeks"
            raise WrongValueError(f"{shown(written)} has the unit {shown(unit)}, which is not one; {hint}")
        total += float(amount) * UNITS[name]
    return total


def zone(scalar: Scalar) -> str:
    """The name of a time zone, or an offset such as +02:00."""
    # Imported here: schedules cost more than the rest of a plain command's start, and most files name no zone.
    from queued.domain.schedule.errors import ScheduleError
    from queued.domain.schedule.zones import find_zone

    try:
        find_zone(scalar.text.strip())
    except ScheduleError as error:
        raise WrongValueError(str(error)) from None
    return scalar.text.strip()


def outlet(setting: Setting, scalar: Scalar) -> str | None:
    """Where something is told: the path of a file, or an address that can be listened on; None for off."""
    written = text(scalar, printable=False).strip()
    if written.lower() in FALSE | {"none"}:
        return None
    if setting.kind == "file":
        if not written.endswith(".prom"):
            raise WrongValueError(
                f"{shown(written)} does not end in .prom, and other files are passed over; write one that does"
            )
        return written
    try:
        endpoint(written)
    except ValueError as wrong:
        raise WrongValueError(f"{shown(written)} {wrong}") from None
    return written


def flag(scalar: Scalar) -> bool:
    """true or false, as YAML has it."""
    word = scalar.text.strip().lower()
    if word in TRUE:
        return True
    if word in FALSE:
        return False
    raise WrongValueError(f"{shown(scalar.text)} is neither true nor false; write one of them")


def choice(setting: Setting, written: str) -> str:
    """One of the setting's words."""
    word = written.strip().lower()
    if word in setting.choices:
        return word
    near = get_close_matches(word, setting.choices, 1)
    hint = f"did you mean {near[0]}?" if near else f"write {setting.type}"
    raise WrongValueError(f"{shown(written)} is not one of {', '.join(setting.choices)}; {hint}")


def text(scalar: Scalar, *, printable: bool = True) -> str:
    """Any text that is not empty."""
    wrong = text_fault(scalar.text)
    if wrong is None and not scalar.text.strip():
        wrong = "is empty; write a text, or remove the key"
    if wrong is None and printable and CONTROL.search(scalar.text):
        wrong = f"{shown(scalar.text)} holds control characters; remove them"
    if wrong:
        raise WrongValueError(wrong)
    return scalar.text


def module(scalar: Scalar) -> str:
    """The name of a module, as in an import statement."""
    name = scalar.text.strip()
    if MODULE.fullmatch(name):
        return name
    guess = name.removesuffix(".py").strip("./").replace("/", ".").replace("-", "_")
    hint = f"write {guess}" if MODULE.fullmatch(guess) else "write package.module"
    raise WrongValueError(f"{shown(name)} is not the name of a module; {hint}")


def text_fault(written: str) -> str | None:
    """Why no operating system and no database would take the text."""
    if "\0" in written:
        return "holds a NUL character; remove it"
    try:
        written.encode()
    except UnicodeEncodeError:
        return "holds bytes or half characters that are not UTF-8; correct it"
    return None


def shown(value: str) -> str:
    """The value as a message shows it: quoted, printable and short."""
    return (
        ascii(value[:57] + "...") if len(value) > 60 else (repr(value) if text_fault(value) is None else ascii(value))
    )


def _number_not_text(scalar: Scalar) -> None:
    # A quoted variable has its quotes because YAML's flow style needs them; the value is still a number.
    if scalar.quoted and not scalar.expanded and NUMBER.fullmatch(scalar.text.strip()):
        raise WrongValueError(f"{shown(scalar.text)} is text; write {scalar.text.strip()} without quotes")


def _within(setting: Setting, number: float, written: str, unit: str) -> None:
    if setting.minimum is not None and number < setting.minimum:
        raise WrongValueError(f"{written} is too small; write {unit} from {setting.minimum:.12g}")
    if setting.maximum is not None and number > setting.maximum:
        raise WrongValueError(f"{written} is too large; write {unit} up to {setting.maximum:.12g}")
