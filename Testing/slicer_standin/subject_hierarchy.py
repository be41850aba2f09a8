"""Items of the subject hierarchy, which the application's plugins make by themselves."""

from __future__ import annotations

from typing import Any

import slicer
import vtk

CLASSES = (
    "vtkMRMLVolumeNode", "vtkMRMLSegmentationNode", "vtkMRMLModelNode", "vtkMRMLMarkupsNode", "vtkMRMLTransformNode",
    "vtkMRMLTableNode", "vtkMRMLPlotChartNode", "vtkMRMLPlotSeriesNode", "vtkMRMLTextNode",
)  # fmt: skip


def watch(scene: Any) -> None:
    """From now on a data node that is not hidden has an item as long as it is in the scene."""

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def added(caller: Any, event: str, node: Any) -> None:
        if any(node.IsA(name) for name in CLASSES) and not node.GetHideFromEditors():
            hierarchy = scene.GetSubjectHierarchyNode()
            if not hierarchy.GetItemByDataNode(node):
                hierarchy.CreateItem(hierarchy.GetSceneItemID(), node)

    @vtk.calldata_type(vtk.VTK_OBJECT)
    def removed(caller: Any, event: str, node: Any) -> None:
        hierarchies = scene.GetNumberOfNodesByClass("vtkMRMLSubjectHierarchyNode")
        if hierarchies and not scene.IsClosing() and any(node.IsA(name) for name in CLASSES):
            hierarchy = scene.GetSubjectHierarchyNode()
            item = hierarchy.GetItemByDataNode(node)
            if item:
                hierarchy.RemoveItem(item, False, False)

    scene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, added)
    scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, removed)
