"""The packages on hosts that have nothing but Debian: no Python, no database server, no application."""

from __future__ import annotations

import pytest

from system.conftest import NewHost
from system.host import Host
from system.repository import Repository
from system.tree import Tree

#: What belongs to no package of ours, or is meant to stay: logs, apt's own books, users, and systemd's notes of them.
NOT_OURS = (
    "/var/log/", "/var/lib/apt/", "/var/lib/dpkg/", "/var/cache/", "/var/lib/systemd/", "/etc/ld.so.cache", "/tmp/", "/var/tmp/",
    "/srv/repository", "/etc/passwd", "/etc/group", "/etc/shadow", "/etc/gshadow", "/etc/.pwd.lock", "/etc/subuid", "/etc/subgid",
)  # fmt: skip

#: The actors of the role `worker` as shipped.
WORKER = ["dispatcher", "exporter", "scheduler", "supervisor", "worker"]


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def host(request: pytest.FixtureRequest, new_host: NewHost) -> Host:
    """A plain Debian that has run `apt update`."""
    host = new_host(Tree(request.param), request.param, f"10.0.0.{10 + len(request.param)}").boot()
    host.apt("update")
    return host


@pytest.fixture(scope="module")
def files_before(host: Host) -> set[str]:
    """What the host had before anything of ours."""
    return files(host)


def files(host: Host) -> set[str]:
    """Every file that could be left behind."""
    found = host.shell("find / -xdev -print; find /run/queued 2>/dev/null || true").splitlines()
    return {path for path in found if not path.startswith(NOT_OURS)}


def actors(host: Host) -> list[tuple[str, str]]:
    """(kind, role of its supervisor) of every registered process."""
    processes = host.queuectl("processes")["processes"]
    roles = {process["name"]: process["metadata"].get("role") for process in processes}
    return sorted((process["kind"], roles[process["supervisor"] or process["name"]]) for process in processes)


def test_apt_install_queued_needs_no_python_and_starts_nothing(
    host: Host, files_before: set[str], repository: Repository
) -> None:
    assert host.run("sh", "-c", "command -v python3", check=False).returncode != 0
    host.apt("install", "queued")
    assert host.run("sh", "-c", "command -v python3", check=False).returncode != 0
    assert "queued 0.1.0" in host.run("queued", "--version").stdout
    assert "queuectl 0.1.0" in host.run("queuectl", "--version").stdout
    assert host.run("queued", "check", "--instance", "worker").stdout == "configuration is valid\n"
    assert host.shell("dpkg-query -W -f '${Version}' queued") == repository.version()
    assert host.systemctl("list-units", "--plain", "--no-legend", "--state=active", "queued@*") == ""
    assert host.systemctl("is-active", "queued.target").strip() == "active"


def test_apt_install_queued_worker_starts_workers_a_dispatcher_and_a_scheduler(host: Host) -> None:
    host.apt("install", "queued-worker")
    assert host.systemctl("is-active", "queued@worker").strip() == "active"
    assert host.systemctl("is-enabled", "queued@worker").strip() == "enabled"
    # Type=notify: who reads this right after the installation finds all actors registered.
    assert actors(host) == [(kind, "worker") for kind in WORKER]
    assert "1 worker" in host.show("queued@worker", "StatusText")


def test_apt_install_queued_web_starts_a_role_without_workers(host: Host) -> None:
    host.apt("install", "queued-web")
    assert host.systemctl("is-active", "queued@web").strip() == "active"
    assert [kind for kind, role in actors(host) if role == "web"] == ["exporter", "supervisor"]
    assert "Started Worker" not in host.journal("-u", "queued@web")


def test_a_host_without_an_application_runs_programs_on_a_schedule(host: Host) -> None:
    host.run("queuectl", "recurring", "schedule", "hello", "every year", "--shell", "echo Hello from $(hostname)")
    host.run("queuectl", "recurring", "run", "hello")
    host.wait_for(lambda: f"Hello from {host.name}" in host.journal("-u", "queued@worker"), "the program's output")


def test_another_role_runs_beside_them_from_a_file_of_its_own(host: Host) -> None:
    host.write(
        "/etc/queued/mail.yml",
        """
        database: sqlite:////var/lib/queued/queue.sqlite3
        workers:
          - {queues: "mail*", threads: 10}
        """,
    )
    host.systemctl("enable", "--now", "queued@mail")
    assert [kind for kind, role in actors(host) if role == "mail"] == ["supervisor", "worker"]
    assert [kind for kind, role in actors(host) if role == "worker"] == WORKER


def test_the_crash_of_one_role_is_settled_and_leaves_the_others_running(host: Host) -> None:
    """Whichever role finds the dead one's rows may not write into its runtime directory."""
    neighbours = {role: host.show(f"queued@{role}", "MainPID") for role in ("web", "mail")}
    killed = host.show("queued@worker", "MainPID")
    # As a power cut does it, and for longer than a neighbour needs to look.
    host.run("systemctl", "mask", "--runtime", "queued@worker")
    host.run("systemctl", "kill", "--signal=KILL", "queued@worker")

    def left() -> list[str]:
        return [p["kind"] for p in host.queuectl("processes")["processes"] if str(p["pid"]) == killed]

    try:
        host.wait_for(lambda: not left(), "the dead role's processes to be settled")
        assert {role: host.show(f"queued@{role}", "MainPID") for role in neighbours} == neighbours
        assert {host.show(f"queued@{role}", "NRestarts") for role in neighbours} == {"0"}
    finally:
        host.run("systemctl", "unmask", "--runtime", "queued@worker")
        host.systemctl("reset-failed", "queued@worker")
        host.systemctl("start", "queued@worker")


def test_systemd_finds_the_roles_well_confined(host: Host) -> None:
    for role, most in ("web", 1.5), ("worker", 4.5):
        said = host.run("systemd-analyze", "security", "--no-pager", f"queued@{role}").stdout
        exposure = float(said.rpartition("exposure level for ")[2].split(": ")[1].split()[0])
        assert exposure <= most, said


def test_purge_leaves_nothing_of_ours(host: Host, files_before: set[str]) -> None:
    host.apt("purge", "queued", "queued-worker", "queued-web")
    host.apt("autoremove", "--purge")
    assert host.systemctl("list-units", "--plain", "--no-legend", "--all", "queued*") == ""
    # A file that an operator made is the operator's.
    assert files(host) - files_before == {"/etc/queued", "/etc/queued/mail.yml"}
    assert host.run("systemctl", "is-system-running", check=False).stdout.strip() == "running"


def test_it_installs_again_and_an_application_in_debian_s_own_python_uses_it(host: Host) -> None:
    """On Debian 13 that is a Python two releases newer than the one that the daemon is frozen with."""
    host.apt("install", "queued-worker", "python3-queued")
    host.write("/srv/app/sums.py", "import queued\n\n@queued.job\ndef add(a, b):\n    print('sum:', a + b)\n")
    app = r"s|^production:|&\n  app: {path: /srv/app, import: sums, python: /usr/bin/python3}|"
    host.shell(f"sed -i '{app}' /etc/queued/queue.yml")
    host.systemctl("reload", "queued@worker")
    # The file that holds the queue's address can be read by the group queued.
    program = "import sums; sums.add.enqueue(1, 2)"
    command = ["env", "-C", "/srv/app", "QUEUED_CONFIG=/etc/queued/queue.yml", "/usr/bin/python3", "-c", program]
    host.run(*command, user="queued")
    host.wait_for(lambda: "sum: 3" in host.journal("-u", "queued@worker"), "the job's output")
