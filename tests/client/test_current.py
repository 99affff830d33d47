"""What a job knows about itself, and what it carries along."""

from __future__ import annotations

import json
import logging
from datetime import datetime, timezone
from typing import Any

import pytest

import queued
from client.deliveries import RecordingPort, delivery
from queued.client import guest, hooks


def test_outside_a_job_there_is_none() -> None:
    assert queued.current_job() is None
    assert dict(queued.current_context()) == {}


def test_a_job_sees_its_id_attempt_queue_arguments_and_context(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[queued.CurrentJob] = []

    @queued.job(name="test.curious")
    def curious(a: int, b: str = "") -> None:
        job = queued.current_job()
        assert job is not None
        seen.append(job)
        job.logger.warning("working on %s", a, extra={"more": 1})

    given = delivery(curious, 5, attempt=3, queue="mail", priority=2, opts=json.dumps({"context": {"tenant": "acme"}}))
    with queued.context(tenant="the runner's own"):
        assert guest.perform(given, RecordingPort()) == {"kind": "done"}
        assert dict(queued.current_context()) == {"tenant": "the runner's own"}
    (job,) = seen
    assert (job.id, job.attempt, job.queue, job.priority, job.class_name) == (7, 3, "mail", 2, "test.curious")
    assert job.enqueued_at == datetime.fromtimestamp(1_700_000_000.25, timezone.utc)
    assert (job.args, dict(job.kwargs), dict(job.context)) == ((5,), {}, {"tenant": "acme"})
    (record,) = caplog.records
    assert (record.name, record.getMessage()) == ("test.curious", "working on 5")
    extras: dict[str, Any] = record.__dict__
    assert (extras["job_id"], extras["job_class"], extras["more"]) == (7, "test.curious", 1)


def test_contexts_nest_and_end_with_their_block() -> None:
    with queued.context(a=1), queued.context(b=2) as inner:
        assert dict(inner) == {"a": 1, "b": 2}
        queued.set_context(c=3)
        assert dict(queued.current_context()) == {"a": 1, "b": 2, "c": 3}
    assert dict(queued.current_context()) == {}


def test_one_failing_hook_does_not_stop_the_others(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Any] = []

    @queued.on_worker_start
    def broken(info: dict[str, Any]) -> None:
        info["name"] = "changed"
        raise RuntimeError("no")

    @queued.on_worker_start
    def working(info: dict[str, Any]) -> None:
        seen.append(info["name"])

    with caplog.at_level(logging.ERROR, "queued"):
        guest.run_hooks("worker_start", {"name": "worker-1"})
    assert seen == ["worker-1"]
    assert "broken failed" in caplog.text
    guest.run_hooks("no_such_event", {})


def test_every_event_has_its_decorator() -> None:
    for event in hooks.EVENTS:
        getattr(queued, f"on_{event}")(lambda info: None)
    assert hooks.registered_events() == list(hooks.EVENTS)
    assert len(hooks.EVENTS) == 12
    with pytest.raises(TypeError, match="is no function"):
        queued.on_start(3)  # type: ignore[type-var]
