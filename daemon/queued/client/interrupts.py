"""What is raised inside a running job that has to end: too long, no longer wanted, or the worker stops."""

from __future__ import annotations

from queued.domain.errors import JobCancelled, JobTimedOut


class JobInterrupted(BaseException):
    """The worker stops and the job had its time to finish. It goes back to ready and runs again, without blame.

    No `Exception`, so that a job's own `except Exception` does not take a deploy for an error of its work.
    """


_BY_REASON: dict[str, type[BaseException]] = {
    "timeout": JobTimedOut,
    "cancel": JobCancelled,
    "stop": JobInterrupted,
}


def soft_exception(reason: str) -> type[BaseException]:
    """The exception for a reason of the runner's: `timeout`, `cancel` or `stop`; any other counts as a stop."""
    return _BY_REASON.get(reason, JobInterrupted)


def message_for(reason: str) -> str:
    """One sentence for an exception that was raised without any."""
    return {
        "timeout": "the job ran longer than its timeout",
        "cancel": "the job was cancelled while it ran",
    }.get(reason, "the worker stopped before the job had finished")
