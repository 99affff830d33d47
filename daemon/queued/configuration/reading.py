"""From nodes to values by the table of settings. Everything wrong is noted with its place, and reading goes on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Final

from queued.configuration.document import Document, Scalar
from queued.configuration.expansion import ExpansionError
from queued.configuration.values import WrongValueError, convert, module, seconds, shown, text
from queued.domain.errors import ConfigurationError
from queued.domain.queues import Selector
from queued.domain.settings import BY_PATH, ROLE, SETTINGS, Setting, known

#: What a section says: values by key. Keys that nobody wrote are absent, so that defaults can come last.
Tree = dict[str, Any]


class Broken:
    """In the place of a value that was written and is wrong; the problem is noted already."""


BROKEN: Final = Broken()


class Reader:
    """Reads one section of a document. `lines` keeps where each path was written."""

    def __init__(self, document: Document, environ: Mapping[str, str], skip: Sequence[str] = ()) -> None:
        self.document = document
        self.notes = document.notes
        self.lines: dict[str, int] = {}
        self.environ = environ
        self._skip = frozenset(skip)

    def section(
        self, node: Any, schema: str = "", path: str = "", keys: Sequence[str] | None = None, strict: bool = True
    ) -> Tree:
        """The values of a mapping. `keys` limits what may stand in it; unless `strict`, other keys are passed over."""
        allowed = known(schema) if keys is None else tuple(keys)
        if node.id == "scalar":
            scalar = self._scalar(node, path)
            if scalar is not None and not scalar.null:
                self.notes.problem(self.document.line(node), path, f"is a text; write a mapping: {', '.join(allowed)}")
            return {}
        if node.id == "sequence":
            self.notes.problem(self.document.line(node), path, f"is a list; write a mapping: {', '.join(allowed)}")
            return {}
        tree: Tree = {}
        for entry in self.document.entries(node):
            below = f"{path}.{entry.key}" if path else entry.key
            if entry.key not in allowed:
                if strict:
                    self.notes.problem(entry.line, below, unknown(entry.key, allowed))
                continue
            setting = BY_PATH[f"{schema}.{entry.key}" if schema else entry.key]
            if setting.path in self._skip:
                continue
            self.lines[below] = entry.line
            tree[entry.key] = self._value(setting, entry.node, below, entry.line)
        return tree

    def _value(self, setting: Setting, node: Any, path: str, line: int) -> Any:
        if setting.kind == "section":
            if setting.path == "database" and node.id == "scalar":
                return self._address(node, line)
            return self.section(node, setting.path, path)
        if setting.kind == "sections":
            return self._sections(setting, node, path, line)
        if setting.kind == "roles":
            return self._roles(node, path, line)
        if setting.kind == "tasks":
            return node  # read when it is known which zone schedules without one are in
        if setting.kind == "targets":
            return self._targets(setting, node, path, line)
        if setting.kind == "variables":
            return self._variables(node, path, line)
        if setting.kind in ("queues", "modules"):
            return self._list(setting, node, path, line)
        scalar = self._given(node, path, line, setting)
        return BROKEN if scalar is None else self._converted(setting, scalar, path, line)

    def _address(self, node: Any, line: int) -> Any:
        if "database.url" in self._skip or self._null(node, "database"):
            return {}
        setting = BY_PATH["database.url"]
        scalar = self._given(node, "database", line, setting)
        return {"url": BROKEN if scalar is None else self._converted(setting, scalar, "database", line)}

    def _sections(self, setting: Setting, node: Any, path: str, line: int) -> Any:
        if node.id != "sequence":
            remedy = f"write a list, each entry with - before it, or {setting.name}: [] for none"
            self.notes.problem(line, path, f"is {_kind(node)}; {remedy}")
            return BROKEN
        trees = []
        for index, item in enumerate(node.value):
            if item.id == "mapping":
                trees.append(self.section(item, f"{setting.path}[]", f"{path}[{index}]"))
            else:
                self.notes.problem(
                    self.document.line(item),
                    f"{path}[{index}]",
                    f"is {_kind(item)}; write a mapping, or {{}} for the defaults",
                )
        return trees if trees or not node.value else BROKEN

    def _roles(self, node: Any, path: str, line: int) -> Any:
        if node.id != "mapping":
            self.notes.problem(line, path, f"is {_kind(node)}; write role names with {', '.join(ROLE)} below each")
            return BROKEN
        return {
            entry.key: self.section(entry.node, "", f"{path}.{entry.key}", ROLE)
            for entry in self.document.entries(node)
        }

    def _targets(self, setting: Setting, node: Any, path: str, line: int) -> Any:
        if node.id == "scalar" and self._null(node, path):
            return {}
        if node.id != "mapping":
            self.notes.problem(line, path, f"is {_kind(node)}; write queues and seconds, as in mail: 30")
            return BROKEN
        values: dict[str, float] = {}
        for entry in self.document.entries(node):
            below = f"{path}.{entry.key}"
            if not entry.key or "*" in entry.key[:-1]:
                self.notes.problem(entry.line, below, "names no queue; write a name, prefix*, or * for all others")
                continue
            scalar = self._given(entry.node, below, entry.line, setting)
            if scalar is None:
                continue
            try:
                length = values[entry.key] = seconds(setting, scalar)
                if not length:
                    self.notes.problem(
                        entry.line, below, "promises 0 seconds, which no job can keep; write a longer time"
                    )
            except WrongValueError as wrong:
                self.notes.problem(entry.line, below, str(wrong))
        return values

    def _variables(self, node: Any, path: str, line: int) -> Any:
        if node.id == "scalar" and self._null(node, path):
            return {}
        if node.id != "mapping":
            self.notes.problem(line, path, f'is {_kind(node)}; write names and texts, as in DEBUG: "1"')
            return BROKEN
        values: dict[str, str] = {}
        for entry in self.document.entries(node):
            below = f"{path}.{entry.key}"
            self.lines[below] = entry.line
            if not entry.key or not entry.key.isprintable() or "=" in entry.key:
                self.notes.problem(entry.line, below, "is not the name of a variable; write letters, digits and _")
                continue
            if entry.node.id == "scalar" and entry.node.style and not entry.node.value:
                values[entry.key] = ""
                continue
            scalar = self._given(entry.node, below, entry.line, None)
            if scalar is None:
                continue
            try:
                values[entry.key] = text(scalar, printable=False)
            except WrongValueError as wrong:
                self.notes.problem(entry.line, below, str(wrong))
        return values

    def _list(self, setting: Setting, node: Any, path: str, line: int) -> Any:
        scalars: list[tuple[Scalar, str, int]] = []
        whole = True
        if node.id == "sequence":
            for index, item in enumerate(node.value):
                below, place = f"{path}[{index}]", self.document.line(item)
                scalar = self._given(item, below, place, setting)
                whole = whole and scalar is not None
                if scalar is not None:
                    scalars.append((scalar, below, place))
        else:
            scalar = self._given(node, path, line, setting)
            if scalar is None:
                return BROKEN
            # A variable can only be one text, so commas are how it gives several.
            if "," in scalar.text and not scalar.expanded and setting.kind == "queues":
                self.notes.warn(line, path, f"{shown(scalar.text)} is read as a list; write [{scalar.text}]")
            parts = [part.strip() for part in scalar.text.split(",")]
            scalars = [(Scalar(part, True), path, line) for part in parts if part]
        values: list[str] = []
        for scalar, below, place in scalars:
            try:
                values.append(module(scalar) if setting.kind == "modules" else text(scalar))
            except WrongValueError as wrong:
                self.notes.problem(place, below, str(wrong))
                whole = False
        if not whole:
            return BROKEN
        return tuple(values) if setting.kind == "modules" else self._queues(setting, values, path, line)

    def _queues(self, setting: Setting, entries: Sequence[str], path: str, line: int) -> Any:
        if not entries and not setting.default:
            return ()
        if not entries:
            self.notes.problem(line, path, 'names no queue; write names, or "*" for all of them')
            return BROKEN
        if not setting.default and all(entry.startswith("-") for entry in entries):
            # A worker that serves all but some is usual. What deletes must be told so in as many words.
            self.notes.problem(
                line, path, f'names only what is left out; write ["*", {", ".join(entries)}] for all others'
            )
            return BROKEN
        try:
            return Selector.parse(entries).entries
        except ConfigurationError as error:
            for problem in error.problems:
                self.notes.problem(line, path, problem)
            return BROKEN

    def _converted(self, setting: Setting, scalar: Scalar, path: str, line: int) -> Any:
        try:
            return convert(setting, scalar)
        except WrongValueError as wrong:
            self.notes.problem(line, path, str(wrong))
            return BROKEN

    def _given(self, node: Any, path: str, line: int, setting: Setting | None) -> Scalar | None:
        """The scalar of a setting that takes one; None with a problem noted."""
        words = setting.type if setting else "a text"
        if node.id != "scalar":
            self.notes.problem(line, path, f"is {_kind(node)}; write {words}")
            return None
        scalar = self._scalar(node, path)
        if scalar is not None and scalar.null:
            self.notes.problem(line, path, f"has no value; write {words}, or remove the key")
            return None
        return scalar

    def _scalar(self, node: Any, path: str) -> Scalar | None:
        if self.document.broken(node):
            return None
        try:
            return self.document.scalar(node, self.environ)
        except ExpansionError as error:
            self.notes.problem(self.document.line(node), path, str(error))
            return None

    def _null(self, node: Any, path: str) -> bool:
        scalar = self._scalar(node, path)
        return scalar is not None and scalar.null


def unknown(key: str, allowed: Sequence[str]) -> str:
    """Why a key is refused, with the nearest that would not be."""
    near = get_close_matches(key.lower().replace("-", "_"), allowed, 1)
    if near:
        return f"is not a setting; did you mean {near[0]}?"
    elsewhere = [setting.path for setting in SETTINGS if setting.name == key]
    if elsewhere:
        return f"is not a setting here; it is {' and '.join(elsewhere)}"
    return f"is not a setting; here may stand: {', '.join(allowed)}"


def _kind(node: Any) -> str:
    return {"sequence": "a list", "mapping": "a mapping"}.get(node.id, "a text")
