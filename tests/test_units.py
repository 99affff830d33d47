"""The units of systemd: what systemd itself says of them, and that they and the program agree."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from queued.cli.main import queued_parser
from queued.configuration import load
from queued.domain.service import QUIET
from queued.domain.supervision import Limits
from queued.processes.crew import limits_of, plan_of

ROOT = Path(__file__).resolve().parents[1]
UNITS = ROOT / "packaging" / "systemd"
TEMPLATE = (UNITS / "queued@.service").read_text()
EXAMPLES = sorted((UNITS / "examples").glob("*.conf"))

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")


def setting(name: str, text: str = TEMPLATE) -> list[str]:
    """The values of a setting, each line of it."""
    return re.findall(rf"^{name}=(.*)$", text, re.MULTILINE)


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(min|s)?", text).groups()  # type: ignore[union-attr]
    return float(number) * (60 if unit == "min" else 1)


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they lie on a host, their programs being ones that are there."""
    directory = tmp_path / "system"
    shutil.copytree(UNITS, directory, ignore=shutil.ignore_patterns("examples", "*.d/examples"))
    for unit in directory.glob("*.service"):
        text = unit.read_text().replace("/usr/bin/queued", "/bin/true")
        unit.write_text(re.sub(r"^Documentation=.*\n", "", text, flags=re.MULTILINE))
    for instance in ("worker", "web", "mail"):
        shutil.copy(directory / "queued@.service", directory / f"queued@{instance}.service")
    return directory


@needs_systemd
@pytest.mark.parametrize("example", [None, *EXAMPLES], ids=lambda path: path.stem if path else "as shipped")
def test_systemd_finds_nothing_wrong_with_them(example: Path | None, installed: Path) -> None:
    if example is not None:
        (installed / "queued@mail.service.d").mkdir()
        shutil.copy(example, installed / "queued@mail.service.d")
    for unit in ("queued@worker.service", "queued@web.service", "queued@mail.service", "queued.target"):
        done = subprocess.run(
            ["systemd-analyze", "verify", "--man=no", str(installed / unit)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={"SYSTEMD_UNIT_PATH": f"{installed}:", "PATH": "/usr/bin:/bin"},
        )
        ours = [line for line in done.stderr.splitlines() if str(installed) in line or "queued" in line]
        assert ours == []


@needs_systemd
@pytest.mark.parametrize(("instance", "most"), [("web", 1.5), ("worker", 4.5)])
def test_the_sandbox_is_as_tight_as_promised(instance: str, most: float, installed: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", str(installed / f"queued@{instance}.service")],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"SYSTEMD_UNIT_PATH": f"{installed}:", "PATH": "/usr/bin:/bin"},
    )
    found = re.search(r"Overall exposure level for \S+: ([\d.]+)", done.stdout)
    assert found is not None, done.stdout + done.stderr
    assert float(found[1]) <= most


def test_what_the_units_start_is_a_command_of_ours() -> None:
    [start] = setting("ExecStart")
    check, hup = setting("ExecReload")
    for line in (start, check):
        program, *words = line.replace("%i", "mail").split()
        assert program == "/usr/bin/queued"
        arguments = queued_parser().parse_args(words)
        assert (arguments.instance, arguments.config) == ("mail", "/etc/queued/queue.yml")
    assert hup == "/bin/kill -HUP $MAINPID"


def test_the_shipped_configuration_has_the_roles_of_the_packages() -> None:
    path = str(ROOT / "etc" / "queue.yml")
    worker = load(path, environ={}, instance="worker").settings
    assert {"dispatcher", "worker", "scheduler"} <= {place.kind for place in plan_of(worker)}
    web = load(path, environ={}, instance="web").settings
    assert not {"worker", "dispatcher", "scheduler", "application"} & {place.kind for place in plan_of(web)}


def test_the_times_of_the_unit_leave_room_for_those_of_the_daemon() -> None:
    settings = load(str(ROOT / "etc" / "queue.yml"), environ={}, instance="worker").settings
    assert seconds(setting("TimeoutStopSec")[0]) > limits_of(settings).stop_grace > settings.shutdown_timeout
    # The supervisor kills a hung actor, and another comes, while the watchdog still has patience.
    silence = Limits().silence
    watchdog = seconds(setting("WatchdogSec")[0])
    assert silence > QUIET
    assert watchdog / 4 + (silence - QUIET) + 10 < watchdog
    assert watchdog >= 2 * silence
    assert setting("RestartPreventExitStatus") == ["78"]


def test_every_example_is_in_their_list_and_no_other() -> None:
    listed = re.findall(r"^  (\S+\.conf)  ", (UNITS / "examples" / "README").read_text(), re.MULTILINE)
    assert listed == [
        "concurrency.conf",
        "limits.conf",
        "application-user.conf",
        "application-rights.conf",
        "credentials.conf",
    ]
    assert sorted(listed) == [path.name for path in EXAMPLES]
