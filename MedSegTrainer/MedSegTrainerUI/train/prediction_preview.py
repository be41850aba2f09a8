"""The newest prediction of a held-out case as a segmentation over its volume, while the training goes on.

Slicer draws a segmentation over whatever a slice view shows: this one is drawn where its volume is shown, and is hidden
otherwise. It is an outline, as what the user drew is filled and has the same colours; how that is drawn stays his.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import slicer
from slicer.i18n import tr as _

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.files.typed import fits
from MedSegTrainerUI.shared.slice_views import show_only_in
from MedSegTrainerUI.slicer_types import Node, SegmentationNode, VolumeNode

ATTRIBUTE = "MedSegTrainer.Preview"
OUTLINE_PIXELS = 3  # Slicer draws the outline of the user's own segments with 1
PAUSE = 20  # times as long as an import took, nothing is imported again: large volumes take 5 % of Slicer's time


class Preview:
    """One segmentation node, updated in place for every new file.

    case, epoch: what the newest file shows. differs_at: a place in the volume (mm, R A S) where that differs most from
    what was drawn, None where it is not known.
    """

    def __init__(self, import_file: Callable[..., SegmentationNode] | None = None) -> None:
        """import_file: takes the place of ``import_segments``, in tests."""
        self.case, self.epoch = "", 0
        self.differs_at: list[float] | None = None
        self._import = import_file or _import_segments
        self._folder: Path | None = None
        self._stamp: tuple[int, int] | None = None
        self._displayed: tuple[Path, tuple[int, int], str] | None = None
        self._not_before = 0.0

    def look(self, folder: Path) -> bool:
        """Reads case and epoch of the newest prediction in a job's ``previews``, where they have changed."""
        if folder != self._folder:
            self._folder, self._stamp, self.case, self.epoch, self.differs_at = folder, None, "", 0, None
        path = folder / "latest.json"  # written last: the label map is there before
        try:
            about = path.stat()
            stamp = about.st_mtime_ns, about.st_size
            if stamp == self._stamp:
                return False
            document = read_json_file(path, JobError)
            self.case, self.epoch, self._stamp = str(document["case"]), int(document["epoch"]), stamp
            place = document.get("differs_at")  # earlier versions did not write it
        except (OSError, JobError, ValueError, KeyError, TypeError, OverflowError):
            return False
        self.differs_at = place if fits(place, list[float]) and len(place) == 3 else None
        return True

    def show(self, volume: VolumeNode, classes: Sequence[Mapping[str, Any]]) -> bool:
        """Imports the newest label map, once for each new file; returns whether it did."""
        if self._folder is None or self._stamp is None:
            return False
        prediction = self._folder, self._stamp, volume.GetID()
        node = self.node()
        if (
            node is not None
            and self._displayed is not None
            and (self._displayed[0], self._displayed[2]) != (prediction[0], prediction[2])
        ):
            self.remove()  # of another job or case: other classes, another volume
            node = None
        if (node is not None and prediction == self._displayed) or time.perf_counter() < self._not_before:
            return False
        began = time.perf_counter()
        label_classes = [
            LabelClass(value=item["value"], name=item["name"], color=item["color"], terminology=item["terminology"])
            for item in classes
        ]
        name = _("Prediction of {case} (training)").format(case=self.case)
        with slicer.util.RenderBlocker():
            imported = self._import(self._folder / "latest.seg.nrrd", label_classes, volume, node, name=name)
            self._mark(imported)
        self._displayed = prediction
        self._not_before = time.perf_counter() + PAUSE * (time.perf_counter() - began)
        return True

    def node(self) -> SegmentationNode:
        """The segmentation node, or None; one that an earlier panel left is taken over."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        return next((node for node in nodes if node.GetAttribute(ATTRIBUTE)), None)

    def draw(self, views: Sequence[str]) -> None:
        """In these views (IDs of their nodes) and nowhere else."""
        node = self.node()
        if node is not None:
            show_only_in(node, views)

    def remove(self) -> None:
        node = self.node()
        if node is not None:
            slicer.mrmlScene.RemoveNode(node)
        self._displayed = None
        self._not_before = 0.0

    def forget(self) -> None:
        """The scene is closing."""
        self._displayed = None

    def _mark(self, node: Node) -> None:
        """It is to look at, not to edit, to train on or to save: selectors do not offer it."""
        if node.GetAttribute(ATTRIBUTE):
            return
        node.SetAttribute(ATTRIBUTE, "1")
        node.SetHideFromEditors(True)
        node.SetSaveWithScene(False)
        display = node.GetDisplayNode()
        if display is not None:
            display.SetVisibility2DFill(False)
            display.SetSliceIntersectionThickness(OUTLINE_PIXELS)
            display.SetVisibility(False)  # until ``draw``


def _import_segments(
    label_file: Path, classes: Sequence[LabelClass], volume: VolumeNode, segmentation: SegmentationNode, *, name: str
) -> SegmentationNode:
    from MedSegTrainerUI.scene.import_segments import import_segments

    return import_segments(label_file, classes, volume, segmentation, name=name)
