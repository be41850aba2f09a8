"""The segments of a case on the voxels of its volume: as one label map, or where they overlap as a mask a class."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Literal, get_args

import numpy as np
import numpy.typing as npt
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.segment_classes import SegmentClass, segments_of_classes
from MedSegTrainerUI.scene.segment_layers import (
    Layer,
    Part,
    all_layers,
    content_of,
    layer_to_grid,
    part_on_grid,
    stored_layers,
)
from MedSegTrainerUI.scene.segment_shapes import Shape, unstored_segments
from MedSegTrainerUI.scene.volumes import relative_matrix, volume_geometry
from MedSegTrainerUI.slicer_types import SegmentationNode, VolumeNode

Overlap = Literal["masks", "order", "refuse"]  # each class is whole, the later one wins, or there is no training
MOST_REMEMBERED = 1000  # segmentations: their overlap is looked at again only when something changed
_overlaps: OrderedDict[object, Counter[tuple[int, int]]] = OrderedDict()


def overlap_choice(text: str) -> Overlap:
    """What the scene remembers of it; the first where that is unknown."""
    return next((known for known in get_args(Overlap) if known == text), "masks")


def label_map(
    segmentation: SegmentationNode, volume: VolumeNode, classes: Sequence[SegmentClass], *, overlap: Overlap = "refuse"
) -> np.ndarray:
    """The values of the classes (z, y, x), uint8 or int16, 0 where no segment of them is; hidden segments count too.

    overlap: "order" gives voxels where segments of two classes overlap to the class that comes later in ``classes``;
    else DataError is raised there, as a label map cannot hold both. Segments of one class may overlap.
    """
    ranks = _ranks(segmentation, classes)
    layers = all_layers(segmentation, ranks, volume)
    highest = max([len(classes), *(item.value for item in classes)])
    if min([0, *(item.value for item in classes)]) < 0 or highest > np.iinfo(np.int16).max:
        raise DataError(_("Label values must lie between 0 and {most}.").format(most=np.iinfo(np.int16).max))
    labels = np.zeros(volume_geometry(volume).size_zyx, np.uint8 if highest < 256 else np.int16)
    shared: Counter[tuple[int, int]] = Counter()
    for region, part in _parts(layers, ranks, segmentation, volume, labels.dtype):
        shared += _paint(labels[region], part)
    if shared and overlap != "order":
        raise DataError(overlap_text(_named(shared, classes), volume))
    values = np.array([0, *(item.value for item in classes)], labels.dtype)
    return labels if (values == np.arange(len(values))).all() else values[labels]


def find_overlaps(
    segmentation: SegmentationNode, volume: VolumeNode, classes: Sequence[SegmentClass]
) -> list[tuple[SegmentClass, SegmentClass, int]]:
    """Pairs of classes of which segments overlap, the later one second, and how many voxels of ``volume`` they share.

    Raises DataError as ``label_map`` does.
    """
    ranks = _ranks(segmentation, classes)
    layers, others = stored_layers(segmentation, ranks), unstored_segments(segmentation, ranks)
    if len(set(ranks.values())) < 2 or (len(layers) < 2 and not others):
        return []
    key = _state(segmentation, volume, ranks, layers, others)
    if key not in _overlaps:
        _overlaps[key] = _count_shared(all_layers(segmentation, ranks, volume), ranks, segmentation, volume)
        if len(_overlaps) > MOST_REMEMBERED:
            _overlaps.popitem(last=False)
    return _named(_overlaps[key], classes)


def state_of(segmentation: SegmentationNode, volume: VolumeNode, classes: Sequence[SegmentClass]) -> object:
    """Equal while the segments of the classes and their place on the voxels of ``volume`` stay what they are; nothing
    is counted. Raises DataError as ``label_map`` does."""
    ranks = _ranks(segmentation, classes)
    layers, others = stored_layers(segmentation, ranks), unstored_segments(segmentation, ranks)
    return _state(segmentation, volume, ranks, layers, others)


def drawn_part(segmentation: SegmentationNode, volume: VolumeNode, classes: Sequence[SegmentClass]) -> Part | None:
    """Where segments of the classes are (bool), in the smallest box of the volume's voxels around their layers; None
    where there is nothing. Raises DataError as ``label_map`` does."""
    ranks = _ranks(segmentation, classes)
    parts = list(_parts(all_layers(segmentation, ranks, volume), ranks, segmentation, volume, np.int16))
    if not parts:
        return None
    low = np.min([[side.start for side in region] for region, _part in parts], axis=0)
    high = np.max([[side.stop for side in region] for region, _part in parts], axis=0)
    there = np.zeros(high - low, bool)
    for region, part in parts:
        there[tuple(slice(side.start - at, side.stop - at) for side, at in zip(region, low, strict=True))] |= part > 0
    return Part(array=there, start=tuple(int(one) for one in low))


def overlap_text(overlaps: Sequence[tuple[SegmentClass, SegmentClass, int]], volume: VolumeNode) -> str:
    """What overlaps and what can be done about it."""
    first, second, voxels = max(overlaps, key=lambda one: one[2])
    text = _(
        "'{first}' and '{second}' overlap ({ml} ml). Erase the overlap in the Segment Editor (Masking: Overwrite "
        "other segments), merge the two, or choose what becomes of it at 'Where segments overlap'."
    ).format(first=first.name, second=second.name, ml=f"{voxels * volume_geometry(volume).voxel_ml:.2g}")
    more = len(overlaps) - 1
    return text + (" " + _("{count} more pairs overlap.").format(count=more) if more else "")


def _ranks(segmentation: SegmentationNode, classes: Sequence[SegmentClass]) -> dict[str, int]:
    """The place of each segment's class in ``classes``, from 1."""
    place = {item.name: rank for rank, item in enumerate(classes, start=1)}
    return {one: place[item.name] for one, item in segments_of_classes(segmentation, classes).items()}


