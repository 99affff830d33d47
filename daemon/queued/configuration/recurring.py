"""Recurring tasks of a file: recurring.yml, and what stands under `recurring_tasks:` of a dispatcher."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

from queued.configuration.document import NULLS, Document, Entry, Notes, Scalar
from queued.configuration.reading import BROKEN, Reader, unknown
from queued.configuration.values import FALSE, INTEGER, TRUE, WrongValueError, text
from queued.domain.jobs import SHELL
from queued.domain.recurring import COMMAND, call, call_of, faults
from queued.domain.settings import RECURRING, RecurringTaskSettings, Setting

KEYS: Mapping[str, Setting] = {setting.path: setting for setting in RECURRING}
#: What says which job a task enqueues.
KINDS = ("class", "command", "shell")
#: The key that marks a stored value of a type that JSON has no word for; no argument of a file may have it.
MARK = "$queued"
FLOAT = re.compile(r"[+-]?([0-9][0-9_]*)?\.?[0-9]+([eE][+-]?[0-9]+)?")


def from_file(
    path: str, environment: str, environ: Mapping[str, str], zone: str
) -> tuple[tuple[RecurringTaskSettings, ...], Notes]:
    """The tasks of an environment, and what is wrong or odd about them. Raises ConfigurationError for what is not YAML."""
    document = Document(path)
    node = _choose(document, environment)
    reader = TaskReader(document, environ, zone)
    return (() if node is None else reader.tasks(node)), document.notes


def from_setting(reader: Reader, node: Any, path: str, zone: str) -> tuple[RecurringTaskSettings, ...]:
    """The tasks of a setting inside another file; what is wrong is noted there."""
    return TaskReader(reader.document, reader.environ, zone).tasks(node, path)


def _choose(document: Document, environment: str) -> Any | None:
    """The node of the environment's tasks, or the whole of a file without sections; None where there are none."""
    root, notes = document.root, document.notes
    if root is None or _empty(root):
        return None
    if root.id != "mapping":
        notes.problem(document.line(root), "", f"is no mapping; write {environment}: with tasks below it")
        return None
    entries = document.entries(root)
    section = next((entry for entry in entries if entry.key == environment), None)
    if section is not None:
        return None if _empty(section.node) else section.node
    if any(_is_task(document, entry) for entry in entries):
        return root
    there = ", ".join(entry.key for entry in entries)
    notes.warn(0, "", f'there is no section "{environment}", so it has no recurring tasks; there are: {there}')
    return None


def _empty(node: Any) -> bool:
    return bool(node.id == "scalar" and not node.style and node.value in NULLS)


def _is_task(document: Document, entry: Entry) -> bool:
    """Whether an entry at the top is a task rather than a section: it says something that only tasks say, as a scalar."""
    if entry.node.id != "mapping":
        return False
    below = {one.key: one.node.id for one in document.entries(entry.node)}
    return below.get("schedule") == "scalar" or any(below.get(kind) == "scalar" for kind in KINDS)


