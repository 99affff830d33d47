"""What monitoring is told: counts of events, facts of the database, and the verdict on the whole.

    event ──► Counting ──► NAME.tally ──► Book ─┐
    (every process of the daemon, once a second)├──► exposition ──► /metrics, textfile, queuectl metrics
    database ──► gauges.read ──► Sample ────────┘

Each process of a daemon counts for itself and leaves what it has counted in a file of the runtime directory; the exporter
adds the files up. So counting costs no system call on the hot path, a worker that is killed loses a second of counts at
most, and a sum never falls while the daemon runs: the file of a process that has ended is added to the one of its dead.

prometheus_client is imported by `exposition` alone, and that by the exporter when it starts.
"""

from __future__ import annotations

from types import ModuleType

from queued.domain.errors import ConfigurationError


def load_exposition() -> ModuleType:
    """`queued.metrics.exposition`, or one sentence that says how to get what it needs: ConfigurationError."""
    try:
        from queued.metrics import exposition
    except ImportError as error:
        raise ConfigurationError(
            f"metrics need the package prometheus_client, which this Python does not have ({error}); "
            "install it with `pip install 'queued-jobs[daemon]'`"
        ) from error
    return exposition
