"""Paints the pictures that this example ships. Always the same ones: the random numbers are seeded.

    python paint.py

Writes `pictures/` (eight pictures, one stored sideways with an EXIF orientation, as cameras do) and `broken/` (one
whole picture and one that ends in the middle, as after a broken copy). The results are given away: CC0 1.0.
"""

from __future__ import annotations

import math
import random
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageFilter, ImageOps

HERE = Path(__file__).resolve().parent
SIZE = (1600, 1200)
Colour = tuple[int, int, int]

#: The EXIF tag for orientation, and its value for "turn by 90° clockwise to see it upright".
ORIENTATION, TURN_RIGHT = 0x0112, 6


def sky(size: tuple[int, int], *colours: Colour) -> Image.Image:
    """A vertical gradient through the colours, with the finest grain: without it, eight bits show bands."""
    column = Image.new("RGB", (1, len(colours)))
    column.putdata(colours)
    smooth = column.resize(size, Image.Resampling.BICUBIC)
    grain = Image.effect_noise(size, 6).point(lambda level: level // 32)
    return ImageChops.add(smooth, Image.merge("RGB", [grain] * 3))


def ridge(rng: random.Random, base: float, height: float) -> list[tuple[float, float]]:
    """The outline of a mountain range: a few waves of falling size."""
    waves = [(rng.uniform(0.6, 1.4) * 2**n, rng.uniform(0, 7), height / 1.8**n) for n in range(7)]
    return [
        (x, base + sum(size * math.sin(x / SIZE[0] * 3 * pace + turn) for pace, turn, size in waves))
        for x in range(0, SIZE[0] + 8, 8)
    ]


def mountains(rng: random.Random) -> Image.Image:
    """Ranges in the haze of the evening."""
    picture = sky(SIZE, (38, 44, 92), (150, 92, 128), (246, 164, 112), (255, 214, 160))
    draw = ImageDraw.Draw(picture)
    draw.ellipse((1080, 420, 1230, 570), fill=(255, 232, 190))
    for layer in range(5):
        shade = 1 - layer / 5
        colour = (int(40 + 110 * shade), int(36 + 66 * shade), int(70 + 70 * shade))
        outline = ridge(rng, 620 + 120 * layer, 70 + 12 * layer)
        draw.polygon([*outline, (SIZE[0], SIZE[1]), (0, SIZE[1])], fill=colour)
    return picture


def fractal(rng: random.Random) -> Image.Image:
    """A corner of the Mandelbrot set."""
    del rng
    levels = Image.effect_mandelbrot((3200, 2400), (-0.7869, 0.1430, -0.7229, 0.1910), 190).resize(SIZE)
    return ImageOps.colorize(ImageOps.autocontrast(levels), (8, 10, 36), (255, 240, 200), (196, 84, 60), 0, 255, 90)


def night(rng: random.Random) -> Image.Image:
    """A moon, stars, and firs against them."""
    picture = sky(SIZE, (6, 10, 28), (14, 24, 58), (40, 56, 96))
    draw = ImageDraw.Draw(picture)
    for _ in range(700):
        x, y, size = rng.uniform(0, SIZE[0]), rng.uniform(0, 950), rng.random() ** 6 * 2.6
        glow = rng.randint(120, 255)
        draw.ellipse((x - size, y - size, x + size, y + size), fill=(glow, glow, min(255, glow + 20)))
    halo = Image.new("L", SIZE)
    ImageDraw.Draw(halo).ellipse((300, 150, 560, 410), fill=120)
    picture.paste((214, 220, 240), mask=halo.filter(ImageFilter.GaussianBlur(60)))
    draw.ellipse((360, 210, 500, 350), fill=(240, 240, 228))
    draw.ellipse((392, 196, 522, 326), fill=(20, 30, 64))
    for _ in range(60):
        fir(draw, rng.uniform(-40, 1640), 1200, rng.uniform(120, 420), (4, 8, 16))
    return picture


def fir(draw: ImageDraw.ImageDraw, x: float, foot: float, height: float, colour: Colour) -> None:
    """One fir: four skirts, one above the other."""
    for step in range(4):
        top, low = foot - height + step * height * 0.2, foot - height * (0.58 - step * 0.19)
        half = height * (0.10 + 0.045 * step)
        draw.polygon([(x, top), (x - half, low), (x + half, low)], fill=colour)


def sea(rng: random.Random) -> Image.Image:
    """The sun goes down, and its way lies on the water."""
    picture = sky(SIZE, (30, 60, 120), (240, 150, 110), (255, 200, 120), (40, 84, 120), (10, 30, 60))
    draw = ImageDraw.Draw(picture)
    draw.pieslice((690, 480, 910, 700), 180, 360, fill=(255, 240, 190))
    draw.rectangle((0, 592, 1600, 594), fill=(70, 110, 140))
    for _ in range(1500):
        depth = rng.random() ** 1.6
        y = 600 + depth * 600
        spread = 90 + depth * 360
        x, half = rng.gauss(800, spread / 2), 4 + depth * 46
        warm = max(0.0, 1 - abs(x - 800) / spread)
        colour = (int(60 + 190 * warm), int(100 + 110 * warm), int(130 + 30 * warm))
        draw.line((x - half, y, x + half, y), fill=colour, width=1 + int(depth * 4))
    return picture.filter(ImageFilter.GaussianBlur(0.8))


def forest(rng: random.Random) -> Image.Image:
    """Birches in autumn."""
    picture = sky(SIZE, (250, 226, 170), (238, 190, 110), (150, 100, 50))
    draw = ImageDraw.Draw(picture, "RGBA")
    for depth in range(6):
        near = depth / 5
        for _ in range(9 - depth):
            x, width = rng.uniform(0, 1600), 10 + 34 * near
            bark = int(150 + 90 * near)
            draw.rectangle((x, 0, x + width, 1200), fill=(bark, bark - 6, bark - 20, int(110 + 145 * near)))
            for _ in range(14):
                y = rng.uniform(0, 1150)
                draw.rectangle((x, y, x + width * rng.uniform(0.3, 0.9), y + 3 + 4 * near), fill=(50, 40, 34, 200))
        for _ in range(420):
            x, y, size = rng.uniform(0, 1600), rng.gauss(300 + 60 * depth, 240), rng.uniform(4, 9 + 9 * near)
            leaf = (rng.randint(190, 250), rng.randint(90, 180), rng.randint(10, 60), 190)
            draw.ellipse((x, y, x + size * 1.5, y + size), fill=leaf)
    return picture


def circles(rng: random.Random) -> Image.Image:
    """Overlapping discs on paper, few colours: a picture that suits PNG."""
    paper = Image.new("RGB", SIZE, (244, 236, 220))
    for colour in [(214, 64, 48), (30, 80, 140), (240, 180, 40), (28, 28, 32), (90, 150, 120)] * 3:
        x, y, size = rng.uniform(100, 1500), rng.uniform(100, 1100), rng.uniform(60, 300)
        disc = Image.new("RGB", SIZE, (255, 255, 255))
        ImageDraw.Draw(disc).ellipse((x - size, y - size, x + size, y + size), fill=colour)
        paper = ImageChops.multiply(paper, disc)
    return paper.quantize(64).convert("RGB")


def lighthouse(rng: random.Random) -> Image.Image:
    """A lighthouse, upright: 1200 wide and 1600 high."""
    picture = sky((1200, 1600), (70, 120, 180), (160, 200, 220), (250, 236, 210))
    draw = ImageDraw.Draw(picture)
    for _ in range(5):
        x, y = rng.uniform(0, 1200), rng.uniform(100, 600)
        for _ in range(26):
            dx, dy, size = rng.gauss(0, 90), rng.gauss(0, 18), rng.uniform(20, 50)
            draw.ellipse((x + dx - size, y + dy - size * 0.6, x + dx + size, y + dy + size * 0.6), fill=(250, 250, 252))
    for stripe in range(7):
        top, low = 420 + stripe * 130, 550 + stripe * 130
        colour = (200, 50, 44) if stripe % 2 == 0 else (250, 246, 240)
        upper, lower = 70 + stripe * 10, 80 + stripe * 10
        draw.polygon([(600 - upper, top), (600 + upper, top), (600 + lower, low), (600 - lower, low)], fill=colour)
    draw.rectangle((540, 330, 660, 420), fill=(255, 226, 130), outline=(40, 40, 44), width=8)
    draw.polygon([(520, 330), (680, 330), (600, 260)], fill=(60, 40, 40))
    draw.rectangle((0, 1330, 1200, 1600), fill=(40, 96, 130))
    draw.ellipse((180, 1250, 1020, 1500), fill=(84, 82, 78))
    return picture


def bubbles(rng: random.Random) -> Image.Image:
    """Soap bubbles in front of something green and out of focus."""
    blots = Image.new("RGB", SIZE, (30, 80, 60))
    draw = ImageDraw.Draw(blots)
    for _ in range(90):
        x, y, size = rng.uniform(0, 1600), rng.uniform(0, 1200), rng.uniform(40, 220)
        draw.ellipse(
            (x - size, y - size, x + size, y + size),
            fill=(rng.randint(30, 150), rng.randint(110, 200), rng.randint(60, 120)),
        )
    picture = blots.filter(ImageFilter.GaussianBlur(50))
    for _ in range(22):
        x, y, size = rng.uniform(80, 1520), rng.uniform(80, 1120), rng.uniform(30, 150)
        film = Image.new("RGBA", SIZE)
        pen = ImageDraw.Draw(film)
        pen.ellipse(
            (x - size, y - size, x + size, y + size), fill=(255, 255, 255, 26), outline=(240, 220, 250, 200), width=3
        )
        pen.arc((x - size * 0.8, y - size * 0.8, x + size * 0.8, y + size * 0.8), 190, 260, (255, 255, 255, 210), 6)
        picture.paste(film, mask=film)
    return picture


def main() -> None:
    """Paint everything anew."""
    pictures, broken = HERE / "pictures", HERE / "broken"
    for number, painter in enumerate((mountains, fractal, night, sea, forest, bubbles)):
        painter(random.Random(number)).save(pictures / f"{painter.__name__}.jpg", quality=84, optimize=True)
    circles(random.Random(6)).save(pictures / "circles.png", optimize=True)
    exif = Image.Exif()
    exif[ORIENTATION] = TURN_RIGHT
    sideways = lighthouse(random.Random(7)).transpose(Image.Transpose.ROTATE_90)
    sideways.save(pictures / "lighthouse.jpg", quality=84, optimize=True, exif=exif)

    whole = (pictures / "mountains.jpg").read_bytes()
    (broken / "whole.jpg").write_bytes(whole)
    (broken / "truncated.jpg").write_bytes(whole[: len(whole) // 2])


if __name__ == "__main__":
    main()
