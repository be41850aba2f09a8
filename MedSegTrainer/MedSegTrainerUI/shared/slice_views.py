"""What the slice views show of a volume. They are the user's: nothing here changes what is in them but ``jump_to``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import slicer

from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode


def views_with(volume: VolumeNode) -> list[str]:
    """IDs of the nodes of the slice views that show the volume as background or foreground."""
    return [
        view
        for view, composite in _in_layout().items()
        if volume.GetID() in (composite.GetBackgroundVolumeID(), composite.GetForegroundVolumeID())
    ]


def show_other_things(volume: VolumeNode) -> bool:
    """Whether there are slice views, and none of them shows the volume."""
    return bool(_in_layout()) and not views_with(volume)


def show_a_fusion() -> bool:
    """Whether the user has laid a volume over another one."""
    return any(one.GetForegroundVolumeID() or one.GetLabelVolumeID() for one in _in_layout().values())


def show_only_in(segmentation: SegmentationNode, views: Sequence[str]) -> None:
    """Draws a segmentation in these views and nowhere else; hides it where there are none."""
    display = segmentation.GetDisplayNode()
    if display is None:
        return
    if views and tuple(display.GetViewNodeIDs()) != tuple(views):  # without one it would be drawn in every view
        before = display.StartModify()
        display.RemoveAllViewNodeIDs()
        for view in views:
            display.AddViewNodeID(view)
        display.EndModify(before)
    if bool(display.GetVisibility()) != bool(views):
        display.SetVisibility(bool(views))


def jump_to(place: Sequence[float]) -> None:
    """Brings a place (RAS, mm) into the middle of every slice view."""
    for view in slicer.util.getNodesByClass("vtkMRMLSliceNode"):
        view.JumpSliceByCentering(*place)


def _in_layout() -> dict[str, Any]:
    """The composite nodes, which know the volumes, of the slice views that the user sees, by the IDs of the views."""
    composites = {one.GetLayoutName(): one for one in slicer.util.getNodesByClass("vtkMRMLSliceCompositeNode")}
    views = [view for view in slicer.util.getNodesByClass("vtkMRMLSliceNode") if view.IsMappedInLayout()]
    return {view.GetID(): composites[view.GetLayoutName()] for view in views if view.GetLayoutName() in composites}
