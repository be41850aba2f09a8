"""Notices that the scene has changed without looking at it: painting in the Segment Editor must stay fast."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

import qt
import slicer
import vtk
from slicer.util import VTKObservationMixin

from MedSegTrainerUI.slicer_types import Node

SECONDS_BETWEEN = 2.0  # voxels are counted again that often at most, while segments are being changed
COALESCED_MILLISECONDS = 200


class SceneWatch(VTKObservationMixin):
    """Calls ``tell`` once, a moment after nodes came or went or one of those that it follows was changed.

    stale: something has changed since ``looked`` was last called.
    """

    def __init__(self, tell: Callable[[], None], seconds_between: float = SECONDS_BETWEEN) -> None:
        VTKObservationMixin.__init__(self)
        self._seconds_between = seconds_between
        self.stale = True
        self._looked = 0.0
        self._timer = qt.QTimer()
        self._timer.setSingleShot(True)
        self._timer.connect("timeout()", tell)
        self._segment_events = [
            getattr(slicer.vtkSegmentation, name)
            for name in ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SourceRepresentationModified")
        ]

    @property
    def waiting(self) -> bool:
        """Whether ``tell`` will be called soon."""
        return bool(self._timer.active)

    def start(self) -> None:
        scene = slicer.mrmlScene
        for event in (scene.NodeAddedEvent, scene.NodeRemovedEvent, scene.EndBatchProcessEvent):
            self.addObserver(scene, event, self.onChange)

    def stop(self) -> None:
        self._timer.stop()
        self.removeObservers()
        self.stale = True

    def looked(self, nodes: Iterable[Node]) -> None:
        """Everything is known now; from now on these nodes are followed."""
        self._timer.stop()
        self.stale = False
        self._looked = time.monotonic()
        wanted = {(node, event) for node in nodes for event in self._events(node)}
        for node, event, method, *_rest in self.Observations:
            if node is not slicer.mrmlScene and (node, event) not in wanted:
                self.removeObserver(node, event, method)
        for node, event in wanted:
            if not self.hasObserver(node, event, self.onChange):
                self.addObserver(node, event, self.onChange)

    def onChange(self, caller: Node, event: str) -> None:
        self.stale = True
        if not self._timer.active:
            rest = 1000 * (self._seconds_between - (time.monotonic() - self._looked))
            self._timer.start(max(COALESCED_MILLISECONDS, round(rest)))

    def _events(self, node: Node) -> list[int]:
        return [vtk.vtkCommand.ModifiedEvent, *(self._segment_events if node.IsA("vtkMRMLSegmentationNode") else ())]
