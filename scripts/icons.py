"""Draws the icons of the module: the drawing to a PNG, and the thumbnails of the sample data from made-up volumes.

``python scripts/icons.py`` in an environment with the extra ``slicer`` (PySide6), after a change of either.
"""

from __future__ import annotations

import os
import sys

import environment

DRAWING = environment.ROOT / "Resources" / "Icons" / "MedSegTrainer.svg"
ICONS = environment.ROOT / "MedSegTrainer" / "Resources" / "Icons"
ICON_SIZE = 128
THUMBNAIL = (260, 280)
PHANTOM_SEED, PHANTOM_SLICES = 2, (20, 10)  # one through liver, tumor and spleen, one through the kidneys
GROUND = (24, 28, 34)


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


def _draw_phantoms():
    """Two slices of a phantom, one below the other, with its segments."""
    import numpy as np
    from MedSegTrainerUI.phantom_volumes import CLASSES, make_phantom_volume
    from PIL import Image

    phantom = make_phantom_volume(PHANTOM_SEED)
    colors = {label_class.value: label_class.color for label_class in CLASSES}
    width, height = THUMBNAIL
    sheet = Image.new("RGB", THUMBNAIL)
    brightest = np.percentile(phantom.voxels, 99.5)
    for row, k in enumerate(PHANTOM_SLICES):
        picture = _overlay(phantom.voxels[k] / brightest, phantom.labels[k], colors, (width, height // 2))
        sheet.paste(picture, (0, row * (height // 2)))
    return sheet


def _draw_hippocampus():
    """A drawing and no patient: a curved body in two parts in speckled tissue."""
    import numpy as np

    width, height = THUMBNAIL
    y, x = np.mgrid[0:height, 0:width].astype(float)
    along = np.linspace(0, 1, 200)
    path = np.stack([45 + 170 * along, 190 - 90 * np.sin(np.pi * (0.15 + 0.75 * along)) + 20 * along])
    thickness = 30 - 15 * along + 5 * np.sin(3 * np.pi * along)
    inside = np.full((height, width), -np.inf)
    nearest = np.zeros((height, width))
    for center_x, center_y, radius, position in zip(*path, thickness, along, strict=True):
        depth = radius - np.hypot(x - center_x, y - center_y)
        nearest = np.where(depth > inside, position, nearest)
        inside = np.maximum(inside, depth)
    labels = np.where(inside > 0, np.where(nearest < 0.45, 1, 2), 0)
    generator = np.random.default_rng(4)
    tissue = 0.42 + 0.10 * np.sin(x / 31 + y / 47) + 0.16 * np.clip(inside / 8, -1, 1)
    tissue = np.where((inside < -6) & (inside > -20) & (y < 150), 0.12, tissue)  # fluid above it
    blocks = generator.standard_normal((height // 4, width // 4))
    speckles = np.kron(blocks, np.ones((4, 4)))
    return _overlay(tissue + 0.045 * speckles, labels, {1: (240, 170, 60), 2: (70, 150, 230)}, THUMBNAIL)


def _overlay(gray, labels, colors, size):
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
