"""What the network makes of one validation case, for whoever watches: a label map in patient space and a picture."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from matplotlib.image import imsave
from torch.nn import functional

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.imaging.class_bits import has_class
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map
from MedSegTrainerLib.imaging.overlapping_results import write_overlapping
from MedSegTrainerLib.report.slice_views import PLANES

PANEL_PIXELS = 288  # width of the widest of three panels beside each other
GAP_PIXELS = 4
FILL, UNLABELLED = 0.45, 0.35  # opacity of a class, brightness of voxels that nobody labelled


@dataclass(frozen=True, kw_only=True)
class Preview:
    """One case on the network's grid; arrays are (z, y, x), labels are class indices, below 0: not labelled; of
    ``overlapping`` classes they are ``class_bits``."""

    name: str
    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray
    geometry: Geometry
    overlapping: bool = False


def write_preview(preview: Preview, picture: bytes, classes: Sequence[LabelClass], folder: Path, *, epoch: int) -> None:
    """Replaces ``latest.seg.nrrd``, ``latest.png`` and, last, ``latest.json``, each at once.

    The label map has the label values, names and colours of the classes. The JSON object has case, epoch and
    differs_at, as of the function. Raises StorageError.
    """
    output = folder / "latest.seg.nrrd"
    if preview.overlapping:
        write_overlapping(preview.geometry.place(preview.prediction), output, classes)
    else:
        values = np.array([0, *(item.value for item in classes)], dtype=np.int32)
        write_label_map(preview.geometry.place(values[preview.prediction]), output, classes)
    atomic.write_bytes(folder / "latest.png", picture)
    about = {"case": preview.name, "epoch": epoch, "differs_at": differs_at(preview)}
    atomic.write_json(folder / "latest.json", about)


def differs_at(preview: Preview) -> list[float] | None:
    """A place (RAS, mm) in the plane across each axis with the most voxels where prediction and reference differ.

    None where they do not. Voxels that nobody labelled do not count.
    """
    wrong = (preview.prediction != preview.reference) & (preview.reference >= 0)
    if not wrong.any():
        return None
    counts = [np.count_nonzero(wrong, axis=tuple({0, 1, 2} - {axis})) for axis in (2, 1, 0)]
    index = [*(int(np.argmax(count)) for count in counts), 1]
    place: list[float] = (preview.geometry.affine_ras() @ index)[:3].round(3).tolist()
    return place


def draw_preview(preview: Preview, classes: Sequence[LabelClass]) -> bytes:
    """PNG with a row for each plane: image, reference and prediction beside each other.

    Each plane is cut where the reference is largest, and all have one scale in mm per pixel.
    """
    low, high = _window(preview.image)
    colors = np.array([(0, 0, 0), *(item.color for item in classes)]) / 255
    rows = []
    for image, reference, prediction, size in _slices(preview):
        grey = ((_resized(image, size, "bilinear") - low) / (high - low)).clip(0, 1)
        plain = np.repeat(grey[..., None], 3, axis=2)
        labels = [_resized_labels(side, size) for side in (reference, prediction)]
        paint = _painted_overlap if preview.overlapping else _painted
        rows.append([plain, *(paint(plain, side, colors) for side in labels)])
    stream = io.BytesIO()
    imsave(stream, (255 * _arranged(rows)).round().astype(np.uint8), format="png")
    return stream.getvalue()


def _slices(preview: Preview) -> list[tuple[np.ndarray, np.ndarray, np.ndarray, tuple[int, int]]]:
    """Image, reference and prediction of each plane, upright, and the size in pixels (rows, columns).

    Planes in which the volume is a single line are left out: a 2D image has one.
    """
    foreground = preview.reference > 0
    shape, spacing = preview.reference.shape, preview.geometry.spacing_zyx
    panels = []
    for plane in PLANES:
        rows, columns = (axis for axis in range(3) if axis != plane.axis)
        if min(shape[rows], shape[columns]) == 1:
            continue
        counts = np.count_nonzero(foreground, axis=(rows, columns))
        index = int(np.argmax(counts)) if counts.any() else shape[plane.axis] // 2
        cuts = [array.take(index, axis=plane.axis) for array in (preview.image, preview.reference, preview.prediction)]
        size_mm = shape[rows] * spacing[rows], shape[columns] * spacing[columns]
        panels.append(([cut[::-1] if plane.flipped else cut for cut in cuts], size_mm))
    scale = PANEL_PIXELS / max(size_mm[1] for _, size_mm in panels)
    return [
        (cuts[0], cuts[1], cuts[2], (max(1, round(high * scale)), max(1, round(wide * scale))))
        for cuts, (high, wide) in panels
    ]


def _window(image: np.ndarray) -> tuple[float, float]:
    """Grey values shown as black and white: percentiles of some hundred thousand voxels."""
    some = image.ravel()[:: max(1, image.size // 200_000)]
    low, high = np.percentile(some, [1, 99.5])
    return float(low), float(max(high, low + 1e-6))


def _resized(array: np.ndarray, size: tuple[int, int], mode: str) -> np.ndarray:
    plane = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))[None, None]
    antialias = mode == "bilinear"
    return functional.interpolate(plane, size=size, mode=mode, antialias=antialias)[0, 0].numpy()


def _resized_labels(labels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    values, places = np.unique(labels, return_inverse=True)  # bits of many classes are beyond what floats hold
    picked: np.ndarray = values[_resized(places.reshape(labels.shape), size, "nearest-exact").astype(np.int64)]
    return picked


def _painted(plain: np.ndarray, labels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Classes filled, with a line along their borders; voxels that nobody labelled are dark."""
    indices = labels.astype(np.int64)
    opacity = np.where(_borders(indices), 1.0, FILL)[..., None] * (indices > 0)[..., None]
    picture = plain * (1 - opacity) + colors[indices.clip(0)] * opacity
    return np.where((indices < 0)[..., None], plain * UNLABELLED, picture)


