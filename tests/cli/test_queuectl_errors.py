"""queuectl errors: failures of one cause are one line, and can be run again together."""

from __future__ import annotations

import pytest

from cli.conftest import Hand, Program, job, states
from queued.domain.backtraces import fingerprint, place
from queued.domain.query import parse
from queued.storage import failures
from queued.storage.store import Store

LIBRARY = '  File "/srv/venv/lib/python3.12/site-packages/smtp/client.py", line 300, in send'


def trace(line: int, function: str = "deliver") -> tuple[str, ...]:
    return (f'  File "/srv/app/mail.py", line {line}, in {function}', "    client.send(text)", LIBRARY)


def test_failures_of_one_cause_are_one_line(ctl: Program, store: Store, worker: Hand) -> None:
    ids = store.enqueue([job("app.mail") for _ in range(4)] + [job("app.news")])
    for number, job_id in enumerate(ids):
        # A deploy moves lines, a record changes the message, and it is the same error; another function's is another.
        function = "bounce" if number == 3 else "deliver"
        worker.fail(job_id, message=f"refused {number}", backtrace=trace(10 + number, function))
    told = ctl("errors", "--json").json
    assert (told["complete"], told["read"]) == (True, 5)
    first = told["errors"][0]
    assert (first["class"], first["count"], first["message"], first["last_job"]) == ("app.mail", 3, "refused 2", ids[2])
    assert sorted(one["count"] for one in told["errors"]) == [1, 1, 3]
    assert told["errors"][0]["place"] == "/srv/app/mail.py in deliver"
    assert told["errors"][0]["first_failed_at"] <= told["errors"][0]["last_failed_at"]


def test_a_cause_is_run_again_by_its_fingerprint(ctl: Program, store: Store, worker: Hand) -> None:
    mail, news = store.enqueue([job("app.mail"), job("app.news")])
    for job_id in (mail, news):
        worker.fail(job_id, backtrace=trace(10))
    names = ctl("errors", "class:app.mail", "-o", "name").out.split()
    assert names == [fingerprint("app.mail", "app.Broken", trace(99))]
    assert ctl("jobs", "retry", f"fingerprint:{names[0]}", "--yes").status == 0
    assert states(ctl) == {mail: "ready", news: "failed"}


def test_a_query_narrows_the_causes(ctl: Program, store: Store, worker: Hand) -> None:
    (job_id,) = store.enqueue([job(queue="mail", arguments='{"args":[],"kwargs":{"user":7}}')])
    worker.fail(job_id, message="timed out")
    for query, count in (
        ("queue:mail error:timed", 1),
        ("args.user:7", 1),
        ("args.user:8", 0),
        ("state:ready", 0),
        ("since:1h", 1),
    ):
        assert len(ctl("errors", query, "--json").json["errors"]) == count, query
    assert ctl("errors", "queue:other").err == "no failed job matches\n"
    assert ctl("errors", "stat:failed").status == 2


def test_of_too_many_failures_the_newest_are_read_and_that_is_told(
    ctl: Program, store: Store, worker: Hand, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = store.enqueue([job() for _ in range(6)])
    for job_id in ids:
        worker.fail(job_id)
    monkeypatch.setattr(failures, "STRETCH", 2)
    with store.reading() as session:
        found, complete = failures.grouped(session, parse(""), budget=0)
    assert (found.count, complete) == (2, False)
    assert found.listed()[0].job_id == ids[-1]


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (trace(3), "/srv/app/mail.py in deliver"),
        ((LIBRARY,), "/srv/venv/lib/python3.12/site-packages/smtp/client.py in send"),
        (("ValueError: no",), ""),
        ((), ""),
        (('  File "/srv/app/a.py", line 3',), "/srv/app/a.py in ?"),
    ],
)
def test_the_place_is_the_innermost_of_the_application(lines: tuple[str, ...], expected: str) -> None:
    assert place(lines) == expected
