"""Spans of OpenTelemetry, from an enqueue to the attempts that follow from it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import queued
import queued.testing
from queued.client.callbacks import everywhere

PACKAGE = Path(queued.__file__).parents[1]


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    """What was traced; tracing is off again afterwards."""
    from queued.client import tracing

    found = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(found))
    queued.trace(provider)
    yield found
    everywhere.at("around_enqueue").remove(tracing._sending)
    everywhere.at("around_perform").remove(tracing._processing)
    tracing._tracer = None


def by_name(exporter: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    spans: dict[str, list[ReadableSpan]] = {}
    for span in exporter.get_finished_spans():
        spans.setdefault(span.name, []).append(span)
    return spans


def test_each_attempt_is_a_child_of_its_enqueue_also_of_many_at_once(exporter: InMemorySpanExporter) -> None:
    attempts: list[int] = []

    @queued.job(name="inner", queue="mail")
    def inner() -> None:
        pass

    @queued.job(name="outer", retry_on=queued.retry_on(OSError, wait=0, attempts=2))
    def outer(number: int) -> None:
        attempts.append(number)
        if attempts.count(number) == 1:
            raise OSError("away")
        inner.enqueue()

    with queued.testing.collect() as collected:
        queued.enqueue_many([outer.bind(number) for number in range(3)])
        collected.drain()
    spans = by_name(exporter)
    assert {name: len(found) for name, found in spans.items()} == {
        "send outer": 3,
        "process outer": 6,
        "send inner": 3,
        "process inner": 3,
    }
    sent = {span.context.span_id: span for span in spans["send outer"] if span.context}
    assert len({span.context.trace_id for span in sent.values()}) == 3
    for span in spans["process outer"]:
        assert span.parent is not None
        assert span.parent.span_id in sent
        assert span.kind is SpanKind.CONSUMER
        assert span.attributes is not None
        assert span.attributes["messaging.system"] == "queued"
    first = [span for span in spans["process outer"] if span.status.status_code is StatusCode.ERROR]
    assert len(first) == 3
    assert [event.name for span in first for event in span.events] == ["exception"] * 3
    # What a job enqueues follows from the attempt that did.
    seconds = {span.context.span_id for span in spans["process outer"] if span not in first and span.context}
    assert {span.parent.span_id for span in spans["send inner"] if span.parent} == seconds
    [inner_span, *_] = spans["process inner"]
    assert inner_span.attributes is not None
    assert inner_span.attributes["messaging.destination.name"] == "mail"


def test_a_second_call_makes_no_second_span(exporter: InMemorySpanExporter) -> None:
    @queued.job(name="once")
    def once() -> None:
        pass

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    queued.trace(provider)
    with queued.testing.inline():
        once.enqueue()
    assert {name: len(found) for name, found in by_name(exporter).items()} == {"send once": 1, "process once": 1}


def test_what_is_not_traced_loads_nothing_of_it_and_a_missing_package_is_said_so() -> None:
    script = """
import sys
import queued
import queued.client.sending, queued.client.attempt
assert not [name for name in sys.modules if name.startswith("opentelemetry")]
sys.modules["opentelemetry"] = sys.modules["opentelemetry.trace"] = None
try:
    queued.trace()
except queued.ConfigurationError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], env={"PYTHONPATH": str(PACKAGE)}, capture_output=True, text=True, check=True
    )
    assert "pip install 'queued-jobs[opentelemetry]'" in done.stdout
