"""Writes docs/api.md from the docstrings of what `import queued` offers; the tests check that it is up to date.

PYTHONPATH=daemon python3 scripts/write_api_page.py
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import queued
from queued import testing

PAGE = Path(__file__).resolve().parent.parent / "docs/api.md"
HEAD = """# What `import queued` offers

Made from the docstrings by `scripts/write_api_page.py`. How it all goes together is in the [README](../README.md) and in
[With Django, Flask and FastAPI](applications.md).
"""
#: Headings, and the names below each in the order in which they are needed.
SECTIONS = {
    "Jobs": "job Job UnsentJob EnqueuedJob enqueue_many aenqueue_many enqueue_after_commit configure",
    "When an attempt fails": "retry_on discard_on",
    "Limits, rates, unique jobs": ("limits_concurrency ConcurrencyLimit rate_limit RateLimit unique UniqueJob"),
    "While a job runs": "current_job CurrentJob step Step progress context current_context set_context",
    "Batches": "batch Batch CurrentBatch",
    "Recurring tasks": (
        "schedule_recurring_task update_recurring_task unschedule_recurring_task pause_recurring_task resume_recurring_task "
        "run_recurring_task"
    ),
    "Callbacks of all jobs": (
        "before_enqueue around_enqueue after_enqueue before_perform around_perform after_perform after_discard Abort"
    ),
    "Hooks of the daemon": (
        "on_start on_stop on_exit on_worker_start on_worker_stop on_worker_exit on_dispatcher_start on_dispatcher_stop "
        "on_dispatcher_exit on_scheduler_start on_scheduler_stop on_scheduler_exit"
    ),
    "Arguments of your own types, and traces": "register_converter trace",
    "Errors": (
        "QueuedError EnqueueError ArgumentError NotUnique BatchFinished ConfigurationError DatabaseError DatabaseUnavailable "
        "DatabaseMisconfigured SchemaTooNew JobFailed JobTimedOut JobCancelled JobCrashed JobInterrupted ProgramFailed UnknownJob "
        "UnknownId NotAllowed StepError StepsChanged"
    ),
}
#: What a test needs of `queued.testing`.
TESTING = "collect Collection CollectedJob assert_enqueued drain inline"


def page() -> str:
    """The whole page."""
    parts = [HEAD]
    for heading, names in SECTIONS.items():
        parts.append(f"## {heading}\n")
        parts += [text for name in names.split() for text in _entry(f"queued.{name}", getattr(queued, name), 3)]
    parts.append("## `queued.testing`\n")
    parts.append(f"{inspect.getdoc(testing)}\n")
    parts += [text for name in TESTING.split() for text in _entry(f"queued.testing.{name}", getattr(testing, name), 3)]
    return "\n".join(parts)


def _entry(name: str, thing: Any, level: int) -> Iterator[str]:
    """A heading, the signature, the docstring, and the same of the public methods of a class that is no error."""
    a_class = inspect.isclass(thing)
    yield f"{'#' * level} `{name}`\n"
    if not a_class:
        yield f"```python\n{name}{_signature(thing)}\n```\n"
    told = inspect.getdoc(thing)
    if told and thing.__doc__:
        yield f"{told}\n"
    if not a_class or issubclass(thing, BaseException):
        return
    last = name.rpartition(".")[2]
    for member, value in vars(thing).items():
        function = value.fget if isinstance(value, property) else value
        if member.startswith("_") or not inspect.isfunction(function) or not function.__doc__:
            continue
        yield from (
            _entry(f"{last}.{member}", function, level + 1) if function is value else _property(last, member, function)
        )


def _property(owner: str, name: str, function: Any) -> Iterator[str]:
    yield f"#### `{owner}.{name}`\n"
    yield f"{inspect.getdoc(function)}\n"


def _signature(function: Any) -> str:
    """The parameters as they are called, without `self` and the quotes of annotations that are evaluated late."""
    signature = inspect.signature(function)
    parameters = []
    for parameter in signature.parameters.values():
        if parameter.name == "self":
            continue
        annotation = parameter.annotation
        kept = annotation.strip("'\"") if isinstance(annotation, str) else annotation
        parameters.append(parameter.replace(annotation=kept))
    told = str(signature.replace(parameters=parameters, return_annotation=inspect.Signature.empty))
    for parameter in parameters:
        if isinstance(parameter.annotation, str):
            told = told.replace(f": {parameter.annotation!r}", f": {parameter.annotation}")
    return told


if __name__ == "__main__":
    PAGE.write_text(page())
    sys.stdout.write(f"{PAGE} is written\n")
