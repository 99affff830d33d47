"""Moments and lengths of time as the values of options."""

from __future__ import annotations

import argparse
from datetime import datetime, timedelta

from queued.domain import moments


def since(text: str) -> timedelta | datetime:
    """`2h`, `1d 12h`, `30min ago`, or a date or time in ISO 8601, UTC unless it names an offset."""
    try:
        return moments.since(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def length(text: str) -> float:
    """Seconds of `90s`, `10m`, `1h 30m`, or of a plain number."""
    try:
        return moments.length(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