class TaskReader(Reader):
    """Reads tasks by key. A task with a fault is noted and left out."""

    def __init__(self, document: Document, environ: Mapping[str, str], zone: str) -> None:
        super().__init__(document, environ)
        self._zone = zone

    def tasks(self, node: Any, path: str = "") -> tuple[RecurringTaskSettings, ...]:
        """The tasks of a mapping of keys."""
        if node.id != "mapping":
            self.notes.problem(self.document.line(node), path, "is no mapping; write the keys of tasks below it")
            return ()
        found = (
            self._task(entry, f"{path}.{entry.key}" if path else entry.key) for entry in self.document.entries(node)
        )
        return tuple(task for task in found if task is not None)

    def _task(self, entry: Entry, path: str) -> RecurringTaskSettings | None:
        before = len(self.notes.problems)
        if entry.node.id != "mapping":
            self.notes.problem(entry.line, path, "is no mapping; write class and schedule below it")
            return None
        values: dict[str, Any] = {}
        for below in self.document.entries(entry.node):
            place = f"{path}.{below.key}"
            setting = KEYS.get(below.key)
            if setting is None:
                self.notes.problem(below.line, place, self._unknown(below.key))
                continue
            self.lines[place] = below.line
            values[below.key] = self._value(setting, below.node, place, below.line)
        class_name, arguments = self._job(values, entry, path)
        if "schedule" not in values:
            self.notes.problem(
                entry.line, path, "has no schedule; write one, as in schedule: every day at 5am, or remove the task"
            )
        if len(self.notes.problems) > before or BROKEN in values.values():
            return None
        given = {key: values[key] for key in values if key not in (*KINDS, "args")}
        task = RecurringTaskSettings(
            key=entry.key, class_name=class_name, arguments=arguments, **{"timezone": self._zone, **given}
        )
        for name, wrong in faults(task):
            place = path if name == "key" else f"{path}.{name}"
            self.notes.problem(self.lines.get(place, entry.line), place, wrong)
        kind = next((kind for kind in KINDS if kind in values), "class")
        where = f"{path}.{kind}"
        self.notes.places[entry.key] = self.notes.place(self.lines.get(where, entry.line), "", where)
        return task if len(self.notes.problems) == before else None

    @staticmethod
    def _unknown(key: str) -> str:
        near = get_close_matches(key.lower().replace("-", "_"), KEYS, 1)
        return f"is not a setting; did you mean {near[0]}?" if near else unknown(key, tuple(KEYS))

    def _value(self, setting: Setting, node: Any, path: str, line: int) -> Any:
        if setting.kind == "arguments":
            return self._argument(node, path)
        if setting.path == "command":
            scalar = self._given(node, path, line, setting)
            return BROKEN if scalar is None else self._text(scalar, path, line)
        if setting.kind == "program":
            return self._program(setting, node, path, line)
        return super()._value(setting, node, path, line)

    def _job(self, values: Mapping[str, Any], entry: Entry, path: str) -> tuple[str, str]:
        """The class and the arguments of the task's job."""
        kinds = [kind for kind in KINDS if kind in values]
        if len(kinds) != 1:
            wrong = (
                f"has {' and '.join(kinds)}; keep one of them"
                if kinds
                else "names no job; write class, command or shell"
            )
            self.notes.problem(entry.line, path, wrong)
            return "", ""
        kind, value = kinds[0], values[kinds[0]]
        if kind == "class":
            args = values.get("args", [])
            return str(value), "" if args is BROKEN else call_of(args)
        if "args" in values:
            self.notes.problem(self.lines[f"{path}.args"], f"{path}.args", f"goes with class; with {kind} remove it")
        return (COMMAND if kind == "command" else SHELL), call([value if value is not BROKEN else ""])

    def _program(self, setting: Setting, node: Any, path: str, line: int) -> Any:
        if node.id != "sequence":
            scalar = self._given(node, path, line, setting)
            return BROKEN if scalar is None else self._text(scalar, path, line)
        words = []
        for index, item in enumerate(node.value):
            place = self.document.line(item)
            scalar = self._given(item, f"{path}[{index}]", place, setting)
            words.append(BROKEN if scalar is None else self._text(scalar, f"{path}[{index}]", place))
        if not words:
            self.notes.problem(line, path, "is empty; write the program and its arguments")
        return BROKEN if BROKEN in words or not words else words

    def _text(self, scalar: Scalar, path: str, line: int) -> Any:
        try:
            return text(scalar, printable=False)
        except WrongValueError as wrong:
            self.notes.problem(line, path, str(wrong))
            return BROKEN

    def _argument(self, node: Any, path: str) -> Any:
        if node.id == "sequence":
            items = [self._argument(item, f"{path}[{index}]") for index, item in enumerate(node.value)]
            return BROKEN if BROKEN in items else items
        if node.id == "mapping":
            mapping = {}
            for entry in self.document.entries(node):
                if entry.key == MARK:
                    self.notes.problem(entry.line, path, f"the key {MARK} has a meaning of its own; write another")
                mapping[entry.key] = self._argument(entry.node, f"{path}.{entry.key}")
            return BROKEN if BROKEN in mapping.values() else mapping
        scalar = self._scalar(node, path)
        return BROKEN if scalar is None else _plain(scalar)


def _plain(scalar: Scalar) -> Any:
    """The value of a scalar as YAML has it: nothing, a truth, a number, or text. Dates stay text."""
    written = scalar.text
    if scalar.null:
        return None
    word = written.lower()
    if scalar.quoted and not scalar.expanded:
        return written
    if word in TRUE or word in FALSE:
        return word in TRUE
    if INTEGER.fullmatch(written):
        return int(written)
    if FLOAT.fullmatch(written) and math.isfinite(number := float(written)):
        return number
    return written
