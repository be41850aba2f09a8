"""Draws the icons of the module: the drawing to a PNG, and the thumbnails of the sample data from made-up volumes.

``python scripts/icons.py`` in an environment with the extra ``slicer`` (PySide6), after a change of either.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

import environment

if TYPE_CHECKING:
    import PIL.Image

DRAWING = environment.ROOT / "Resources" / "Icons" / "MedSegTrainer.svg"
ICONS = environment.ROOT / "MedSegTrainer" / "Resources" / "Icons"
ICON_SIZE = 128
THUMBNAIL = (260, 280)
PHANTOM_SEED = 2


def main() -> int:
    sys.path.insert(0, str(environment.ROOT / "MedSegTrainer"))
    sys.path.insert(0, str(environment.ROOT))
    ICONS.mkdir(parents=True, exist_ok=True)
    _draw_icon()
    _draw_phantoms().save(ICONS / "SamplePhantoms.png", optimize=True)
    _draw_hippocampus().save(ICONS / "SampleHippocampus.png", optimize=True)
    print(*sorted(path.name for path in ICONS.glob("*.png")), sep="\n")
    return 0


def _draw_icon() -> None:
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    from PySide6.QtCore import Qt
    from PySide6.QtGui import QGuiApplication, QImage, QPainter
    from PySide6.QtSvg import QSvgRenderer

    application = QGuiApplication([])
    image = QImage(ICON_SIZE, ICON_SIZE, QImage.Format.Format_ARGB32)
    image.fill(Qt.GlobalColor.transparent)
    painter = QPainter(image)
    QSvgRenderer(str(DRAWING)).render(painter)
    painter.end()
    image.save(str(ICONS / "MedSegTrainer.png"))
    del application


def _draw_phantoms() -> PIL.Image.Image:
    """The slice of a phantom with most of its tumor, and its segments."""
    import numpy as np
    from MedSegTrainerUI.samples.phantom_volumes import CLASSES, TUMOR, make_phantom_volume
    from PIL import Image

    phantom = make_phantom_volume(PHANTOM_SEED)
    k = int((phantom.labels == TUMOR).sum(axis=(1, 2)).argmax())
    margin = (phantom.labels.shape[2] - phantom.labels.shape[1]) // 2
    square = (k, slice(None), slice(margin, -margin))
    colors = {label_class.value: label_class.color for label_class in CLASSES}
    brightest = np.percentile(phantom.voxels, 99.5)
    width, height = THUMBNAIL
    sheet = Image.new("RGB", THUMBNAIL)
    picture = _overlay(phantom.voxels[square] / brightest, phantom.labels[square], colors, (width, width))
    sheet.paste(picture, (0, (height - width) // 2))
    return sheet


def _draw_hippocampus() -> PIL.Image.Image:
    """A drawing and no patient: a curved body in two parts below a line of fluid, in speckled tissue."""
    import numpy as np

    width, height = THUMBNAIL
    y, x = np.mgrid[0:height, 0:width].astype(float)
    along = np.linspace(0, 1, 200)
    path = np.stack([45 + 170 * along, 195 - 90 * np.sin(np.pi * (0.15 + 0.75 * along)) + 20 * along])
    thickness = 30 - 15 * along + 5 * np.sin(3 * np.pi * along)
    depth, nearest = _ribbon(x, y, path, thickness, along)
    fluid, _ = _ribbon(x, y, path - np.stack([0 * along, thickness + 12]), 5 + 0 * along, along)
    tissue = 0.42 + 0.08 * np.sin(x / 31 + y / 47) + 0.14 * np.clip(depth / 8, -1, 1)
    tissue -= 0.3 * np.clip(fluid / 4 + 0.5, 0, 1)
    speckles = np.kron(np.random.default_rng(4).standard_normal((height // 4, width // 4)), np.ones((4, 4)))
    labels = np.where(depth > 0, np.where(nearest < 0.45, 1, 2), 0)
    return _overlay(tissue + 0.04 * speckles, labels, {1: (240, 170, 60), 2: (70, 150, 230)}, THUMBNAIL)


def _ribbon(x: Any, y: Any, path: Any, thickness: Any, along: Any) -> tuple[Any, Any]:
    """Depth inside a ribbon around a path, and how far along it the nearest point of the path lies."""
    import numpy as np

    depth, nearest = np.full(x.shape, -np.inf), np.zeros(x.shape)
    for center_x, center_y, radius, position in zip(*path, thickness, along, strict=True):
        inside = radius - np.hypot(x - center_x, y - center_y)
        nearest = np.where(inside > depth, position, nearest)
        depth = np.maximum(depth, inside)
    return depth, nearest


def _overlay(gray: Any, labels: Any, colors: dict[int, tuple[int, int, int]], size: tuple[int, int]) -> PIL.Image.Image:
    """A slice in gray with its segments: filled lightly, with an edge in full colour, as Slicer shows them."""
    import numpy as np
    from PIL import Image, ImageFilter

    picture = Image.fromarray((255 * np.clip(gray, 0, 1)).astype(np.uint8)).convert("RGB")
    picture = picture.resize(size, Image.Resampling.BICUBIC)
    for value, color in colors.items():
        mask = Image.fromarray((255 * (labels == value)).astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
        mask = mask.filter(ImageFilter.GaussianBlur(1.5)).point(lambda level: 255 if level > 127 else 0)
        edge = Image.fromarray(np.asarray(mask) - np.asarray(mask.filter(ImageFilter.MinFilter(5))))
        picture.paste(color, mask=mask.point(lambda level: level * 2 // 5))
        picture.paste(color, mask=edge)
    return picture


if __name__ == "__main__":
    raise SystemExit(main())
