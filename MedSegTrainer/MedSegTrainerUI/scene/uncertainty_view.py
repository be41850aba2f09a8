"""How unsure a result is, as a coloured volume between an image and the segmentation on it.

The segmentation knows the file of the map and, once it is shown, the node of it; both are saved with the scene.
"""

from __future__ import annotations

from pathlib import Path

import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.slicer_types import Node, SegmentationNode, VolumeNode

FILE_ATTRIBUTE = "MedSegTrainer.uncertainty"
MAP_ATTRIBUTE = "MedSegTrainer.isUncertainty"
ROLE = "MedSegTrainer.uncertainty"
COLORS_NAME = "MedSegTrainer uncertainty"
COLORS = 256
SURE = 0.05  # below it nothing is drawn
OPACITY = 0.6


def remember_map(segmentation: SegmentationNode, file: Path | None) -> None:
    """The file of its map, numbers from 0 (sure) to 1 on the grid of the image; None: there is none."""
    segmentation.SetAttribute(FILE_ATTRIBUTE, str(file) if file is not None else None)


def has_map(segmentation: SegmentationNode) -> bool:
    """Whether there is something to show."""
    file = segmentation.GetAttribute(FILE_ATTRIBUTE)
    return _node_of(segmentation) is not None or bool(file and Path(file).exists())


def is_map(volume: VolumeNode) -> bool:
    """Whether a volume is such a map, and no image."""
    return bool(volume.GetAttribute(MAP_ATTRIBUTE))


def is_shown(segmentation: SegmentationNode) -> bool:
    """Whether a slice view has it in front of the image."""
    node = _node_of(segmentation)
    composites = slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")
    return node is not None and any(one.GetForegroundVolumeID() == node.GetID() for one in composites)


def show_map(segmentation: SegmentationNode, volume: VolumeNode) -> Node:
    """Over the volume in all slice views; loads it at the first time. Raises DataError where it cannot be read."""
    node = _node_of(segmentation) or _load(segmentation, volume)
    slicer.util.setSliceViewerLayers(background=volume, foreground=node, foregroundOpacity=OPACITY)
    return node


def hide_map(segmentation: SegmentationNode) -> None:
    """Takes it out of the views; it stays in the scene."""
    node = _node_of(segmentation)
    for one in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode"):
        if node is not None and one.GetForegroundVolumeID() == node.GetID():
            one.SetForegroundVolumeID(None)


def _node_of(segmentation: SegmentationNode) -> Node:
    return segmentation.GetNodeReference(ROLE)


def _load(segmentation: SegmentationNode, volume: VolumeNode) -> Node:
    file = segmentation.GetAttribute(FILE_ATTRIBUTE) or ""
    if not file or not Path(file).exists():
        raise DataError(
            _("There is no uncertainty of {name} any more: apply the model again.").format(name=segmentation.GetName())
        )
    name = _("{volume} uncertainty").format(volume=volume.GetName())
    try:
        node = slicer.util.loadVolume(file, {"name": name, "show": False, "singleFile": True})
    except RuntimeError:
        raise DataError(_("{path} cannot be read. Is the file there and complete?").format(path=file)) from None
    if node.GetStorageNode() is not None:  # with the scene it is saved anew: the job's folder may go
        slicer.mrmlScene.RemoveNode(node.GetStorageNode())
    node.SetAndObserveTransformNodeID(volume.GetTransformNodeID())
    node.SetAttribute(MAP_ATTRIBUTE, "1")
    _color(node)
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    item, beside = hierarchy.GetItemByDataNode(node), hierarchy.GetItemByDataNode(volume)
    if item and beside:
        hierarchy.SetItemParent(item, hierarchy.GetItemParent(beside))
    segmentation.SetNodeReferenceID(ROLE, node.GetID())
    return node


def _color(node: Node) -> None:
    """From dark red over yellow to white, with nothing where the result is sure."""
    node.CreateDefaultDisplayNodes()
    display = node.GetDisplayNode()
    display.SetAndObserveColorNodeID(_color_table().GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevelMinMax(0.0, 1.0)
    display.SetAutoThreshold(False)
    display.SetThreshold(SURE, 1.0)
    display.SetApplyThreshold(True)
    display.SetInterpolate(True)


def _color_table() -> Node:
    """One for all maps of a scene."""
    for node in slicer.util.getNodesByClass("vtkMRMLColorTableNode"):
        if node.GetName() == COLORS_NAME:
            return node
    table = slicer.vtkMRMLColorTableNode()
    table.SetTypeToUser()
    table.SetName(COLORS_NAME)
    table.SetNumberOfColors(COLORS)
    table.GetLookupTable().SetTableRange(0, COLORS - 1)
    for index in range(COLORS):
        part = index / (COLORS - 1)
        red, green, blue = (min(1.0, max(0.0, 3 * part + start)) for start in (0.35, -0.65, -2.0))
        table.SetColor(index, f"{part:.2f}", red, green, blue, 1.0)
    return slicer.mrmlScene.AddNode(table)