def _painted_overlap(plain: np.ndarray, labels: np.ndarray, colors: np.ndarray) -> np.ndarray:
    """Each class over those before it, with a line along its border, so that nested ones stay visible."""
    bits, picture = labels.astype(np.int64), plain
    for value, color in enumerate(colors[1:], start=1):
        mask = has_class(bits, value)
        picture = picture + (mask * FILL)[..., None] * (color - picture)
    for value, color in enumerate(colors[1:], start=1):
        mask = has_class(bits, value)
        line = _borders(mask) & mask
        picture = np.where(line[..., None], color, picture)
    return np.where((bits < 0)[..., None], plain * UNLABELLED, picture)


def _borders(indices: np.ndarray) -> np.ndarray:
    """Pixels with a neighbour of another class."""
    border = np.zeros(indices.shape, dtype=bool)
    for rows, columns in ((1, 0), (0, 1)):
        current = indices[: indices.shape[0] - rows, : indices.shape[1] - columns]
        differs = current != indices[rows:, columns:]
        border[: differs.shape[0], : differs.shape[1]] |= differs
        border[rows:, columns:] |= differs
    return border


def _arranged(rows: Sequence[Sequence[np.ndarray]]) -> np.ndarray:
    """Panels on black, each in the middle of its column."""
    width = max(panel.shape[1] for row in rows for panel in row)
    height = sum(row[0].shape[0] + GAP_PIXELS for row in rows) - GAP_PIXELS
    picture = np.zeros((height, (width + GAP_PIXELS) * len(rows[0]) - GAP_PIXELS, 3))
    top = 0
    for row in rows:
        for column, panel in enumerate(row):
            left = column * (width + GAP_PIXELS) + (width - panel.shape[1]) // 2
            picture[top : top + panel.shape[0], left : left + panel.shape[1]] = panel
        top += row[0].shape[0] + GAP_PIXELS
    return picture
