"""Enqueues one job for each picture, all of them in one round trip, and prints the jobs' ids as JSON.

QUEUED_DATABASE_URL=sqlite:///… python enqueue.py SITE PICTURE...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import queued
from jobs import process


def main() -> None:
    """Enqueue what the command line names."""
    site, *pictures = (str(Path(argument).resolve()) for argument in sys.argv[1:])
    stored = queued.enqueue_many([process.bind(picture, site) for picture in pictures])
    print(json.dumps([job.id for job in stored]))


if __name__ == "__main__":
    main()
