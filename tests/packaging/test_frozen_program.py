"""The frozen program, unpacked from its package: it runs without the Python that made it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from fixtures.daemon import ENVIRONMENT, ROOT, Daemon, registered
from fixtures.packages import Package

Get = Callable[[str], Package]
JOBS = """
import json, os, pathlib
import queued

@queued.job
def note(name):
    libraries = sorted({line.split()[-1] for line in open("/proc/self/maps") if "/" in line})
    pathlib.Path(name).write_text(json.dumps({"environ": dict(os.environ), "libraries": libraries, "client": queued.__file__}))
"""


@pytest.fixture
def program(package: Get, tmp_path: Path) -> Path:
    """The folder of the program, a copy that the test may spoil."""
    folder = tmp_path / "lib"
    shutil.copytree(package("queued").tree / "usr/lib/queued", folder, symlinks=True)
    for name in ("queued", "queuectl"):
        (tmp_path / name).symlink_to(folder / "queued")
    return folder


@pytest.fixture
def frozen(program: Path, tmp_path: Path) -> Iterator[Daemon]:
    """A daemon of the frozen program and an application that has no client of its own; not started yet."""
    application = tmp_path / "application"
    application.mkdir()
    (application / "jobs.py").write_text(JOBS)
    # The interpreter of the tests may have the client of this checkout installed.
    own = application / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(own)], check=True, timeout=60)
    settings = {
        "database": {"url": f"sqlite:///{tmp_path}/queue.sqlite3"},
        "app": {"path": str(application), "import": "jobs", "python": str(own / "bin/python")},
        "workers": [{"threads": 1, "processes": 1, "polling_interval": 0.1}],
        "dispatchers": [{"polling_interval": 0.1}],
        "mode": "fork",
        "runtime_directory": str(tmp_path / "run"),
    }
    daemon = Daemon(tmp_path, settings, [], {"LD_LIBRARY_PATH": "/opt/of-the-caller"})
    del daemon.environment["PYTHONPATH"]
    daemon.program = [str(tmp_path / "queued")]
    yield daemon
    daemon.destroy()


def enqueue(daemon: Daemon, result: Path) -> None:
    """Enqueue the job as the application would, with the client of this checkout."""
    code = f"import jobs; jobs.note.enqueue({str(result)!r})"
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "daemon"), "QUEUED_DATABASE_URL": daemon.url}
    subprocess.run(
        [sys.executable, "-c", code], cwd=daemon.settings["app"]["path"], env=environment, check=True, timeout=60
    )


@pytest.mark.parametrize("name", ["queued", "queuectl"])
def test_one_program_has_both_names(program: Path, tmp_path: Path, name: str) -> None:
    done = subprocess.run([str(tmp_path / name), "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.startswith(f"{name} ")


def test_an_application_runs_with_the_client_of_the_package_and_nothing_else_of_it(
    frozen: Daemon, program: Path, tmp_path: Path
) -> None:
    frozen.start()
    enqueue(frozen, tmp_path / "result")
    frozen.wait_until((tmp_path / "result").exists, "the job to run")
    frozen.wait_until(lambda: (tmp_path / "result").read_text(), "its result")
    told = json.loads((tmp_path / "result").read_text())
    assert told["client"] == str(program / "guest/queued/__init__.py")
    assert told["environ"]["LD_LIBRARY_PATH"] == "/opt/of-the-caller"
    assert [name for name in told["environ"] if name.startswith(("_PYI", "_MEI", "LD_LIBRARY_PATH_ORIG"))] == []
    assert [path for path in told["libraries"] if path.startswith(str(program))] == []
    assert frozen.stop() == 0


def test_a_shell_task_runs_where_there_is_no_python_but_the_programs_own(
    frozen: Daemon, program: Path, tmp_path: Path
) -> None:
    del frozen.settings["app"]
    frozen.settings |= {"scheduler": {"polling_interval": 0.1}}
    frozen.config.write_text(yaml.safe_dump({ENVIRONMENT: frozen.settings}))
    ran = tmp_path / "ran"
    tasks = {"touch": {"shell": f"env > {ran}.new; mv {ran}.new {ran}", "schedule": "every second"}}
    (tmp_path / "recurring.yml").write_text(yaml.safe_dump({ENVIRONMENT: tasks}))
    frozen.arguments = ["--recurring", str(tmp_path / "recurring.yml")]
    frozen.start(ready=False)
    frozen.wait_until(ran.exists, "the task to run")
    assert "LD_LIBRARY_PATH=/opt/of-the-caller\n" in ran.read_text()
    assert "_PYI_" not in ran.read_text()
    assert frozen.stop() == 0


def test_a_daemon_has_everything_in_memory_from_its_start(frozen: Daemon, program: Path) -> None:
    """Also what it does not need, such as PostgreSQL's driver here."""
    frozen.start()
    loaded = Path(f"/proc/{frozen.pid}/maps").read_text()
    compiled = [str(path) for path in program.rglob("*.so")]
    assert any("psycopg_c" in path for path in compiled)
    assert [path for path in compiled if path not in loaded] == []
    assert frozen.stop() == 0


def test_a_daemon_whose_files_were_replaced_runs_jobs_reloads_and_stops(
    frozen: Daemon, program: Path, tmp_path: Path
) -> None:
    """As in an upgrade, while it still ends its jobs: dpkg renames the new files over the old ones.

    The plain files of the runner stay: those of the next release are as good as long as they speak the same protocol.
    """
    frozen.start()
    for path in [path for path in program.rglob("*") if path.is_file() and path.suffix != ".py"]:
        new = path.with_name(path.name + ".dpkg-new")
        new.write_bytes(os.urandom(4096))
        new.rename(path)
    enqueue(frozen, tmp_path / "first")
    frozen.wait_until((tmp_path / "first").exists, "a job")
    [worker] = [pid for _, kind, _, pid in registered(frozen.url) if kind == "worker"]
    os.kill(worker, signal.SIGKILL)
    frozen.wait_until(lambda: worker not in {row[3] for row in registered(frozen.url)}, "the worker to be given up")
    frozen.wait_until_ready()
    frozen.signal(signal.SIGHUP)
    enqueue(frozen, tmp_path / "second")
    frozen.wait_until((tmp_path / "second").exists, "a job of the worker that came after")
    assert frozen.stop() == 0
    assert "decompress" not in frozen.log()
    assert "Import" not in frozen.log()
