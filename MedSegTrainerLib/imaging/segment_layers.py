"""Masks of segments as the image of a ``.seg.nrrd``: numbers in as few layers as their overlap needs, and the names."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.seg_nrrd import segment_fields

Slab = tuple[int, slice, np.ndarray]  # value of the segment, slices of the volume, and its voxels there


def layered_image(grid: Geometry, classes: Sequence[LabelClass], slabs: Iterable[Slab]) -> sitk.Image:
    """An image whose components are the layers, with the fields by which ``read_segments`` finds the classes in it.

    slabs: boolean arrays (n, y, x) for n slices of the grid; all of one segment follow each other.
    """
    kind = np.uint8 if max([one.value for one in classes], default=0) < 256 else np.uint16
    layers = [np.zeros(grid.size_zyx, kind)]
    layer_of: dict[int, int] = {}
    for value, where, mask in slabs:
        layer = layer_of.setdefault(value, 0)
        if (mask & (layers[layer][where] != 0) & (layers[layer][where] != value)).any():
            layer = _moved(layers, layer, value, where, mask)
            layer_of[value] = layer
        layers[layer][where][mask] = value
    image = grid.place(layers[0]) if len(layers) == 1 else _vectors(grid, layers)
    for key, text in segment_fields(grid.size, classes, layer_of).items():
        image.SetMetaData(key, text)
    return image


def _moved(layers: list[np.ndarray], old: int, value: int, where: slice, mask: np.ndarray) -> int:
    """Takes a segment to the first further layer where it covers no other; that layer."""
    own = layers[old] == value
    layers[old][own] = 0
    for layer in range(old + 1, len(layers)):
        if not layers[layer][own].any() and not layers[layer][where][mask].any():
            break
    else:
        layers.append(np.zeros_like(layers[0]))
        layer = len(layers) - 1
    layers[layer][own] = value
    return layer


def _vectors(grid: Geometry, layers: Sequence[np.ndarray]) -> sitk.Image:
    return sitk.Compose([grid.place(layer) for layer in layers])
