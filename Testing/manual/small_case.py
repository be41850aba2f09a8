"""A volume that is trained on in seconds: a bright ball in noise, elsewhere in each case."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import SimpleITK as sitk

SIZE = (12, 24, 24)  # (z, y, x)


def write_ball(images: Path, labels: Path, number: int) -> None:
    """``case_N.nii.gz`` in both folders."""
    generator = np.random.default_rng(number)
    center = np.array(SIZE) / 2 + generator.uniform(-2, 2, 3)
    away = np.linalg.norm(np.moveaxis(np.indices(SIZE), 0, -1) - center, axis=-1)
    label = (away < 4).astype(np.uint8)
    image = (100 + 150 * label + generator.normal(0, 10, SIZE)).astype(np.float32)
    for folder, array in ((images, image), (labels, label)):
        folder.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(sitk.GetImageFromArray(array), str(folder / f"case_{number}.nii.gz"))
