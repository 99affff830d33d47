"""Which part of a file speaks: the section of the environment, or the whole of a file without sections."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from typing import Any

from queued.configuration.document import NULLS, Document, Entry
from queued.domain.settings import known

DEFAULT_ENVIRONMENT = "production"


def choose(document: Document, environment: str) -> Any | None:
    """The node of the environment's settings, or None with a problem noted.

    A file is flat when a setting stands at its top; else its top level names environments. An environment that the file
    does not name is a problem, never a reason to run on defaults.
    """
    root = document.root
    notes = document.notes
    if root is None or (root.id == "scalar" and not root.style and root.value in NULLS):
        notes.problem(0, "", f"the file is empty; write {environment}: with database, app and workers below it")
        return None
    if root.id != "mapping":
        notes.problem(
            document.line(root), "", f"the file holds a {_kind(root)}; write {environment}: with settings below it"
        )
        return None
    entries = document.entries(root)
    settings = [entry for entry in entries if entry.key in known("")]
    sections = [entry for entry in entries if entry.key not in known("") and _may_be_section(document, entry)]
    section = next((entry for entry in sections if entry.key == environment), None)
    if section is not None:
        for entry in settings:
            notes.problem(
                entry.line,
                entry.key,
                f"stands beside the environment sections; move it below {environment}: or another",
            )
        return section.node
    if settings or len(sections) < len(entries):
        return root
    notes.problem(0, "", _missing(environment, [entry.key for entry in entries]))
    return None


def _may_be_section(document: Document, entry: Entry) -> bool:
    if entry.node.id == "scalar":
        return not entry.node.style and entry.node.value in NULLS
    return bool(entry.node.id == "mapping")


def _missing(environment: str, sections: Sequence[str]) -> str:
    if not sections:
        return f"the file has no section; write {environment}: with settings below it"
    for name in sections:
        near = get_close_matches(name, known(""), 1, 0.75)
        if near:
            return f'"{name}" is no setting and "{environment}" no section of the file; did you mean {near[0]}?'
    there = ", ".join(sections)
    return (
        f'there is no section "{environment}"; there are: {there}. '
        "Choose one with --env or QUEUED_ENV, or write the section"
    )


def _kind(node: Any) -> str:
    return "list" if node.id == "sequence" else "text"
