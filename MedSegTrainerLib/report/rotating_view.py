"""A 3D view: reference, prediction and how far apart they are, drawn from all around and laid into one strip.

The frames stand below each other in a single picture, of which the page shows one at a time; the first, from the
front, is what is printed.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from scipy.ndimage import maximum_filter

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.report.case_arrays import CaseArrays
from MedSegTrainerLib.report.surface_points import Surface, distance_outside, find_surface, grid_step

FRAMES = 18
PANEL, DRAWN_LARGER = 250, 2  # pixels of a panel's side; how much larger it is drawn, for smooth edges
TILT_DEGREES = 18.0
GROUND = (14, 17, 21)
INK = (215, 220, 226)
LIGHT = np.array([-0.45, -0.75, 0.5])  # from the viewer's left, in front and above, in the axes of the screen
AMBIENT = 0.32
TOO_MUCH, MISSING, AGREES = (230, 159, 0), (86, 180, 233), (205, 208, 212)
ROUND = (1, 1.5, 2, 3, 4, 5, 6, 8, 10)
SECOND_LETTER = 0.4  # of a direction's length, from which it is named as well
JPEG_QUALITY = 76


@dataclass(frozen=True, kw_only=True)
class RotatingView:
    """picture: JPEG of ``frames`` frames below each other, each of three panels. limit: mm where colours are full."""

    picture: bytes
    frames: int
    limit: float


def draw_rotating_view(case: CaseArrays, classes: Sequence[LabelClass]) -> RotatingView | None:
    """The view of a case; None where there is no volume (2D, or single labelled slices) or nothing is labelled."""
    if (
        min(case.reference.shape) == 1
        or case.labelled_along is not None
        or not (case.reference.any() or case.prediction.any())
    ):
        return None
    either = (case.reference != 0) | (case.prediction != 0)
    step = grid_step(either, case.spacing_zyx)
    values = [item.value for item in classes]
    reference, prediction = (
        find_surface(side, values, case.spacing_zyx, step, overlapping=case.overlapping)
        for side in (case.reference, case.prediction)
    )
    distances = distance_outside(prediction, reference)
    limit = _limit(distances, step)
    colors = {item.value: item.color for item in classes}
    panels = [
        (reference, _class_colors(reference, colors)),
        (prediction, _class_colors(prediction, colors)),
        _with_missing(prediction, _distance_colors(distances, limit), reference),
    ]
    middle, radius = _ball([reference, prediction])
    strip = Image.new("RGB", (PANEL * len(panels), PANEL * FRAMES), GROUND)
    for frame in range(FRAMES):
        angle = 2 * np.pi * frame / FRAMES
        for column, (surface, paint) in enumerate(panels):
            drawn = _draw(surface, paint, screen_axes(angle), middle, radius)
            strip.paste(_named(drawn, angle), (column * PANEL, frame * PANEL))
    stream = io.BytesIO()
    strip.save(stream, "jpeg", quality=JPEG_QUALITY)
    return RotatingView(picture=stream.getvalue(), frames=FRAMES, limit=limit)


def screen_axes(angle: float) -> np.ndarray:
    """Rows: where the screen's right, depth and up point in the patient (Left, Posterior, Superior).

    At angle 0 (radians) one looks from the front, slightly from above, with the patient's right on the left.
    """
    tilt = np.deg2rad(TILT_DEGREES)
    right = np.array([np.cos(angle), np.sin(angle), 0.0])
    away = np.array([-np.sin(angle), np.cos(angle), 0.0])
    up = np.array([0.0, 0.0, 1.0])
    return np.stack([right, away * np.cos(tilt) - up * np.sin(tilt), up * np.cos(tilt) + away * np.sin(tilt)])


def side_letters(direction: np.ndarray) -> str:
    """The side of the patient that a direction (Left, Posterior, Superior) points to: the nearest, then the next."""
    named = [(abs(part), letters[int(part < 0)]) for part, letters in zip(direction, ("LR", "PA", "SI"), strict=True)]
    named.sort(key=lambda item: -item[0])
    return "".join(letter for size, letter in named[:2] if size > SECOND_LETTER)


def _draw(surface: Surface, paint: np.ndarray, axes: np.ndarray, middle: np.ndarray, radius: float) -> Image.Image:
    """The points from far to near as small shaded squares; what is nearer covers what is behind."""
    size = PANEL * DRAWN_LARGER
    scale = size / (2 * radius)
    seen = (surface.points - middle) @ axes.T
    facing = surface.normals @ axes.T
    front = facing[:, 1] < 0.25  # a little past the rim, or gaps would show there
    order = np.flatnonzero(front)[np.argsort(-seen[front, 1], kind="stable")]
    shade = AMBIENT + (1 - AMBIENT) * (facing[order] @ (LIGHT / np.linalg.norm(LIGHT))).clip(0)
    near = 1 - 0.22 * ((seen[order, 1] / radius).clip(-1, 1) + 1) / 2
    shaded = (paint[order] * (shade * near)[:, None]).clip(0, 255).astype(np.uint8)
    columns = (size / 2 + seen[order, 0] * scale).astype(int)
    rows = (size / 2 - seen[order, 2] * scale).astype(int)
    reach = int(np.ceil(surface.step * scale * 0.75))
    nearest = np.full((size, size), -1, np.int32)  # the place in the order; -1 is the ground
    nearest[rows, columns] = np.arange(len(order))  # of equal places the last one stays
    nearest = maximum_filter(nearest, 2 * reach + 1, mode="constant", cval=-1)
    picture = np.concatenate([shaded, np.array([GROUND], np.uint8)])[nearest]
    return Image.fromarray(picture).resize((PANEL, PANEL), Image.Resampling.LANCZOS)


def _named(picture: Image.Image, angle: float) -> Image.Image:
    """With the letters of the patient's sides on the left, the right, above and below."""
    right = screen_axes(angle)[0]
    positions = {
        (7, PANEL // 2): (side_letters(-right), "lm"),
        (PANEL - 7, PANEL // 2): (side_letters(right), "rm"),
        (PANEL // 2, 6): ("S", "mt"),
        (PANEL // 2, PANEL - 6): ("I", "mb"),
    }
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(13)
    for position, (letters, anchor) in positions.items():
        pen.text(position, letters, fill=INK, font=font, anchor=anchor)
    return picture


def _ball(surfaces: Sequence[Surface]) -> tuple[np.ndarray, float]:
    """Middle and radius in mm of what is shown, with room for the letters."""
    points = np.concatenate([surface.points for surface in surfaces])
    middle = (points.min(axis=0) + points.max(axis=0)) / 2
    return middle, 1.12 * float(np.linalg.norm(points - middle, axis=1).max()) + 1e-6


def _class_colors(surface: Surface, colors: Mapping[int, tuple[int, int, int]]) -> np.ndarray:
    paint = np.zeros((len(surface.values), 3))
    for value in np.unique(surface.values):
        paint[surface.values == value] = colors[int(value)]
    return paint


def _limit(distances: np.ndarray, step: float) -> float:
    """A round distance that nearly all points keep; at least two steps, less being the noise of the drawing."""
    finite = np.abs(distances[np.isfinite(distances)])
    minimum = max(2 * step, float(np.percentile(finite, 97)) if finite.size else 0.0)
    power = 10.0 ** np.floor(np.log10(minimum))
    return float(min(factor * power for factor in ROUND if factor * power >= minimum - 1e-9))


def _distance_colors(distances: np.ndarray, limit: float) -> np.ndarray:
    """Grey where the surfaces agree, towards orange where the prediction reaches out, towards blue where it lacks."""
    share = (distances / limit).clip(-1, 1)[:, None]
    target = np.where(share > 0, TOO_MUCH, MISSING)
    return np.array(AGREES) * (1 - np.abs(share)) + target * np.abs(share)


def _with_missing(prediction: Surface, paint: np.ndarray, reference: Surface) -> tuple[Surface, np.ndarray]:
    """The prediction's surface together with the structures that it lacks altogether."""
    lacking = ~np.isin(reference.values, np.unique(prediction.values))
    surface = Surface(
        points=np.concatenate([prediction.points, reference.points[lacking]]),
        normals=np.concatenate([prediction.normals, reference.normals[lacking]]),
        values=np.concatenate([prediction.values, reference.values[lacking]]),
        step=prediction.step,
    )
    return surface, np.concatenate([paint, np.tile(np.array(MISSING, float), (int(lacking.sum()), 1))])
