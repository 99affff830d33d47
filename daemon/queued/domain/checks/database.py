"""Checks of the database itself: reached, of the right schema, durable, cleaned up, held up by nobody, with room to grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from queued.domain.checks.verdict import Outcome, Verdict, few, size

#: Seconds: a question and its answer on a healthy network; a clock that is off without harm, and one that misleads people.
SLOW_ANSWER, CLOCK_OFF, CLOCK_WRONG = 0.25, 2.0, 30.0
#: Seconds a transaction may last before it keeps dead rows from being removed for too long.
LONG_TRANSACTION = 300.0
#: A table whose dead rows are more than these and more than its living ones is not cleaned up in time.
DEAD_ROWS = 50_000
#: Bytes of a write-ahead log that nobody could fold back into the database.
LARGE_LOG = 256_000_000
#: Shares of the connections of a server, and of a disk, from which on there is little and too little room.
FULL, ALMOST_FULL = 0.95, 0.85


@dataclass(frozen=True, slots=True)
class Transaction:
    """A transaction that is open: who has it, since how many seconds, and what it does."""

    pid: int
    user: str
    application: str
    address: str
    state: str
    age: float


@dataclass(frozen=True, slots=True)
class TableRows:
    """Living and dead rows of a table, as the server counts them."""

    name: str
    living: int
    dead: int
    autovacuum: bool = True


def reachable(where: str, version: str, seconds: float) -> Verdict:
    """The database answers in good time."""
    looked = f"{where} ({version})"
    found = f"answers in {seconds * 1000:.1f} ms"
    if seconds > SLOW_ANSWER:
        advice = "a claim and an acknowledgement wait so long each: put the database nearer, or see what loads it"
        return Verdict("database.reachable", "warning", looked, found, advice)
    return Verdict("database.reachable", "ok", looked, found)


def unreachable(where: str, error: str) -> Verdict:
    """The database does not answer, or refuses."""
    advice = "start it, or correct its address in queue.yml, QUEUED_DATABASE_URL or --database"
    return Verdict("database.reachable", "problem", where, error, advice)


def schema(fault: str | None, newest: str) -> Verdict:
    """The schema is the one that this release works with."""
    if fault is not None:
        return Verdict("database.schema", "problem", "the migrations applied", fault, "queuectl db migrate")
    return Verdict("database.schema", "ok", "the migrations applied", f"up to date with {newest}")


def durability(settings: Mapping[str, str]) -> Verdict:
    """What has been acknowledged survives a power cut."""
    looked = ", ".join(f"{name} {value}" for name, value in settings.items())
    dangerous = [name for name in ("fsync", "full_page_writes") if settings.get(name) == "off"]
    if dangerous:
        found = f"{' and '.join(dangerous)} off: a power cut may destroy the database"
        return Verdict("database.durability", "problem", looked, found, "set them to on in postgresql.conf, and reload")
    loose = [name for name, value in settings.items() if value.lower() in LOOSE.get(name, ())]
    if loose:
        found = f"{' and '.join(loose)}: a power cut may lose the last jobs that were acknowledged"
        return Verdict(
            "database.durability", "warning", looked, found, "fine if that is meant; else set it to on, or full"
        )
    return Verdict("database.durability", "ok", looked, "what is acknowledged survives a power cut")


#: Values that give up the last moments before a power cut.
LOOSE = {"synchronous_commit": ("off",), "synchronous": ("off", "normal", "0", "1")}


def journal(mode: str, log_bytes: int, readers: Sequence[str] = ()) -> Verdict:
    """SQLite's write-ahead log is used, and is folded back into the database; `readers` are those who may keep it from that."""
    looked = f"journal_mode {mode}, write-ahead log of {size(log_bytes)}"
    if mode != "wal":
        advice = "put it on a local disk, where queued switches the log on"
        return Verdict("database.journal", "problem", looked, "writers and readers shut each other out", advice)
    if log_bytes > LARGE_LOG:
        who = f": a read transaction is held by {few(list(readers))}" if readers else ""
        advice = "some connection keeps a read transaction open: end it, and the log shrinks at the next checkpoint"
        return Verdict(
            "database.journal", "warning", looked, f"the log is not folded back into the database{who}", advice
        )
    return Verdict("database.journal", "ok", looked, "the log is in use and kept short")


