"""Jobs that are resumed where they were, whatever ended them."""

from __future__ import annotations

import json
import signal
import uuid
from types import ModuleType
from typing import Any

import pytest

from acceptance.conftest import COMBINATIONS, Serve
from acceptance.service import Service, kill

SETTINGS = {"settings": {"shutdown_timeout": 10.0}}
combinations = pytest.mark.parametrize("combination", COMBINATIONS)
#: Seconds between two numbers, and how many a kill may have repeated: those of a tenth of a second, and of the time for
#: which a machine with other things to do kept the worker from storing them.
PAUSE, AGAIN = 0.01, 100


@pytest.fixture
def own(combination: str, serve: Serve, request: pytest.FixtureRequest) -> Service:
    """A daemon of the test's own, to be stopped."""
    database, _, mode = combination.partition("-")
    url = request.getfixturevalue(f"{database}_url")
    return serve(url, mode=mode, settings={"shutdown_timeout": 10.0})


def numbers(service: Service, job: int) -> list[int]:
    """What the job counted, in order, whatever attempt it was."""
    return [entry["number"] for entry in service.ledger.entries("counted", job)]


def cursors(service: Service, job: int) -> list[int]:
    """Where each attempt began to count."""
    return [entry["cursor"] for entry in service.ledger.entries("resumed", job)]


def counted(service: Service, job: int, count: int) -> Any:
    """Wait until the job has counted so far."""
    return service.until(lambda: len(numbers(service, job)) >= count, f"{count} numbers of job {job}")


def once(service: Service, job: int, *events: str) -> None:
    for event in events:
        assert len(service.ledger.entries(event, job)) == 1, f"{event}\n{service.report()}"


def shown(service: Service, job: int) -> Any:
    done = service.daemon.queuectl("jobs", "show", str(job), "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@combinations
def test_a_stop_ends_a_job_at_its_next_checkpoint_and_the_next_daemon_goes_on_there(
    own: Service, work: ModuleType
) -> None:
    job, ajob = own.enqueue(work.walk.bind(150, PAUSE), work.awalk.bind(150, PAUSE))
    counted(own, job, 20)
    counted(own, ajob, 20)
    own.daemon.stop()
    stopped = {one: len(numbers(own, one)) for one in (job, ajob)}
    assert all(20 <= count < 150 for count in stopped.values()), "it ended long before it was done, and not by force"
    assert (own.job(job).state, own.job(job).attempt, own.job(job).attempts) == ("ready", 1, ())
    cut = own.job(job).interruptions
    assert cut is not None
    assert (cut.times, cut.attempt, cut.reason) == (1, 1, "its worker stopped, and it ended when told to")
    own.daemon.start()
    own.wait_all([job, ajob])
    for one in (job, ajob):
        assert numbers(own, one) == list(range(150)), "nothing left out, nothing done twice"
        assert cursors(own, one) == [0, stopped[one]]
        assert own.job(one).attempt == 1
    once(own, job, "opened", "closed")
    assert [entry["error"] for entry in own.ledger.entries("broken", job)] == ["JobInterrupted"]


@combinations
def test_a_deploy_ends_a_job_at_its_next_checkpoint_and_the_new_generation_goes_on_there(
    own: Service, work: ModuleType
) -> None:
    [job] = own.enqueue(work.walk.bind(300, PAUSE))
    counted(own, job, 20)
    own.daemon.signal(signal.SIGHUP)
    own.until(lambda: "Reloaded" in own.daemon.log(), "the end of the reload")
    own.wait(job, timeout=40)
    assert numbers(own, job) == list(range(300)), "nothing left out, nothing done twice"
    first, again = cursors(own, job)
    assert (first, 20 <= again < 300) == (0, True)
    assert own.job(job).attempt == 1
    once(own, job, "opened", "closed")


@combinations
def test_killing_all_of_the_daemon_repeats_no_more_than_the_last_moment(own: Service, work: ModuleType) -> None:
    [job] = own.enqueue(work.walk.bind(200, PAUSE))
    counted(own, job, AGAIN + 10)
    for process in own.daemon.processes():
        kill(process)
    own.daemon.wait()
    before = len(numbers(own, job))
    own.daemon.start()
    own.wait(job)
    again, resumed = numbers(own, job), cursors(own, job)
    assert len(resumed) == 2
    assert before - AGAIN <= resumed[1] <= before
    assert again == [*range(before), *range(resumed[1], 200)]
    once(own, job, "opened", "closed")
    assert own.job(job).attempt == 2


def test_a_killed_runner_repeats_no_more_than_the_last_moment(service: Service, work: ModuleType) -> None:
    [job] = service.enqueue(work.walk.bind(200, PAUSE))
    runner = service.started(job)
    counted(service, job, AGAIN + 10)
    kill(runner, signal.SIGKILL)
    found = service.wait(job)
    resumed = cursors(service, job)
    assert len(resumed) == 2
    before = len(numbers(service, job)) - (200 - resumed[1])
    assert before - AGAIN <= resumed[1] <= before
    assert [attempt.error_class for attempt in found.attempts] == ["queued.JobCrashed"]
    once(service, job, "opened", "closed")


@pytest.mark.parametrize("ends", ["error", "exit"])
def test_what_was_saved_before_an_error_or_a_death_is_never_done_again(
    service: Service, work: ModuleType, ends: str
) -> None:
    [job] = service.enqueue(work.walk.bind(40, 0.0, ends))
    found = service.wait(job)
    assert numbers(service, job) == list(range(40))
    assert cursors(service, job) == [0, 21]
    assert found.attempt == 2
    once(service, job, "opened", "closed")


def test_steps_that_have_changed_fail_the_job_with_their_names_and_are_not_retried(
    service: Service, work: ModuleType
) -> None:
    [job] = service.enqueue(work.renamed.bind())
    found = service.wait(job, "failed")
    assert found.failure is not None
    assert found.failure.error_class == "queued.StepsChanged"
    for words in ("finished 'first'", "begun 'second'", "'another'"):
        assert words in found.failure.message
    assert found.attempt == 2
    once(service, job, "first")


def test_steps_and_progress_are_shown_while_the_job_runs_and_after_it(service: Service, work: ModuleType) -> None:
    end = service.ledger.path.with_name(f"{uuid.uuid4().hex}.end")
    [job] = service.enqueue(work.walk.bind(100, 0.01, until=str(end)))
    live = service.until(lambda: (told := shown(service, job))["progress"] is not None and told, "progress")
    assert live["state"] == "running"
    assert live["steps"]["finished"] == ["open"]
    assert live["steps"]["current"] == "count"
    assert 0 < live["steps"]["cursor"] < 100
    assert live["progress"]["total"] == 100
    assert live["progress"]["message"] == "counting"
    listed = service.daemon.queuectl("jobs", "list", "--state", "running")
    assert " %" in listed.stdout
    text = service.daemon.queuectl("jobs", "show", str(job)).stdout
    assert "open finished, in count at " in text
    assert " of 100, " in text
    end.touch()
    service.wait(job)
    ended = shown(service, job)
    assert ended["steps"] == {"finished": ["open", "count", "close"], "current": None, "cursor": None}
    assert (ended["progress"]["done"], ended["progress"]["percent"]) == (100, 100)
