"""Runs the photo site: starts the daemon, enqueues a job for each picture, shows how they go, and serves the page.

    python run.py [--once] [--pictures FOLDER] [--data FOLDER] [--port NUMBER]

Runs with the daemon's interpreter; the jobs run in this example's own virtual environment. With --once it ends when all
jobs have ended, with status 0 only if all of them succeeded. Else it goes on until Ctrl-C: it serves the page on the
loopback interface and enqueues pictures that appear in the folder or change there.
"""

from __future__ import annotations

import argparse
import functools
import http.server
import re
import shutil
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from driver.daemon import EXAMPLE, Daemon, ExampleError
from driver.folder import Folder, Stamp

#: Seconds between two looks at the queue, and between two looks at the folder.
LOOK, WATCH = 0.3, 1.0


class Stopped(BaseException):
    """Ctrl-C, or a TERM to this program."""


class Progress:
    """One line that is drawn again on a terminal; elsewhere a line for each change."""

    def __init__(self) -> None:
        self.live = sys.stdout.isatty()
        self.shown = ""

    def show(self, done: int, total: int, failed: int) -> None:
        """Say how many of the pictures have ended."""
        filled = 30 * done // max(total, 1)
        text = f"{done}/{total} pictures" + (f", {failed} failed" if failed else "")
        if text == self.shown:
            return
        self.shown = text
        if self.live:
            line = f"[{'█' * filled}{'·' * (30 - filled)}] {text}"
            print(f"\r\x1b[K{line[: shutil.get_terminal_size().columns - 1]}", end="", flush=True)
        else:
            print(text, flush=True)

    def end(self) -> None:
        """Leave the line."""
        if self.live and self.shown:
            print(flush=True)
        self.shown = ""


def follow(folder: Folder, progress: Progress, failed_before: int) -> None:
    """Show the progress until no job is left. Jobs that failed in an earlier run are not counted."""
    total = len(folder.sent)
    while True:
        folder.daemon.check()
        pictures, jobs, failed = folder.waiting()
        progress.show(total - min(pictures, total), total, failed - failed_before)
        if jobs == 0:
            progress.end()
            return
        time.sleep(LOOK)


def watch(folder: Folder, progress: Progress, failed_before: int) -> None:
    """Enqueue pictures that appear or change, until somebody stops this. A file that still grows is left for later."""
    seen: dict[Path, Stamp] = dict(folder.sent)
    while True:
        folder.daemon.check()
        found = folder.pictures()
        new = {path: stamp for path, stamp in found.items() if folder.sent.get(path) != stamp == seen.get(path)}
        seen = found
        if new:
            folder.enqueue(new)
            print(f"{len(new)} new: {', '.join(path.name for path in list(new)[:5])}{' …' if len(new) > 5 else ''}")
            follow(folder, progress, failed_before)
            explain(folder)
        time.sleep(WATCH)


def summarise(folder: Folder, seconds: float) -> int:
    """Say what was done and where it is; give the number of pictures that failed."""
    finished, failed = folder.jobs("finished"), folder.jobs("failed")
    retried = sum(job["attempt"] > 1 for job in finished + failed)
    counts = Counter(job["class"].rpartition(".")[2] for job in finished)
    made = counts.pop("process", 0)
    others = ", ".join(f"{name}: {count}" for name, count in sorted(counts.items()))
    page = folder.site / "index.html"
    print(f"""
Jobs done     {len(finished)}  (pictures with 3 variants each: {made}; {others})
Jobs failed   {len(failed)}
Jobs retried  {retried}
Time          {seconds:.1f} s
Page          {page if page.exists() else "none: no picture was made"}
Daemon's log  {folder.daemon.log_path}""")
    for picture, reason in folder.refused.items():
        print(f"Not enqueued  {picture}: {reason}")
    return len(failed) + len(folder.refused)


