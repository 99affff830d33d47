"""What `import queued` offers, and what it costs."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import queued
from queued.domain.release import VERSION

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", [name for name in queued.__all__ if name != "__version__"])
def test_every_public_name_is_there_and_documented(name: str) -> None:
    thing = getattr(queued, name)
    assert inspect.getdoc(thing), name
    assert name in dir(queued)


def test_public_methods_are_documented() -> None:
    for kind in (queued.Job, queued.CurrentJob, queued.UnsentJob, queued.Batch, queued.CurrentBatch):
        for name, member in inspect.getmembers(kind):
            if not name.startswith("_") and (callable(member) or isinstance(member, property)):
                assert inspect.getdoc(member), f"{kind.__name__}.{name}"


def test_the_names_for_type_checkers_are_the_names_at_run_time() -> None:
    source = Path(queued.__file__).read_text()
    for name in queued.__all__:
        assert f" as {name}\n" in source or f"    {name} = _everywhere.{name}\n" in source or name == "__version__", (
            name
        )


def test_a_name_that_is_none_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nonsense'"):
        queued.nonsense  # type: ignore[attr-defined]  # noqa: B018


def test_the_version_is_the_distributions() -> None:
    assert f'version = "{queued.__version__}"' in (ROOT / "pyproject.toml").read_text()
    assert queued.__version__ == VERSION


def test_importing_queued_loads_nothing_else() -> None:
    script = "import sys, queued; print([m for m in sys.modules if m.startswith('queued.')])"
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "[]\n"
