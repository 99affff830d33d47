"""Exporter: tells monitoring what the daemon has counted, what the database holds, and whether all is well.

Two threads. The role's own reads the database every `metrics.interval`, adds up the accounts of processes that have ended,
and writes the textfile; the server's answers from what is known, so that no scrape and no probe ever waits for a database.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from queued.domain import endpoints, health
from queued.domain.gauges import Sample, Sizes
from queued.domain.health import Verdict
from queued.domain.settings import Settings
from queued.metrics import load_exposition
from queued.metrics.book import Book
from queued.metrics.pages import Pages
from queued.metrics.server import Server
from queued.metrics.tally import Tally
from queued.metrics.textfile import Textfile
from queued.processes.identity import identity, is_gone
from queued.processes.outage import AWAY
from queued.processes.role import Liveness, Role
from queued.processes.runtime import pause_of
from queued.processes.wakeup import Wakeup
from queued.storage import gauges
from queued.storage.session import Paced
from queued.telemetry import emit

if TYPE_CHECKING:
    from queued.metrics.exposition import Collected, Exposition, Known

#: Seconds between two looks at the size of the tables.
SIZES_EVERY = 300.0
#: Readings of the database take no more than a twentieth of the time, however much there is to count, and come this often at least.
RESTS, LONGEST_REST = 20.0, 60.0


class Exporter(Role):
    """Serves /metrics and the questions of health, and writes the textfile. `expected` is how many of each kind there shall be."""

    kind: ClassVar[str] = "Exporter"

    def __init__(
        self, name: str, settings: Settings, expected: Mapping[str, int], supervisor: str | None = None
    ) -> None:
        super().__init__(name, settings, supervisor)
        self.metrics = settings.metrics
        self.expected = dict(expected)
        self._book = Book(settings.runtime_directory, has_ended)
        self._lock = threading.Lock()
        self._exposition: Exposition
        self._server: Server | None = None
        self._textfile = Textfile(self.metrics.textfile) if self.metrics.textfile is not None else None
        self._sample: Sample | None = None
        self._sizes: Sizes | None = None
        self._sizes_at = float("-inf")
        self._answered_at: float | None = None
        self._error: str | None = None
        self._started = False
        self._collected: dict[str, Collected] = {}
        self._rest = self.metrics.interval

    # Role

    def metadata(self) -> Mapping[str, Any]:
        return {
            key: value
            for key, value in (("listen", self.metrics.listen), ("textfile", self.metrics.textfile))
            if value is not None
        }

    def run(self, wakeup: Wakeup, liveness: Liveness) -> None:
        """As every role; but probes are answered from the first moment on, also while the database is away."""
        self._exposition = load_exposition().Exposition()
        try:
            if self.metrics.listen is not None:
                self._server = Server(
                    endpoints.parse(self.metrics.listen), Pages(self._expose, self._verdicts()).respond
                )
                self._server.start()
                emit("exporter_listens", process=self.name, address=address_of(self.metrics.listen, self._server.port))
            super().run(wakeup, liveness)
        finally:
            if self._server is not None:
                self._server.stop()

    def poll(self) -> float:
        began = time.monotonic()
        try:
            self._read(began)
        except AWAY as error:
            self._error, self._sample = str(error), None
            self._note("database", began, ok=False)
            raise
        finally:
            self._tidy()
            self._write()
        self.outage.succeeded()
        self._rest = max(self.metrics.interval, min(LONGEST_REST, RESTS * (time.monotonic() - began)))
        return self._rest

    def drain(self) -> None:
        self._remove()

    def abandon(self) -> None:
        self._remove()

    # the role's thread

    def _read(self, began: float) -> None:
        with self.store.reading() as opened:
            session = Paced(opened, self.tend)
            sample = gauges.read(session, self.settings.alive_threshold)
            sample = replace(sample, overview=replace(sample.overview, free=self.store.free()))
            if began >= self._sizes_at:
                self._sizes = gauges.sizes(session)
                self._sizes_at = began + SIZES_EVERY
        self._sample, self._error = sample, None
        self._answered_at = time.monotonic()
        self._note("database", began, ok=True)
        self._started = self._started or self._complete(sample).ok

    def _tidy(self) -> None:
        try:
            with self._lock:
                self._book.close_accounts()
        except OSError:
            pass  # a full disk; what is not added up yet is read from its own file

    def _write(self) -> None:
        if self._textfile is None:
            return
        began = time.monotonic()
        try:
            self._textfile.write(self._expose("")[0])
        except OSError as error:
            before = self._collected.get("textfile")
            if before is None or before.ok:
                emit("textfile_failed", process=self.name, path=self._textfile.path, error=str(error.strerror or error))
            self._note("textfile", began, ok=False)
        else:
            self._note("textfile", began, ok=True)

    def _remove(self) -> None:
        if self._textfile is not None:
            try:
                self._textfile.remove()
            except OSError as error:
                emit("textfile_failed", process=self.name, path=self._textfile.path, error=str(error.strerror or error))

    def _note(self, collector: str, began: float, *, ok: bool) -> None:
        from queued.metrics.exposition import Collected

        self._collected[collector] = Collected(ok, time.monotonic() - began)

    # either thread

    def _expose(self, accept: str) -> tuple[bytes, str]:
        with self._lock:
            return self._exposition.text(self._known(self._book.total()), accept)

    def _known(self, tally: Tally) -> Known:
        from queued.metrics.exposition import Known

        sample = self._sample
        return Known(
            tally=tally,
            sample=None if sample is None else replace(sample, sizes=self._sizes),
            backend="sqlite" if self.settings.database.url.startswith("sqlite") else "postgresql",
            targets=self.metrics.latency_targets,
            label_limit=self.metrics.label_limit,
            actors={**self.expected, "exporter": 1},
            collected=dict(self._collected),
        )

    def _verdicts(self) -> dict[str, Any]:
        return {"/livez": self._live, "/startedz": self._start, "/readyz": self._ready, "/health": self._healthy}

    def _live(self) -> Verdict:
        return health.live(pause_of(Path(self.settings.runtime_directory), time.monotonic()))

    def _start(self) -> Verdict:
        return Verdict(True) if self._started else self._ready()

    def _ready(self) -> Verdict:
        sample, reachable = self._sample, self._reachable()
        return reachable if sample is None else health.both(reachable, self._complete(sample))

    def _healthy(self) -> Verdict:
        sample, reachable = self._sample, self._reachable()
        return (
            reachable
            if sample is None
            else health.both(reachable, health.whole(sample.overview, self.metrics.latency_targets))
        )

    def _reachable(self) -> Verdict:
        age = None if self._answered_at is None else time.monotonic() - self._answered_at
        return health.reachable(age, self._rest, self._error)

    def _complete(self, sample: Sample) -> Verdict:
        return health.complete(sample.overview, self.supervisor, self.expected)


def address_of(listen: str, port: int) -> str:
    """Where it can be asked, for people."""
    endpoint = endpoints.parse(listen)
    return str(endpoint) if endpoint.path is not None else f"http://{replace(endpoint, port=port)}/metrics"


def has_ended(facts: Mapping[str, object]) -> bool:
    """Whether the process that left these facts beside its tally has ended."""
    pid = facts.get("pid")
    return isinstance(pid, int) and is_gone(pid, str(facts.get("identity")))


def whoami() -> dict[str, Any]:
    """The facts that `has_ended` needs, of this process."""
    return {"pid": os.getpid(), "identity": json.dumps(identity())}
