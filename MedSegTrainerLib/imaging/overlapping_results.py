"""Result files of classes that overlap: segments in as few layers as they need, or a channel of 0 and 1 for each class.

A ``.seg.nrrd`` file has the layers that 3D Slicer gives overlapping segments: components of a voxel, in each of which a
segment has its ``LabelValue``. All other formats have no names, and hold a channel a class in the order of the model's
classes, as data sets with a channel for each class do: NIfTI and MetaImage as a fourth axis, NPY as the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import has_class
from MedSegTrainerLib.imaging.label_grid import SEGMENTATION_SUFFIXES
from MedSegTrainerLib.imaging.read import PHOTO_SUFFIXES
from MedSegTrainerLib.imaging.seg_nrrd import segment_fields
from MedSegTrainerLib.imaging.write import write_volume


def write_overlapping(labels: sitk.Image, path: Path, classes: Sequence[LabelClass], like: Path | None = None) -> None:
    """Writes ``class_bits`` of classes numbered from 1; ``like`` is that of ``write_volume``.

    Raises DataError for formats with one number a pixel.
    """
    refuse_one_number(path)
    array = sitk.GetArrayViewFromImage(labels)
    masks = [has_class(array, item.value) for item in classes]
    if not path.name.lower().endswith(SEGMENTATION_SUFFIXES):
        channels = [_placed(mask.astype(np.uint8), labels) for mask in masks]
        write_volume(sitk.JoinSeries(channels), path, like)
        return
    layers = layers_of(masks)
    planes = [np.zeros(array.shape, np.uint8) for _ in range(max(layers) + 1)]
    for item, mask, layer in zip(classes, masks, layers, strict=True):
        planes[layer][mask] = item.value
    parts = [_placed(plane, labels) for plane in planes]
    image = sitk.Compose(parts) if len(parts) > 1 else parts[0]
    layer_of = {item.value: layer for item, layer in zip(classes, layers, strict=True)}
    for key, value in segment_fields(labels.GetSize(), classes, layer_of).items():
        image.SetMetaData(key, value)
    write_volume(image, path, like)


def refuse_one_number(path: Path) -> None:
    """Raises DataError for a file that has room for one class a pixel."""
    if path.suffix.lower() in PHOTO_SUFFIXES:
        raise DataError(
            f"A {path.suffix[1:].upper()} file holds one number a pixel, and the classes of this model overlap. Write "
            "seg.nrrd, which keeps names too, or nii.gz, mha or npy."
        )


def layers_of(masks: Sequence[np.ndarray]) -> list[int]:
    """The layer of each mask: the first one in which it touches nothing that lies there already."""
    filled: list[np.ndarray] = []
    layers = []
    for mask in masks:
        layer = next((index for index, taken in enumerate(filled) if not (taken & mask).any()), len(filled))
        if layer == len(filled):
            filled.append(np.zeros(mask.shape, bool))
        filled[layer] |= mask
        layers.append(layer)
    return layers


def _placed(array: np.ndarray, grid: sitk.Image) -> sitk.Image:
    image = sitk.GetImageFromArray(array)
    image.CopyInformation(grid)
    return image
