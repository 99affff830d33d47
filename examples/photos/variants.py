"""Makes the three sizes of a picture. Nothing here knows of jobs."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from pathlib import Path

from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError

#: The longest side of each variant in pixels. A smaller picture is never made larger.
SIZES = {"thumbnail": 160, "medium": 800, "large": 1600}
QUALITY = 82
#: A picture is complete when this file is there; it is written last.
DESCRIPTION = "picture.json"
MODES_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")

# Half a picture must be an error, not a picture that turns grey in the middle.
ImageFile.LOAD_TRUNCATED_IMAGES = False


class PictureError(ValueError):
    """The file is no picture, or not a whole one. Trying again cannot help."""


def make_variants(source: Path, site: Path) -> Path:
    """Write the three variants of a picture under `site/pictures/NAME/` and give that directory.

    Each file appears whole or not at all, and a second run writes the same files again, so a job that was interrupted
    may simply run again. Raises PictureError for what cannot be a picture and OSError for what another try may cure.
    """
    upright = open_upright(source)
    target = site / "pictures" / name_for(source)
    target.mkdir(parents=True, exist_ok=True)
    description: dict[str, object] = {"title": source.stem, "source": str(source)}
    for variant, side in SIZES.items():
        copy = upright.copy()
        copy.thumbnail((side, side), Image.Resampling.LANCZOS)
        file = f"{variant}.jpg"
        replace(target / file, encode(copy))
        description[variant] = {"file": file, "width": copy.width, "height": copy.height}
    replace(target / DESCRIPTION, json.dumps(description, indent=1).encode())
    return target


def open_upright(source: Path) -> Image.Image:
    """The whole picture in memory: RGB, turned as its EXIF orientation says, transparency laid on white."""
    try:
        with Image.open(source) as file:
            file.load()
            picture = ImageOps.exif_transpose(file)
    except (UnidentifiedImageError, SyntaxError, Image.DecompressionBombError) as error:
        raise PictureError(f"{source} cannot be read as a picture: {error}") from error
    except OSError as error:
        # Pillow says "truncated" with an OSError of its own; only one from the system carries a number.
        if error.errno is None:
            raise PictureError(f"{source} is not a whole picture: {error}") from error
        raise
    if picture.mode in MODES_WITH_ALPHA or "transparency" in picture.info:
        paper = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(paper, picture.convert("RGBA")).convert("RGB")
    if picture.mode != "RGB":
        picture = picture.convert("RGB")
        # It described the colours of the old mode.
        picture.info.pop("icc_profile", None)
    return picture


def forget_missing(site: Path) -> list[str]:
    """Remove the variants of pictures whose originals are gone, and name those originals."""
    gone = {}
    for path in site.glob(f"pictures/*/{DESCRIPTION}"):
        source = Path(json.loads(path.read_text())["source"])
        # A folder that is gone as a whole may be a disk that is not mounted: nothing is forgotten for that.
        if source.parent.is_dir() and not source.exists():
            gone[path.parent] = source
    for directory in gone:
        shutil.rmtree(directory)
    return sorted(str(source) for source in gone.values())


def encode(picture: Image.Image, format: str = "JPEG") -> bytes:
    """The picture without the EXIF data of the original, for that may tell where somebody lives; a JPEG is progressive."""
    with tempfile.SpooledTemporaryFile(max_size=16 << 20) as file:
        profile = picture.info.get("icc_profile")
        picture.save(file, format, quality=QUALITY, progressive=True, optimize=True, icc_profile=profile)
        file.seek(0)
        return file.read()


def replace(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old content or the new one, never a half."""
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".draft-")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(draft, 0o644)
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise


def name_for(source: Path) -> str:
    """A directory name for a picture: readable, and its own even beside a picture of the same name elsewhere."""
    readable = re.sub(r"[^a-z0-9]+", "-", source.stem.lower()).strip("-")[:40] or "picture"
    return f"{readable}-{hashlib.sha256(os.fsencode(source)).hexdigest()[:8]}"
