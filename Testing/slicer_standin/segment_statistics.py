"""Slicer's scripted module SegmentStatistics: its logic, with the label map and the scalar volume plugin."""

from __future__ import annotations

import sys
import types
from typing import Any

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

LABEL_MAP, SCALARS = "LabelmapSegmentStatisticsPlugin", "ScalarVolumeSegmentStatisticsPlugin"
SURFACE = "ClosedSurfaceSegmentStatisticsPlugin"
HEADERS = {
    "Segment": "Segment",
    f"{LABEL_MAP}.voxel_count": "Number of voxels [voxels] (1)",
    f"{LABEL_MAP}.volume_mm3": "Volume [mm3] (1)",
    f"{LABEL_MAP}.volume_cm3": "Volume [cm3] (1)",
    f"{SCALARS}.voxel_count": "Number of voxels [voxels] (2)",
    f"{SCALARS}.volume_mm3": "Volume [mm3] (2)",
    f"{SCALARS}.volume_cm3": "Volume [cm3] (2)",
    f"{SCALARS}.min": "Minimum",
    f"{SCALARS}.max": "Maximum",
    f"{SCALARS}.mean": "Mean",
    f"{SCALARS}.median": "Median",
    f"{SCALARS}.stdev": "Standard Deviation",
}


class SegmentStatisticsLogic:
    """One use: parameters, ``computeStatistics``, ``exportToTable``. Each has a parameter node of its own in the scene.

    Segments are measured where they and the volume lie in the world; an empty one has no intensities.
    """

    def __init__(self, parent: Any = None) -> None:
        self._parameters: Any = None
        self._statistics: dict[Any, Any] = {}
        self.getParameterNode()

    def getParameterNode(self) -> Any:
        if self._parameters is None:
            node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "SegmentStatistics")
            node.SetModuleName("SegmentStatistics")
            for plugin in (LABEL_MAP, SCALARS, SURFACE):
                node.SetParameter(f"{plugin}.enabled", "True")
            node.SetParameter("visibleSegmentsOnly", "True")
            self._parameters = node
        return self._parameters

    def getStatistics(self) -> dict[Any, Any]:
        return self._statistics

    def computeStatistics(self) -> None:
        self._statistics = {"SegmentIDs": [], "MeasurementInfo": {}}
        node = slicer.mrmlScene.GetNodeByID(self._parameters.GetParameter("Segmentation"))
        identifiers = vtk.vtkStringArray()
        if self._parameters.GetParameter("visibleSegmentsOnly") == "True":
            node.GetDisplayNode().GetVisibleSegmentIDs(identifiers)
        else:
            node.GetSegmentation().GetSegmentIDs(identifiers)
        for index in range(identifiers.GetNumberOfValues()):
            self.updateStatisticsForSegment(identifiers.GetValue(index))

    def updateStatisticsForSegment(self, segment: str) -> None:
        node = slicer.mrmlScene.GetNodeByID(self._parameters.GetParameter("Segmentation"))
        volume = slicer.mrmlScene.GetNodeByID(self._parameters.GetParameter("ScalarVolume") or "")
        self._statistics["SegmentIDs"].append(segment)
        self._statistics[segment, "Segment"] = node.GetSegmentation().GetSegment(segment).GetName()
        measured: dict[str, Any] = {}
        if self._is_enabled(LABEL_MAP):
            measured |= _sizes(LABEL_MAP, *_label_map(node, segment))
        if self._is_enabled(SCALARS) and volume is not None:
            measured |= _intensities(node, segment, volume)
        self._statistics |= {(segment, key): value for key, value in measured.items()}

    def getNonEmptyKeys(self) -> list[str]:
        return [key for key in HEADERS if any((one, key) in self._statistics for one in self._statistics["SegmentIDs"])]

    def exportToTable(self, table: Any, nonEmptyKeysOnly: bool = True) -> None:
        table.RemoveAllColumns()
        keys = self.getNonEmptyKeys() if nonEmptyKeysOnly else list(HEADERS)
        for key in keys:
            values = [self._statistics.get((one, key)) for one in self._statistics["SegmentIDs"]]
            known = next((value for value in values if value is not None), "")
            kinds = {int: vtk.vtkLongArray, float: vtk.vtkDoubleArray}
            column = kinds[type(known)]() if type(known) in kinds else vtk.vtkStringArray()
            column.SetName(HEADERS[key])
            for value in values:
                column.InsertNextValue(float("nan") if value is None else value)
            table.AddColumn(column)

    def _is_enabled(self, plugin: str) -> bool:
        return bool(self._parameters.GetParameter(f"{plugin}.enabled") == "True")


def _label_map(node: Any, segment: str) -> tuple[np.ndarray, float]:
    """Which voxels of the label map hold it, and the size of one in mm3."""
    image = slicer.vtkOrientedImageData()
    node.GetBinaryLabelmapRepresentation(segment, image)
    scalars = image.GetPointData().GetScalars()
    array = numpy_support.vtk_to_numpy(scalars) if scalars is not None else np.zeros(0)
    return array > 0, float(np.prod(image.GetSpacing()))


def _sizes(plugin: str, inside: np.ndarray, voxel: float) -> dict[str, Any]:
    count = int(inside.sum())
    return {f"{plugin}.voxel_count": count, f"{plugin}.volume_mm3": count * voxel,
            f"{plugin}.volume_cm3": count * voxel / 1000}  # fmt: skip


def _intensities(node: Any, segment: str, volume: Any) -> dict[str, Any]:
    displays = set(slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeDisplayNode"))
    inside = slicer.util.arrayFromSegmentBinaryLabelmap(node, segment, volume) > 0
    for left in set(slicer.util.getNodesByClass("vtkMRMLLabelMapVolumeDisplayNode")) - displays:
        slicer.mrmlScene.RemoveNode(left)
    values = slicer.util.arrayFromVolume(volume)[inside]
    sizes = _sizes(SCALARS, inside, float(np.prod(volume.GetSpacing())))
    if not values.size:
        return sizes
    measures = {"min": np.min, "max": np.max, "mean": np.mean, "median": np.median, "stdev": np.std}
    return sizes | {f"{SCALARS}.{name}": float(measure(values)) for name, measure in measures.items()}


def install() -> None:
    """Makes ``import SegmentStatistics`` work."""
    module: Any = types.ModuleType("SegmentStatistics", "stand-in for Slicer's SegmentStatistics")
    module.SegmentStatisticsLogic = SegmentStatisticsLogic
    sys.modules["SegmentStatistics"] = module
