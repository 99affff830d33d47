"""Prints debian/changelog: the version of pyproject.toml, with what CHANGELOG.md says of it.

A version that CHANGELOG.md does not date yet is followed by the time of the commit: 0.1.0~20261122140952. Such a package is older
than the released one, and newer than one of an earlier commit. DEB_VERSION in the environment wins.
"""

from __future__ import annotations

import os
import re
from datetime import datetime, timezone
from email.utils import format_datetime
from pathlib import Path

import tomllib

ROOT = Path(__file__).resolve().parents[2]


def changelog(project: str, changes: str, control: str, built: datetime, version: str | None) -> str:
    """The text of debian/changelog, of one entry. `built`: an aware time; `version` instead of that of the project."""
    released = tomllib.loads(project)["project"]["version"]
    heading = re.search(rf"^## \[{re.escape(released)}\] – (\S+)$", changes, re.MULTILINE)
    if heading is None:
        raise SystemExit(f"CHANGELOG.md has no heading for {released}, the version of pyproject.toml")
    if version is None:
        version = released if re.fullmatch(r"\d{4}-\d\d-\d\d", heading[1]) else f"{released}~{built:%Y%m%d%H%M%S}"
    if not re.fullmatch(r"\d[A-Za-z0-9.+~]*", version):
        raise SystemExit(f"DEB_VERSION: {version!r} is no version of a Debian package: digits, letters, . + ~")
    [maintainer] = re.findall(r"^Maintainer: (.*)$", control, re.MULTILINE)
    return (
        f"queued ({version}) stable; urgency=medium\n\n"
        f"  * Release {released}; changelog.gz beside this file says what is new.\n\n"
        f" -- {maintainer}  {format_datetime(built)}\n"
    )


if __name__ == "__main__":
    print(
        changelog(
            (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
            (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"),
            (ROOT / "packaging/deb/debian/control").read_text(encoding="utf-8"),
            datetime.fromtimestamp(int(os.environ["SOURCE_DATE_EPOCH"]), timezone.utc),
            os.environ.get("DEB_VERSION") or None,
        ),
        end="",
    )
