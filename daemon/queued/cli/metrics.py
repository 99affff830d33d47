"""queuectl metrics: what monitoring would be told, as Prometheus reads it."""

from __future__ import annotations

import argparse
import os
import socket
from http.client import HTTPConnection, HTTPException
from typing import TYPE_CHECKING

from queued.cli import exits
from queued.cli.database import target
from queued.cli.options import Subparsers, add_command
from queued.cli.output import say, say_json, warn
from queued.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from queued.configuration import Monitoring

#: Seconds that a daemon may take to answer. It waits for nothing.
PATIENCE = 5.0


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    add_command(commands, "metrics", metrics, "print the metrics that Prometheus would read", [common])


def metrics(arguments: argparse.Namespace) -> int:
    """Print what a daemon of this host tells; where none does, what the database alone does."""
    told = monitoring(arguments)
    text = None if arguments.database else next(filter(None, map(ask, told.addresses)), None)
    if text is None:
        if told.addresses and not arguments.database:
            warn(f"no daemon answers at {' or '.join(told.addresses)}: what daemons count is left out")
        text = from_database(arguments, told)
    if arguments.json:
        from prometheus_client.parser import text_string_to_metric_families

        families = [
            {
                "name": family.name,
                "type": family.type,
                "help": family.documentation,
                "samples": [
                    {"name": sample.name, "labels": sample.labels, "value": sample.value} for sample in family.samples
                ],
            }
            for family in text_string_to_metric_families(text)
        ]
        say_json({"metrics": families})
    else:
        say(text.rstrip("\n"))
    return exits.OK


def monitoring(arguments: argparse.Namespace) -> Monitoring:
    """What the configuration says of it; the defaults where this host has no configuration."""
    from queued.configuration import Monitoring, find, monitoring_from_file
    from queued.domain.insights import ALIVE_THRESHOLD
    from queued.domain.settings import MetricsSettings

    nothing = Monitoring(MetricsSettings(), (), ALIVE_THRESHOLD)
    try:
        path = find(arguments.config, os.environ, os.getcwd())
    except ConfigurationError:
        if arguments.config or os.environ.get("QUEUED_CONFIG"):
            raise
        return nothing
    return monitoring_from_file(path, arguments.env)


def ask(address: str) -> str | None:
    """The metrics of the daemon that listens there; None when none does."""
    from queued.domain.endpoints import parse

    endpoint = parse(address)
    connection = HTTPConnection(endpoint.host or "localhost", endpoint.port or 80, timeout=PATIENCE)
    try:
        if endpoint.path is not None:
            connection.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            connection.sock.settimeout(PATIENCE)
            connection.sock.connect(endpoint.path)
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        # Anybody may listen there when no daemon does.
        return text if answer.status == 200 and "queued_build_info{" in text else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()


def from_database(arguments: argparse.Namespace, told: Monitoring) -> str:
    """What can be told without a daemon. Raises DatabaseError."""
    from dataclasses import replace

    from queued.metrics import load_exposition
    from queued.metrics.tally import Tally
    from queued.storage import gauges

    exposition = load_exposition()
    with target(arguments) as database, database.store.reading() as session:
        sample = replace(gauges.read(session, told.alive_threshold), sizes=gauges.sizes(session))
        dialect = database.store.dialect
    known = exposition.Known(Tally(), sample, dialect, told.metrics.latency_targets, told.metrics.label_limit)
    text: bytes = exposition.Exposition().text(known)[0]
    return text.decode()
