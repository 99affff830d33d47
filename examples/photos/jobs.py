"""The jobs of the photo site. The daemon's workers run them in this example's own virtual environment."""

from __future__ import annotations

import logging
from pathlib import Path

import gallery
import queued
from variants import make_variants

log = logging.getLogger("photos")


# OSError: a network share that is away for a moment, a full disk. PictureError is none, for trying again cannot help.
@queued.job(queue="pictures", retry_on=queued.retry_on(OSError, wait=2, attempts=3), timeout=120)
def process(source: str, site: str) -> None:
    """Make the three variants of one picture; the page is made anew once they are stored."""
    directory = make_variants(Path(source), Path(site))
    log.info("%s -> %s", source, directory)
    # Stored together with this job's own end: no page without its picture, and no picture that the page never shows.
    render_gallery.set(at_finish=True).enqueue(site)


# One worker with one thread serves this queue (queue.yml), so an older page never overwrites a newer one.
@queued.job(queue="pages", retry_on=queued.retry_on(OSError, wait=2, attempts=3))
def render_gallery(site: str) -> None:
    """Write the page with all pictures that are complete at this moment."""
    log.info("%s pictures on the page of %s", gallery.render(Path(site)), site)
