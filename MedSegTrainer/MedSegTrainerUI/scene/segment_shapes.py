"""What a segment without voxels consists of: a surface, a fractional labelmap or contours; its size, as it is."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from vtk.util import numpy_support

from MedSegTrainerUI.scene.volumes import image_array, matrix_array
from MedSegTrainerUI.slicer_types import Segment, SegmentationNode, VtkObject

MOST_REMEMBERED = 1000  # sizes
_sizes: OrderedDict[int, float] = OrderedDict()  # ml by modification time, which VTK gives to one object only


@dataclass(frozen=True, kw_only=True)
class Shape:
    """A segment without voxels. modified: the modification times of what it consists of."""

    segment_id: str
    modified: tuple[int, ...]


def binary_name() -> str:
    return slicer.vtkSegmentationConverter.GetSegmentationBinaryLabelmapRepresentationName()


def shapes_of(segment: Segment) -> list[VtkObject]:
    """The data of a segment that are no voxels and not empty; to convert an empty surface is an error in VTK."""
    representations = [segment.GetRepresentation(name) for name in _measures()]
    return [
        data for data in representations if data is not None and (data.IsA("vtkImageData") or data.GetNumberOfCells())
    ]


def unstored_segments(segmentation: SegmentationNode, wanted: Collection[str]) -> list[Shape]:
    """The ``wanted`` segments that have shapes and no voxels, in the order of the segments table."""
    content = segmentation.GetSegmentation()
    segments = [(one, content.GetSegment(one)) for one in content.GetSegmentIDs() if one in wanted]
    return [
        Shape(segment_id=one, modified=tuple(data.GetMTime() for data in shapes_of(segment)))
        for one, segment in segments
        if segment.GetRepresentation(binary_name()) is None and shapes_of(segment)
    ]


def shape_ml(segment: Segment) -> float:
    """Millilitres in the segmentation's own frame; 0 where there is nothing. Contours are slabs, as thick as their
    distance."""
    for name, measure in _measures().items():
        data = segment.GetRepresentation(name)
        if data is not None and (data.IsA("vtkImageData") or data.GetNumberOfCells()):
            return _remembered(data, measure)
    return 0.0


def image_to_world(image: VtkObject) -> np.ndarray:
    """4 x 4: from voxels of a vtkOrientedImageData to mm."""
    matrix = vtk.vtkMatrix4x4()
    image.GetImageToWorldMatrix(matrix)
    return matrix_array(matrix)


def _measures() -> dict[str, Callable[[VtkObject], float]]:
    converter = slicer.vtkSegmentationConverter
    return {
        converter.GetSegmentationClosedSurfaceRepresentationName(): _surface_ml,
        converter.GetSegmentationFractionalLabelmapRepresentationName(): _fractional_ml,
        converter.GetSegmentationPlanarContourRepresentationName(): _contours_ml,
    }


def _remembered(data: VtkObject, measure: Callable[[VtkObject], float]) -> float:
    key = data.GetMTime()
    if key not in _sizes:
        _sizes[key] = measure(data)
        if len(_sizes) > MOST_REMEMBERED:
            _sizes.popitem(last=False)
    return _sizes[key]


def _surface_ml(surface: VtkObject) -> float:
    triangles = vtk.vtkTriangleFilter()
    triangles.SetInputData(surface)
    triangles.PassLinesOff()
    triangles.PassVertsOff()
    measure = vtk.vtkMassProperties()
    measure.SetInputConnection(triangles.GetOutputPort())
    return float(measure.GetVolume()) / 1000


def _fractional_ml(image: VtkObject) -> float:
    """The sum of the fractions, which lie between the two numbers of a field of the image."""
    if image.GetPointData().GetScalars() is None:
        return 0.0
    values = image_array(image)
    limits = image.GetFieldData().GetArray(slicer.vtkSegmentationConverter.GetScalarRangeFieldName())
    low, high = (limits.GetComponent(0, 0), limits.GetComponent(1, 0)) if limits is not None else image.GetScalarRange()
    if high <= low:
        return 0.0
    fractions = (float(values.sum(dtype=float)) - low * values.size) / (high - low)
    return fractions * float(abs(np.linalg.det(image_to_world(image)[:3, :3]))) / 1000


def _contours_ml(contours: VtkObject) -> float:
    points = numpy_support.vtk_to_numpy(contours.GetPoints().GetData()).astype(float)
    normals, middles = [], []
    for index in range(contours.GetNumberOfCells()):
        identifiers = contours.GetCell(index).GetPointIds()
        ring = points[[identifiers.GetId(place) for place in range(identifiers.GetNumberOfIds())]]
        normals.append(np.cross(ring, np.roll(ring, -1, axis=0)).sum(axis=0) / 2)  # as long as the area
        middles.append(ring.mean(axis=0))
    areas = np.linalg.norm(normals, axis=1)
    if not areas.any():
        return 0.0
    along = normals[int(areas.argmax())] / areas.max()
    heights = np.unique(np.round(np.array(middles) @ along, 3))
    thickness = float(np.median(np.diff(heights))) if len(heights) > 1 else 1.0
    return float(areas.sum()) * thickness / 1000
