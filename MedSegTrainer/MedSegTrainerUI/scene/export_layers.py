"""The segments of a case in one segmentation file, with names: a label map, or layers where they overlap."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import vtk
from vtk.util import numpy_support

from MedSegTrainerUI.scene.export_labels import label_map
from MedSegTrainerUI.scene.segment_classes import SegmentClass
from MedSegTrainerUI.scene.segment_header import name_segments
from MedSegTrainerUI.scene.volumes import volume_geometry, write_image
from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode, VtkObject


def export_layers(
    segmentation: SegmentationNode, volume: VolumeNode, classes: Sequence[SegmentClass], path: Path
) -> None:
    """Writes as few layers as the segments need on the voxels of ``volume``, as NRRD, each with the values of classes
    that do not touch there. Raises DataError or StorageError."""
    layers: list[np.ndarray] = []
    layer_of = {}
    for item in classes:
        mask = label_map(segmentation, volume, [item])
        place = next((index for index, layer in enumerate(layers) if not (layer[mask > 0]).any()), len(layers))
        if place == len(layers):
            layers.append(np.zeros(mask.shape, np.uint16))
        layers[place] += mask
        layer_of[item.value] = place
    write_image(_layered_image(layers), volume_geometry(volume).ijk_to_ras, path)
    name_segments(path, classes, layer_of)


def _layered_image(layers: Sequence[np.ndarray]) -> VtkObject:
    """A vtkImageData with a component for each layer (z, y, x)."""
    image = vtk.vtkImageData()
    image.SetDimensions(*layers[0].shape[::-1])
    voxels = np.stack(layers, axis=-1).reshape(-1, len(layers))
    image.GetPointData().SetScalars(numpy_support.numpy_to_vtk(voxels, deep=True))
    return image
