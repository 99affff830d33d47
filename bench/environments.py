"""An environment of its own for every peer, below `build`: made once, and anew when what it is made of changes."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
PEERS = HERE / "peers"
BUILD = HERE.parent / "build" / "peers"
#: Holds the digest of what an environment was made of, once it is whole.
STAMP = "made-of"
#: Seconds that an installation may take.
PATIENCE = 600.0


class NotInstalled(Exception):
    """A peer cannot be had here."""


def command(directory: str, python: tuple[int, int]) -> tuple[list[str], dict[str, str]]:
    """How to run an adapter, and what to add to its environment, with everything installed that it needs."""
    source = PEERS / directory
    if (source / "package.json").exists():
        home = _prepared(source, ["package.json", "package-lock.json"], _install_node)
        return [str(_node(home)), str(source / "adapter.mjs")], {"PEER_HOME": str(home)}
    if (source / "requirements.txt").exists():
        interpreter = _interpreter(python)
        home = _prepared(source, ["requirements.txt"], lambda home: _install_python(home, interpreter), interpreter)
        return [str(home / "bin" / "python"), str(source / "adapter.py")], {}
    return [sys.executable, str(source / "adapter.py")], {}


def pinned(requirements: str) -> bool:
    """Whether every line of a requirements file names one exact version."""
    lines = [line for line in requirements.splitlines() if line.strip() and not line.startswith("#")]
    return bool(lines) and all(re.fullmatch(r"[A-Za-z0-9._-]+==[^\s=*]+", line) for line in lines)


def _prepared(source: Path, made_of: list[str], install: Callable[[Path], None], *also: str) -> Path:
    home = BUILD / source.name
    digest = hashlib.sha256("\0".join([*((source / name).read_text() for name in made_of), *also]).encode()).hexdigest()
    stamp = home / STAMP
    if stamp.exists() and stamp.read_text() == digest:
        return home
    print(f"Installing {source.name} into {home} ...", file=sys.stderr)
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    for name in made_of:
        shutil.copy(source / name, home)
    install(home)
    stamp.write_text(digest)
    return home


def _install_python(home: Path, interpreter: str) -> None:
    _run(interpreter, "-m", "venv", str(home))
    pip = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-input"]
    _run(str(home / "bin" / "python"), *pip, "--requirement", str(home / "requirements.txt"))


def _install_node(home: Path) -> None:
    # npm warns that the Node.js that runs it is too old for the peer: it brings its own.
    _run("npm", "ci", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(home))


def _node(home: Path) -> Path:
    found = next((home / "node_modules").glob("node-linux-*/bin/node"), None)
    if found is None:
        raise NotInstalled("npm has no Node.js for this machine's architecture")
    return found


def _interpreter(oldest: tuple[int, int]) -> str:
    """The Python that runs this where it is new enough, else one of the path or of pyenv."""
    if sys.version_info[:2] >= oldest:
        return sys.executable
    if found := next(filter(_runs, _others(oldest)), None):
        return found
    raise NotInstalled(f"it needs Python {oldest[0]}.{oldest[1]}, and there is none on the path")


def _others(oldest: tuple[int, int]) -> Iterator[str]:
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    for minor in range(oldest[1], oldest[1] + 8):
        name = f"python3.{minor}"
        if found := shutil.which(name):
            yield found
        yield from map(str, sorted(root.glob(f"versions/3.{minor}.*/bin/{name}")))


def _runs(interpreter: str) -> bool:
    """A program of pyenv's may be there for a Python that is not."""
    return not subprocess.run(
        [interpreter, "-c", "import ensurepip, venv"], capture_output=True, check=False
    ).returncode


def _run(*words: str) -> None:
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NotInstalled(str(error)) from None
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()[-1:]
        raise NotInstalled(f"{Path(words[0]).name} {words[1]}: {last[0] if last else done.returncode}")
