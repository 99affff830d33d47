"""The fields of a query: what each takes and means. Parsing, completion and the manual read this table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

#: A state's name, a text with `*` and `?`, a text looked for inside another, a whole number, a moment.
Kind = Literal["state", "pattern", "part", "number", "moment"]


@dataclass(frozen=True, slots=True)
class Field:
    """One field. Its help completes "jobs ..."."""

    name: str
    kind: Kind
    help: str


FIELDS: dict[str, Field] = {
    field.name: field
    for field in (
        Field("state", "state", "in this state"),
        Field("queue", "pattern", "of this queue; * and ? match any characters and any one"),
        Field("class", "pattern", "of this class; * and ? as above"),
        Field("error", "part", "that failed with this in the error's class or message, upper and lower case alike"),
        Field("fingerprint", "pattern", "that failed in the group of this fingerprint (queuectl errors)"),
        Field("args", "part", "with this in their stored arguments; args.NAME, args.NAME.KEY, args.0: with this value"),
        Field("id", "number", "with this id: 42, 10..20, >100"),
        Field("priority", "number", "with this priority: 0, <0, >=5"),
        Field("attempt", "number", "in this attempt: 1, >3"),
        Field("since", "moment", "in their state since then or later: 2h, 1d, 2026-01-31T08:00"),
        Field("until", "moment", "in their state since before then"),
    )
}

#: The orders that an index carries, each with the one state that it is for; None for any.
SORTS: dict[str, str | None] = {"-id": None, "-failed_at": "failed", "run_at": "scheduled"}
