"""The site's news as an Atom feed. Nothing here knows of jobs."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path
from xml.etree import ElementTree

from variants import replace

ATOM = "http://www.w3.org/2005/Atom"
FEED = "feed.xml"
#: So many entries are kept; readers have taken the older ones.
ENTRIES = 20

ElementTree.register_namespace("", ATOM)


def add(site: Path, identity: str, text: str) -> None:
    """Put an entry in front. An entry of the same identity is replaced, so telling the same news again is telling it once."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    kept = [entry for entry in entries(site) if entry.findtext(f"{{{ATOM}}}id") != identity]
    root = _element(None, "feed")
    _element(root, "id", f"urn:queued:photos:{site.name}")
    _element(root, "title", f"Pictures of {site.name}")
    _element(root, "updated", now)
    entry = _element(root, "entry")
    _element(entry, "id", identity)
    _element(entry, "title", text)
    _element(entry, "updated", now)
    root.extend(kept[: ENTRIES - 1])
    replace(site / FEED, ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def entries(site: Path) -> list[ElementTree.Element]:
    """What the feed says now, newest first."""
    path = site / FEED
    return ElementTree.parse(path).getroot().findall(f"{{{ATOM}}}entry") if path.exists() else []


def _element(parent: ElementTree.Element | None, name: str, text: str | None = None) -> ElementTree.Element:
    tag = f"{{{ATOM}}}{name}"
    element = ElementTree.Element(tag) if parent is None else ElementTree.SubElement(parent, tag)
    element.text = text
    return element
