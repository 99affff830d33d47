"""Checks of the daemon's processes on all hosts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from queued.domain.checks.verdict import Verdict, few
from queued.domain.insights import Count, ProcessInfo


def silent(known: Sequence[ProcessInfo]) -> Verdict:
    """Every registered process has been heard of lately."""
    looked = f"the heartbeats of {len(known)} processes"
    dead = [process for process in known if not process.alive]
    if dead:
        told = [
            f"{one.name} (pid {one.pid} on {one.hostname}, {'ended' if one.gone else f'{one.heartbeat_age:.0f} s'})"
            for one in dead
        ]
        advice = (
            "a living supervisor gives their jobs back within seconds; if none lives, start the daemon: queued start"
        )
        return Verdict("processes.heartbeats", "problem", looked, f"silent: {few(told)}", advice)
    if not known:
        return Verdict("processes.heartbeats", "ok", looked, "no process is registered")
    oldest = max(process.heartbeat_age for process in known)
    return Verdict("processes.heartbeats", "ok", looked, f"the oldest is {oldest:.0f} s old")


def crew(known: Sequence[ProcessInfo], waiting: Count, scheduled: Count, tasks: int) -> Verdict:
    """For what is to be done there is a living process of the kind that does it."""
    alive = [process.kind for process in known if process.alive]
    counts = {kind: alive.count(kind) for kind in ("supervisor", "worker", "dispatcher", "scheduler")}
    looked = "living processes: " + ", ".join(f"{kind} {number}" for kind, number in counts.items())
    wanted = [("worker", waiting.value, waiting.of_jobs("ready"))]
    wanted += [("dispatcher", scheduled.value, scheduled.of_jobs("scheduled"))]
    wanted += [("scheduler", tasks, f"{tasks} recurring task{'' if tasks == 1 else 's'}")]
    missing = [(kind, told) for kind, number, told in wanted if number and not counts[kind]]
    if missing:
        found = "; ".join(f"no {kind} for {told}" for kind, told in missing)
        advice = (
            "the daemon runs: give it these in queue.yml, or see in its log why they do not start"
            if counts["supervisor"]
            else "start the daemon: queued start"
        )
        return Verdict("processes.crew", "problem", looked, found, advice)
    if not counts["supervisor"]:
        return Verdict("processes.crew", "warning", looked, "no daemon runs", "start it: queued start")
    return Verdict("processes.crew", "ok", looked, "all that is needed is there")


def orphans(claims: Count, processes: int) -> Verdict:
    """Every running job belongs to a process that is registered."""
    looked = "running jobs and who holds them"
    if claims.value:
        found = (
            f"{claims.of_jobs('running')} held by {processes} process{'' if processes == 1 else 'es'} that nobody knows"
        )
        advice = "a living dispatcher or supervisor settles them within a minute; if they stay, start the daemon: queued start"
        return Verdict("processes.orphans", "problem", looked, found, advice)
    return Verdict("processes.orphans", "ok", looked, "each is held by a registered process")


def applications(known: Sequence[ProcessInfo]) -> Verdict:
    """Every supervisor could load its application."""
    told = [(one, *(one.application or ("", None))) for one in known if one.alive and one.application]
    looked = f"the applications of {len(told)} supervisor{'' if len(told) == 1 else 's'}"
    bad = [f"{state} on {one.hostname}: {error or 'no reason told'}" for one, state, error in told if state in BROKEN]
    if bad:
        advice = "correct it, then reload or restart the daemon; its log has the whole error"
        return Verdict("processes.application", "problem", looked, few(bad, 3), advice)
    return Verdict(
        "processes.application", "ok", looked, "all are loaded" if told else "none is supervised at this moment"
    )


#: What a supervisor says of an application that cannot be loaded.
BROKEN = frozenset({"FATAL", "BACKOFF"})


def roles(known: Sequence[ProcessInfo]) -> Verdict:
    """No jobs run on a host whose role is web: nobody is to work there."""
    looked = "the roles of supervisors and what runs on their hosts"
    alive = [one for one in known if one.alive]
    web = {one.name: one for one in alive if _role(one.metadata) == "web"}
    hosts = {one.hostname for one in web.values()}
    busy = [one for one in alive if one.kind in {"worker", "dispatcher", "scheduler"}]
    own = [f"{one.kind} {one.name} on {one.hostname}" for one in busy if one.supervisor in web]
    if own:
        advice = "take them out of that role in queue.yml, or run the daemon with the role worker"
        return Verdict("processes.roles", "problem", looked, f"the role web has started {few(own)}", advice)
    beside = sorted({one.hostname for one in busy if one.hostname in hosts})
    if beside:
        found = f"another daemon runs jobs on {few(beside)}, whose role is web"
        advice = "fine where one machine does everything; else stop and disable it there: systemctl disable --now queued@worker"
        return Verdict("processes.roles", "warning", looked, found, advice)
    return Verdict("processes.roles", "ok", looked, "nobody works where the role is web")


def _role(metadata: Mapping[str, object]) -> str:
    return str(metadata.get("role") or "")
