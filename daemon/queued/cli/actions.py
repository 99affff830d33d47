"""queuectl jobs retry, dispatch, discard and cancel: on ids, or on everything that a query matches."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queued.cli import exits
from queued.cli.database import Target, target
from queued.cli.jobs import query_of
from queued.cli.options import Command
from queued.cli.output import say, say_json, warn
from queued.cli.progress import Bar
from queued.domain.insights import Count
from queued.domain.jobs import State

if TYPE_CHECKING:
    from queued.domain.query import Query
    from queued.storage.operators import Acted

#: Above this many jobs the outcome is told in numbers, not job by job.
TELL_EACH = 20


@dataclass(frozen=True, slots=True)
class Action:
    """What can be done to jobs. `states` are those it works on; `otherwise` says of the others why not."""

    name: str
    description: str
    done: str
    states: tuple[State, ...]
    otherwise: dict[State, str]
    #: What it is done to, as the command line says it.
    noun: str = "jobs"


ENDED: dict[State, str] = dict.fromkeys(("finished", "discarded", "cancelled"), "it has ended")
ACTIONS: tuple[Action, ...] = (
    Action(
        "retry",
        "make failed jobs ready again, with a new start for their limits",
        "ready again",
        ("failed",),
        {
            "ready": "it is ready already",
            "scheduled": "it is scheduled and runs when it is due; to have it run now: queuectl jobs dispatch",
            "blocked": "it waits for a slot of its limit (queuectl jobs show)",
            "running": "it runs at this moment",
            **ENDED,
        },
    ),
    Action(
        "dispatch",
        "have scheduled jobs run now, those that wait for a retry too",
        "dispatched",
        ("scheduled",),
        {
            "ready": "it is ready already",
            "scheduled": "it waits for the turn of its rate (queuectl jobs show)",
            "blocked": "it waits for a slot of its limit (queuectl jobs show)",
            "running": "it runs at this moment",
            "failed": "it has failed; use queuectl jobs retry",
            **ENDED,
        },
    ),
    Action(
        "discard",
        "give up ready, scheduled, blocked and failed jobs: they will not run",
        "discarded",
        ("ready", "scheduled", "blocked", "failed"),
        {"running": "it runs at this moment; use queuectl jobs cancel", **ENDED},
    ),
    Action(
        "cancel",
        "end ready, scheduled and blocked jobs at once, and ask running ones to end",
        "cancelled",
        ("ready", "scheduled", "blocked", "running"),
        {"failed": "it has failed; use queuectl jobs discard", **ENDED},
    ),
)

#: What `queuectl queues clear` does to each queue.
CLEAR = Action(
    "clear",
    "give up all jobs of a queue that have not started and have not failed",
    "discarded",
    ("ready", "scheduled", "blocked"),
    {},
    noun="queues",
)


def runner(action: Action) -> Command:
    """The function that runs one action."""
    return lambda arguments: run(action, arguments)


def run(action: Action, arguments: argparse.Namespace) -> int:
    """Act on the ids given, or on what the query matches after asking."""
    words = dict.fromkeys(arguments.words)
    ids = [int(word) for word in words if _is_id(word)]
    options = any(getattr(arguments, name) is not None for name in ("state", "queue", "class_name", "since"))
    chosen_by_query = options or len(ids) < len(words)
    if bool(ids) == chosen_by_query or not all(0 < job_id < 2**63 for job_id in ids):
        warn(f"queuectl jobs {action.name}: give either ids or a query such as queue:mail class:*Import*, and not both")
        return exits.USAGE
    if chosen_by_query:
        query = query_of(arguments, arguments.words)
        if not query.terms or not all(word.strip() for word in arguments.words):
            # Most likely a shell's variable that is not set, and then far more jobs would match than are meant.
            warn(
                f"queuectl jobs {action.name}: an empty query, or an empty word in one, is refused: it would match all jobs; "
                f"for all of one state write state:{action.states[0]}"
            )
            return exits.USAGE
        if query.states and not set(query.states) & set(action.states):
            why = "; ".join(f"state:{state}: {reason(action, state)}" for state in query.states)
            warn(f"queuectl jobs {action.name}: is for {', '.join(action.states)} jobs; {why}")
            return exits.USAGE
        return act_on(action, query, arguments)
    with target(arguments) as database:
        if arguments.dry_run:
            return tell_plan(action, ids, arguments.json)
        acted = act(database, action, ids, " ".join(map(str, ids)), from_start(arguments))
    tell(action, acted, arguments.json)
    return verdict(acted)


def act_on(action: Action, query: Query, arguments: argparse.Namespace) -> int:
    """Act on everything that a query matches, after asking."""
    with target(arguments) as database:
        ids = chosen(database, action, query)
        if arguments.dry_run:
            return tell_plan(action, ids, arguments.json)
        if ids and not arguments.yes and not confirmed(action, len(ids)):
            return exits.FAILED
        acted = act(database, action, ids, str(query), from_start(arguments))
    tell(action, acted, arguments.json)
    # What the query matched and has moved on since does not match any more: no failure.
    return exits.OK


def from_start(arguments: argparse.Namespace) -> bool:
    """Whether what the jobs have done so far is forgotten; only a retry can be told so."""
    return bool(getattr(arguments, "from_start", False))


def _is_id(word: str) -> bool:
    return word.isascii() and word.isdigit()


def chosen(database: Target, action: Action, query: Query) -> list[int]:
    """The ids of the jobs that match at this moment, in the states that the action works on: jobs that come later are not meant."""
    from queued.storage import search

    bar = Bar("matching", None)
    # A job that moved between two reads may have been seen in both.
    ids: set[int] = set()
    with database.store.reading() as session:
        for state in action.states:
            for job_id in search.matching(session, query.with_state(state)):
                ids.add(job_id)
                bar.reach(len(ids))
    bar.clear()
    return sorted(ids)


def confirmed(action: Action, number: int) -> bool:
    """Whether a person agrees; without one, --yes must."""
    jobs = Count(number).of_jobs()
    if not sys.stdin.isatty():
        warn(f"matching: {jobs}; give --yes to {action.name} them, or --dry-run to see them")
        return False
    sys.stderr.write(f"{action.name} {jobs}? [y/N] ")
    sys.stderr.flush()
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


def act(database: Target, action: Action, ids: Sequence[int], meant: str, anew: bool) -> Acted:
    """Do it, some hundred jobs a transaction; what is done stays done if a later one fails. `meant` is for the record."""
    from queued.cli.who import operator
    from queued.storage import operators
    from queued.storage.audit import Record

    store = database.store
    record = Record(operator(), f"{action.noun} {action.name}", meant)
    total = operators.Acted()
    step: Callable[..., Acted] = {
        "retry": operators.retry_from_start if anew else operators.retry,
        "dispatch": operators.dispatch,
        "discard": operators.discard,
        "clear": operators.discard,
        "cancel": operators.cancel_waiting,
    }[action.name]
    bar = Bar(action.name, len(ids))
    for start in range(0, len(ids), operators.BATCH):
        bar.reach(start)
        with store.transaction() as session:
            acted = step(session, ids[start : start + operators.BATCH])
            record.note(session, len(acted.done))
        store.ring(acted.arrivals)
        if action.name == "cancel":
            for job_id in [job_id for job_id, state in acted.refused.items() if state == "running"]:
                del acted.refused[job_id]
                with store.transaction() as session:
                    one = operators.cancel_one(session, job_id)
                    record.note(session, len(one.done) + len(one.interrupted))
                if one.interrupted:
                    store.control(f"cancel {job_id}")
                acted.add(one)
        total.add(acted)
    bar.clear()
    return total


def verdict(acted: Acted) -> int:
    """The exit code for an action on ids: a part done is FAILED, nothing done says why."""
    if not acted.refused and not acted.missing:
        return exits.OK
    if acted.done or acted.interrupted or (acted.refused and acted.missing):
        return exits.FAILED
    return exits.REFUSED if acted.refused else exits.UNKNOWN


def tell(action: Action, acted: Acted, json: bool) -> None:
    """Say what became of the jobs: each of a few, numbers of many."""
    if json:
        say_json(as_json(action, acted))
        return
    if len(acted.done) + len(acted.interrupted) > TELL_EACH:
        say(f"{Count(len(acted.done)).of_jobs()} {action.done}")
        if acted.interrupted:
            say(f"{Count(len(acted.interrupted)).of_jobs('running')} asked to end")
    else:
        for job_id in acted.done:
            say(f"job {job_id}: {action.done}")
        for job_id in acted.interrupted:
            say(f"job {job_id}: runs, and was asked to end; it is cancelled within seconds")
    for job_id in acted.missing:
        warn(f"job {job_id}: there is no such job")
    if len(acted.refused) > TELL_EACH:
        for state, number in Counter(acted.refused.values()).items():
            warn(f"{Count(number).of_jobs()} left as they are, each because {reason(action, state)}")
    else:
        for job_id, state in acted.refused.items():
            warn(f"job {job_id}: left as it is: {reason(action, state)}")
    if not (acted.done or acted.interrupted or acted.missing or acted.refused):
        say("no job matches")


def reason(action: Action, state: State) -> str:
    """Why a job in this state was left alone."""
    return action.otherwise.get(state, f"it moved while this was done and is {state} now; try again")


def tell_plan(action: Action, ids: Sequence[int], json: bool) -> int:
    """Say what would be done."""
    if json:
        say_json({"action": action.name, "dry_run": True, "would": list(ids)})
    else:
        some = ", ".join(map(str, ids[:TELL_EACH])) + (", …" if len(ids) > TELL_EACH else "")
        say(f"would {action.name} {Count(len(ids)).of_jobs()}{f': {some}' if ids else ''}")
    return exits.OK


def as_json(action: Action, acted: Acted) -> dict[str, object]:
    """The documented object of an action."""
    return {
        "action": action.name,
        "done": acted.done,
        "interrupted": acted.interrupted,
        "refused": [
            {"id": job_id, "state": state, "reason": reason(action, state)} for job_id, state in acted.refused.items()
        ],
        "missing": acted.missing,
    }
