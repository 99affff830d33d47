"""Checks of this host: its configuration, its application, its disk."""

from __future__ import annotations

from collections.abc import Sequence

from queued.domain.checks.verdict import Verdict


def file(path: str, problems: Sequence[str], warnings: Sequence[str]) -> Verdict:
    """The configuration on this host can be used."""
    if problems:
        return Verdict("host.configuration", "problem", path, "; ".join(problems), "queued check tells all of it")
    if warnings:
        return Verdict("host.configuration", "warning", path, "; ".join(warnings), "queued check tells all of it")
    return Verdict("host.configuration", "ok", path, "valid")


def no_file() -> Verdict:
    """A host that only looks needs none."""
    return Verdict("host.configuration", "skipped", "the usual places", "no configuration on this host")


def application(modules: Sequence[str], python: str, error: str | None, seconds: float) -> Verdict:
    """The application can be imported by its own interpreter."""
    looked = f"import {', '.join(modules)} by {python}"
    if error is not None:
        advice = "correct it: workers of this host start no job before the application loads"
        return Verdict("host.application", "problem", looked, error, advice)
    return Verdict("host.application", "ok", looked, f"imported in {seconds:.1f} s")


def no_application(why: str) -> Verdict:
    """There is none to import, or not by us."""
    return Verdict("host.application", "skipped", "the application", why)


def threads(wanted: int, processors: int) -> Verdict:
    """The workers of this host do not have more threads than its processors can do anything with."""
    looked = f"{wanted} threads of workers, {processors} processor{'' if processors == 1 else 's'}"
    if wanted > 50 * processors:
        advice = (
            "Python runs one thread of a process at a time: more processes and fewer threads, or tasks: for what waits"
        )
        return Verdict("host.threads", "warning", looked, "more threads than can do anything", advice)
    return Verdict("host.threads", "ok", looked, "in proportion")
