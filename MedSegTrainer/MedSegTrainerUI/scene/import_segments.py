"""A label map file as segments in the scene, on the volume it was made from.

The voxels are put into the segmentation as one layer that all segments share, or where they overlap as the layers of
the file. Slicer's own import is not used for them:
it takes a pass over the volume for each segment, and in some forms applies a parent transform twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.label_files import LabelMap, read_layers
from MedSegTrainerUI.scene.segment_classes import SegmentClass, same_name
from MedSegTrainerUI.scene.segment_layers import segment_ids, segment_name, stored_layers
from MedSegTrainerUI.scene.segment_shapes import binary_name
from MedSegTrainerUI.scene.volumes import (
    VolumeGeometry,
    array_image,
    offset_of,
    relative_matrix,
    volume_geometry,
)
from MedSegTrainerUI.slicer_types import Segment, SegmentationNode, VolumeNode, VtkObject


def import_segments(
    label_file: Path,
    classes: Sequence[LabelClass | SegmentClass],
    volume: VolumeNode,
    segmentation: SegmentationNode = None,
    *,
    name: str,
) -> SegmentationNode:
    """The segmentation node with a segment for each class, empty where the label map has none of it.

    Without ``segmentation`` a new node of that ``name`` is made, under the volume's transform and beside it in the
    subject hierarchy. In a given one, segments named as a class get its voxels and keep their looks; others stay as
    they are. Raises DataError, before anything is changed, for a file that cannot be read or voxels that cannot be
    put into the segmentation.
    """
    return add_layers(read_layers(label_file), classes, volume, segmentation, name=name)


def add_layers(
    layers: Sequence[LabelMap],
    classes: Sequence[LabelClass | SegmentClass],
    volume: VolumeNode,
    segmentation: SegmentationNode = None,
    *,
    name: str,
) -> SegmentationNode:
    """``import_segments`` of layers that are in memory already: one, or several where segments overlap."""
    geometry = volume_geometry(volume)
    if segmentation is not None:
        to_frame = relative_matrix(volume, segmentation)
        _refuse_other_kinds(segmentation)
    else:
        to_frame = np.eye(4)
    parts = _classes_of_layers(layers, classes)
    images = [_layer(one, geometry, to_frame, items) for one, items in zip(layers, parts, strict=True)]
    if segmentation is None:
        segmentation = _new_segmentation(volume, name)
    was_modifying = segmentation.StartModify()
    try:
        of_class = {item.name: image for image, items in zip(images, parts, strict=True) for item in items}
        _fill(segmentation, of_class, classes)
    finally:
        segmentation.EndModify(was_modifying)
    return segmentation


def _classes_of_layers(
    layers: Sequence[LabelMap], classes: Sequence[LabelClass | SegmentClass]
) -> list[list[LabelClass | SegmentClass]]:
    """The classes in each layer; one that is in none is empty, in the first."""
    told = {same_name(name): place for place, one in enumerate(layers) for name in one.numbers or ()}
    return [[item for item in classes if told.get(same_name(item.name), 0) == place] for place in range(len(layers))]


def _layer(
    labels: LabelMap, geometry: VolumeGeometry, to_frame: np.ndarray, classes: Sequence[LabelClass | SegmentClass]
) -> VtkObject:
    """A vtkOrientedImageData of the part that is not empty, with the values of the classes."""
    array, place = labels.array, labels.ijk_to_ras
    to_volume = np.linalg.inv(geometry.ijk_to_ras) @ place
    if array.shape == geometry.size_zyx and offset_of(to_volume, (0, 0, 0), geometry.size) == (0, 0, 0):
        place = geometry.ijk_to_ras  # files round: the very matrix of the volume keeps the voxels on each other
    low, high = _box(array)
    array = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
    most = max([0, *(item.value for item in classes)])
    wanted = np.zeros(max(most, int(array.max())) + 1, np.uint8 if most < 256 else np.int16)
    numbers = {same_name(name): number for name, number in (labels.numbers or {}).items()}
    for item in classes:
        number = item.value if labels.numbers is None else numbers.get(same_name(item.name), 0)
        if 0 < number < len(wanted):
            wanted[number] = item.value
    flat = array_image(np.take(wanted, array if array.dtype.kind == "u" else np.maximum(array, 0)))
    flat.SetExtent(*(int(edge) for a, b in zip(low[::-1], high[::-1], strict=True) for edge in (a, b - 1)))
    image = slicer.vtkOrientedImageData()
    image.DeepCopy(flat)
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy((to_frame @ place).ravel())
    image.SetGeometryFromImageToWorldMatrix(matrix)
    return image


def _box(array: np.ndarray) -> tuple[list[int], list[int]]:
    """First and end (z, y, x) of what is not 0; one voxel where there is nothing."""
    low, high = [0, 0, 0], list(array.shape)
    for axis in range(3):
        inside = array[tuple(slice(a, b) for a, b in zip(low, high, strict=True))]
        used = np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        if not used.size:
            return [0, 0, 0], [1, 1, 1]
        low[axis], high[axis] = int(used[0]), int(used[-1]) + 1
    return low, high


def _new_segmentation(volume: VolumeNode, name: str) -> SegmentationNode:
    scene = volume.GetScene() or slicer.mrmlScene
    segmentation = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", name)
    segmentation.CreateDefaultDisplayNodes()
    segmentation.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
    hierarchy = scene.GetSubjectHierarchyNode()
    if hierarchy is not None:
        item, beside = hierarchy.GetItemByDataNode(segmentation), hierarchy.GetItemByDataNode(volume)
        if item and beside:
            hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))
    return segmentation


def _refuse_other_kinds(segmentation: SegmentationNode) -> None:
    content = segmentation.GetSegmentation()
    if content.GetNumberOfSegments() and content.GetSourceRepresentationName() != binary_name():
        raise DataError(
            _(
                "{name} is made of surfaces, which cannot take voxels. Choose a new segmentation, or make the binary "
                "labelmap its source in the Segmentations module."
            ).format(name=segmentation.GetName())
        )


def _fill(
    segmentation: SegmentationNode, layers: Mapping[str, VtkObject], classes: Sequence[LabelClass | SegmentClass]
) -> None:
    """layers: of each class by its name."""
    content = segmentation.GetSegmentation()
    content.SetSourceRepresentationName(binary_name())
    there = {same_name(segment_name(segmentation, one)): one for one in reversed(segment_ids(segmentation))}
    replaced = {item.name: there[same_name(item.name)] for item in classes if same_name(item.name) in there}
    derived = _derived(content) if replaced else []
    for old in stored_layers(segmentation, segment_ids(segmentation)):
        if not old.values.keys() <= {*replaced.values()}:
            for segment_id in old.values.keys() & {*replaced.values()}:
                content.SeparateSegmentLabelmap(segment_id)  # or its voxels would stay in the others' layer
    for item in classes:
        if item.name in replaced:
            segment = content.GetSegment(replaced[item.name])
            segment.AddRepresentation(binary_name(), layers[item.name])
            segment.SetLabelValue(item.value)
        else:
            content.AddSegment(_segment(item, layers[item.name]), content.GenerateUniqueSegmentID(item.name))
    if replaced:
        for layer in layers.values():
            layer.Modified()  # what was made from the old voxels, such as surfaces, is dropped
        for name in derived:
            content.CreateRepresentation(name, True)


def _derived(content: VtkObject) -> list[str]:
    converter = slicer.vtkSegmentationConverter
    names = (
        converter.GetSegmentationClosedSurfaceRepresentationName(),
        converter.GetSegmentationFractionalLabelmapRepresentationName(),
    )
    return [name for name in names if content.ContainsRepresentation(name)]


def _segment(item: LabelClass | SegmentClass, layer: VtkObject) -> Segment:
    segment = slicer.vtkSegment()
    segment.SetName(item.name)
    segment.NameAutoGeneratedOff()
    segment.SetColor(*(part / 255 for part in item.color))
    segment.ColorAutoGeneratedOff()
    if item.terminology:
        segment.SetTag(segment.GetTerminologyEntryTagName(), item.terminology)
    segment.AddRepresentation(binary_name(), layer)
    segment.SetLabelValue(item.value)
    return segment
