"""The catalogue is what the manual says, what the rules and the dashboard ask for, and what promtool finds well named."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from queued.domain.release import VERSION
from queued.metrics.catalogue import BY_NAME, CATALOGUE, Metric

ROOT = Path(__file__).parents[2]
MANUAL = ROOT / "man" / "queued-metrics.7"
MONITORING = ROOT / "packaging" / "monitoring"
RULES = MONITORING / "queued.rules.yml"
DASHBOARD = MONITORING / "grafana-queued.json"
#: Series of others that the rules look at.
FOREIGN = {"up", "node_textfile_mtime_seconds", "node_textfile_scrape_error"}
EXPORTED = {name for metric in CATALOGUE for name in metric.samples}

promtool = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="promtool is not installed (Debian: apt install prometheus)"
)


def entry(metric: Metric) -> str:
    """The metric as the manual has it, in roff."""
    labels = f" {{\\fI{roff(', '.join(metric.labels))}\\fR}}" if metric.labels else ""
    return f".TP\n.B {roff(metric.sample)}\n{metric.type}{labels}.\n{roff(metric.help)}\n"


def roff(text: str) -> str:
    return text.replace("\\", "\\e").replace("-", "\\-")


SECTIONS = {
    "database": "FROM THE DATABASE",
    "daemon": "COUNTED BY THE DAEMON",
    "exporter": "OF THE EXPORTER",
}


@pytest.mark.parametrize("source", SECTIONS)
def test_the_manual_has_every_metric_with_labels_and_meaning_and_no_other(source: str) -> None:
    section = re.search(rf'^\.SH "{SECTIONS[source]}"\n(.*?)(?=^\.SH )', MANUAL.read_text(), re.M | re.S)
    assert section is not None
    described = section[1][section[1].index(".TP") :]
    assert described == "".join(entry(metric) for metric in CATALOGUE if metric.source == source)


def test_the_manual_is_of_this_release() -> None:
    assert f'"queued {VERSION}"' in MANUAL.read_text()


@pytest.mark.skipif(shutil.which("groff") is None, reason="groff is not installed")
def test_the_manual_is_formatted_without_a_warning() -> None:
    command = ["groff", "-man", "-ww", "-z", "-Kutf8", "-Tutf8", str(MANUAL)]
    assert subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stderr == ""


def rules() -> Iterator[dict[str, Any]]:
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        yield from group["rules"]


def asked(expression: str) -> set[str]:
    """The names of series in an expression: words that are neither labels, functions nor strings."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}", "", bare)
    bare = re.sub(r"\b(by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)", "", bare)
    return {
        word for word in re.findall(r"[a-zA-Z_:][\w:]*", bare) if word.startswith(("queued_", "node_")) or ":" in word
    }


def labels_of(expression: str) -> Iterator[tuple[str, set[str]]]:
    """Each series of ours with the labels that its selector names."""
    for name, selector in re.findall(r"\b(queued_\w+)\{([^}]*)\}", expression):
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))


def test_every_rule_asks_for_series_that_are_exported() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    wanted = set().union(*(asked(rule["expr"]) for rule in rules()))
    assert wanted <= EXPORTED | FOREIGN | recorded
    assert len(wanted & EXPORTED) > 15


def test_every_selector_of_a_rule_names_labels_that_the_series_has() -> None:
    for rule in rules():
        for name, labels in labels_of(rule["expr"]):
            assert labels <= set(metric_of(name).labels) | {"le", "instance"}, rule


def metric_of(sample: str) -> Metric:
    return BY_NAME[re.sub(r"_(total|bucket|sum|count)$", "", sample)]


def test_every_alert_says_how_bad_it_is_and_what_is_wrong() -> None:
    for rule in rules():
        if "alert" in rule:
            assert rule["labels"]["severity"] in {"page", "ticket"}, rule["alert"]
            assert rule["annotations"]["summary"], rule["alert"]


def test_every_alert_but_those_of_prometheus_own_has_a_test_or_is_as_simple_as_one() -> None:
    tested = {
        case["alertname"]
        for test in yaml.safe_load((MONITORING / "queued.rules.test.yml").read_text())["tests"]
        for case in test["alert_rule_test"]
    }
    alerts = {rule["alert"]: rule["expr"] for rule in rules() if "alert" in rule}
    assert tested <= set(alerts)
    joined = {
        name for name, expression in alerts.items() if re.search(r"\b(on|unless|histogram_quantile)\b", expression)
    }
    assert joined - tested <= {"QueuedQueuePausedForLong"}


@promtool
def test_promtool_finds_no_fault_with_the_rules_and_their_tests_pass() -> None:
    for command in (["check", "rules", RULES.name], ["test", "rules", "queued.rules.test.yml"]):
        done = subprocess.run(
            ["promtool", *command], cwd=MONITORING, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


def panels() -> list[dict[str, Any]]:
    found = []
    for panel in json.loads(DASHBOARD.read_text())["panels"]:
        found += [panel, *panel.get("panels", [])]
    return found


def test_every_panel_of_the_dashboard_asks_for_series_that_are_exported() -> None:
    recorded = {rule["record"] for rule in rules() if "record" in rule}
    expressions = [target["expr"] for panel in panels() for target in panel.get("targets", [])]
    assert len(expressions) > 25
    for expression in expressions:
        assert asked(expression), expression
        assert asked(expression) <= EXPORTED | recorded, expression
        for name, labels in labels_of(expression):
            assert labels <= set(metric_of(name).labels) | {"le", "instance", "job"}, expression


def test_the_panels_have_their_own_numbers_and_do_not_lie_on_each_other() -> None:
    shown = panels()
    assert len({panel["id"] for panel in shown}) == len(shown)
    taken: set[tuple[int, int]] = set()
    for panel in shown:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not taken & cells, panel["title"]
        taken |= cells


def test_every_name_is_one_that_prometheus_advises() -> None:
    for metric in CATALOGUE:
        assert re.fullmatch(r"queued_[a-z_]+", metric.name)
        assert not metric.name.endswith("_total")
        assert (metric.buckets != ()) == (metric.type == "histogram")
        assert metric.help.endswith(".")
        assert not set(metric.labels) & {"job", "instance", "pid", "name"}
