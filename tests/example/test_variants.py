"""The image functions of the example make what they say, from every kind of picture."""

from __future__ import annotations

import errno
import io
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

EXAMPLE = Path(__file__).resolve().parents[2] / "examples/photos"
ORIENTATION, GPS = 0x0112, 0x8825


@pytest.fixture(autouse=True)
def _modules_of_the_example(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.syspath_prepend(str(EXAMPLE))
    yield
    for name in ("contact_sheet", "feed", "gallery", "jobs", "variants"):
        sys.modules.pop(name, None)


def variants_of(source: Path, site: Path) -> dict[str, Image.Image]:
    from variants import SIZES, make_variants

    directory = make_variants(source, site)
    return {name: Image.open(io.BytesIO((directory / f"{name}.jpg").read_bytes())) for name in SIZES}


def test_each_variant_has_its_longest_side_and_the_shape_of_the_picture(tmp_path: Path) -> None:
    made = variants_of(EXAMPLE / "pictures/sea.jpg", tmp_path)
    assert {name: picture.size for name, picture in made.items()} == {
        "thumbnail": (160, 120),
        "medium": (800, 600),
        "large": (1600, 1200),
    }


def test_a_small_picture_is_not_made_larger(tmp_path: Path) -> None:
    Image.new("RGB", (300, 30)).save(tmp_path / "small.png")
    made = variants_of(tmp_path / "small.png", tmp_path)
    assert [picture.size for picture in made.values()] == [(160, 16), (300, 30), (300, 30)]


def test_a_picture_stored_sideways_is_turned_upright_and_loses_its_exif_data(tmp_path: Path) -> None:
    with Image.open(EXAMPLE / "pictures/lighthouse.jpg") as stored:
        assert stored.size == (1600, 1200)
        assert stored.getexif()[ORIENTATION] == 6
    made = variants_of(EXAMPLE / "pictures/lighthouse.jpg", tmp_path)
    assert made["large"].size == (1200, 1600)
    assert not made["large"].getexif()
    # The sky is above and the sea below.
    sky, water = made["large"].getpixel((20, 20)), made["large"].getpixel((20, 1590))
    assert isinstance(sky, tuple)
    assert isinstance(water, tuple)
    assert sum(sky) > sum(water)


def test_the_place_where_a_picture_was_taken_is_not_published(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(GPS)[1] = "N"
    Image.new("RGB", (40, 40)).save(tmp_path / "home.jpg", exif=exif)
    assert not variants_of(tmp_path / "home.jpg", tmp_path)["large"].getexif()


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16"])
def test_pictures_of_every_kind_become_rgb(tmp_path: Path, mode: str) -> None:
    source = tmp_path / "picture.tif"
    Image.new(mode, (50, 40)).save(source)
    assert {picture.mode for picture in variants_of(source, tmp_path).values()} == {"RGB"}


def test_what_is_transparent_becomes_white(tmp_path: Path) -> None:
    Image.new("RGBA", (40, 40), (0, 0, 0, 0)).save(tmp_path / "glass.png")
    assert variants_of(tmp_path / "glass.png", tmp_path)["large"].getpixel((20, 20)) == (255, 255, 255)


def test_a_second_run_makes_the_same_files_and_leaves_no_drafts(tmp_path: Path) -> None:
    def files() -> dict[Path, bytes]:
        return {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    variants_of(EXAMPLE / "pictures/night.jpg", tmp_path)
    first = files()
    variants_of(EXAMPLE / "pictures/night.jpg", tmp_path)
    assert files() == first
    assert len(first) == 4


@pytest.mark.parametrize("name", ["broken/truncated.jpg", "jobs.py"])
def test_what_is_no_whole_picture_is_refused_for_good_and_writes_nothing(tmp_path: Path, name: str) -> None:
    from variants import PictureError, make_variants

    with pytest.raises(PictureError, match=Path(name).name):
        make_variants(EXAMPLE / name, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_file_is_an_error_of_the_system_that_may_pass(tmp_path: Path) -> None:
    from variants import make_variants

    with pytest.raises(OSError, match="No such file") as caught:
        make_variants(tmp_path / "missing.jpg", tmp_path)
    assert caught.value.errno == errno.ENOENT


def test_the_page_shows_complete_pictures_alone_and_escapes_their_names(tmp_path: Path) -> None:
    from gallery import render
    from variants import DESCRIPTION

    Image.new("RGB", (40, 40)).save(tmp_path / "<b>&.png")
    Image.new("RGB", (40, 40)).save(tmp_path / "half.png")
    variants_of(tmp_path / "<b>&.png", tmp_path / "site")
    variants_of(tmp_path / "half.png", tmp_path / "site")
    [half] = tmp_path.glob(f"site/pictures/half-*/{DESCRIPTION}")
    assert json.loads(half.read_text())["title"] == "half"
    half.unlink()
    assert render(tmp_path / "site") == 1
    page = (tmp_path / "site/index.html").read_text()
    assert "&lt;b&gt;&amp;" in page
    assert "<b>" not in page
    assert "half" not in page


def test_the_contact_sheet_shows_a_tile_of_each_picture_and_a_second_run_makes_the_same(tmp_path: Path) -> None:
    import contact_sheet

    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    for number, colour in enumerate(colours):
        Image.new("RGB", (400, 300), colour).save(tmp_path / f"{number}.png")
        variants_of(tmp_path / f"{number}.png", tmp_path / "site")
    names = contact_sheet.complete(tmp_path / "site")
    assert len(names) == 3
    sheets = []
    for _ in range(2):
        for name in names:
            contact_sheet.make_tile(tmp_path / "site", name)
        contact_sheet.lay_out(tmp_path / "site", names)
        sheets.append((tmp_path / "site" / contact_sheet.SHEET).read_bytes())
    assert sheets[0] == sheets[1]
    with Image.open(io.BytesIO(sheets[0])) as sheet:
        side, gap = contact_sheet.TILE, contact_sheet.GAP
        assert sheet.size == (gap + 3 * (side + gap), gap + side + gap)
        for number, colour in enumerate(colours):
            seen = sheet.getpixel((gap + number * (side + gap) + side // 2, gap + side // 2))
            assert isinstance(seen, tuple)
            assert max(abs(a - b) for a, b in zip(seen, colour, strict=True)) < 10


def test_the_feed_tells_the_newest_first_and_the_same_news_once(tmp_path: Path) -> None:
    import feed

    for number in (*range(feed.ENTRIES + 3), 5, 5):
        feed.add(tmp_path, f"urn:{number}", f"news <{number}>")
    titles = [entry.findtext(f"{{{feed.ATOM}}}title") for entry in feed.entries(tmp_path)]
    assert len(titles) == feed.ENTRIES
    assert titles[:3] == ["news <5>", f"news <{feed.ENTRIES + 2}>", f"news <{feed.ENTRIES + 1}>"]
    assert titles.count("news <5>") == 1


def test_pictures_whose_originals_are_gone_are_forgotten_unless_their_whole_folder_is(tmp_path: Path) -> None:
    from variants import forget_missing

    for folder in ("album", "share"):
        (tmp_path / folder).mkdir()
        for name in ("one.png", "two.png"):
            Image.new("RGB", (40, 40)).save(tmp_path / folder / name)
            variants_of(tmp_path / folder / name, tmp_path / "site")
    gone = tmp_path / "album/one.png"
    gone.unlink()
    (tmp_path / "share").rename(tmp_path / "away")
    assert forget_missing(tmp_path / "site") == [str(gone)]
    assert len(list(tmp_path.glob("site/pictures/*"))) == 3
    assert forget_missing(tmp_path / "site") == []


def test_a_contact_sheet_that_was_broken_off_goes_on_with_the_next_tile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import contact_sheet
    import jobs
    import queued.testing

    for number in range(4):
        Image.new("RGB", (40, 40)).save(tmp_path / f"{number}.png")
        variants_of(tmp_path / f"{number}.png", tmp_path / "site")
    made: list[str] = []
    real = contact_sheet.make_tile

    def make_tile(site: Path, name: str) -> None:
        if len(made) == 2:
            made.append("away")
            raise OSError(errno.EIO, "the share is away")
        real(site, name)
        made.append(name)

    monkeypatch.setattr(contact_sheet, "make_tile", make_tile)
    with queued.testing.collect() as collected:
        jobs.make_contact_sheet.enqueue(str(tmp_path / "site"))
        collected.drain()
    names = contact_sheet.complete(tmp_path / "site")
    assert made == [*names[:2], "away", *names[2:]]
    assert (tmp_path / "site" / contact_sheet.SHEET).exists()
