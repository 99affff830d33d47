"""The jobs of the photo site. The daemon's workers run them in this example's own virtual environment."""

from __future__ import annotations

import logging
from datetime import timedelta
from pathlib import Path

import contact_sheet
import feed
import gallery
import queued
from variants import forget_missing, make_variants

log = logging.getLogger("photos")

#: A network share that is away for a moment, a full disk. PictureError is none of these, for trying again cannot help.
passing = queued.retry_on(OSError, wait=2, attempts=3)


def the_site(site: str) -> str:
    """What the limits below count by: each site has its own."""
    return site


@queued.job(queue="pictures", retry_on=passing, timeout=120)
def process(source: str, site: str) -> None:
    """Make the three variants of one picture; the page is made anew once they are stored."""
    directory = make_variants(Path(source), Path(site))
    log.info("%s -> %s", source, directory)
    # Stored together with this job's own end: no page without its picture, and no picture that the page never shows.
    render_gallery.set(at_finish=True).enqueue(site)


# A page that waits to be made shows every picture that is complete by then, so one such job serves all that ask meanwhile
# (unique); and one at a time, so that an older page never overwrites a newer one (the limit).
@queued.job(
    queue="pages",
    retry_on=passing,
    unique=queued.unique(the_site, until="start"),
    limits=queued.limits_concurrency(to=1, key=the_site),
)
def render_gallery(site: str) -> None:
    """Write the page with all pictures that are complete at this moment."""
    log.info("%s pictures on the page of %s", gallery.render(Path(site)), site)


# Follows a batch of pictures (enqueue.py). It may take long, so it tells how far it is and goes on there after a stop or a crash.
@queued.job(queue="pages", retry_on=passing, limits=queued.limits_concurrency(to=1, key=the_site))
def make_contact_sheet(site: str) -> None:
    """One picture that shows all of them, small; the page links to it."""
    names = contact_sheet.complete(Path(site))
    with queued.step("tiles", start="") as step:
        for done, name in enumerate(names, 1):
            if name > step.cursor:
                contact_sheet.make_tile(Path(site), name)
                step.advance(name)
            queued.progress(done, len(names), "tiles")
    lay_out(site, names)
    render_gallery.set(at_finish=True).enqueue(site)


@queued.step("sheet")
def lay_out(step: queued.Step, site: str, names: list[str]) -> None:
    """The last step: tiles become the sheet."""
    contact_sheet.lay_out(Path(site), names)
    log.info("%s pictures on the contact sheet of %s", len(names), site)


# Follows a batch in which nothing failed. Readers of a feed are not to be chased: ten entries a minute, and none an hour late.
@queued.job(
    queue="pages",
    retry_on=passing,
    rate=queued.rate_limit(10, per=60, key=the_site),
    limits=queued.limits_concurrency(to=1, key=the_site, group="feed"),
    expires=timedelta(hours=1),
)
def announce(site: str) -> None:
    """Tell the readers of the feed about the batch that has just ended."""
    batch = queued.current_job().batch
    assert batch is not None, "announce is enqueued as on_success of a batch"
    text = f"{batch.done} pictures from {batch.metadata['folder']}"
    feed.add(Path(site), f"urn:queued:batch:{batch.id}", text)
    log.info("in the feed of %s: %s", site, text)


# A recurring task (recurring.yml): nobody enqueues it.
@queued.job(queue="pages")
def forget_removed_pictures(sites: str) -> None:
    """Take the pictures off the pages whose originals are gone."""
    for site in sorted(Path(sites).glob("*/")):
        if forgotten := forget_missing(site):
            log.info("gone: %s", ", ".join(forgotten))
            render_gallery.set(at_finish=True).enqueue(str(site))
