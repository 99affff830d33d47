"""queuectl jobs show: one job, what became of it, and what can be done about it."""

from __future__ import annotations

import argparse
import json
from shlex import quote
from typing import Any

from queued.cli import exits
from queued.cli.arguments import call, shown
from queued.cli.database import reaching, target
from queued.cli.output import moment, one_line, printable, relative, say, say_json, span, style, table
from queued.domain.backtraces import folded, has_frames
from queued.domain.failures import title
from queued.domain.insights import JobDetail, LimitInfo, Progress, Steps, UniqueInfo

COLOURS = {
    "failed": "red",
    "running": "green",
    "finished": "green",
    "ready": "yellow",
    "scheduled": "yellow",
    "blocked": "yellow",
}


def show(arguments: argparse.Namespace) -> int:
    """Print everything known of one job."""
    from queued.storage import insights

    with target(arguments) as database, database.store.reading() as session:
        job = insights.job(session, arguments.id, database.threshold)
    next_steps = [reaching(arguments, hint) for hint in hints(job)]
    if arguments.json:
        say_json({**as_json(job), "hints": next_steps})
    else:
        say("\n".join([*lines(job, arguments.full), "", *(f"→ {step}" for step in next_steps)]))
    return exits.OK


def lines(job: JobDetail, full: bool) -> list[str]:
    """The text about a job, without what can be done next."""
    shown = [f"{style('●', COLOURS.get(job.state, 'dim'))} job {job.id} – {style(job.state, 'bold')}"]
    shown += [f"{label:>11}: {text}" for label, text in facts(job)]
    if job.failure is not None:
        said = title(job.failure.error_class, job.failure.message)
        # The last error of a job that has not failed for good may be an old one.
        which = f"Attempt {job.attempts[-1].attempt}: " if job.failed_at is None and job.attempts else ""
        shown += ["", style(printable(f"{which}{said}"), "red")]
        if has_frames(job.failure.backtrace):
            backtrace = job.failure.backtrace if full else folded(job.failure.backtrace)
            shown += [f"  {printable(line)}" for line in backtrace]
    if job.attempts:
        shown += ["", attempts_table(job)]
    return shown


def facts(job: JobDetail) -> list[tuple[str, str]]:
    """What is known, each with its label."""
    paused = f" (paused since {moment(job.queue_paused_at)})" if job.queue_paused_at else ""
    told = [
        ("Class", printable(job.class_name)),
        ("Call", one_line(call(job.class_name, job.arguments), 2_000)),
        ("Queue", f"{printable(job.queue)}{paused}, priority {job.priority}"),
        ("Attempt", str(job.attempt)),
    ]
    if job.task is not None:
        told.insert(0, ("Task", printable(job.task)))
    if job.options:
        told.append(("Options", one_line(job.options, 2_000)))
    moments = (
        ("Enqueued", job.enqueued_at),
        ("Due" if job.state == "scheduled" else "Was due", job.run_at),
        ("Ready", job.ready_at),
        ("Blocked", job.blocked_at),
        ("Claimed", job.claimed_at),
        ("Started", job.started_at),
        ("Cancel asked", job.cancel_at),
        ("Failed", job.failed_at),
        ("Ended", job.finished_at),
    )
    told += [(label, f"{moment(at)} ({relative(at, job.now)})") for label, at in moments if at is not None]
    told += [("Limit", limit_text(limit, job)) for limit in job.limits]
    told += ties(job)
    if job.started_at is not None and job.finished_at is not None:
        told.append(("Ran for", span((job.finished_at - job.started_at).total_seconds())))
    if job.steps is not None:
        told.append(("Steps", one_line(_steps(job.steps), 2_000)))
    if job.progress is not None and job.saved_at is not None:
        told.append(("Progress", f"{one_line(_progress(job.progress), 2_000)} ({relative(job.saved_at, job.now)})"))
    if job.process is not None:
        process = job.process
        dead = "" if process.alive else f", silent for {span(process.heartbeat_age)}"
        told.append(("Process", f"{process.name} (pid {process.pid} on {process.hostname}{dead})"))
    return told