def writer(waited: float | None, holders: Sequence[str]) -> Verdict:
    """SQLite's one writer is let in soon; `waited` seconds, or None when it was not within the busy timeout."""
    looked = "the wait for the write lock"
    if waited is None:
        who = f"held by {few(list(holders))}" if holders else "held by another process"
        advice = "find out what it does in so long a transaction; end it if nobody knows"
        return Verdict("database.writer", "problem", looked, f"no write got through: {who}", advice)
    found = f"{waited * 1000:.0f} ms"
    if waited > 1.0:
        advice = "writers stand in line: look for long write transactions of the application"
        return Verdict("database.writer", "warning", looked, found, advice)
    return Verdict("database.writer", "ok", looked, found)


def transactions(open_ones: Sequence[Transaction]) -> Verdict:
    """Nobody keeps a transaction open so long that dead rows cannot be removed."""
    looked = f"transactions open for more than {LONG_TRANSACTION / 60:.0f} minutes"
    long = sorted(open_ones, key=lambda one: -one.age)
    if not long:
        return Verdict("database.transactions", "ok", looked, "none")
    told = []
    for one in long:
        who = f"pid {one.pid}" if one.pid else "prepared"
        where = f" at {one.address}" if one.address else ""
        name = one.application or "no name"
        told.append(f"{who} of {one.user} ({name}{where}), {one.state}, for {one.age / 60:.0f} min")
    end = f"SELECT pg_terminate_backend({long[0].pid})" if long[0].pid else f"ROLLBACK PREPARED '{long[0].application}'"
    advice = f"they keep dead rows from being removed, and every claim slows down: {end}"
    return Verdict("database.transactions", "warning", looked, few(told, 3), advice)


def vacuum(enabled: bool, tables: Sequence[TableRows]) -> Verdict:
    """Dead rows are removed as fast as they arise."""
    looked = f"autovacuum {'on' if enabled else 'off'}, dead rows of {len(tables)} tables"
    off = [table.name for table in tables if not table.autovacuum]
    if not enabled or off:
        found = "autovacuum is off" if not enabled else f"autovacuum is off for {few(off)}"
        advice = "switch it on: tables whose rows come and go slow down within hours without it"
        return Verdict("database.vacuum", "problem", looked, found, advice)
    bad = [table for table in tables if table.dead > max(DEAD_ROWS, table.living)]
    if bad:
        told = [f"{table.name} has {table.dead} dead rows beside {table.living}" for table in bad]
        advice = "see database.transactions; else give autovacuum more to spend (autovacuum_vacuum_cost_limit)"
        return Verdict("database.vacuum", "warning", looked, few(told), advice)
    return Verdict("database.vacuum", "ok", looked, f"{sum(table.dead for table in tables)} dead rows in all")


def connections(used: int, allowed: int, actors: int, threads: int) -> Verdict:
    """The server has room: one connection for each actor, however many threads it has, and one for each thread that runs jobs.

    The second is a guess: jobs that use the same server open one each, if nothing pools them.
    """
    looked = f"{used} of {allowed} connections in use; queued has {actors} processes with {threads} threads for jobs"
    share = used / max(1, allowed)
    advice = "raise max_connections, or put a pooler before the application (queued itself needs one for each process)"
    if share >= FULL:
        return Verdict("database.connections", "problem", looked, "hardly any is left", advice)
    if share >= ALMOST_FULL:
        return Verdict("database.connections", "warning", looked, "few are left", advice)
    if threads > allowed - used:
        found = f"{allowed - used} are left, fewer than threads that may each open one for a job"
        return Verdict("database.connections", "warning", looked, found, f"fewer threads, or: {advice}")
    return Verdict("database.connections", "ok", looked, f"{allowed - used} are left")


def clock(difference: float) -> Verdict:
    """This host and the database agree on the time; `difference` is how many seconds this host is ahead."""
    looked = "the clock of this host against the database's"
    apart = abs(difference)
    found = f"{apart:.1f} s {'ahead' if difference > 0 else 'behind'}" if apart >= 0.05 else "the same"
    if apart > CLOCK_OFF:
        outcome: Outcome = "problem" if apart > CLOCK_WRONG else "warning"
        advice = "set the clock by NTP on both (timedatectl): jobs run by the database's clock, logs are written by the host's"
        return Verdict("database.clock", outcome, looked, found, advice)
    return Verdict("database.clock", "ok", looked, found)


def space(what: str, free: int, total: int, check: str = "database.space") -> Verdict:
    """The disk has room."""
    looked = f"the disk of {what}"
    found = f"{size(free)} of {size(total)} free"
    share = 1 - free / max(1, total)
    advice = "make room: a full disk stops every enqueue (queuectl db prune, queuectl db size)"
    if share >= FULL:
        return Verdict(check, "problem", looked, found, advice)
    if share >= ALMOST_FULL:
        return Verdict(check, "warning", looked, found, advice)
    return Verdict(check, "ok", looked, found)
