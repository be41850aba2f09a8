"""A segmentation compared with a reference: export, a job in another process, and its numbers as a table node."""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import slicer
import vtk
from slicer.i18n import tr as _

from MedSegTrainerLib.config import EvaluateConfig
from MedSegTrainerLib.errors import DataError, JobError
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.job import STOP_NOW, JobFolder
from MedSegTrainerUI.jobs.job_list import safe_name
from MedSegTrainerUI.jobs.job_monitor import JobWatch
from MedSegTrainerUI.panel_view import PanelView
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.export_labels import find_overlaps
from MedSegTrainerUI.scene.export_layers import export_layers
from MedSegTrainerUI.scene.segment_classes import SegmentClass, find_classes, segments_of_classes
from MedSegTrainerUI.scene.volumes import export_volume
from MedSegTrainerUI.slicer_types import Node, SegmentationNode, VolumeNode

COLUMNS = {"Dice": "dice", "HD95 mm": "hd95_mm", "Reference ml": "volume_ml", "Prediction ml": "predicted_volume_ml"}
SEGMENT_COLUMN = "Segment"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Segments by name: those that both segmentations have, and the names that only one has."""

    both: tuple[SegmentClass, ...]
    only_prediction: tuple[str, ...]
    only_reference: tuple[str, ...]


def compare_names(prediction: SegmentationNode, reference: SegmentationNode, volume: VolumeNode) -> Comparison:
    """Capitals and spaces do not count. Raises DataError where no name is in both."""
    rows = [
        CaseRow(name=side, volumes=(volume,), segmentation=node)
        for side, node in (("reference", reference), ("prediction", prediction))
    ]
    classes = find_classes(rows, {})
    predicted, expected = (
        {item.name for item in segments_of_classes(node, classes).values()} for node in (prediction, reference)
    )
    both = tuple(item for item in classes if item.name in predicted and item.name in expected)
    if not both:
        raise DataError(
            _(
                "No segment has the same name in both: {prediction} has {first}, {reference} has {second}. Rename the "
                "segments that mean the same."
            ).format(
                prediction=prediction.GetName(),
                first=", ".join(sorted(predicted)) or _("no segment"),
                reference=reference.GetName(),
                second=", ".join(sorted(expected)) or _("no segment"),
            )
        )
    return Comparison(
        both=both,
        only_prediction=tuple(item.name for item in classes if item.name in predicted - expected),
        only_reference=tuple(item.name for item in classes if item.name in expected - predicted),
    )


class EvaluateRun:
    """A job of kind evaluate on two segmentations of the scene."""

    def __init__(
        self, panel: PanelView, prediction: SegmentationNode, reference: SegmentationNode, volume: VolumeNode
    ) -> None:
        """Exports and starts; where that fails nothing is left behind. Raises MedSegError."""
        self.comparison = compare_names(prediction, reference, volume)
        self.prediction, self.reference = prediction.GetName(), reference.GetName()
        self.folder: JobFolder = panel.jobs.new(f"evaluate-{prediction.GetName()}")
        self.watch = JobWatch(self.folder)
        self.cancelled = False
        case, data = safe_name(volume.GetName()), self.folder.path / "data"
        sides = {"predictions": prediction, "references": reference}
        layered = any(find_overlaps(node, volume, self.comparison.both) for node in sides.values())
        suffix = "seg.nrrd" if layered else "nrrd"
        files = {side: data / side / f"{case}.{suffix}" for side in sides}
        image = data / "images" / f"{case}.nrrd"
        config = EvaluateConfig(
            predictions=str(data / "predictions"),
            references={case: str(files["references"])},
            images={case: str(image)},
            output_dir=str(self.folder.report),
        )
        try:
            self.folder.create(config)
            for side, node in sides.items():
                export_layers(node, volume, self.comparison.both, files[side])
            export_volume(volume, image)
            process = panel.environment.start(self.folder)
        except BaseException:
            shutil.rmtree(self.folder.path, ignore_errors=True)
            raise
        self.watch.expect_start(process)

    @property
    def working(self) -> bool:
        return self.watch.working or not self.watch.caught_up

    @property
    def report_page(self) -> Path:
        return self.folder.report / "report.html"

    def poll(self) -> None:
        self.watch.poll()
        if self.cancelled and self.watch.working and self.folder.stop_requested() is None:
            self.folder.request_stop(STOP_NOW)

    def cancel(self) -> None:
        """The job takes seconds: its result is thrown away when it is there."""
        self.cancelled = True
        self.folder.request_stop(STOP_NOW)

    def forget(self) -> None:
        shutil.rmtree(self.folder.path, ignore_errors=True)

    def values(self) -> dict[str, dict[str, float | None]]:
        """Class to metric to number. The exported files are deleted; raises MedSegError where the job failed."""
        shutil.rmtree(self.folder.path / "data", ignore_errors=True)  # the report shows them
        outcome: Mapping[str, Any] = self.watch.outcome or {}
        if outcome.get("kind") == "failed":
            raise DataError(str(outcome["message"]))
        try:
            document = read_json_file(self.folder.report / "metrics.json", JobError)
            (by_class,) = document["cases"].values()
        except (OSError, JobError, ValueError, KeyError, TypeError, AttributeError):
            raise JobError(
                _(
                    "The evaluation ended without a word. Test the environment in section 5, then try again; {log} may "
                    "tell more."
                ).format(log=self.folder.log_file)
            ) from None
        return dict(by_class)

    def described(self) -> str:
        """What was compared, and what was not."""
        parts = [_("{prediction} against {reference}.").format(prediction=self.prediction, reference=self.reference)]
        for names, side in (
            (self.comparison.only_prediction, _("prediction")),
            (self.comparison.only_reference, _("reference")),
        ):
            if names:
                parts.append(_("Only in the {side}, not compared: {names}.").format(side=side, names=", ".join(names)))
        return " ".join(parts)


def fill_table(table: Node, values: Mapping[str, Mapping[str, float | None]], described: str) -> None:
    """A row for each segment, its name and the numbers of ``COLUMNS``; one that is not defined is not a number."""
    table.RemoveAllColumns()
    names = vtk.vtkStringArray()
    names.SetName(SEGMENT_COLUMN)
    for name in values:
        names.InsertNextValue(name)
    table.AddColumn(names)
    for title, metric in COLUMNS.items():
        column = vtk.vtkDoubleArray()
        column.SetName(title)
        for numbers in values.values():
            value = numbers.get(metric)
            column.InsertNextValue(math.nan if value is None else float(value))
        table.AddColumn(column)
    table.SetUseColumnTitleAsColumnHeader(False)
    table.SetDescription(described)
    table.SetLocked(True)


def read_table(table: Node) -> list[tuple[str, list[float]]]:
    """The rows of ``fill_table``; [] for another table."""
    content = table.GetTable()
    columns = [content.GetColumnByName(title) for title in (SEGMENT_COLUMN, *COLUMNS)]
    if None in columns:
        return []
    names, *numbers = columns
    return [
        (names.GetValue(row), [float(column.GetValue(row)) for column in numbers])
        for row in range(names.GetNumberOfValues())
    ]


def add_table(name: str, beside: Node) -> Node:
    """A new table node, in the subject hierarchy where the segmentation ``beside`` is."""
    table = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTableNode", slicer.mrmlScene.GenerateUniqueName(name))
    hierarchy = slicer.mrmlScene.GetSubjectHierarchyNode()
    if hierarchy is not None and beside is not None:
        item, other = hierarchy.GetItemByDataNode(table), hierarchy.GetItemByDataNode(beside)
        if item and other:
            hierarchy.SetItemParent(item, hierarchy.GetItemParent(other))
    return table
