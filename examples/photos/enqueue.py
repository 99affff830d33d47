"""Enqueues one job for each picture, all of them as one batch in one round trip.

    QUEUED_DATABASE_URL=sqlite:///… python enqueue.py SITE FOLDER PICTURE...

Prints JSON: the jobs' `ids`, and the pictures that were `refused`, each with the reason.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import queued
from jobs import announce, make_contact_sheet, process


def main() -> None:
    """Enqueue what the command line names."""
    site, folder, *pictures = (str(Path(argument).resolve()) for argument in sys.argv[1:])
    with queued.batch(
        f"Pictures of {folder}",
        metadata={"folder": folder},
        on_success=announce.bind(site),
        on_finish=make_contact_sheet.bind(site),
    ) as batch:
        jobs = batch.add_many([process.bind(picture, site) for picture in pictures])
    refused = {picture: str(job.error) for picture, job in zip(pictures, jobs, strict=True) if job.error}
    print(json.dumps({"ids": [job.id for job in jobs if job.id is not None], "refused": refused}))


if __name__ == "__main__":
    main()
