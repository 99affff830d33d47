"""The jobs this process knows, by the name that is stored."""

from __future__ import annotations

import difflib
import importlib
import sys
from typing import TYPE_CHECKING, Any

from queued.domain.errors import ConfigurationError, UnknownJob

if TYPE_CHECKING:
    from queued.client.jobs import Job

_jobs: dict[str, Job[..., Any]] = {}


def register(job: Job[..., Any]) -> None:
    """Make `job` known by its name. Raises `ConfigurationError` when another function has that name already.

    The same function again (a module that is reloaded, or imported both as a script and by name) takes the place of the first.
    """
    known = _jobs.get(job.name)
    if known is not None and _place(known) != _place(job):
        raise ConfigurationError(
            f"two jobs are named {job.name!r}: one at {_place(known)}, one at {_place(job)}; give one of them another name="
        )
    _jobs[job.name] = job


def registered() -> dict[str, Job[..., Any]]:
    """Every job known here, by name."""
    return dict(_jobs)


def find(name: str) -> Job[..., Any]:
    """The job of that name; imports the module it names when it is not known yet. Raises `UnknownJob`."""
    job = _jobs.get(name)
    if job is not None:
        return job
    problem = _import_module_of(name)
    job = _jobs.get(name)
    if job is None:
        raise UnknownJob(_sentence(name, problem)) from problem
    return job


def _import_module_of(name: str) -> Exception | None:
    """Import the longest part of a dotted name that is a module; what went wrong inside it, if it is there but fails."""
    parts = name.split(".")
    for length in range(len(parts) - 1, 0, -1):
        module = ".".join(parts[:length])
        if not all(part.isidentifier() for part in parts[:length]) or module in sys.modules:
            continue
        try:
            importlib.import_module(module)
            return None
        except ModuleNotFoundError as error:
            # Missing itself, or a parent: try a shorter name. Anything else that it misses is its own trouble.
            if error.name is None or not (module == error.name or module.startswith(error.name + ".")):
                return error
        except Exception as error:
            return error
    return None


def _sentence(name: str, problem: Exception | None) -> str:
    near = near_names(name)
    hint = f" Near names: {', '.join(near)}." if near else " No job is known at all." if not _jobs else ""
    why = f" Its module fails to import: {type(problem).__name__}: {problem}." if problem is not None else ""
    return (
        f"no job is named {name!r} here.{why}{hint} Check that its module is listed under `app: import:` in queue.yml; whether "
        "the daemon runs older code than whoever enqueued it (reload it: kill -HUP, or systemctl reload); and "
        "whether a deploy renamed or removed it: @queued.job(name=...) keeps an old name."
    )


def near_names(name: str) -> list[str]:
    """Up to five registered names that resemble `name`, or whose last part does."""
    near = difflib.get_close_matches(name, _jobs, n=5, cutoff=0.75)
    last = name.rpartition(".")[2]
    by_last = {known.rpartition(".")[2]: known for known in sorted(_jobs)}
    near += [by_last[match] for match in difflib.get_close_matches(last, by_last, n=5, cutoff=0.7)]
    return list(dict.fromkeys(near))[:5]


def _place(job: Job[..., Any]) -> str:
    code = getattr(job.function, "__code__", None)
    return f"{code.co_filename}:{code.co_firstlineno}" if code is not None else repr(job.function)
