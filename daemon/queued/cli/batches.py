"""queuectl batches: jobs that belong together, how far they are, and what follows them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from queued.cli import exits
from queued.cli.database import reaching, target
from queued.cli.jobs import LIMIT, positive
from queued.cli.listing import Listing
from queued.cli.listing import show as show_list
from queued.cli.options import Subparsers, add_command, subcommands
from queued.cli.output import moment, one_line, relative, say, say_json, style
from queued.domain.errors import UnknownId

if TYPE_CHECKING:
    from queued.storage.batches import BatchSummary


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the noun and its verbs to the program."""
    noun = commands.add_parser("batches", help="list batches of jobs", description="List batches of jobs.")
    verbs = subcommands(noun, "verb")
    listing = add_command(
        verbs,
        "list",
        list_batches,
        "list batches and how far they are, the newest first",
        [common],
        lists=True,
        watched=True,
    )
    listing.add_argument("--unfinished", action="store_true", help="only those that have not finished")
    listing.add_argument("--limit", metavar="N", type=positive, default=LIMIT, help="how many (default %(default)s)")
    listing.add_argument(
        "--before", metavar="ID", type=positive, help="only batches older than this one: the next page"
    )
    one = add_command(verbs, "show", show, "show one batch, its failures, and what follows it", [common])
    one.add_argument("id", metavar="ID", type=positive, help="the batch")


def list_batches(arguments: argparse.Namespace) -> int:
    """Print one page of batches."""
    from queued.storage import batches

    with target(arguments) as database, database.store.reading() as session:
        found = batches.newest(session, arguments.limit + 1, arguments.before, arguments.unfinished)
        shown = found[: arguments.limit]
        below = batches.below(session, [batch.id for batch in shown], arguments.unfinished)
    following = shown[-1].id if len(found) > len(shown) else None
    none = "no batch matches" if arguments.unfinished or arguments.before else "there are no batches"
    footer = "" if shown else none
    if following is not None:
        footer = f"{len(shown)} listed; more: --before {following}"
    if len(below) == batches.BELOW:
        cut = f"of the batches inside these the first {batches.BELOW} are listed; see queuectl batches show"
        footer = f"{cut}\n{footer}" if footer else cut
    listed = tree(shown, below)
    listing = Listing(
        key="batches",
        headers=("ID", "STATE", "PROGRESS", "DONE", "FAILED", "DISCARDED", "OPENED", "DESCRIPTION"),
        rows=[
            (
                "└ " * (depth > 0) + str(batch.id),
                state(batch),
                progress(batch),
                batch.counts.done,
                batch.counts.failed,
                batch.counts.discarded,
                relative(batch.opened_at, batch.now),
                "  " * depth + one_line(batch.description or "", 80),
            )
            for batch, depth in listed
        ],
        right=("ID", "PROGRESS", "DONE", "FAILED", "DISCARDED"),
        records=[summary_json(batch) for batch, _ in listed],
        names=[batch.id for batch, _ in listed],
        around={"next_before": following},
        footer=footer,
    )
    return show_list(arguments, listing)


def tree(outermost: Sequence[BatchSummary], below: Sequence[BatchSummary]) -> list[tuple[BatchSummary, int]]:
    """The batches with how deep each lies, those inside one right after it."""
    inside: dict[int | None, list[BatchSummary]] = {}
    for batch in below:
        inside.setdefault(batch.parent, []).append(batch)

    def under(batches: Sequence[BatchSummary], depth: int) -> Iterator[tuple[BatchSummary, int]]:
        for batch in batches:
            yield batch, depth
            yield from under(inside.get(batch.id, ()), depth + 1)

    return list(under(outermost, 0))


def show(arguments: argparse.Namespace) -> int:
    """Print everything known of one batch."""
    from queued.storage import batches

    with target(arguments) as database, database.store.reading() as session:
        batch = batches.find(session, arguments.id)
    if batch is None:
        raise UnknownId(f"there is no batch {arguments.id}: there never was, or it finished long ago and was forgotten")
    if arguments.json:
        inside = [summary_json(child) for child in batch.inside]
        more = {"outstanding": list(batch.outstanding), "callbacks": dict(batch.callbacks), "inside": inside}
        say_json({**summary_json(batch), **more})
    else:
        say("\n".join(lines(batch)))
        if batch.failures:
            say(f"\n→ {reaching(arguments, f'why the first one failed: queuectl jobs show {batch.failures[0]}')}")
    return exits.OK


def lines(batch: BatchSummary) -> list[str]:
    """The text about a batch."""
    counts = batch.counts
    told = [
        ("Description", one_line(batch.description or "–", 500)),
        ("Progress", f"{progress(batch)} of the jobs have ended"),
        ("Ended", f"{counts.done} well, {counts.failed} failed, {counts.discarded} discarded"),
        *([("Parent", f"batch {batch.parent}")] if batch.parent is not None else []),
        ("Opened", f"{moment(batch.opened_at)} ({relative(batch.opened_at, batch.now)})"),
    ]
    if batch.finished_at is not None:
        told.append(("Finished", f"{moment(batch.finished_at)} ({relative(batch.finished_at, batch.now)})"))
    if batch.metadata is not None:
        told.append(("Metadata", one_line(batch.metadata, 2_000)))
    told += [(name.replace("_", " ").capitalize(), one_line(job, 200)) for name, job in batch.callbacks.items()]
    told += [
        (title, _ids(ids, total))
        for title, ids, total in (
            ("Failed", batch.failures, counts.failed),
            ("Outstanding", batch.outstanding, counts.total - counts.ended),
        )
        if ids
    ]
    told += [("Inside", _child(child)) for child in batch.inside]
    colour = "yellow" if batch.finished_at is None else "red" if counts.failed else "green"
    shown = [f"{style('●', colour)} batch {batch.id} – {style(state(batch), 'bold')}"]
    shown += [f"{label:>11}: {text}" for label, text in told]
    return shown


def _child(batch: BatchSummary) -> str:
    description = f": {one_line(batch.description, 200)}" if batch.description else ""
    return f"batch {batch.id}, {state(batch)}, {progress(batch)}{description}"


def _ids(ids: tuple[int, ...], total: int) -> str:
    return ", ".join(f"job {one}" for one in ids) + (", …" if total > len(ids) else "")


def state(batch: BatchSummary) -> str:
    """`open`, or how it finished."""
    if batch.finished_at is None:
        return "open"
    return "failed" if batch.counts.failed else "finished"


def progress(batch: BatchSummary) -> str:
    """How many of its members have ended."""
    return f"{batch.counts.ended}/{batch.counts.total}"


def summary_json(batch: BatchSummary) -> dict[str, Any]:
    """The documented object of one batch."""
    counts = batch.counts
    return {
        "id": batch.id,
        "parent": batch.parent,
        "description": batch.description,
        "state": state(batch),
        "metadata": json.loads(batch.metadata) if batch.metadata is not None else None,
        "total": counts.total,
        "done": counts.done,
        "failed": counts.failed,
        "discarded": counts.discarded,
        "opened_at": batch.opened_at,
        "finished_at": batch.finished_at,
        "failures": list(batch.failures),
    }
