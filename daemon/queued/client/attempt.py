"""One attempt of a job, from what the worker delivered to how it ended.

    with Attempt(delivery) as attempt:    # every error ends here, as data
        call = attempt.opened()           # arguments, context, callbacks
        await call()                      # or without await, in a thread
        attempt.returned()

`attempt.outcome` is then the outcome as the wire carries it.
"""

from __future__ import annotations

import contextvars
import inspect
import json
import logging
import random
import threading
from collections.abc import Callable, Coroutine, Mapping
from contextlib import ExitStack
from contextvars import Token
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any

from queued.client import registry
from queued.client.arguments import decode_call, decode_value
from queued.client.callbacks import Abort, Around, coming_out, going_in, surrounded
from queued.client.context import current_context, replace_context
from queued.client.current import Running, running
from queued.client.failure import class_path, describe
from queued.client.interrupts import JobInterrupted, message_for
from queued.client.jobs import Job
from queued.client.sending import Collector, collecting
from queued.domain.errors import JobCancelled, JobTimedOut, StepError
from queued.domain.jobs import parse_options
from queued.domain.retries import Discard, Fail, Retry, decide

if TYPE_CHECKING:
    from queued.client.steps import StepsPort


class Attempt:
    """A delivery that is run once. After the `with` block `outcome` says how it ended and `error` what ended it."""

    # What most attempts leave as it is stands in the class: an attempt that does nothing takes 2 µs here.
    outcome: dict[str, Any] | None = None
    error: BaseException | None = None
    _job: Job[..., Any] | None = None
    _in_body = False
    _arounds: ExitStack | None = None
    _token: Token[Running | None] | None = None
    _outside: tuple[Mapping[str, Any], Collector | None]

    def __init__(self, delivery: Mapping[str, Any], port: StepsPort | None = None) -> None:
        self._delivery = delivery
        self._running = Running(delivery, port)

    @property
    def steps(self) -> str | None:
        """Where the attempt's steps stand, as a later attempt wants them; None when it has none."""
        steps: str | None = self._running.steps.state()["steps"] if self._running.has_steps else None
        return steps

    def __enter__(self) -> Attempt:
        # The runner's own context stays out of the job, and each job's out of the next: also a batch whose block was never left.
        context, collector = self._outside = current_context(), collecting.get()
        self._token = running.set(self._running)
        # Looked at first, for nearly always both are empty before and after.
        if context:
            replace_context({})
        if collector is not None:
            collecting.set(None)
        return self

    def opened(self) -> Callable[[], Any]:
        """The job's function with its arguments; its context and callbacks are entered."""
        job = self._job = registry.find(self._delivery["class"])
        args, kwargs = decode_call(self._delivery["args"])
        self._running.arguments = args, kwargs
        if self._delivery.get("opts"):
            options = parse_options(self._delivery["opts"], json.loads)
            if options.get("batch"):
                from queued.client.batches import CurrentBatch  # only few jobs have one

                self._running.batch = CurrentBatch.of(options["batch"])
            stored = options.get("context") or {}
            context = {name: decode_value(value, f"context[{name!r}]") for name, value in stored.items()}
            self._running.context = context
            replace_context(context)
        if surrounded(job):
            self._go_in(job)
        self._in_body = True
        return partial(job.function, *args, **kwargs)

    def _go_in(self, job: Job[..., Any]) -> None:
        for before in going_in("before_perform", job):
            before(self._running.job)
        arounds = going_in("around_perform", job)
        if arounds:
            self._arounds = ExitStack()
            for around in arounds:
                self._arounds.enter_context(Around(around, self._running.job, swallows=True))

    def returned(self) -> None:
        """The function has returned: what is to follow, follows."""
        assert self._job is not None
        if self._running.has_steps:
            self._running.steps.returned()
        for after in coming_out("after_perform", self._job):
            after(self._running.job)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        arounds, self._arounds = self._arounds, None
        if arounds is not None:
            try:
                if arounds.__exit__(kind, error, trace):
                    error = None
            except BaseException as raised:
                error = raised
        self.conclude(error)
        return True

    def conclude(self, error: BaseException | None) -> None:
        """Write down how the attempt ended; the job's context is left behind."""
        try:
            if self.outcome is None:
                self.error = error
                self.outcome = self._done() if error is None else self._ended_by(error)
        finally:
            token, self._token = self._token, None
            if token is not None:
                running.reset(token)
                context, collector = self._outside
                if current_context() is not context:
                    replace_context(context)
                if collecting.get() is not collector:
                    collecting.set(collector)

    def _done(self) -> dict[str, Any]:
        outcome: dict[str, Any] = {"kind": "done"}
        if self._running.at_finish:
            outcome["enqueue"] = self._running.at_finish
        return outcome

    def _ended_by(self, error: BaseException) -> dict[str, Any]:
        if isinstance(error, Abort) and not self._in_body:
            return {"kind": "discarded"}
        if isinstance(error, JobInterrupted):
            return {"kind": "released"}
        described = _described(error)
        if isinstance(error, JobCancelled):
            return {"kind": "cancelled", "error": described}
        if isinstance(error, StepError):  # another attempt would end in the same way
            self._given_up(error)
            return {"kind": "failed", "error": described}
        try:
            policies = self._job.policies if self._job is not None else ()
            decision = decide(policies, error, self._delivery.get("counters") or {}, random.random)
        except Exception as broken:  # a `wait` function of the application's
            broken.__context__ = error
            self._given_up(error)
            return {"kind": "failed", "error": describe(broken)}
        return self._decided(decision, error, described)

    def _decided(
        self, decision: Retry | Discard | Fail, error: BaseException, described: dict[str, Any]
    ) -> dict[str, Any]:
        if isinstance(decision, Retry):
            policy = decision.policy
            outcome = {"kind": "retry", "error": described, "wait": decision.wait, "policy": policy.key}
            if policy.queue is not None:
                outcome["queue"] = policy.queue
            if policy.priority is not None:
                outcome["priority"] = policy.priority
            return outcome
        self._given_up(error)
        return {"kind": "discarded" if isinstance(decision, Discard) else "failed", "error": described}

    def _given_up(self, error: BaseException) -> None:
        if self._job is None:
            return
        for callback in coming_out("after_discard", self._job):
            try:
                callback(self._running.job, error)
            except Exception:
                name = getattr(callback, "__qualname__", repr(callback))
                logging.getLogger("queued").exception("the after_discard callback %s failed", name)


def call_here(call: Callable[[], Any]) -> None:
    """Call a job's function to its end, also when it is async and this is no event loop."""
    result = call()
    if result is None or not inspect.iscoroutine(result):
        return
    import asyncio  # a tenth of a second that many applications never need

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(result)
    else:
        _run_apart(result)


def _run_apart(coroutine: Coroutine[Any, Any, Any]) -> None:
    """Run a coroutine to its end in a thread of its own: this one has an event loop already."""
    import asyncio

    errors: list[BaseException] = []

    def body() -> None:
        try:
            asyncio.run(coroutine)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(body,), name="queued-async-job")
    thread.start()
    thread.join()
    if errors:
        raise errors[0]


def _described(error: BaseException) -> dict[str, Any]:
    described = describe(error)
    if not described["message"]:
        # Raised into the job as a bare class, without words.
        if isinstance(error, JobTimedOut):
            described["message"] = message_for("timeout")
        elif isinstance(error, JobCancelled):
            described["message"] = message_for("cancel")
        else:
            described["message"] = class_path(type(error))
    return described