def ties(job: JobDetail) -> list[tuple[str, str]]:
    """What binds the job to others, beside its limits."""
    told = []
    if job.unique is not None:
        told.append(("Unique", unique_text(job.unique, job)))
    if job.rate is not None:
        turn = "; it waits for its turn" if job.rate.has_turn and job.state == "scheduled" else ""
        told.append(("Rate", f"{one_line(job.rate.key, 200)}, {job.rate.starts} in {span(job.rate.period)}{turn}"))
    if job.expires_at is not None:
        told.append(
            ("Expires", f"{moment(job.expires_at)} ({relative(job.expires_at, job.now)}), unless it has started")
        )
    if job.batch is not None:
        told.append(("Batch", f"{job.batch}{'' if job.batch_open else ', which does not count it any more'}"))
    if job.interruptions is not None:
        found = job.interruptions
        times = "once" if found.times == 1 else f"{found.times} times"
        last = f"{moment(found.at)} ({relative(found.at, job.now)}), attempt {found.attempt}"
        where = printable(f"{found.process_name} on {found.hostname}")
        told.append(("Interrupted", f"{times}, last {last} in {where}: {one_line(found.reason, 500)}"))
    return told


def unique_text(unique: UniqueInfo, job: JobDetail) -> str:
    """A unique key: for how long it is held, and whether this job has it."""
    until = {
        "start": "until a worker takes the job",
        "waiting": "while the job waits",
        "finish": "until the job has ended",
        None: "for a period" if unique.expires_at is None else f"until {moment(unique.expires_at)}",
    }[unique.until]
    if unique.holder is None:
        held = "nobody holds it now"
    else:
        held = "held by this job" if unique.holder == job.id else f"held by job {unique.holder}"
    return f"{one_line(unique.key, 200)}, {until}; {held}"


def limit_text(limit: LimitInfo, job: JobDetail) -> str:
    """A limit: who holds it, and whether the job waits for it."""
    others = ", …" if limit.held > len(limit.holders) else ""
    held = (
        f"held by {', '.join(f'job {holder}' for holder in limit.holders)}{others}" if limit.holders else "held by none"
    )
    waits = ""
    if limit.waited_for and job.ahead is not None:
        waits = (
            f"; it waits for this one, {job.ahead.of_jobs()} before it" if job.ahead.value else "; it is next in line"
        )
    return f"{one_line(limit.key, 200)}, {limit.held} of {limit.capacity} {held}{waits}"


def _steps(steps: Steps) -> str:
    parts = [f"{name} finished" for name in steps.finished]
    if steps.current is not None:
        parts.append(f"in {steps.current} at {shown(steps.cursor)}")
    return ", ".join(parts) or "none begun"


def _progress(progress: Progress) -> str:
    of = "" if progress.total is None else f" of {progress.total:.15g}"
    percent = "" if progress.percent is None else f", {progress.percent} %"
    return f"{progress.done:.15g}{of}{percent}" + (f": {progress.message}" if progress.message else "")


def attempts_table(job: JobDetail) -> str:
    """The attempts that did not end well."""
    rows = [
        (
            attempt.attempt if attempt.counted else f"{attempt.attempt}*",
            moment(attempt.ended_at),
            span((attempt.ended_at - attempt.started_at).total_seconds()) if attempt.started_at else None,
            attempt.hostname,
            attempt.process_name,
            title(attempt.error_class, attempt.message),
        )
        for attempt in job.attempts
    ]
    told = table(("ATTEMPT", "ENDED", "RAN FOR", "HOST", "PROCESS", "ERROR"), rows, right=("ATTEMPT",))
    if any(not attempt.counted for attempt in job.attempts):
        told += "\n* before an operator's retry: no longer counts against limits"
    return told


