"""What is in the packages that were built."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable

import pytest

from fixtures.packages import ROOT, Package, same

Get = Callable[[str], Package]
#: What the program is linked to comes with apt's updates; so does the clock's knowledge of the world. The units call kill.
LIBRARIES = {"libpq5", "libssl3", "libsqlite3-0", "libffi8", "libc6", "tzdata", "procps"}


def test_the_configuration_is_that_of_etc_and_kept_by_dpkg(package: Get) -> None:
    queued = package("queued")
    assert same(ROOT / "etc", queued.tree / "etc/queued")
    assert queued.control("conffiles").split() == ["/etc/queued/queue.yml", "/etc/queued/recurring.yml"]


def test_the_units_and_their_examples_are_those_of_the_source(package: Get) -> None:
    units, shipped = ROOT / "packaging/systemd", package("queued").tree
    for name in ("queued@.service", "queued.target"):
        assert (shipped / "usr/lib/systemd/system" / name).read_text() == (units / name).read_text()
    assert same(units / "examples", shipped / "usr/share/doc/queued/examples/systemd")
    for folder in ("sysusers.d", "tmpfiles.d"):
        assert same(units / folder, shipped / "usr/lib" / folder)


@pytest.mark.parametrize("role", ["worker", "web"])
def test_a_role_is_an_instance_that_its_package_enables_and_starts(package: Get, role: str) -> None:
    found = package(f"queued-{role}")
    unit = f"queued@{role}.service"
    assert found.members()[f"usr/lib/systemd/system/{unit}"].linkname == "queued@.service"
    assert f"deb-systemd-helper enable {unit}" in found.control("postinst")
    assert f"deb-systemd-invoke start {unit}" in found.control("postinst")
    assert f"deb-systemd-invoke stop {unit}" in found.control("prerm")
    # The template stays with `queued`, so the link would bring the role back.
    assert f'rm -f "${{DPKG_ROOT:-}}/etc/systemd/system/queued.target.wants/{unit}"' in found.control("postrm")
    version = found.field("Version")
    assert found.field("Depends").startswith(f"queued (>= {version}), queued (<< {version}.1~)")


def test_programs_and_pages_are_where_a_host_looks_for_them(package: Get) -> None:
    members = package("queued").members()
    assert {members[f"usr/bin/{name}"].linkname for name in ("queued", "queuectl")} == {"../lib/queued/queued"}
    for page in (ROOT / "man").iterdir():
        section = page.suffix.removeprefix(".")
        assert f"usr/share/man/man{section}/{page.name}.gz" in members


def test_shells_complete_what_the_programs_own_tables_say(package: Get) -> None:
    tree = package("queued").tree
    for shell, path in (
        ("bash", "usr/share/bash-completion/completions/queuectl"),
        ("zsh", "usr/share/zsh/vendor-completions/_queuectl"),
        ("fish", "usr/share/fish/vendor_completions.d/queuectl.fish"),
    ):
        told = subprocess.run(
            [sys.executable, "-m", "queued", "completion", shell],
            env={**os.environ, "PYTHONPATH": str(ROOT / "daemon")},
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert (tree / path).read_text() == told.stdout


def test_what_prometheus_and_grafana_need_is_among_the_examples(package: Get) -> None:
    shipped = package("queued").tree / "usr/share/doc/queued/examples/monitoring"
    assert same(ROOT / "packaging/monitoring", shipped)


def test_the_program_needs_libraries_of_debian_and_no_python(package: Get) -> None:
    depends = {re.split(r"[ (:]", entry.strip())[0] for entry in package("queued").field("Depends").split(",")}
    assert depends >= LIBRARIES
    assert not {name for name in depends if "python" in name}
    carried = {path.name for path in package("queued").tree.glob("usr/lib/queued/_internal/lib*")}
    assert carried == {"libpython3.11.so.1.0"}


def test_the_library_of_debians_python_is_the_source(package: Get) -> None:
    library = package("python3-queued")
    assert same(ROOT / "daemon/queued", library.tree / "usr/lib/python3/dist-packages/queued")
    assert re.match(r"python3:any \(>= 3\.10~\)", library.field("Depends"))
    [metadata] = library.tree.glob("usr/lib/python3/dist-packages/queued_jobs-*.dist-info/entry_points.txt")
    assert "queued.testing" in metadata.read_text()


def test_nothing_tells_where_it_was_built(package: Get) -> None:
    for name in ("queued", "queued-worker", "queued-web", "python3-queued"):
        for path in package(name).tree.rglob("*"):
            if path.is_file() and not path.is_symlink():
                assert str(ROOT).encode() not in path.read_bytes(), path
