"""A file format as somebody adds it: the numbers alone."""

from __future__ import annotations

from typing import BinaryIO

import SimpleITK as sitk


def write_raw(image: sitk.Image, stream: BinaryIO) -> None:
    """The voxels in the order x, y, z, in the type of the image."""
    stream.write(sitk.GetArrayViewFromImage(image).tobytes())