def explain(folder: Folder, limit: int = 3) -> None:
    """Show the first failed jobs as `queuectl jobs show` explains them."""
    failed = folder.jobs("failed")
    for job in failed[::-1][:limit]:
        print(f"\n$ {folder.daemon.typed('jobs', 'show', str(job['id']))}\n{folder.daemon.explain(job['id'])}")
    if len(failed) > limit:
        print(f"\nand {len(failed) - limit} more: {folder.daemon.typed('jobs', 'list', '--state', 'failed')}")


def serve(folder: Folder, port: int) -> http.server.ThreadingHTTPServer:
    """Serve the page on the loopback interface from a thread; port 0 takes any that is free."""
    handler = functools.partial(QuietHandler, directory=str(folder.site))
    try:
        server = http.server.ThreadingHTTPServer(("127.0.0.1", port), handler)
    except OSError as error:
        raise ExampleError(f"Port {port} cannot be had: {error.strerror}. Say another: PORT=8001") from None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    """Serves files and does not write a line for each of them between the lines of the progress."""

    def log_message(self, format: str, *arguments: object) -> None:
        return


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Make thumbnails, middle and large sizes of a folder of pictures.")
    parser.add_argument("--once", action="store_true", help="end when all is done")
    parser.add_argument("--pictures", type=Path, default=EXAMPLE / "pictures", metavar="FOLDER")
    parser.add_argument("--data", type=Path, default=EXAMPLE / "data", metavar="FOLDER", help="database, log, pages")
    parser.add_argument("--python", type=Path, default=EXAMPLE / ".venv/bin/python", help="the example's interpreter")
    parser.add_argument("--port", type=int, default=8000, help="where to serve the page")
    return parser.parse_args(arguments)


def run(chosen: argparse.Namespace, daemon: Daemon) -> int:
    """Do it all; the caller stops the daemon."""
    pictures = chosen.pictures.expanduser().resolve()  # not every shell does so behind `PHOTOS=`
    name = re.sub(r"[^\w.-]+", "-", "-".join(pictures.parts[-2:])).strip("-.") or "pictures"
    folder = Folder(daemon, pictures, chosen.data.resolve() / "site" / name)
    if not pictures.is_dir():
        raise ExampleError(f"There is no folder {pictures}.")
    found = folder.pictures()
    if not found and chosen.once:
        raise ExampleError(f"There are no pictures in {pictures}.")
    folder.site.mkdir(parents=True, exist_ok=True)

    # Before the work: a port that cannot be had is told at once, and the page grows while the pictures are made.
    server = None if chosen.once else serve(folder, chosen.port)
    started = time.monotonic()
    daemon.start()
    print(f"The daemon runs, and {len(found)} pictures of {pictures} wait for it.")
    *_, failed_before = folder.waiting()
    folder.enqueue(found)
    progress = Progress()
    follow(folder, progress, failed_before)
    failed = summarise(folder, time.monotonic() - started)
    explain(folder)
    if chosen.once:
        return 1 if failed else 0
    if server is not None:
        print(
            f"\nThe page: http://127.0.0.1:{server.server_address[1]}/\nNew pictures in the folder are taken up. Ctrl-C stops."
        )
        watch(folder, progress, failed_before)
    return 0


def stop(number: int, frame: FrameType | None) -> None:
    """The handler of the signals that ask this program to end."""
    # A second Ctrl-C must not break the orderly stop that the first one began.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Stopped


def main() -> int:
    """Run, and stop the daemon whatever happens."""
    chosen = options()
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    chosen.data.mkdir(parents=True, exist_ok=True)
    daemon = Daemon(chosen.data.resolve(), chosen.python.absolute())
    status = 1
    try:
        status = run(chosen, daemon)
    except Stopped:
        # Asked to end while it served: that is how it ends. Asked while --once had work left: not all was done.
        status = 130 if chosen.once else 0
        print("\nStopping: running jobs may finish, the others wait for the next start.", flush=True)
    except ExampleError as error:
        print(f"\n{error}", file=sys.stderr)
    try:
        daemon.stop()
    except ExampleError as error:
        print(f"\n{error}", file=sys.stderr)
        status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
