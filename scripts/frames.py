"""Pictures of the animation: slices with segments, beside what the panel shows, below a line of text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SLICES_WIDTH, HEIGHT, CAPTION = 320, 600, 44  # pixels
GROUND, TEXT, FAINT = (24, 26, 30), (255, 255, 255), (170, 176, 186)
BAND = (36, 74, 120)
FONT = "DejaVuSans.ttf"
FILL, LARGEST = 0.35, 255  # opacity of a segment's inside; of a level of gray
COLORS = 128  # of a GIF, the same in all frames: else the panel would flicker

Picture = Image.Image
Color = tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Overlay:
    """Segments over a volume. ``masks``: by colour, (k, j, i). outlined: edges alone, as a prediction is shown."""

    masks: Mapping[Color, np.ndarray]
    outlined: bool = False


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What a frame shows: ``caption`` above, slices of ``voxels`` (k, j, i) with segments, and the panel.

    ``panel`` is as high as it needs: the part from ``place`` (0 to 1 of what does not fit) is seen.
    """

    caption: str
    title: str
    voxels: np.ndarray
    ijk_to_ras: np.ndarray
    overlays: tuple[Overlay, ...]
    panel: Picture
    place: float
    milliseconds: int


def draw_slices(scene: Scene) -> Picture:
    """An axial and a coronal slice, as seen from the feet and from the front."""
    sheet = Image.new("RGB", (SLICES_WIDTH, HEIGHT), GROUND)
    draw = ImageDraw.Draw(sheet)
    draw.text((12, 8), scene.title, TEXT, _font(13))
    bright = float(np.percentile(scene.voxels, 99.5)) or 1.0
    top, place = 32, _middle(scene)
    for axis, name in ((0, "axial"), (1, "coronal")):
        picture = _slice(np.clip(scene.voxels / bright, 0, 1), scene.ijk_to_ras, scene.overlays, axis, place[axis])
        sheet.paste(picture, (0, top))
        draw.text((12, top + 4), name, FAINT, _font(11), stroke_width=2, stroke_fill=GROUND)
        top += picture.height + 6
    return sheet


def compose(scene: Scene) -> Picture:
    """A frame."""
    frame = Image.new("RGB", (SLICES_WIDTH + scene.panel.width, HEIGHT + CAPTION), (239, 239, 239))
    top = round(scene.place * max(0, scene.panel.height - HEIGHT))
    frame.paste(draw_slices(scene), (0, CAPTION))
    seen = scene.panel.crop((0, top, scene.panel.width, min(scene.panel.height, top + HEIGHT)))
    frame.paste(seen, (SLICES_WIDTH, CAPTION))
    draw = ImageDraw.Draw(frame)
    draw.rectangle((0, 0, frame.width, CAPTION - 1), BAND)
    draw.text((14, CAPTION / 2), scene.caption, TEXT, _font(17), anchor="lm")
    return frame


def write_animation(scenes: Sequence[Scene], path: Path) -> None:
    """A GIF without an end."""
    pictures = [compose(one) for one in scenes]
    sheet = Image.new("RGB", (pictures[0].width, sum(one.height for one in pictures)))
    for row, one in enumerate(pictures):
        sheet.paste(one, (0, row * one.height))
    palette = sheet.quantize(COLORS, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few = [one.quantize(palette=palette, dither=Image.Dither.NONE) for one in pictures]
    durations = [one.milliseconds for one in scenes]
    path.parent.mkdir(parents=True, exist_ok=True)
    few[0].save(path, save_all=True, append_images=few[1:], duration=durations, loop=0, optimize=False, disposal=1)


def _middle(scene: Scene) -> list[int]:
    """The slices with the most of the first overlay's segments; the middle of the volume where there is none."""
    kinds = [mask for overlay in scene.overlays[:1] for mask in overlay.masks.values() if mask.any()]
    if not kinds:
        return [size // 2 for size in scene.voxels.shape]
    whole = np.sum([mask / mask.sum() for mask in kinds], axis=0)
    return [int(np.argmax(whole.sum(axis=tuple(other for other in range(3) if other != axis)))) for axis in range(3)]


def _slice(gray: np.ndarray, ijk_to_ras: np.ndarray, overlays: Sequence[Overlay], axis: int, place: int) -> Picture:
    """Right on the left, front or head at the top; as wide as the sheet, in the proportions of the patient."""
    spacing = np.linalg.norm(ijk_to_ras[:3, :3], axis=0)[::-1]
    rows, columns = (1, 2) if axis == 0 else (0, 2)
    height = round(SLICES_WIDTH * gray.shape[rows] * spacing[rows] / (gray.shape[columns] * spacing[columns]))
    size = (SLICES_WIDTH, height)
    picture = _levels(_turned(gray.take(place, axis), ijk_to_ras, axis), size).convert("RGB")
    for overlay in overlays:
        for color, mask in overlay.masks.items():
            _paint(picture, _turned(mask.take(place, axis), ijk_to_ras, axis), color, overlay.outlined)
    return picture


def _turned(plane: np.ndarray, ijk_to_ras: np.ndarray, axis: int) -> np.ndarray:
    """Mirrored where an axis of the voxels points to the patient's right, front or head."""
    row_axis = 1 if axis == 0 else 2  # of the matrix: j, or k
    if ijk_to_ras[row_axis, row_axis] > 0:
        plane = plane[::-1]
    return plane[:, ::-1] if ijk_to_ras[0, 0] > 0 else plane


def _levels(plane: np.ndarray, size: tuple[int, int]) -> Picture:
    return Image.fromarray((LARGEST * plane).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)


def _paint(picture: Picture, plane: np.ndarray, color: Color, outlined: bool) -> None:
    mask = _levels(plane.astype(float), picture.size).filter(ImageFilter.GaussianBlur(1.5))
    mask = mask.point(lambda level: LARGEST if level > LARGEST // 2 else 0)
    inner = mask.filter(ImageFilter.MinFilter(5 if outlined else 3))
    edge = Image.fromarray(np.asarray(mask) - np.asarray(inner))
    full = Image.new("RGB", picture.size, color)
    if not outlined:
        picture.paste(full, (0, 0), mask.point(lambda level: round(FILL * level)))
    picture.paste(full, (0, 0), edge)


def _font(size: int) -> Any:
    try:
        return ImageFont.truetype(FONT, size)
    except OSError:  # a computer without it
        return ImageFont.load_default(size)
