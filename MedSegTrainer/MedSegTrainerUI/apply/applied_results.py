"""Where new segmentations are shown: over their own volume, and never over what the user looks at elsewhere."""

from __future__ import annotations

import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.apply.run import ApplyRun
from MedSegTrainerUI.shared.slice_views import show_a_fusion, show_other_things
from MedSegTrainerUI.slicer_types import Node


class AppliedResults:
    """Of one run, or of several that are imported together."""

    def __init__(self) -> None:
        self._hidden: list[str] = []

    def show(self, run: ApplyRun, node: Node, panel_is_shown: bool) -> None:
        """The volume of a single result comes into the views, where that takes nothing from the user.

        A segmentation that was there before stays as the user has it.
        """
        volume = node.GetNodeReference(slicer.vtkMRMLSegmentationNode.GetReferenceImageGeometryReferenceRole())
        if volume is None or run.record["output"] == node.GetID():
            return
        alone = len(run.record["cases"]) == 1 and panel_is_shown
        if alone and show_other_things(volume) and not show_a_fusion():
            slicer.util.setSliceViewerLayers(background=volume)
        if show_other_things(volume):  # it would be drawn over them
            node.GetDisplayNode().SetVisibility(False)
            self._hidden.append(node.GetName())

    def text(self) -> str:
        """What is hidden, and how to see it, after a space; '' where all is shown."""
        if not self._hidden:
            return ""
        text = _("Hidden, as the slice views show other volumes: {names}. A click on a segment below shows it.")
        return " " + text.format(names=", ".join(self._hidden))
