"""Masks of segments as the image of a ``.seg.nrrd``: numbers in as few layers as their overlap needs, and the names."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.seg_nrrd import segment_fields

Part = tuple[slice, ...]
Slab = tuple[int, Part, np.ndarray]  # value of the segment, a part of the volume, and its voxels there


def only_named(classes: Sequence[LabelClass], names: Collection[str]) -> list[LabelClass]:
    """Those of these names, whatever letters are large; all where there are no names."""
    wanted = {name.casefold() for name in names}
    return [one for one in classes if not wanted or one.name.casefold() in wanted]


def layered_image(grid: Geometry, classes: Sequence[LabelClass], slabs: Iterable[Slab]) -> sitk.Image:
    """An image whose components are the layers, with the fields by which ``read_segments`` finds the classes in it.

    slabs: boolean arrays (z, y, x) of a part of the grid.
    """
    kind = np.uint8 if max([one.value for one in classes], default=0) < 256 else np.uint16
    layers = [np.zeros(grid.size_zyx, kind)]
    layer_of: dict[int, int] = {}
    parts: dict[int, list[Part]] = {}
    for value, where, mask in slabs:
        layer = layer_of.setdefault(value, 0)
        there = layers[layer][where]
        if (mask & (there != 0) & (there != value)).any():
            own = [(part, layers[layer][part] == value) for part in parts.get(value, [])]
            for part, taken in own:
                layers[layer][part][taken] = 0
            layer = layer_of[value] = _free_layer(layers, layer + 1, [*own, (where, mask)])
            for part, taken in own:
                layers[layer][part][taken] = value
        layers[layer][where][mask] = value
        parts.setdefault(value, []).append(where)
    image = grid.place(layers[0]) if len(layers) == 1 else sitk.Compose([grid.place(layer) for layer in layers])
    for key, text in segment_fields(grid.size, classes, layer_of).items():
        image.SetMetaData(key, text)
    return image


def _free_layer(layers: list[np.ndarray], first: int, masks: Sequence[tuple[Part, np.ndarray]]) -> int:
    """The first layer from ``first`` on where none of these voxels is taken, which may be a new one."""
    for layer in range(first, len(layers)):
        if not any(layers[layer][part][mask].any() for part, mask in masks):
            return layer
    layers.append(np.zeros_like(layers[0]))
    return len(layers) - 1
