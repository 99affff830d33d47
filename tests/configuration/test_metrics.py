"""`metrics:` in the file: addresses, files, targets, and what a role says of them."""

from __future__ import annotations

import pytest

from configuration.files import DATABASE, Files
from queued.configuration import monitoring_from_file, render
from queued.domain.endpoints import Endpoint, parse
from queued.domain.errors import ConfigurationError
from queued.domain.settings import MetricsSettings
from queued.domain.supervision import Place
from queued.processes.crew import expected, plan_of


def test_nobody_is_told_unless_the_file_says_so(files: Files) -> None:
    settings = files.load(DATABASE).settings
    assert settings.metrics == MetricsSettings()
    assert not settings.metrics.wanted
    assert all(place.kind != "exporter" for place in plan_of(settings))


def test_a_section_says_all_of_it(files: Files) -> None:
    text = f"""{DATABASE}metrics:
  listen: 127.0.0.1:10940
  textfile: /var/lib/prometheus/node-exporter/queued.prom
  interval: 30 seconds
  label_limit: 50
  latency_targets:
    mail: 30
    "bulk*": 1 hour
    "*": 5 minutes
"""
    metrics = files.load(text).settings.metrics
    assert metrics == MetricsSettings(
        "127.0.0.1:10940",
        "/var/lib/prometheus/node-exporter/queued.prom",
        30.0,
        {"mail": 30.0, "bulk*": 3600.0, "*": 300.0},
        50,
    )


@pytest.mark.parametrize("word", ["off", "no", "false", "none", "Off"])
def test_off_is_off(files: Files, word: str) -> None:
    metrics = files.load(f"{DATABASE}metrics:\n  listen: {word}\n  textfile: {word}\n").settings.metrics
    assert not metrics.wanted


def test_paths_are_relative_to_the_file(files: Files) -> None:
    metrics = files.load(f"{DATABASE}metrics:\n  listen: run/m.sock\n  textfile: q.prom\n").settings.metrics
    assert metrics.listen == str(files.directory / "run" / "m.sock")
    assert metrics.textfile == str(files.directory / "q.prom")


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:80", Endpoint(host="127.0.0.1", port=80)),
        ("[::1]:80", Endpoint(host="::1", port=80)),
        ("db1.example:0", Endpoint(host="db1.example", port=0)),
        ("/run/q.sock", Endpoint(path="/run/q.sock")),
        ("unix:/run/q.sock", Endpoint(path="/run/q.sock")),
    ],
)
def test_an_address_is_a_host_and_a_port_or_a_path(text: str, endpoint: Endpoint) -> None:
    assert parse(text) == endpoint
    assert parse(str(endpoint)) == endpoint


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("listen: 9090", "'9090' is neither HOST:PORT nor a path; write 127.0.0.1:10940"),
        ("listen: localhost", "is neither HOST:PORT nor a path"),
        ("listen: ::1:80", "is neither HOST:PORT nor a path"),
        ("listen: a:99999", "has a port above 65535"),
        (f"listen: /{'x' * 200}", "is longer than the 107 bytes"),
        ("listen:", "has no value; write HOST:PORT, path of a socket, or off, or remove the key"),
        ("listen: [a]", "is a list; write HOST:PORT"),
        ("textfile: /var/lib/queued.txt", "does not end in .prom"),
        ("interval: 0.1", "0.1 is too small"),
        ("label_limit: 0", "0 is too small"),
        ("latency_targets: 30", "is a text; write queues and seconds, as in mail: 30"),
        ("latency_targets: {mail: soon}", "metrics.latency_targets.mail: 'soon' is not a length of time"),
        ("latency_targets: {mail: 0}", "promises 0 seconds"),
        ('latency_targets: {"*mail": 3}', "names no queue; write a name, prefix*, or * for all others"),
        ("port: 3", "metrics.port: is not a setting"),
    ],
)
def test_what_is_wrong_is_told_with_what_to_write(files: Files, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        files.load(f"{DATABASE}metrics:\n  {text}\n")
    assert any(problem in told for told in raised.value.problems), raised.value.problems


ROLES = f"""{DATABASE}
metrics:
  interval: 30
  listen: 127.0.0.1:10940
  latency_targets: {{mail: 30}}
roles:
  worker:
    workers: [{{threads: 1}}]
    dispatchers: [{{}}]
  web:
    metrics: {{listen: 127.0.0.1:10941}}
  quiet:
    dispatchers: [{{}}]
    metrics: {{listen: off}}
"""


def test_a_role_with_metrics_alone_runs_the_exporter_alone(files: Files) -> None:
    settings = files.load(ROLES, role="web").settings
    assert plan_of(settings) == (Place("exporter-1", "exporter"),)
    assert settings.metrics == MetricsSettings("127.0.0.1:10941", None, 30.0, {"mail": 30.0})
    assert expected(settings) == {}


def test_what_a_role_says_of_metrics_wins_over_its_section(files: Files) -> None:
    worker, quiet = (files.load(ROLES, role=role).settings for role in ("worker", "quiet"))
    assert worker.metrics.listen == "127.0.0.1:10940"
    assert expected(worker) == {"dispatcher": 1, "worker": 1}
    assert not quiet.metrics.wanted


def test_a_role_without_anything_to_run_is_refused(files: Files) -> None:
    with pytest.raises(ConfigurationError, match="write workers, dispatchers, scheduler or metrics below it"):
        files.load(f"{DATABASE}roles:\n  web: {{}}\n", role="web")


def test_metrics_alone_leave_the_usual_worker_and_dispatcher_in_place(files: Files) -> None:
    settings = files.load(f"{DATABASE}metrics: {{listen: 127.0.0.1:1}}\n").settings
    assert [place.kind for place in plan_of(settings)] == [
        "application",
        "dispatcher",
        "worker",
        "scheduler",
        "exporter",
    ]


def test_who_only_looks_reads_what_the_file_says_of_it_and_nothing_else(files: Files) -> None:
    files.path.write_text(ROLES + "nonsense: 3\nalive_threshold: 60\n")
    found = monitoring_from_file(str(files.path), environ={})
    assert found.addresses == ("127.0.0.1:10940", "127.0.0.1:10941")
    assert (found.metrics.interval, found.alive_threshold) == (30.0, 60.0)


def test_it_is_shown_as_a_file_would_say_it(files: Files) -> None:
    settings = files.load(ROLES, role="worker").settings
    shown = render(settings)
    assert '  latency_targets:\n    "mail": 30\n' in shown
    again = files.load(shown).settings
    assert again.metrics == settings.metrics
