"""The errors of `queued`.

    QueuedError
    ├── ConfigurationError      a file, an option or the environment is wrong; the daemon exits with 78
    ├── DatabaseError           the database refused or cannot be used
    │   ├── DatabaseUnavailable   it cannot be reached now; trying again may help
    │   │   ├── LockNotAvailable    another transaction has a lock and did not give it up in time
    │   │   └── DatabaseFull        its disk is full: it can be read, and nothing can be written
    │   ├── DatabaseMisconfigured wrong password, no such database, read-only path; trying again will not help
    │   └── SchemaTooNew          a newer release migrated it
    ├── EnqueueError            a job could not be stored
    │   ├── ArgumentError         an argument cannot be stored; names its path
    │   ├── NotUnique             another job holds its unique key
    │   └── BatchFinished         its batch has finished, or is not known
    ├── UnknownJob              no job of that name is registered in the application
    ├── UnknownId               no job, queue or process of that id or name
    ├── NotAllowed              the job's state does not allow the action
    ├── QueryError              a query means nothing; says what was probably meant
    ├── JobFailed               what ends an attempt
    │   ├── JobCrashed            the process that ran the job died
    │   └── JobTimedOut           the job ran longer than its `timeout`
    ├── JobCancelled            somebody cancelled the job while it ran
    └── StepError               a job uses steps in a way that could not be resumed; it fails, and is not retried
        └── StepsChanged          its code has other steps than an earlier attempt of it had

Messages are for people: what is wrong, where, what to do.
"""

from __future__ import annotations


class QueuedError(Exception):
    """Anything that `queued` raises on purpose."""


class ConfigurationError(QueuedError):
    """A configuration that cannot be used. `problems` holds one line for each fault, all of them at once."""

    def __init__(self, problems: str | list[str]) -> None:
        self.problems: list[str] = [problems] if isinstance(problems, str) else list(problems)
        super().__init__("\n".join(self.problems))


class DatabaseError(QueuedError):
    """The database refused, or cannot be used as it is."""


class DatabaseUnavailable(DatabaseError):
    """The database cannot be reached at this moment; the same call may succeed later."""


class LockNotAvailable(DatabaseUnavailable):
    """Another transaction has what this one needs, and did not end in time. The database is there."""


class DatabaseFull(DatabaseUnavailable):
    """The disk of the database is full: it answers questions, and takes nothing in until somebody makes room."""


class DatabaseMisconfigured(DatabaseError):
    """The database is there and says no for good: wrong password, no such database, a path that cannot be written."""


class SchemaTooNew(DatabaseError):
    """The schema belongs to a newer release of `queued` than this one."""


class EnqueueError(QueuedError):
    """A job could not be stored. Nothing of it is left behind."""


class ArgumentError(EnqueueError):
    """An argument cannot be stored. `path` says which, as in `args[0]["when"]`."""

    def __init__(self, path: str, reason: str) -> None:
        self.path = path
        self.reason = reason
        super().__init__(f"{path}: {reason}")


class NotUnique(EnqueueError):
    """Another job holds the unique key, and the job says on_conflict="raise". `job_id` is that of the other."""

    def __init__(self, message: str, job_id: int) -> None:
        self.job_id = job_id
        super().__init__(message)


class BatchFinished(EnqueueError):
    """A job was to join a batch that has finished, or that is not there any more."""


class UnknownJob(QueuedError):
    """No job of that name is registered in the application."""


class UnknownId(QueuedError):
    """There is no job, queue or process of that id or name."""


class NotAllowed(QueuedError):
    """The state of the job does not allow what was asked."""


class QueryError(QueuedError):
    """A text is no query: which word of it, why, and what was probably meant."""


class JobFailed(QueuedError):
    """What ends an attempt that the job's own code did not end."""


class JobCrashed(JobFailed):
    """The process that ran the job died: a signal, an exit, or the kernel's out-of-memory killer."""


class JobTimedOut(JobFailed):
    """The job ran longer than its `timeout`. Raised inside the job first; then the process that runs it is killed."""


class JobCancelled(QueuedError):
    """Somebody cancelled the job while it ran. Raised inside the job first; then the process that runs it is killed."""


class StepError(QueuedError):
    """A job uses steps in a way that could not be resumed. It fails at once: another attempt would end like this one."""


class StepsChanged(StepError):
    """The job's code has other steps than an earlier attempt of the same job had, or returned before it came to them."""
