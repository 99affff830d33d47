"""Enqueues one job for each picture, all of them in one round trip.

    QUEUED_DATABASE_URL=sqlite:///… python enqueue.py SITE PICTURE...

Prints JSON: the jobs' `ids`, and the pictures that were `refused`, each with the reason.
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
    jobs = queued.enqueue_many([process.bind(picture, site) for picture in pictures])
    refused = {picture: str(job.error) for picture, job in zip(pictures, jobs, strict=True) if job.error}
    print(json.dumps({"ids": [job.id for job in jobs if job.id is not None], "refused": refused}))


if __name__ == "__main__":
    main()
