"""Jobs in a process's hands, and every way out of them. Each is fenced by (job id, lease): a stale word touches nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from queued.domain.jobs import CUT, CUTS, RATED, Arrival, Failure, Outcome
from queued.storage import checkpoints, ready, ties
from queued.storage import jobs as jobs_table
from queued.storage.session import Row, Session, listed

#: The retry policy under which crashes are counted.
CRASH_POLICY = "crash"
#: That of an attempt which was cut short because its runner was killed for another job.
NEIGHBOUR_POLICY = "neighbour"
#: How the end of a job is called in the table `finished`.
END_STATES = {"done": "finished", "discarded": "discarded", "cancelled": "cancelled"}
#: What stands in place of those where nothing is to be left of a job.
DELETED = "deleted"


@dataclass(slots=True)
class Report:
    """What came of a batch of outcomes. `arrivals` are to be announced after the commit."""

    #: Leases that were no longer valid: those outcomes were refused and nothing of them is stored.
    stale: list[Outcome] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)


@dataclass(slots=True)
class Recovered:
    """What came of the claims of a process that is gone."""

    #: Ids of jobs that were running and will run again.
    crashed: list[int] = field(default_factory=list)
    #: Ids of jobs that were running and have crashed too often: now failed.
    failed: list[int] = field(default_factory=list)
    #: Ids of jobs that had not started, or whose process was stopped on purpose: ready again, untouched.
    released: list[int] = field(default_factory=list)
    #: Ids of jobs whose cancellation had been asked for: now cancelled.
    cancelled: list[int] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Worker:
    """Who reports: kept with each failed attempt."""

    hostname: str
    process_name: str


def finish_plain(session: Session, ends: Sequence[tuple[int, int, str, float, float]]) -> set[tuple[int, int]]:
    """End attempts of jobs without ties that leave nothing else to be stored: one statement. (job id, lease) of stale ones.

    Each is (job id, lease, one of `END_STATES`' values or `DELETED`, seconds that it ran, seconds since its end).
    """
    statement = "claimed.finish_or_delete" if any(end[2] == DELETED for end in ends) else "claimed.finish_plain"
    names = ("ids", "leases", "states", "durations", "ended_agos")
    rows = session.tuples(statement, **listed(session.dialect, ends, *names), count=len(ends))
    return {(job_id, lease) for job_id, lease in rows}


def finish(session: Session, outcomes: Sequence[Outcome], worker: Worker) -> Report:
    """Store how attempts ended, each with the jobs it enqueues at its finish.

    An outcome whose lease is no longer valid is refused whole and returned as stale.
    """
    report, moves = end(session, outcomes, worker)
    report.arrivals += ties.settle(session, moves).arrivals
    return report


def end(session: Session, outcomes: Sequence[Outcome], worker: Worker) -> tuple[Report, ties.Moves]:
    """As `finish`, but the ties of the jobs are still to be settled: for a transaction that moves others too."""
    report, moves = Report(), ties.Moves()
    # Before the claims are gone: a checkpoint counts while its lease holds.
    checkpoints.save(session, [outcome.checkpoint for outcome in outcomes if outcome.checkpoint is not None])
    _end(session, [outcome for outcome in outcomes if outcome.kind in END_STATES], worker, report, moves)
    released = [outcome for outcome in outcomes if outcome.kind == "released"]
    if released:
        kept = _release(session, [(outcome.job_id, outcome.lease) for outcome in released], report.arrivals, moves)
        _trace(session, [outcome for outcome in released if outcome.job_id in kept], kept, worker)
        report.stale += [outcome for outcome in released if outcome.job_id not in kept]
    for outcome in outcomes:
        if outcome.kind in {"failed", "retry"}:
            _fail_or_retry(session, outcome, worker, report, moves)
    stale = {(outcome.job_id, outcome.lease) for outcome in report.stale}
    enqueued = [job for outcome in outcomes if (outcome.job_id, outcome.lease) not in stale for job in outcome.enqueue]
    written = jobs_table.write(session, enqueued)
    report.arrivals += written.arrivals
    moves.entrants += written.moves.entrants
    moves.over += written.moves.over
    moves.sizes |= written.moves.sizes
    return report, moves


def _end(session: Session, outcomes: Sequence[Outcome], worker: Worker, report: Report, moves: ties.Moves) -> None:
    _delete(session, [outcome for outcome in outcomes if not outcome.kept], report, moves)
    outcomes = [outcome for outcome in outcomes if outcome.kept]
    if not outcomes:
        return
    ends = [(o.job_id, o.lease, END_STATES[o.kind], float(o.duration), float(o.ended_ago)) for o in outcomes]
    names = ("ids", "leases", "states", "durations", "ended_agos")
    ended = session.all("claimed.finish", **listed(session.dialect, ends, *names))
    attempts = {row["job_id"]: row["attempt"] for row in ended}
    tied = [row["job_id"] for row in ended if row["ties"]]
    if tied:
        done = {outcome.job_id for outcome in outcomes if outcome.kind == "done"}
        moves.over += tied
        moves.done += [job_id for job_id in tied if job_id in done]
    for outcome in outcomes:
        if outcome.job_id not in attempts:
            report.stale.append(outcome)
        elif outcome.failure is not None:
            _record(session, outcome.job_id, attempts[outcome.job_id], outcome.failure, outcome, worker, None)


def _delete(session: Session, outcomes: Sequence[Outcome], report: Report, moves: ties.Moves) -> None:
    """Leave nothing of jobs that are done. Their ties are settled as those of others: nothing there asks for the job itself."""
    if not outcomes:
        return
    ends = [(o.job_id, o.lease, DELETED, float(o.duration), float(o.ended_ago)) for o in outcomes]
    stale = finish_plain(session, ends)
    tied = [outcome.job_id for outcome in outcomes if outcome.ties and (outcome.job_id, outcome.lease) not in stale]
    moves.over += tied
    moves.done += tied
    report.stale += [outcome for outcome in outcomes if (outcome.job_id, outcome.lease) in stale]


def _fail_or_retry(session: Session, outcome: Outcome, worker: Worker, report: Report, moves: ties.Moves) -> None:
    claim = session.one("claimed.take", job_id=outcome.job_id, lease=outcome.lease)
    if claim is None:
        report.stale.append(outcome)
        return
    failure = outcome.failure or Failure("queued.JobFailed", "the attempt failed and gave no reason")
    _record(session, outcome.job_id, claim["attempt"], failure, outcome, worker, outcome.policy)
    if outcome.kind == "failed":
        _put_failed(session, claim, failure, moves)
        return
    queue = outcome.queue or claim["queue"]
    priority = claim["priority"] if outcome.priority is None else outcome.priority
    attempt = claim["attempt"] + 1
    if (
        outcome.wait > 0 or claim["ties"] & RATED
    ):  # a further start needs a further turn, and asks for it when it is due
        session.run(
            "scheduled.put",
            job_id=outcome.job_id,
            queue=queue,
            priority=priority,
            attempt=attempt,
            ties=claim["ties"],
            wait=float(outcome.wait),
        )
        if claim["ties"]:
            moves.left.append(outcome.job_id)
        report.arrivals.append(Arrival("", 0, 0))
    else:
        seq = ready.put(session, outcome.job_id, queue, priority, attempt, claim["ties"])
        report.arrivals.append(Arrival(queue, priority, seq))
    ties.waits_again(moves, outcome.job_id, claim["ties"])


def _trace(session: Session, outcomes: Sequence[Outcome], seqs: Mapping[int, int], worker: Worker) -> None:
    """Remember which attempts were cut short; most jobs that are given back had not started, and leave no trace.

    `seqs` are the places in `ready` that they have now.
    """
    for outcome in outcomes:
        if outcome.policy == NEIGHBOUR_POLICY:
            session.run("ready.cut", seq=seqs[outcome.job_id], cut=CUT, cuts=CUTS)
        if outcome.failure is not None:
            session.run(
                "attempts.interrupt",
                job_id=outcome.job_id,
                reason=outcome.failure.message,
                attempt=outcome.attempt,
                hostname=worker.hostname,
                process_name=worker.process_name,
                ended_ago=float(outcome.ended_ago),
            )


def release(session: Session, claims: Sequence[tuple[int, int]], arrivals: list[Arrival]) -> set[int]:
    """Give claims back to ready, untouched: same attempt, no blame. The ids that were still ours."""
    moves = ties.Moves()
    released = _release(session, claims, arrivals, moves)
    arrivals += ties.settle(session, moves).arrivals
    return set(released)


def _release(
    session: Session, claims: Sequence[tuple[int, int]], arrivals: list[Arrival], moves: ties.Moves
) -> dict[int, int]:
    """The ids that were still ours, each with its seq in `ready`."""
    if not claims:
        return {}
    rows = session.all("claimed.release", **listed(session.dialect, claims, "ids", "leases"))
    arrivals += [Arrival(row["queue"], row["priority"], row["seq"]) for row in rows]
    for row in rows:
        ties.waits_again(moves, row["job_id"], row["ties"])
    return {row["job_id"]: row["seq"] for row in rows}


def crash(
    session: Session, claims: Sequence[tuple[int, int]], reason: str, crash_limit: int, worker: Worker
) -> Recovered:
    """The process that ran these claims died: each attempt failed as JobCrashed, and is run again up to the limit."""
    recovered, moves = Recovered(), ties.Moves()
    for job_id, lease in claims:
        claim = session.one("claimed.take", job_id=job_id, lease=lease)
        if claim is not None:
            _crash_one(session, claim, reason, crash_limit, worker, recovered, moves)
    recovered.arrivals += ties.settle(session, moves).arrivals
    return recovered


def recover(
    session: Session,
    process_id: int,
    running: Mapping[int, int] | None,
    reason: str,
    crash_limit: int,
    hostname: str,
    process_name: str,
    moves: ties.Moves | None = None,
) -> Recovered:
    """Settle the claims of a process that is gone, and delete its row.

    `running` maps the ids of the jobs that were running to their leases; None means that nobody knows, and then the jobs
    that the process had reported as started count as running. Those crashed; the others are ready again, untouched.
    Idempotent: what another process has settled already is not there any more. `moves` are those of `end` in this transaction.
    """
    worker = Worker(hostname, process_name)
    recovered, moves = Recovered(), moves or ties.Moves()
    untouched: list[tuple[int, int]] = []
    for claim in session.all("claimed.of_process", process_id=process_id):
        known = claim["started_at"] is not None if running is None else running.get(claim["job_id"]) == claim["lease"]
        if claim["cancel_at"] is not None:
            taken = session.one("claimed.take", job_id=claim["job_id"], lease=claim["lease"])
            if taken is not None:
                session.run("finished.put", state="cancelled", **_ended(claim))
                if claim["ties"]:
                    moves.over.append(claim["job_id"])
                recovered.cancelled.append(claim["job_id"])
        elif known:
            taken = session.one("claimed.take", job_id=claim["job_id"], lease=claim["lease"])
            if taken is not None:
                _crash_one(session, taken, reason, crash_limit, worker, recovered, moves)
        else:
            untouched.append((claim["job_id"], claim["lease"]))
    recovered.released += sorted(_release(session, untouched, recovered.arrivals, moves))
    session.run("processes.delete", process_id=process_id)
    recovered.arrivals += ties.settle(session, moves).arrivals
    return recovered


def orphans(session: Session) -> list[int]:
    """Ids of processes that are not registered any more and yet hold claims, for `recover`.

    A claim checks that its process is registered, but on PostgreSQL one that was stopped in the midst of it can commit just
    after the reaper has looked.
    """
    return [row["process_id"] for row in session.all("claimed.orphans")]


def _ended(claim: Row) -> dict[str, object]:
    return {
        "job_id": claim["job_id"],
        "attempt": claim["attempt"],
        "process_id": claim["process_id"],
        "started_at": claim["started_at"],
    }


def _crash_one(
    session: Session,
    claim: Row,
    reason: str,
    crash_limit: int,
    worker: Worker,
    recovered: Recovered,
    moves: ties.Moves,
) -> None:
    job_id = claim["job_id"]
    failure = Failure("queued.JobCrashed", reason)
    outcome = Outcome(job_id, claim["lease"], "failed")
    _record(session, job_id, claim["attempt"], failure, outcome, worker, CRASH_POLICY, claim["started_at"])
    counted = session.one("attempts.counted", job_id=job_id, policy=CRASH_POLICY)
    assert counted is not None
    if counted["spent"] >= crash_limit:
        times = "once" if crash_limit == 1 else f"{counted['spent']} times"
        _put_failed(
            session,
            claim,
            Failure("queued.JobCrashed", f"{reason} (it has crashed {times}, and crash_limit is {crash_limit})"),
            moves,
        )
        recovered.failed.append(job_id)
    else:
        seq = ready.put(session, job_id, claim["queue"], claim["priority"], claim["attempt"] + 1, claim["ties"])
        recovered.arrivals.append(Arrival(claim["queue"], claim["priority"], seq))
        ties.waits_again(moves, job_id, claim["ties"])
        recovered.crashed.append(job_id)


def _put_failed(session: Session, claim: Row, failure: Failure, moves: ties.Moves) -> None:
    if claim["ties"]:
        moves.failed.append(claim["job_id"])
    session.run(
        "failed.put",
        job_id=claim["job_id"],
        queue=claim["queue"],
        attempt=claim["attempt"],
        ties=claim["ties"],
        error_class=failure.error_class,
        message=failure.message,
        backtrace="\n".join(failure.backtrace),
    )


def _record(
    session: Session,
    job_id: int,
    attempt: int,
    failure: Failure,
    outcome: Outcome,
    worker: Worker,
    policy: str | None,
    started_at: datetime | None = None,
) -> None:
    session.run(
        "attempts.record",
        job_id=job_id,
        attempt=attempt,
        policy=policy,
        error_class=failure.error_class,
        message=failure.message,
        backtrace="\n".join(failure.backtrace),
        hostname=worker.hostname,
        process_name=worker.process_name,
        started_at=started_at,
        duration=float(outcome.duration),
        ended_ago=float(outcome.ended_ago),
    )


def mark_started(session: Session, claims: Sequence[tuple[int, int, float]]) -> None:
    """Say which claims have started, and how many seconds ago: what is known of them if this host is lost."""
    for job_id, lease, ago in claims:
        session.run("claimed.mark_started", job_id=job_id, lease=lease, ago=float(ago))


def held(session: Session, process_id: int) -> set[tuple[int, int]]:
    """The (id, lease) of every job in this process's hands, as the database has it."""
    return {(row["job_id"], row["lease"]) for row in session.all("claimed.held", process_id=process_id)}


def cancellations(session: Session, process_id: int) -> set[tuple[int, int]]:
    """The (id, lease) of this process's claims whose cancellation has been asked for."""
    return {(row["job_id"], row["lease"]) for row in session.all("claimed.cancellations", process_id=process_id)}
