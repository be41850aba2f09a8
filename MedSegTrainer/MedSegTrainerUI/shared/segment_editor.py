"""Slicer's Segment Editor, opened on a segmentation over its volume."""

from __future__ import annotations

import slicer

from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode


def open_segment_editor(segmentation: SegmentationNode, volume: VolumeNode) -> None:
    """Changes to Slicer's Segment Editor. Raises RuntimeError where Slicer has no window."""
    slicer.util.selectModule("SegmentEditor")
    editor = slicer.modules.segmenteditor.widgetRepresentation().self().editor
    editor.setSegmentationNode(segmentation)
    if volume is not None:
        editor.setSourceVolumeNode(volume)
