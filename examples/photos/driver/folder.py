"""A folder of pictures and the jobs that were enqueued for it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from driver.daemon import Daemon, ExampleError

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff"}
#: So many pictures go on one command line: the kernel limits its length.
BATCH = 500
#: So many jobs are asked for in one look at a list.
PAGE = 500

#: What changes when a file is written again: its time and its size.
Stamp = tuple[int, int]
Job = dict[str, Any]


class Folder:
    """The pictures below `path`, sent to `daemon` as jobs that write to `site`."""

    def __init__(self, daemon: Daemon, path: Path, site: Path) -> None:
        self.daemon = daemon
        self.path = path
        self.site = site
        self.sent: dict[Path, Stamp] = {}
        self.refused: dict[str, str] = {}
        self.first_id = 0

    def pictures(self) -> dict[Path, Stamp]:
        """Every picture in the folder and the folders in it, but for hidden ones."""
        found: dict[Path, Stamp] = {}
        for path in sorted(self.path.rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(self.path).parts)
            if path.suffix.lower() in SUFFIXES and not hidden and path.is_file():
                status = path.stat()
                found[path] = (status.st_mtime_ns, status.st_size)
        return found

    def enqueue(self, pictures: dict[Path, Stamp]) -> None:
        """A batch with one job for each picture, by the example's own script in its own environment."""
        names = [str(path) for path in pictures]
        for start in range(0, len(names), BATCH):
            done = self.daemon.run_in_example("enqueue.py", self.site, self.path, *names[start : start + BATCH])
            if done.returncode:
                raise ExampleError(f"The pictures could not be enqueued.\n{done.stderr.strip()}")
            told = json.loads(done.stdout)
            self.refused.update(told["refused"])
            self.first_id = self.first_id or min(told["ids"], default=0)
        self.sent.update(pictures)

    def waiting(self) -> tuple[int, int, int]:
        """How many jobs for pictures have not ended, how many jobs of any kind, and how many failed ones there are."""
        status = self.daemon.queuectl("status")
        queues = {queue["name"]: outstanding(queue) for queue in status["queues"]}
        return queues.get("pictures", 0), outstanding(status["jobs"]), int(status["jobs"]["failed"])

    def jobs(self, state: str) -> list[Job]:
        """This run's jobs in a state, newest first; none before the first was enqueued."""
        return [job for job in self.newest_first(state) if job["id"] >= self.first_id] if self.first_id else []

    def newest_first(self, state: str) -> Iterable[Job]:
        """The jobs in a state, page by page, down to those of earlier runs."""
        before: list[str] = []
        while True:
            page = self.daemon.queuectl("jobs", "list", "--state", state, "--limit", str(PAGE), *before)
            jobs: list[Job] = page["jobs"]
            yield from jobs
            if page["next_before"] is None or (jobs and jobs[-1]["id"] < self.first_id):
                return
            before = ["--before", str(page["next_before"])]


def outstanding(counts: dict[str, Any]) -> int:
    """How many jobs have not come to their end."""
    return sum(int(counts[state]) for state in ("ready", "scheduled", "blocked", "running"))
