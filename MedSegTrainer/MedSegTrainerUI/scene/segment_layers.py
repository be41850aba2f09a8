"""What the segments of a segmentation hold: arrays, sizes and, from surfaces, voxels.

Segments that do not overlap share an image, a layer, in which each has a number. Layers are read as they are, on their
own extent: one export of the whole volume for each segment would take seconds.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

import numpy as np
import slicer
import vtk
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.segment_shapes import binary_name, image_to_world, shape_ml, shapes_of
from MedSegTrainerUI.scene.volumes import (
    image_array,
    offset_of,
    relative_matrix,
    reslice,
    volume_geometry,
)
from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode, VtkObject

MOST_REMEMBERED = 1000  # layers; their numbers are small
PLANES_AT_ONCE = 4
_contents: OrderedDict[int, Content] = OrderedDict()  # by modification time, which VTK gives to one object only


@dataclass(frozen=True, kw_only=True, eq=False)
class Layer:
    """``values`` are the numbers that segments, by their IDs, have in ``image`` (a vtkOrientedImageData)."""

    image: VtkObject
    values: Mapping[str, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Content:
    """``counts``: voxels of each number but 0. ``low``, ``size``: the smallest box around these, (x, y, z) in voxels of
    the layer's array; None where there is nothing."""

    counts: np.ndarray
    low: tuple[int, int, int] | None
    size: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True, eq=False)
class Part:
    """Voxels (z, y, x) of a layer on a volume's grid, the first of them at ``start`` (z, y, x)."""

    array: np.ndarray
    start: tuple[int, ...]

    @property
    def region(self) -> tuple[slice, ...]:
        return tuple(slice(low, low + size) for low, size in zip(self.start, self.array.shape, strict=True))


def segment_ids(segmentation: SegmentationNode) -> list[str]:
    """In the order of the segments table."""
    return list(segmentation.GetSegmentation().GetSegmentIDs())


def segment_name(segmentation: SegmentationNode, segment_id: str) -> str:
    return (segmentation.GetSegmentation().GetSegment(segment_id).GetName() or "").strip()


def stored_layers(segmentation: SegmentationNode, wanted: Collection[str]) -> list[Layer]:
    """The layers with the ``wanted`` segments; those that have no voxels, only surfaces, are in none."""
    asked = set(wanted)
    return _layers(segmentation.GetSegmentation(), [one for one in segment_ids(segmentation) if one in asked])


def all_layers(segmentation: SegmentationNode, wanted: Collection[str], volume: VolumeNode) -> list[Layer]:
    """The layers with the ``wanted`` segments; what has no voxels gets those of ``volume``, in a copy.

    Raises DataError where they cannot be converted, or lie under other, non-linear transforms than the volume.
    """
    layers = stored_layers(segmentation, wanted)
    stored = {segment_id for layer in layers for segment_id in layer.values}
    missing = [one for one in segment_ids(segmentation) if one in set(wanted) - stored]
    return [*layers, *_from_surfaces(segmentation, missing, volume)] if missing else layers


def content_of(image: VtkObject) -> Content:
    """Counted once for each state of a layer."""
    for _voxels in count_layer(image):
        pass
    return _contents[image.GetMTime()]


def count_layer(image: VtkObject) -> Iterator[int]:
    """What ``content_of`` does, in steps: yields the voxels of each; none where it is known. Where the layer is changed
    between two steps, it ends without a result."""
    key = image.GetMTime()
    if key in _contents:
        _contents.move_to_end(key)
        return
    counting = _Counting(image)
    for voxels in counting.slabs():
        yield voxels
        if image.GetMTime() != key:  # painted on meanwhile
            return
    _contents[key] = counting.content
    if len(_contents) > MOST_REMEMBERED:
        _contents.popitem(last=False)


def segment_volumes(segmentation: SegmentationNode, volume: VolumeNode = None) -> dict[str, float]:
    """Millilitres of each segment by its ID, 0 where it is empty; in the frame of ``volume``, else the segmentation's.

    What has no voxels is measured as it is: surfaces, fractional labelmaps, contours.
    """
    scale = 1.0
    if volume is not None:
        with suppress(DataError):  # bent space: told where it matters, at the check and at the export
            scale = abs(np.linalg.det(relative_matrix(segmentation, volume)[:3, :3]))
    volumes = dict.fromkeys(segment_ids(segmentation), 0.0)
    layers = stored_layers(segmentation, volumes)
    for layer in layers:
        counts = content_of(layer.image).counts
        voxel = scale * abs(np.linalg.det(image_to_world(layer.image)[:3, :3])) / 1000
        for segment_id, value in layer.values.items():
            volumes[segment_id] = float(counts[value] * voxel) if value < len(counts) else 0.0
    stored = {segment_id for layer in layers for segment_id in layer.values}
    for segment_id in volumes.keys() - stored:
        volumes[segment_id] = scale * shape_ml(segmentation.GetSegmentation().GetSegment(segment_id))
    return volumes


def part_on_grid(layer: Layer, segmentation: SegmentationNode, volume: VolumeNode) -> Part | None:
    """A layer on the voxels of ``volume``, cut to what it holds; None where it holds nothing there.

    Where the voxels lie on each other it is a view; else each voxel gets the number at its centre.
    """
    content = content_of(layer.image)
    if content.low is None:
        return None
    geometry = volume_geometry(volume)
    to_grid = layer_to_grid(layer, segmentation, volume)
    low = np.array(content.low) + layer.image.GetExtent()[::2]
    offset = offset_of(to_grid, tuple(low), content.size)
    if offset is None:
        return _resampled(layer.image, to_grid, low, content.size, geometry.size)
    first = np.maximum(low + offset, 0)
    end = np.minimum(low + offset + content.size, geometry.size)
    if (end <= first).any():
        return None
    inside = first - offset - layer.image.GetExtent()[::2]
    region = tuple(slice(a, a + b) for a, b in zip(inside[::-1], (end - first)[::-1], strict=True))
    return Part(array=image_array(layer.image)[region], start=tuple(int(one) for one in first[::-1]))