def hints(job: JobDetail) -> list[str]:
    """What an operator can do next."""
    verbs = ("retry", "dispatch", "discard", "cancel")
    retry, dispatch, discard, cancel = (f"queuectl jobs {verb} {job.id}" for verb in verbs)
    match job.state:
        case "failed":
            anew = [f"run it again from its first step: {retry} --from-start"] if job.steps is not None else []
            return [f"once the cause is mended, run it again: {retry}", *anew, f"give it up: {discard}"]
        case "scheduled" if not job.dispatched:
            return [
                "no dispatcher is alive, so it waits also when it is due: write dispatchers: [{}] in queue.yml, "
                "and start or reload the daemon",
                f"to have it run now: {dispatch}",
                f"so that it does not run: {cancel}",
            ]
        case "scheduled" if job.rate is not None and job.rate.has_turn:
            return [f"it runs when its turn comes; so that it does not: {cancel}"]
        case "scheduled":
            return [f"it runs when it is due; to have it run now: {dispatch}", f"so that it does not run: {cancel}"]
        case "running" if job.cancel_at is not None:
            return ["it was asked to end; if it does not, the process that runs it is killed"]
        case "running" if job.process is None or not job.process.alive:
            return ["its process is silent; a living supervisor makes the job ready again or fails it"]
        case "running":
            return [f"end it: {cancel}"]
        case "blocked":
            return [f"it is ready as soon as a slot of its limit is free; so that it does not run: {cancel}"]
        case "ready" if job.queue_paused_at is not None:
            return [f"its queue is paused: queuectl queues resume {quote(job.queue)}"]
        case "ready":
            return [f"it waits for a worker (queuectl status); so that it does not run: {cancel}"]
    return ["it has ended; nothing can be done to it"]


def as_json(job: JobDetail) -> dict[str, Any]:
    """The documented object of `queuectl jobs show --json`, but for its hints."""
    return {
        "id": job.id,
        "class": job.class_name,
        "state": job.state,
        "queue": job.queue,
        "queue_paused_at": job.queue_paused_at,
        "priority": job.priority,
        "attempt": job.attempt,
        "arguments": _parsed(job.arguments),
        "call": call(job.class_name, job.arguments),
        "options": _parsed(job.options),
        "now": job.now,
        "enqueued_at": job.enqueued_at,
        "run_at": job.run_at,
        "ready_at": job.ready_at,
        "blocked_at": job.blocked_at,
        "claimed_at": job.claimed_at,
        "started_at": job.started_at,
        "cancel_at": job.cancel_at,
        "failed_at": job.failed_at,
        "finished_at": job.finished_at,
        "limits": [
            {
                "key": limit.key,
                "to": limit.capacity,
                "held": limit.held,
                "holders": list(limit.holders),
                "waited_for": limit.waited_for,
                "on_conflict": limit.on_conflict,
                "duration": limit.duration,
            }
            for limit in job.limits
        ],
        "ahead": job.ahead.value if job.ahead is not None else None,
        "unique": None
        if job.unique is None
        else {
            "key": job.unique.key,
            "until": job.unique.until,
            "holder": job.unique.holder,
            "expires_at": job.unique.expires_at,
        },
        "rate": None
        if job.rate is None
        else {
            "key": job.rate.key,
            "starts": job.rate.starts,
            "per": job.rate.period,
            "waits_for_turn": job.rate.has_turn,
        },
        "expires_at": job.expires_at,
        "batch": job.batch,
        "task": job.task,
        "interruptions": None
        if job.interruptions is None
        else {
            "times": job.interruptions.times,
            "reason": job.interruptions.reason,
            "attempt": job.interruptions.attempt,
            "hostname": job.interruptions.hostname,
            "process": job.interruptions.process_name,
            "at": job.interruptions.at,
        },
        "process": job.process.name if job.process is not None else None,
        "error": None
        if job.failure is None
        else {
            "class": job.failure.error_class,
            "message": job.failure.message,
            "backtrace": list(job.failure.backtrace),
        },
        "attempts": [
            {
                "attempt": attempt.attempt,
                "error": {
                    "class": attempt.error_class,
                    "message": attempt.message,
                    "backtrace": list(attempt.backtrace),
                },
                "hostname": attempt.hostname,
                "process": attempt.process_name,
                "policy": attempt.policy,
                "started_at": attempt.started_at,
                "ended_at": attempt.ended_at,
                "counted": attempt.counted,
            }
            for attempt in job.attempts
        ],
        "steps": None
        if job.steps is None
        else {"finished": list(job.steps.finished), "current": job.steps.current, "cursor": job.steps.cursor},
        "progress": progress_json(job.progress),
        "saved_at": job.saved_at,
    }


def progress_json(progress: Progress | None) -> dict[str, Any] | None:
    """The documented object of a job's progress, in a list and alone."""
    if progress is None:
        return None
    return {
        "done": progress.done,
        "total": progress.total,
        "percent": progress.percent,
        "message": progress.message,
    }


def _parsed(text: str | None) -> Any:
    """Stored JSON as it is; a text that is none, as text: what is there must be seen."""
    if text is None:
        return None
    try:
        return json.loads(text)
    except ValueError:
        return text
