"""Makes the page that shows all pictures of a site. Nothing here knows of jobs."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

from contact_sheet import SHEET
from feed import FEED
from variants import DESCRIPTION, replace

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{count} pictures</title>
<style>
  :root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
  body {{ margin: 2rem auto; max-width: 72rem; padding: 0 1rem }}
  main {{ display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(18rem, 1fr)) }}
  figure {{ margin: 0 }}
  img {{ aspect-ratio: 4 / 3; border-radius: .5rem; display: block; height: auto; object-fit: cover; width: 100% }}
  figcaption {{ align-items: center; display: flex; gap: .5rem; margin-top: .25rem }}
  figcaption img {{ aspect-ratio: 1; border-radius: .25rem; width: 2rem }}
</style>
{links}<h1>{count} pictures</h1>
<main>
{figures}
</main>
</html>
"""

FIGURE = """<figure>
  <a href="{large}"><img src="{medium}" width="{width}" height="{height}" alt="{title}" loading="lazy"></a>
  <figcaption><img src="{thumbnail}" alt="">{title}</figcaption>
</figure>"""


#: What the page links to once it is there.
LINKS = {
    FEED: f'<link rel="alternate" type="application/atom+xml" href="{FEED}">\n',
    SHEET: f'<p><a href="{SHEET}">All of them on one sheet</a></p>\n',
}


def render(site: Path) -> int:
    """Write `site/index.html` with every picture that is complete, and say how many those are."""
    figures = [figure(path.parent) for path in sorted(site.glob(f"pictures/*/{DESCRIPTION}"))]
    links = "".join(LINKS[file] for file in LINKS if (site / file).exists())
    page = PAGE.format(count=len(figures), links=links, figures="\n".join(figures))
    replace(site / "index.html", page.encode())
    return len(figures)


def figure(directory: Path) -> str:
    """The piece of the page for one picture."""
    picture: dict[str, Any] = json.loads((directory / DESCRIPTION).read_text())
    links = {size: f"pictures/{directory.name}/{picture[size]['file']}" for size in ("thumbnail", "medium", "large")}
    shape = {side: picture["medium"][side] for side in ("width", "height")}
    return FIGURE.format(title=html.escape(picture["title"]), **links, **shape)
