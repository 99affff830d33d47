"""What the exit codes mean, and which error ends a program with which."""

from __future__ import annotations

from queued.domain.errors import (
    ConfigurationError,
    DatabaseMisconfigured,
    DatabaseUnavailable,
    NotAllowed,
    QueryError,
    QueuedError,
    SchemaTooNew,
    UnknownId,
)


class UsageError(ConfigurationError):
    """What the command line gives cannot be used, as told only when it was looked at."""


OK = 0
FAILED = 1
USAGE = 2
UNHEALTHY = 3
UNKNOWN = 4
REFUSED = 5
UNAVAILABLE = 69
INTERNAL = 70
CONFIGURATION = 78
INTERRUPTED = 130

#: What each program may exit with. The manual pages say the same; a test holds them to it.
QUEUED_EXITS: dict[int, str] = {
    OK: "done; for start, stopped as asked",
    FAILED: "something failed, and the message says what; for start, parts of the daemon had to be killed",
    USAGE: "the command line is wrong",
    UNAVAILABLE: "the database cannot be reached; start waits 30 seconds for it, and ends so when its SQLite file was replaced",
    INTERNAL: "internal error; for start, a part of the daemon hung and could not be killed",
    CONFIGURATION: "the configuration, the database's settings or its schema must be corrected by a person",
    INTERRUPTED: "interrupted from the keyboard",
}
QUEUECTL_EXITS: dict[int, str] = {
    OK: "done; for status, healthy",
    FAILED: "something failed, or an action succeeded for a part of the jobs",
    USAGE: "the command line is wrong",
    UNHEALTHY: "status: something keeps jobs from running; doctor: there is a problem; heartbeat: none, or none young enough",
    UNKNOWN: "there is no such job, batch or recurring task",
    REFUSED: "the state of the job or task does not allow the action",
    UNAVAILABLE: "the database cannot be reached",
    INTERNAL: "internal error",
    CONFIGURATION: "the configuration, the database's settings or its schema must be corrected by a person",
    INTERRUPTED: "interrupted from the keyboard",
}

_CODES: tuple[tuple[type[QueuedError], int], ...] = (
    (UsageError, USAGE),
    (ConfigurationError, CONFIGURATION),
    (DatabaseMisconfigured, CONFIGURATION),
    (SchemaTooNew, CONFIGURATION),
    (DatabaseUnavailable, UNAVAILABLE),
    (UnknownId, UNKNOWN),
    (NotAllowed, REFUSED),
    (QueryError, USAGE),
)


def code_of(error: QueuedError) -> int:
    """The exit code for an error that ends the program."""
    return next((code for kind, code in _CODES if isinstance(error, kind)), FAILED)
