"""What can be told of the packages before they are built."""

from __future__ import annotations

import importlib.util
import re
from datetime import datetime, timezone
from pathlib import Path
from types import ModuleType

import pytest
import tomllib

ROOT = Path(__file__).resolve().parents[2]
DEB = ROOT / "packaging" / "deb"
BUILT = datetime(2026, 5, 4, 3, 2, 1, tzinfo=timezone.utc)
PIN = re.compile(r"^([\w.-]+)==(\S+)$", re.MULTILINE)


def script(name: str) -> ModuleType:
    """One of the Python files of packaging/deb, imported without running it."""
    spec = importlib.util.spec_from_file_location(f"packaging_{name}", DEB / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def pins(path: Path) -> dict[str, str]:
    """The version of each package of a file of requirements, by its normalised name."""
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in PIN.findall(path.read_text())}


def test_the_environment_is_as_it_was_before_the_loader() -> None:
    environ = {
        "PATH": "/bin",
        "LD_LIBRARY_PATH": "/usr/lib/queued/_internal",
        "LD_LIBRARY_PATH_ORIG": "/opt/mine",
        "_PYI_ARCHIVE_FILE": "/usr/lib/queued/queued",
        "_PYI_PARENT_PROCESS_LEVEL": "0",
        "_MEIPASS2": "x",
    }
    script("program").restore_environment(environ)
    assert environ == {"PATH": "/bin", "LD_LIBRARY_PATH": "/opt/mine"}


def test_a_library_path_that_only_the_loader_has_set_goes() -> None:
    environ = {"LD_LIBRARY_PATH": "/usr/lib/queued/_internal"}
    script("program").restore_environment(environ)
    assert environ == {}


@pytest.mark.parametrize(
    ("heading", "wanted", "version"),
    [
        ("2026-05-01", None, "1.2.3"),
        ("unreleased", None, "1.2.3~20260504030201"),
        ("unreleased", "1.2.4", "1.2.4"),
    ],
)
def test_the_version_is_the_projects_and_older_than_it_until_it_is_released(
    heading: str, wanted: str | None, version: str
) -> None:
    text = script("changelog").changelog(
        '[project]\nversion = "1.2.3"\n', f"## [1.2.3] – {heading}\n", "Maintainer: A <a@example.org>\n", BUILT, wanted
    )
    assert text.splitlines()[0] == f"queued ({version}) stable; urgency=medium"
    assert text.endswith(" -- A <a@example.org>  Mon, 04 May 2026 03:02:01 +0000\n")


def test_a_version_that_the_changelog_does_not_know_is_refused() -> None:
    with pytest.raises(SystemExit, match=r"CHANGELOG\.md has no heading for 1\.2\.4"):
        script("changelog").changelog('[project]\nversion = "1.2.4"\n', "## [1.2.3] – unreleased\n", "", BUILT, None)


def test_what_is_frozen_is_what_is_tested() -> None:
    frozen, tested = pins(DEB / "requirements.txt"), pins(ROOT / "constraints.txt")
    # The C implementation has releases of its own: the newest that is there for both.
    assert frozen["psycopg"] == frozen["psycopg-c"]
    assert {name: version for name, version in frozen.items() if tested.get(name, version) != version} == {
        "psycopg": frozen["psycopg"]
    }


def test_every_library_of_the_daemon_is_frozen() -> None:
    daemon = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]["daemon"]
    names = {re.split(r"[\[<>=~! ]", line)[0].lower() for line in daemon}
    assert names <= set(pins(DEB / "requirements.txt"))


def test_every_file_of_configuration_systemd_and_manual_is_in_a_package() -> None:
    lists = [path for pattern in ("*.install", "*.manpages") for path in (DEB / "debian").glob(pattern)]
    patterns = [line.split()[0] for path in lists for line in path.read_text().splitlines()]
    shipped = {file for pattern in patterns for file in ROOT.glob(pattern)}
    wanted = {file for folder in ("etc", "man", "packaging/systemd") for file in (ROOT / folder).rglob("*")}
    assert {file for file in wanted if file.is_file()} - shipped == set()
    assert all(list(ROOT.glob(pattern)) for pattern in patterns)


def test_every_exception_to_lintian_has_its_reason() -> None:
    for path in (DEB / "debian").glob("*.lintian-overrides"):
        lines = path.read_text().splitlines()
        reasons = [before for before, line in zip(["", *lines], lines, strict=False) if not line.startswith("#")]
        assert all(reason.startswith("# ") for reason in reasons), path.name