def _state(
    segmentation: SegmentationNode,
    volume: VolumeNode,
    ranks: dict[str, int],
    layers: Sequence[Layer],
    others: Sequence[Shape],
) -> object:
    """Of segments with their ranks, ``layers`` with voxels and ``others`` without."""
    place: list[object] = [
        (layer.image.GetMTime(), layer_to_grid(layer, segmentation, volume).tobytes(), *layer.values.items())
        for layer in layers
    ]
    if others:  # these are turned into voxels, which takes longer, where they are not known
        grid = volume_geometry(volume).ijk_to_ras, relative_matrix(segmentation, volume)
        place += [(item.modified, *(matrix.tobytes() for matrix in grid), item.segment_id) for item in others]
    return volume_geometry(volume).size, tuple(place), tuple(ranks.items())


def _parts(
    layers: Sequence[Layer],
    ranks: dict[str, int],
    segmentation: SegmentationNode,
    volume: VolumeNode,
    dtype: npt.DTypeLike,
) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Where each layer has something on the volume's voxels, and the ranks of its segments there."""
    for layer in layers:
        part = part_on_grid(layer, segmentation, volume)
        if part is None:
            continue
        yield part.region, np.take(_rank_of(layer, ranks, dtype), part.array)


def _count_shared(
    layers: Sequence[Layer], ranks: dict[str, int], segmentation: SegmentationNode, volume: VolumeNode
) -> Counter[tuple[int, int]]:
    """Voxels that segments of two ranks share; looks only where the boxes of two layers meet."""
    shared: Counter[tuple[int, int]] = Counter()
    parts = [(layer, part_on_grid(layer, segmentation, volume)) for layer in layers]
    there = [(part, _rank_of(layer, ranks, np.int64)) for layer, part in parts if part is not None]
    for (one, rank_of_one), (other, rank_of_other) in combinations(there, 2):
        low = np.maximum(one.start, other.start)
        high = np.minimum(np.add(one.start, one.array.shape), np.add(other.start, other.array.shape))
        if (high <= low).any():
            continue
        first, second = (
            part.array[tuple(slice(a, b) for a, b in zip(low - part.start, high - part.start, strict=True))]
            for part in (one, other)
        )
        both = (first != 0) & (second != 0)
        pairs = np.sort([rank_of_one[first[both]], rank_of_other[second[both]]], axis=0)
        pairs = pairs[:, (pairs[0] > 0) & (pairs[0] != pairs[1])]
        for (low_rank, high_rank), count in zip(*np.unique(pairs.T, axis=0, return_counts=True), strict=True):
            shared[int(low_rank), int(high_rank)] += int(count)
    return shared


def _rank_of(layer: Layer, ranks: dict[str, int], dtype: npt.DTypeLike) -> np.ndarray:
    """The rank of each number of a layer, 0 where its segment is not wanted."""
    rank_of = np.zeros(max(len(content_of(layer.image).counts), max(layer.values.values()) + 1), dtype)
    for segment_id, value in layer.values.items():
        rank_of[value] = ranks[segment_id]
    rank_of[0] = 0
    return rank_of


def _paint(labels: np.ndarray, part: np.ndarray) -> Counter[tuple[int, int]]:
    """Puts ``part`` over ``found``, the higher rank above; counts the voxels that both claim, by both ranks."""
    shared: Counter[tuple[int, int]] = Counter()
    both = np.flatnonzero((labels != 0) & (part != 0) & (labels != part))
    if both.size:
        pairs = np.stack([labels.ravel()[both], part.ravel()[both]])
        pairs.sort(axis=0)
        for (low, high), count in zip(*np.unique(pairs.T, axis=0, return_counts=True), strict=True):
            shared[int(low), int(high)] = int(count)
    np.maximum(labels, part, out=labels)
    return shared


def _named(
    shared: Counter[tuple[int, int]], classes: Sequence[SegmentClass]
) -> list[tuple[SegmentClass, SegmentClass, int]]:
    return [(classes[low - 1], classes[high - 1], count) for (low, high), count in sorted(shared.items())]
