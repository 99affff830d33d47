"""Finding and opening the database that a command works on."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from queued.domain.errors import ConfigurationError
from queued.domain.insights import ALIVE_THRESHOLD

if TYPE_CHECKING:
    from queued.domain.settings import DatabaseSettings
    from queued.storage.store import Store


@dataclass(frozen=True, slots=True)
class Target:
    """A database that is open, and after how many silent seconds its processes count as dead."""

    store: Store
    threshold: float


@contextmanager
def target(arguments: argparse.Namespace) -> Iterator[Target]:
    """The database that the command line, the environment or the configuration names, its schema checked.

    A SQLite file that does not exist is not made. Raises ConfigurationError and DatabaseError.
    """
    from queued.storage.store import open_store

    settings = database_settings(arguments)
    store = open_store(settings, label="queuectl", create=False, joins=True)
    try:
        store.check_schema()
        yield Target(store, alive_threshold(arguments))
    finally:
        store.close()


def database_settings(arguments: argparse.Namespace) -> DatabaseSettings:
    """Where the database is: --database, else QUEUED_DATABASE_URL, else the credential, else `database:` of the configuration.

    A file that --config or QUEUED_CONFIG names is read in any case, for what else it says of the database (its schema, for
    one). Nothing but its `database:` is looked at: a host that only looks need not have the application.
    """
    from dataclasses import replace

    from queued.configuration.addresses import absolute, url_fault
    from queued.domain.settings import DatabaseSettings

    source = "--database" if arguments.database else "QUEUED_DATABASE_URL"
    url = arguments.database or os.environ.get("QUEUED_DATABASE_URL")
    if url:
        fault = url_fault(url)
        if fault:
            raise ConfigurationError(f"{source}: {fault}")
        url = absolute(url, os.getcwd())
    if url and not _names_file(arguments):
        return DatabaseSettings(url=url)
    from queued.configuration import database_from_file, find

    environ = {**os.environ, "QUEUED_DATABASE_URL": url} if url else os.environ
    file = find(arguments.config, os.environ, os.getcwd())
    settings = database_from_file(file, arguments.env, environ, credentials=True)
    return replace(settings, url=url) if url else settings


def reaching(arguments: argparse.Namespace, hint: str) -> str:
    """A hint whose commands reach the same database as this one: with the options that it was given, passwords left out."""
    from shlex import quote

    from queued.configuration.addresses import masked

    given = {name: value for name in ("config", "env", "database") if (value := getattr(arguments, name))}
    if not given:
        return hint
    options = " ".join(
        f"--{name} {quote(masked(value) if name == 'database' else value)}" for name, value in given.items()
    )
    return hint.replace("queuectl ", f"queuectl {options} ")


def _names_file(arguments: argparse.Namespace) -> bool:
    return bool(arguments.config or os.environ.get("QUEUED_CONFIG"))


def alive_threshold(arguments: argparse.Namespace) -> float:
    """The configured heartbeat threshold; the default where no whole configuration can be read on this host."""
    if (arguments.database or os.environ.get("QUEUED_DATABASE_URL")) and not _names_file(arguments):
        return ALIVE_THRESHOLD
    from queued.configuration import load

    try:
        return load(arguments.config, environment=arguments.env).settings.alive_threshold
    except ConfigurationError:
        return ALIVE_THRESHOLD
