"""Makes one picture of many: a tile for each, laid out in rows. Nothing here knows of jobs."""

from __future__ import annotations

import math
from pathlib import Path

from PIL import Image, ImageOps

from variants import DESCRIPTION, encode, replace

#: Sides of a tile and the gap between tiles, in pixels; tiles in a row.
TILE, GAP, COLUMNS = 120, 8, 8
SHEET = "contact-sheet.jpg"
TILE_FILE = "tile.png"


def complete(site: Path) -> list[str]:
    """The names of the directories of the pictures that are complete, sorted."""
    return sorted(path.parent.name for path in site.glob(f"pictures/*/{DESCRIPTION}"))


def make_tile(site: Path, name: str) -> None:
    """Write the tile of one picture beside its variants; whole, or not at all."""
    directory = site / "pictures" / name
    with Image.open(directory / "thumbnail.jpg") as thumbnail:
        tile = ImageOps.fit(thumbnail, (TILE, TILE))
    replace(directory / TILE_FILE, encode(tile, "PNG"))


def lay_out(site: Path, names: list[str]) -> None:
    """Write the sheet of the tiles that are there."""
    tiles = [path for name in names if (path := site / "pictures" / name / TILE_FILE).exists()]
    columns = min(COLUMNS, max(len(tiles), 1))
    rows = max(math.ceil(len(tiles) / columns), 1)
    sheet = Image.new("RGB", (GAP + columns * (TILE + GAP), GAP + rows * (TILE + GAP)), "white")
    for number, path in enumerate(tiles):
        row, column = divmod(number, columns)
        with Image.open(path) as tile:
            sheet.paste(tile, (GAP + column * (TILE + GAP), GAP + row * (TILE + GAP)))
    replace(site / SHEET, encode(sheet))
