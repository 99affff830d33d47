"""Loading the application: what goes wrong is said with file and line."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
from pathlib import Path

import pytest

from queued.domain.settings import AppSettings
from queued.processes.application import ApplicationError, ForkServer, clean_environment
from queued.processes.runner_process import RunnerProcess, RunnerRefused
from runner.harness import Start, alive, until
from runner.interpreters import old_interpreter


def test_a_syntax_error_is_told_with_its_place(start: Start, python: str, tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop/__init__.py").write_text("from shop import orders\n")
    (tmp_path / "shop/orders.py").write_text("x = 1\ndef broken(:\n    pass\n")
    application = start("shop", path=tmp_path, python=python)
    error = application.said("load_failed")["error"]
    assert error["class"] == "SyntaxError"
    assert (error["file"], error["line"]) == (str(tmp_path / "shop/orders.py"), 2)
    assert any("def broken(:" in line for line in error["backtrace"])
    assert until(application.server.poll) == 70


def test_a_missing_module_is_told_with_the_line_that_wants_it(start: Start, python: str, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import queued\n\nimport json, no_such_thing\n")
    error = start("shop", path=tmp_path, python=python).said("load_failed")["error"]
    assert error["class"] == "ModuleNotFoundError"
    assert "no_such_thing" in error["message"]
    assert (error["file"], error["line"]) == (str(tmp_path / "shop.py"), 3)
    assert not any("_queued_runner" in line or "importlib" in line for line in error["backtrace"])


def test_an_error_inside_a_library_is_told_at_the_applications_own_line(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import json\n\nSETTINGS = json.loads('{')\n")
    error = start("shop", path=tmp_path).said("load_failed")["error"]
    assert error["class"] == "JSONDecodeError"
    assert (error["file"], error["line"]) == (str(tmp_path / "shop.py"), 3)


def test_a_module_that_is_nowhere_is_told_with_where_it_was_looked_for(start: Start, tmp_path: Path) -> None:
    error = start("shop", path=tmp_path).said("load_failed")["error"]
    assert error["message"].startswith("No module named 'shop': looked in " + str(tmp_path))


def test_an_application_that_ends_the_program_is_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("print('before')\nraise SystemExit('no licence')\n")
    application = start("shop", path=tmp_path)
    error = application.said("load_failed")["error"]
    assert "no licence" in error["message"]
    assert error["line"] == 2
    assert "before" in application.lines()


def test_threads_that_are_left_running_are_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,), name='refresher', daemon=True).start()\n"
    )
    application = start("shop", path=tmp_path)
    assert application.said("loaded")["threads"] == 1
    assert any("refresher" in line for line in application.lines())


def test_an_application_that_dies_while_it_is_imported_is_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import os\nos._exit(5)\n")
    error = start("shop", path=tmp_path).said("load_failed")["error"]
    assert "ended with status 5 before the application was loaded" in error["message"]


def test_another_package_of_the_name_queued_is_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "queued.py").write_text("")
    error = start("shop", path=tmp_path).said("load_failed")["error"]
    assert f"another package as `queued`, from {tmp_path / 'queued.py'}" in error["message"]


def test_a_client_of_another_protocol_is_told(start: Start, tmp_path: Path) -> None:
    (tmp_path / "queued/client").mkdir(parents=True)
    (tmp_path / "queued/__init__.py").touch()
    (tmp_path / "queued/client/__init__.py").touch()
    (tmp_path / "queued/client/guest.py").write_text("PROTOCOL = 9\n")
    error = start("shop", path=tmp_path).said("load_failed")["error"]
    assert "speaks protocol 9" in error["message"]
    assert "this daemon speaks 2" in error["message"]


def test_modules_of_the_application_do_not_stand_in_the_way_of_the_runner(start: Start, tmp_path: Path) -> None:
    for name in ("wire", "server", "runner", "struct_", "signals", "selectors"):
        (tmp_path / f"{name}.py").write_text("raise RuntimeError('not meant')\n")
    (tmp_path / "shop.py").write_text("import queued\n@queued.job\ndef nothing(): pass\n")
    runner = start("shop", path=tmp_path).runner()
    (job,) = runner.deliver(("shop.nothing",))
    assert runner.outcome(job)["kind"] == "done"


def test_the_runner_leaves_no_files(start: Start, python: str) -> None:
    import queued.runner

    directory = Path(queued.runner.__path__[0])
    version = "cpython-" + "".join(start("plain", "waiting", python=python).said("loaded")["python"].split(".")[:2])
    if version != sys.implementation.cache_tag:
        assert not list(directory.glob(f"__pycache__/*.{version}.pyc"))


def test_a_python_that_is_too_old_says_so(start: Start) -> None:
    old = old_interpreter()
    if old is None:
        pytest.skip("there is no Python older than 3.10 here")
    error = start("plain", python=old).said("load_failed")["error"]
    assert "queued needs 3.10 or later" in error["message"]


def test_a_program_that_is_no_python_is_told(start: Start) -> None:
    error = start("plain", python="/bin/true").said("load_failed")["error"]
    assert error["message"] == (
        "/bin/true ended with status 0 before the application was loaded; is it a Python interpreter?"
    )


@pytest.mark.parametrize(
    ("python", "problem"),
    [
        ("no-such-python", "no-such-python is not on PATH"),
        ("venv/bin/python", "venv/bin/python does not exist"),
        ("./readme", "is not a program that this user may run"),
        ("./", "is not a program that this user may run"),
        ("./script", "cannot be started"),
    ],
)
def test_an_interpreter_that_cannot_be_started_is_one_sentence(tmp_path: Path, python: str, problem: str) -> None:
    (tmp_path / "readme").write_text("hello")
    (tmp_path / "script").write_text("#!/no/such/thing\n")
    (tmp_path / "script").chmod(0o755)
    server = ForkServer(AppSettings(str(tmp_path), python, ("shop",)), str(tmp_path), 1)
    with pytest.raises(ApplicationError, match=problem) as caught:
        server.start()
    assert "\n" not in str(caught.value)
    assert "app.python" in str(caught.value)


def test_a_directory_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    server = ForkServer(AppSettings(str(tmp_path / "gone"), sys.executable, ("shop",)), str(tmp_path), 1)
    with pytest.raises(ApplicationError, match=r"gone does not exist \(app.path\)"):
        server.start()


def test_a_worker_that_comes_while_the_application_loads_is_served_then(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import time, queued\ntime.sleep(0.3)\n@queued.job\ndef nothing(): pass\n")
    runner = start("shop", path=tmp_path).runner()
    (job,) = runner.deliver(("shop.nothing",))
    assert runner.outcome(job)["kind"] == "done"


def test_a_worker_of_an_application_that_cannot_be_loaded_is_refused(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import time\ntime.sleep(0.3)\nraise RuntimeError\n")
    application = start("shop", path=tmp_path)
    with pytest.raises(RunnerRefused):
        application.runner()


def test_a_worker_waits_no_longer_than_its_deadline(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text("import time\ntime.sleep(60)\n")
    server = start("shop", path=tmp_path).server
    with pytest.raises(RunnerRefused, match="in time"):
        RunnerProcess.start(server.path, "worker", str(tmp_path / "slots"), 1, 0, 0.2)


def test_a_runner_of_another_release_is_not_used(start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    server = start("plain")
    server.said("loaded")
    monkeypatch.setattr("queued.processes.runner_process.SLOTS_VERSION", 99)
    with pytest.raises(RunnerRefused, match=r"another release of queued .* restart the daemon"):
        RunnerProcess.start(server.server.path, "worker", str(tmp_path / "slots"), 1, 0, 60)


def test_a_slot_file_that_cannot_be_made_is_told(start: Start) -> None:
    server = start("plain")
    server.said("loaded")
    with pytest.raises(RunnerRefused, match="no-such-directory"):
        RunnerProcess.start(server.server.path, "worker", "/no-such-directory/slots", 1, 0, 60)


def test_a_runtime_directory_with_a_long_path_gets_a_short_socket(start: Start, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    deep.mkdir(parents=True)
    server = ForkServer(AppSettings(str(tmp_path), sys.executable, ()), str(deep), 1)
    server.start()
    try:
        assert len(server.path) < 108
        assert stat.S_IMODE(os.stat(os.path.dirname(server.path)).st_mode) == 0o700
        until(server.receive)
    finally:
        server.kill()
    assert not os.path.exists(os.path.dirname(server.path))


def test_stop_ends_a_fork_server_without_runners(start: Start) -> None:
    application = start("plain")
    application.said("loaded")
    application.server.stop()
    until(lambda: application.server.poll() is not None)
    assert application.server.poll() == 0
    assert not os.path.exists(application.server.path)


def test_what_the_application_started_while_it_was_imported_dies_with_a_kill(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import subprocess\nopen('pid', 'w').write(str(subprocess.Popen(['sleep', '3600']).pid))\n"
    )
    application = start("shop", path=tmp_path)
    application.said("loaded")
    pid = int((tmp_path / "pid").read_text())
    assert alive(pid)
    application.server.kill()
    until(lambda: not alive(pid))


def test_a_stranger_on_the_socket_does_no_harm(start: Start) -> None:
    application = start("plain")
    application.said("loaded")
    for words in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\2{}", b'\0\0\0\x0c{"t":"fork"}'):
        with socket.socket(socket.AF_UNIX) as stranger:
            stranger.connect(application.server.path)
            stranger.sendall(words)
    assert application.runner().process.pid


def test_the_environment_holds_nothing_that_is_the_daemons_alone() -> None:
    daemon = {
        "PATH": "/bin",
        "LD_LIBRARY_PATH": "/opt/mine",
        "NOTIFY_SOCKET": "/run/notify",
        "WATCHDOG_USEC": "1",
        "LISTEN_FDS": "1",
        "CREDENTIALS_DIRECTORY": "/run/credentials/queued@worker.service",
        "JOURNAL_STREAM": "8:1234",
        "RUNTIME_DIRECTORY": "/run/queued/worker",
        "QUEUED_DATABASE_URL": "postgresql://secret",
        "PGPASSWORD": "secret",
    }
    assert clean_environment(daemon, {"SHOP": "1"}) == {
        "PATH": "/bin",
        "LD_LIBRARY_PATH": "/opt/mine",
        "SHOP": "1",
    }
    assert clean_environment({"PGPASSWORD": "a"}, {"PGPASSWORD": "b"}) == {"PGPASSWORD": "b"}


def test_the_application_runs_in_its_directory_with_its_environment(start: Start, tmp_path: Path) -> None:
    (tmp_path / "shop.py").write_text(
        "import json, os, sys\njson.dump([os.getcwd(), os.environ['SHOP'], sys.path[0], sys.argv], open('seen', 'w'))\n"
    )
    start("shop", path=tmp_path, environment={"SHOP": "open"}).said("loaded")
    assert json.loads((tmp_path / "seen").read_text()) == [str(tmp_path), "open", str(tmp_path), ["queued-app"]]