def layer_to_grid(layer: Layer, segmentation: SegmentationNode, volume: VolumeNode) -> np.ndarray:
    """4 x 4: from voxels of a layer to voxels of ``volume``."""
    to_volume = relative_matrix(segmentation, volume) @ image_to_world(layer.image)
    return np.linalg.inv(volume_geometry(volume).ijk_to_ras) @ to_volume


def box_on_grid(to_grid: np.ndarray, low: np.ndarray, size: Collection[int]) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and highest place, in voxels of the grid, of a box of voxels with their borders."""
    faces = [(first - 0.5, first + count - 0.5) for first, count in zip(low, size, strict=True)]
    corners = np.array([[x, y, z, 1] for x in faces[0] for y in faces[1] for z in faces[2]]) @ to_grid.T
    return corners[:, :3].min(axis=0), corners[:, :3].max(axis=0)


def _layers(content: VtkObject, wanted: list[str]) -> list[Layer]:
    by_image: dict[str, tuple[VtkObject, dict[str, int]]] = {}
    for segment_id in wanted:
        segment = content.GetSegment(segment_id)
        image = segment.GetRepresentation(binary_name())
        if image is not None:
            by_image.setdefault(image.GetAddressAsString(""), (image, {}))[1][segment_id] = segment.GetLabelValue()
    return [Layer(image=image, values=values) for image, values in by_image.values()]


class _Counting:
    """Counts an image slab by slab; what it found is ``content``, an empty one where there is nothing."""

    def __init__(self, image: VtkObject) -> None:
        self._image = image
        self._counts = np.zeros(1, int)
        self._low, self._high = np.full(3, np.iinfo(int).max), np.full(3, -1)

    def slabs(self) -> Iterator[int]:
        """Yields after each slab how many voxels it has."""
        there = self._image.GetPointData().GetScalars() is not None and min(self._image.GetDimensions()) >= 1
        depth = self._image.GetDimensions()[2] if there else 0
        for first in range(0, depth, PLANES_AT_ONCE):
            slab = image_array(self._image)[first : first + PLANES_AT_ONCE]  # VTK may have moved it since the last one
            for z, plane in enumerate(slab, start=first):
                rows = np.flatnonzero(plane.any(axis=1))
                if rows.size:  # what is empty is left out of the slower searches
                    self._take(z, int(rows[0]), plane[rows[0] : rows[-1] + 1])
            size = slab.size
            del slab, plane
            yield size

    def _take(self, z: int, y: int, rows: np.ndarray) -> None:
        columns = np.flatnonzero(rows.any(axis=0))
        found = np.bincount(rows[:, columns[0] : columns[-1] + 1].astype(np.intp, copy=False).ravel())
        if len(found) > len(self._counts):
            found[: len(self._counts)] += self._counts
            self._counts = found
        else:
            self._counts[: len(found)] += found
        self._low = np.minimum(self._low, (columns[0], y, z))
        self._high = np.maximum(self._high, (columns[-1], y + len(rows) - 1, z))

    @property
    def content(self) -> Content:
        if self._high[0] < 0:
            return Content(counts=self._counts, low=None, size=(0, 0, 0))
        x, y, z = (int(one) for one in self._low)
        width, height, depth = (int(one) for one in self._high - self._low + 1)
        return Content(counts=self._counts, low=(x, y, z), size=(width, height, depth))


def _resampled(
    image: VtkObject, to_grid: np.ndarray, low: np.ndarray, size: Collection[int], grid_size: Sequence[int]
) -> Part | None:
    lowest, highest = box_on_grid(to_grid, low, size)
    first = np.maximum(np.floor(lowest), 0).astype(int)
    last = np.minimum(np.ceil(highest), np.array(grid_size) - 1).astype(int)
    if (last < first).any():
        return None
    box = (first[0], last[0], first[1], last[1], first[2], last[2])
    resampled = reslice(image, np.linalg.inv(to_grid), tuple(int(one) for one in box), linear=False)
    return Part(array=image_array(resampled), start=tuple(int(one) for one in first[::-1]))


def _from_surfaces(segmentation: SegmentationNode, wanted: list[str], volume: VolumeNode) -> list[Layer]:
    source, copy = segmentation.GetSegmentation(), slicer.vtkSegmentation()
    copy.SetSourceRepresentationName(source.GetSourceRepresentationName())
    grid = volume_geometry(volume)
    matrix = vtk.vtkMatrix4x4()
    matrix.DeepCopy((relative_matrix(volume, segmentation) @ grid.ijk_to_ras).ravel())
    extent = [0, grid.size[0] - 1, 0, grid.size[1] - 1, 0, grid.size[2] - 1]
    converter = slicer.vtkSegmentationConverter
    place = converter.SerializeImageGeometry(matrix, extent)
    filled = [one for one in wanted if shapes_of(source.GetSegment(one))]
    for segment_id in filled:
        copy.CopySegmentFromSegmentation(source, segment_id, False)
    copy.SetConversionParameter(converter.GetReferenceImageGeometryParameterName(), place)
    if filled and not copy.CreateRepresentation(binary_name()):
        raise DataError(
            _(
                "The segments of {name} cannot be turned into voxels. Create their binary labelmap in the "
                "Segmentations module."
            ).format(name=segmentation.GetName())
        )
    return _layers(copy, filled)
