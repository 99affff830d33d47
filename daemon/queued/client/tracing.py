"""OpenTelemetry: a span for each enqueue and each attempt, joined across processes and hosts. Off until `trace` is called."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any

from queued.client.callbacks import everywhere
from queued.client.context import current_context
from queued.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer, TracerProvider

    from queued.client.current import CurrentJob
    from queued.client.unsent import EnqueuedJob, UnsentJob

#: What OpenTelemetry's semantic conventions for messaging call these facts.
SYSTEM = {"messaging.system": "queued"}

_tracer: Tracer | None = None


def trace(tracer_provider: TracerProvider | None = None) -> None:
    """Make a span of every enqueue and of every attempt in this process, from now on.

    Call it where the application sets up OpenTelemetry, in the web process and in a module that `app.import` names. A span `send
    JOB` covers the storing of each job; a span `process JOB` each attempt, as a child of the former, whatever process or host it
    runs in and however much later: the job carries `traceparent` in its context. An error that ends an attempt is recorded in its
    span. Without a provider the global one is used. A second call changes the provider and nothing else.

    Needs the package opentelemetry-api (`pip install 'queued-jobs[opentelemetry]'`); raises `queued.ConfigurationError` without it.
    """
    global _tracer
    try:
        from opentelemetry.trace import get_tracer
    except ImportError as error:
        raise ConfigurationError(
            [f"queued.trace needs opentelemetry-api: pip install 'queued-jobs[opentelemetry]' ({error})"]
        ) from error
    first = _tracer is None
    _tracer = get_tracer("queued", tracer_provider=tracer_provider)
    if first:
        everywhere.around_enqueue(_sending)
        everywhere.around_perform(_processing)


def _sending(unsent: UnsentJob) -> Generator[None, EnqueuedJob, None]:
    from opentelemetry.propagate import inject
    from opentelemetry.trace import SpanKind, set_span_in_context

    assert _tracer is not None
    # Not made current: for enqueue_many all of these are open at once, and they end in the order in which they began.
    span = _tracer.start_span(f"send {unsent.class_name}", kind=SpanKind.PRODUCER, attributes=_facts("send"))
    carrier: dict[str, str] = {}
    inject(carrier, set_span_in_context(span))
    unsent.carried = carrier
    try:
        handle = yield
        if handle is not None and handle.id is not None:
            span.set_attribute("messaging.message.id", str(handle.id))
            span.set_attribute("messaging.destination.name", handle.queue)
    except BaseException as error:
        _record(span, error)
        raise
    finally:
        span.end()


def _processing(job: CurrentJob) -> Generator[None, None, None]:
    from opentelemetry.propagate import extract
    from opentelemetry.trace import SpanKind

    assert _tracer is not None
    carried = {name: value for name, value in current_context().items() if isinstance(value, str)}
    attributes = {
        **_facts("process"),
        "messaging.message.id": str(job.id),
        "messaging.destination.name": job.queue,
        "queued.attempt": job.attempt,
    }
    with _tracer.start_as_current_span(
        f"process {job.class_name}",
        context=extract(carried),
        kind=SpanKind.CONSUMER,
        attributes=attributes,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield
        except BaseException as error:
            _record(span, error)
            raise


def _facts(operation: str) -> dict[str, Any]:
    return {**SYSTEM, "messaging.operation.name": operation, "messaging.operation.type": operation}


def _record(span: Any, error: BaseException) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.record_exception(error)
    span.set_status(Status(StatusCode.ERROR, f"{type(error).__name__}: {error}"))
