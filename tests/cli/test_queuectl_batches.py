"""queuectl batches: which there are, how far they are, and what became of one."""

from __future__ import annotations

from cli.conftest import Hand, Program
from queued.domain.batches import NewBatch, stored_callback
from queued.domain.jobs import NewJob
from queued.storage.store import Store


def opened(store: Store, count: int, description: str | None = None) -> tuple[int, list[int]]:
    """A batch of so many jobs: its id and theirs."""
    batch = NewBatch(description, '{"month":5}', on_finish=stored_callback(NewJob("app.report")))
    stored = store.submit([NewJob("app.work", batch=-1) for _ in range(count)], [batch])
    return stored.batches[-1], stored.ids


def test_the_list_shows_progress_and_the_newest_first(ctl: Program, store: Store, worker: Hand) -> None:
    older, members = opened(store, 3, "Invoices\nof May")
    worker.fail(members[0])
    newer, _ = opened(store, 0)
    told = ctl("batches", "list")
    assert told.status == 0
    header, first, second = told.out.splitlines()
    assert header.split() == ["ID", "STATE", "PROGRESS", "DONE", "FAILED", "DISCARDED", "OPENED", "DESCRIPTION"]
    assert first.split()[:6] == [str(newer), "finished", "0/0", "0", "0", "0"]
    assert second.split()[:6] == [str(older), "open", "1/3", "0", "1", "0"]
    assert "Invoices" in second
    assert [one["id"] for one in ctl("batches", "list", "--unfinished", "--json").json["batches"]] == [older]


def test_the_list_comes_in_pages(ctl: Program, store: Store) -> None:
    ids = [opened(store, 1)[0] for _ in range(3)]
    page = ctl("batches", "list", "--limit", 2, "--json").json
    assert [one["id"] for one in page["batches"]] == [ids[2], ids[1]]
    assert page["next_before"] == ids[1]
    rest = ctl("batches", "list", "--before", ids[1], "--json").json
    assert ([one["id"] for one in rest["batches"]], rest["next_before"]) == ([ids[0]], None)
    assert f"--before {ids[1]}" in ctl("batches", "list", "--limit", 2).err


def test_one_batch_is_shown_with_its_failures_and_what_follows(ctl: Program, store: Store, worker: Hand) -> None:
    batch_id, (failing, waiting) = opened(store, 2, "Invoices")
    worker.fail(failing)
    told = ctl("batches", "show", batch_id)
    assert told.status == 0
    for text in ("1/2", "1 failed", '{"month":5}', "app.report", f"job {failing}", f"job {waiting}", "jobs show"):
        assert text in told.out
    shown = ctl("batches", "show", batch_id, "--json").json
    assert (shown["state"], shown["metadata"], shown["callbacks"]) == (
        "open",
        {"month": 5},
        {"on_finish": "app.report"},
    )
    assert (shown["failures"], shown["outstanding"]) == ([failing], [waiting])
    assert ctl("jobs", "discard", waiting).status == 0
    assert ctl("batches", "show", batch_id, "--json").json["state"] == "failed"


def test_an_unknown_batch_and_none_at_all_are_said_in_words(ctl: Program, store: Store) -> None:
    told = ctl("batches", "show", 4711)
    assert told.status == 4
    assert "there is no batch 4711" in told.err
    none = ctl("batches", "list")
    assert (none.status, none.out) == (0, "")
    assert "there are no batches" in none.err


def test_the_list_is_a_tree_and_a_batch_shows_those_around_and_inside_it(ctl: Program, store: Store) -> None:
    new = [NewBatch("year"), NewBatch("May", number=-2, parent=-1), NewBatch("week 20", number=-3, parent=-2)]
    opened_ids = store.submit([NewJob("app.work", batch=-3)], new).batches
    year, may, week = (opened_ids[number] for number in (-1, -2, -3))
    other, _ = opened(store, 1, "other")
    lines = ctl("batches", "list").out.splitlines()[1:]
    assert [line.split()[0] for line in lines] == [str(other), str(year), "└", "└"]
    assert [
        line.rstrip().endswith(text)
        for line, text in zip(lines[1:], ("  year", "    May", "      week 20"), strict=True)
    ]
    told = ctl("batches", "list", "--json").json["batches"]
    assert [(one["id"], one["parent"], one["total"]) for one in told[1:]] == [
        (year, None, 1),
        (may, year, 1),
        (week, may, 1),
    ]
    page = ctl("batches", "list", "--limit", 1, "--json").json
    assert ([one["id"] for one in page["batches"]], page["next_before"]) == ([other], other)
    shown = ctl("batches", "show", may)
    assert f"Parent: batch {year}" in shown.out
    assert f"Inside: batch {week}, open, 0/1: week 20" in shown.out
    assert [one["id"] for one in ctl("batches", "show", may, "--json").json["inside"]] == [week]
