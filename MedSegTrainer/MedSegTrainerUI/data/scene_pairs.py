"""Which volume of the scene belongs to which segmentation.

First counts what Slicer remembers (the volume that a segmentation was drawn on), then the names (CT_01 and CT_01-seg),
then the place of the voxels. What fits to several is left to the user.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.case_rows import CaseRow, free_name
from MedSegTrainerUI.scene.result_origin import is_result
from MedSegTrainerUI.scene.volumes import VolumeGeometry, image_array, matrix_array, volume_geometry
from MedSegTrainerUI.slicer_types import Node, Scene, SegmentationNode, VolumeNode

LABEL_WORDS = {
    "seg", "segs", "segmentation", "segmentations", "label", "labels", "labelmap", "mask", "masks", "gt", "groundtruth",
    "annotation", "annotations",
}  # fmt: skip
VOLUME_WORDS = {"image", "img", "volume", "vol", "0000"}
MOST_LABELS = 40  # whole numbers up to here in a volume that is not called a label map
MOST_NAMED_LABELS = 255  # and in one that is

Partners = dict[VolumeNode, SegmentationNode]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    """``rows``: volumes with their segmentations, in the order of the scene; the rest are nodes that found no partner.

    ``label_maps`` are volumes that hold labels: they are no images, and have to be made segmentations first.
    ``results`` were made by a model: nobody has drawn them.
    """

    rows: tuple[CaseRow, ...]
    volumes: tuple[VolumeNode, ...]
    segmentations: tuple[SegmentationNode, ...]
    label_maps: tuple[VolumeNode, ...]
    results: tuple[SegmentationNode, ...]


def pair_all(scene: Scene) -> Pairs:
    """Every volume and segmentation of a scene, but hidden ones and results of a model; each is in one pair at most."""
    nodes = [node for node in _nodes(scene, "vtkMRMLScalarVolumeNode") if not node.GetHideFromEditors()]
    labels = [node for node in nodes if is_label_map(node)]
    volumes = [node for node in nodes if node not in labels and not node.IsA("vtkMRMLVectorVolumeNode")]
    drawings = [
        node
        for node in _nodes(scene, "vtkMRMLSegmentationNode")
        if not node.GetHideFromEditors() and node.GetSegmentation() is not None
    ]
    results = [node for node in drawings if is_result(node)]
    segmentations = [node for node in drawings if node not in results]
    partner: Partners = {}
    for belongs in (_drawn_on, _same_name, _same_place):
        _match(partner, volumes, segmentations, belongs)
    rows: list[CaseRow] = []
    for volume in volumes:
        if volume in partner:
            name = free_name(volume.GetName() or "", [row.name for row in rows])
            rows.append(CaseRow(name=name, volumes=(volume,), segmentation=partner[volume]))
    return Pairs(
        rows=tuple(rows),
        volumes=tuple(volume for volume in volumes if volume not in partner),
        segmentations=tuple(node for node in segmentations if node not in partner.values()),
        label_maps=tuple(labels),
        results=tuple(results),
    )


def pairs_message(pairs: Pairs, new: int) -> tuple[str, str]:
    """What the user should know, and its severity, when ``new`` of the pairs were added; '' for nothing."""
    if pairs.label_maps:
        names = ", ".join(node.GetName() for node in pairs.label_maps)
        text = _("{names}: label maps are added when they were converted to segmentations, in the Data module.")
        return text.format(names=names), "note"
    if pairs.results and not new:
        names = ", ".join(node.GetName() for node in pairs.results)
        text = _("{names}: what a model drew is added with 'Add to training data' in section 3, when it was corrected.")
        return text.format(names=names), "note"
    if new:
        return "", "note"
    if pairs.rows:
        return _("Every segmented volume of the scene is in the table already."), "note"
    return _("No volume of the scene has a segmentation. Segment one in the Segment Editor first."), "warning"


def is_label_map(volume: VolumeNode) -> bool:
    """Whether a volume holds labels: by its kind, or by few whole numbers from 0 on (more where its name says so)."""
    if volume.IsA("vtkMRMLLabelMapVolumeNode"):
        return True
    image = volume.GetImageData()
    if image is None or image.GetPointData().GetScalars() is None or image.GetNumberOfScalarComponents() != 1:
        return False
    named = bool(set(_words(volume.GetName())) & LABEL_WORDS)
    low, high = image.GetScalarRange()
    if low != 0 or high > (MOST_NAMED_LABELS if named else MOST_LABELS):
        return False
    if image.GetScalarType() in (vtk.VTK_FLOAT, vtk.VTK_DOUBLE):
        array = image_array(image)
        return named and bool((array == np.round(array)).all())
    return True


def _match(
    partner: Partners,
    volumes: Sequence[VolumeNode],
    segmentations: Sequence[SegmentationNode],
    belongs: Callable[[VolumeNode, SegmentationNode], bool],
) -> None:
    """Pairs up what is free where each has one candidate; of several drawn on one volume the last counts."""
    free_volumes = [volume for volume in volumes if volume not in partner]
    free = [node for node in segmentations if node not in partner.values()]
    fits = {volume: [node for node in free if belongs(volume, node)] for volume in free_volumes}
    for volume, nodes in fits.items():
        if belongs is _drawn_on and nodes:
            named = [node for node in nodes if _same_name(volume, node)]
            partner[volume] = (named or nodes)[-1]
        elif len(nodes) == 1 and sum(nodes[0] in others for others in fits.values()) == 1:
            partner[volume] = nodes[0]


def _drawn_on(volume: VolumeNode, segmentation: SegmentationNode) -> bool:
    return segmentation.GetNodeReference(segmentation.GetReferenceImageGeometryReferenceRole()) is volume


def _same_name(volume: VolumeNode, segmentation: SegmentationNode) -> bool:
    stems = _stem(volume.GetName(), VOLUME_WORDS), _stem(segmentation.GetName(), LABEL_WORDS)
    return bool(stems[0]) and stems[0] == stems[1]


def _same_place(volume: VolumeNode, segmentation: SegmentationNode) -> bool:
    """Whether the segmentation's voxels are those of the volume."""
    converter = slicer.vtkSegmentationConverter
    text = segmentation.GetSegmentation().GetConversionParameter(converter.GetReferenceImageGeometryParameterName())
    matrix, extent = vtk.vtkMatrix4x4(), [0, -1, 0, -1, 0, -1]
    if not text or not converter.DeserializeImageGeometry(text, matrix, extent):
        return False
    try:
        geometry: VolumeGeometry = volume_geometry(volume)
    except DataError:
        return False
    size = tuple(last - first + 1 for first, last in zip(extent[::2], extent[1::2], strict=True))
    voxel = np.cbrt(abs(np.linalg.det(geometry.ijk_to_ras[:3, :3])))
    return size == geometry.size and bool(np.abs(matrix_array(matrix) - geometry.ijk_to_ras).max() < 0.01 * voxel)


def _stem(name: str | None, ignored: set[str]) -> tuple[str, ...]:
    return tuple(word for word in _words(name) if word not in ignored)


def _words(name: str | None) -> list[str]:
    text = re.sub(r"\.(nii|gz|nrrd|mha|mhd|dcm)\b", "", (name or "").casefold())
    return [word for word in re.split(r"[\W_]+", text) if word]


def _nodes(scene: Scene, class_name: str) -> list[Node]:
    nodes = scene.GetNodesByClass(class_name)
    nodes.UnRegister(None)
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
