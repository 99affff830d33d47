"""Workers, dispatchers and scheduler: from what a section or a role says to what is started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from queued.configuration.document import one_line
from queued.configuration.reading import BROKEN, Reader, Tree
from queued.domain.settings import (
    ACTORS,
    DispatcherSettings,
    RecurringTaskSettings,
    SchedulerSettings,
    WorkerSettings,
)

T = TypeVar("T")

#: More threads than this are nearly always a mistake: they share one interpreter.
MANY_THREADS = 100


@dataclass(frozen=True, slots=True)
class Actors:
    """What one supervisor runs."""

    workers: tuple[WorkerSettings, ...] = ()
    dispatchers: tuple[DispatcherSettings, ...] = ()
    scheduler: SchedulerSettings | None = None
    #: The tasks that stand under dispatchers.
    tasks: tuple[RecurringTaskSettings, ...] = ()
    #: What a role says of metrics, which wins over what its section says.
    metrics: Tree = field(default_factory=dict)


def actors(reader: Reader, tree: Tree, role: str | None, named: bool = False, lacking: str | None = None) -> Actors:
    """The actors of the section, or of the role when one is chosen. Every role is checked, chosen or not.

    `named`: the file is that of one instance. A role, and such a file, may say with `workers: []` that nobody works there.
    `lacking`: the file that an instance does not have, so that it is a role.
    """
    roles = tree.get("roles", {})
    built: dict[str, Actors] = {}
    if roles is not BROKEN:
        for name, set_ in roles.items():
            built[name] = _set(reader, set_, f"roles.{name}.")
    own = _set(reader, tree, "")
    chosen = any(key in tree for key in ACTORS)
    if role is not None:
        if roles is BROKEN:
            return own
        if role not in built:
            there = f"there are: {', '.join(built)}" if built else "the section names none; write it below roles:"
            if lacking is None:
                reader.notes.refuse("--role", f'there is no role "{role}"; {there}')
            else:
                reader.notes.refuse(
                    "--instance", f'there is neither a file {one_line(lacking)} nor a role "{role}"; {there}'
                )
            return own
        own, chosen = built[role], True
    elif roles and roles is not BROKEN and not chosen:
        reader.notes.problem(
            reader.lines["roles"], "roles", f"none is chosen; write --role with one of: {', '.join(built)}"
        )
        return own
    if not chosen:
        return Actors(workers=(WorkerSettings(),), dispatchers=(DispatcherSettings(),))
    where = roles[role] if role is not None else tree
    told = any(tree.get("metrics", {}).get(key) or own.metrics.get(key) for key in ("listen", "textfile"))
    idle = (role is not None or named) and where.get("workers") == []
    if not (own.workers or own.dispatchers or own.scheduler or told or idle) and BROKEN not in where.values():
        path = f"roles.{role}" if role is not None else ""
        remedy = "write an entry under workers or dispatchers, or leave both keys out for one of each"
        if role is not None:
            remedy = (
                "write workers, dispatchers, scheduler or metrics below it, or workers: [] if nobody is to work there"
            )
        lines = [line for key, line in reader.lines.items() if key in ACTORS or (path and key.startswith(path))]
        reader.notes.problem(min(lines, default=0), path, f"No processes configured; {remedy}")
    if own.workers and not any("dispatchers" in set_ for set_ in (tree, *({} if roles is BROKEN else roles).values())):
        reader.notes.warn(
            0,
            "dispatchers",
            "is not given, so delayed jobs and retries wait for ever unless another host dispatches; "
            "write dispatchers: [{}], or dispatchers: [] if another host does",
        )
    return own


def _set(reader: Reader, tree: Tree, path: str) -> Actors:
    workers = tree.get("workers", [])
    dispatchers = tree.get("dispatchers", [])
    scheduler = build(SchedulerSettings, tree["scheduler"]) if "scheduler" in tree else None
    zone = (scheduler or SchedulerSettings()).timezone
    tasks: list[RecurringTaskSettings] = []
    for index, item in enumerate([] if dispatchers is BROKEN else dispatchers):
        if "recurring_tasks" in item:
            from queued.configuration import recurring  # dear to import, and an old way to write tasks

            place = f"{path}dispatchers[{index}].recurring_tasks"
            tasks += recurring.from_setting(reader, item["recurring_tasks"], place, zone)
    named: set[object] = set()
    for index, worker in enumerate([] if workers is BROKEN else workers):
        name = worker.get("name")
        if isinstance(name, str) and name in named:
            where = f"{path}workers[{index}].name"
            reader.notes.problem(
                reader.lines.get(where, 0), where, f'"{name}" is the name of another worker too; write another'
            )
        named.add(name)
    return Actors(
        workers=()
        if workers is BROKEN
        else tuple(_worker(reader, worker, f"{path}workers[{index}]") for index, worker in enumerate(workers)),
        dispatchers=() if dispatchers is BROKEN else tuple(build(DispatcherSettings, item) for item in dispatchers),
        scheduler=scheduler,
        tasks=tuple(tasks),
        metrics=tree.get("metrics", {}) if path else {},
    )


def _worker(reader: Reader, tree: Tree, path: str) -> WorkerSettings:
    """One worker. Threads and tasks exclude each other, for a worker's runner has one way of running jobs."""
    named = [key for key in ("threads", "tasks", "fibers") if key in tree]
    if len(named) > 1:
        line = reader.lines.get(f"{path}.{named[-1]}", 0)
        reader.notes.problem(line, f"{path}.{named[-1]}", f"stands beside {named[0]}; keep one of them")
    threads = tree.get("threads")
    if isinstance(threads, int) and threads > MANY_THREADS:
        line = reader.lines.get(f"{path}.threads", 0)
        reader.notes.warn(
            line,
            f"{path}.threads",
            f"{threads} threads share one interpreter; fewer threads and more processes run faster",
        )
    values = {key: value for key, value in tree.items() if key not in ("tasks", "fibers")}
    tasks = tree.get("tasks", tree.get("fibers"))
    if isinstance(tasks, int):
        values |= {"tasks": tasks, "threads": 0}
    return build(WorkerSettings, values)


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """The dataclass with what was said; its defaults for what was not said, or was wrong and is noted."""
    names = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    return cls(**{key: value for key, value in values.items() if key in names and value is not BROKEN})
