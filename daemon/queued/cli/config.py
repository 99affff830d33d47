"""queuectl config: the settings in force on this host, and where each comes from."""

from __future__ import annotations

import argparse
import os
from typing import Any

from queued.cli.listing import Listing, show
from queued.cli.options import Subparsers, add_command
from queued.cli.output import warn


def add(commands: Subparsers, common: argparse.ArgumentParser) -> None:
    """Add the command to its program."""
    listing = add_command(
        commands, "config", config, "list the settings in force and where each comes from", [common], lists=True
    )
    listing.add_argument("--changed", action="store_true", help="only those that are not left at their defaults")


def config(arguments: argparse.Namespace) -> int:
    """Print the settings. Raises ConfigurationError with everything that is wrong."""
    from queued.configuration import load
    from queued.configuration.origins import origins

    loaded = load(arguments.config, environment=arguments.env)
    for text in loaded.warnings:
        warn(f"warning: {text}")
    found = origins(loaded, os.environ)
    if arguments.changed:
        found = [origin for origin in found if origin.source != "default"]
    listing = Listing(
        key="settings",
        headers=("SETTING", "VALUE", "SOURCE"),
        rows=[(origin.path, shown(origin.value), origin.source) for origin in found],
        records=[{"setting": origin.path, "value": origin.value, "source": origin.source} for origin in found],
        names=[origin.path for origin in found],
    )
    return show(arguments, listing)


def shown(value: Any) -> str:
    """A value as a file would say it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.15g}"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "[]"
    return ", ".join(value) if isinstance(value, dict) else str(value)
