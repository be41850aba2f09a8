"""Which slices of a result the user has corrected: those that differ from the copy of what the model drew.

Segments are compared, not names or colors: one that was renamed is the same, one that was added holds what the user
drew, one that was deleted says nothing about its slices.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.prediction_copy import PredictionCopy, open_copy
from MedSegTrainerUI.scene.result_origin import Place, copy_checksum, places_of
from MedSegTrainerUI.scene.segment_layers import (
    Layer,
    Part,
    layer_to_grid,
    part_on_grid,
    segment_ids,
    stored_layers,
)
from MedSegTrainerUI.scene.segment_shapes import unstored_segments
from MedSegTrainerUI.scene.volumes import offset_of, volume_geometry

PLANES_AT_ONCE = 4
MOST_REMEMBERED = 200  # results
_known: OrderedDict[object, Part | None] = OrderedDict()


def changed_part(row: CaseRow) -> Part | None:
    """Where the segments of a result differ from what the model drew (bool), in the smallest box of voxels of the row's
    first volume; None where they do not. Compared once for each state of the segments.

    Raises DataError where that cannot be told: the copy is gone, or the segments lie on other voxels or have none.
    """
    for _voxels in compare(row):
        pass
    return _known[result_state(row)]


def compare(row: CaseRow) -> Iterator[int]:
    """What ``changed_part`` does, in steps: yields the voxels of each; none where it is known. Where the segments are
    changed between two steps, it begins again."""
    key = result_state(row)
    while key not in _known:
        boxes: list[Part] = []
        for voxels, part in _differing(row):
            yield voxels
            if result_state(row) != key:
                break
            boxes += [part] if part is not None else []
        else:
            _known[key] = _joined(boxes)
            if len(_known) > MOST_REMEMBERED:
                _known.popitem(last=False)
        key = result_state(row)


def result_state(row: CaseRow) -> object:
    """Equal while the segments and their place on the voxels stay what they are."""
    layers = stored_layers(row.segmentation, segment_ids(row.segmentation))
    places = [
        (
            layer.image.GetMTime(),
            layer_to_grid(layer, row.segmentation, row.volumes[0]).tobytes(),
            *layer.values.items(),
        )
        for layer in layers
    ]
    size = volume_geometry(row.volumes[0]).size
    return copy_checksum(row.segmentation), size, tuple(places), tuple(segment_ids(row.segmentation))


def _differing(row: CaseRow) -> Iterator[tuple[int, Part | None]]:
    """Some planes at a time: how many voxels were compared, and where they differ."""
    copy = open_copy(row.segmentation)
    size = volume_geometry(row.volumes[0]).size
    if copy.size != size:
        text = _("The volume {name} has other voxels than when the model was applied. Apply it again.")
        raise DataError(text.format(name=row.volumes[0].GetName()))
    pairs = _pairs(row, copy)
    for first, voxels in zip(range(0, size[2], PLANES_AT_ONCE), copy.planes(PLANES_AT_ONCE), strict=True):
        there = np.zeros(voxels.shape[:3], bool)
        for pair in pairs:
            pair.mark(there, voxels, first)
        yield there.size, _boxed(there, first)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Pair:
    """A layer of the segmentation, or None for segments without voxels, and one of the copy, or None for segments that
    the copy does not have; ``drawn`` and ``predicted`` give the ranks of the segments in both by their numbers."""

    row: CaseRow
    layer: Layer | None
    drawn: np.ndarray
    copied: int | None
    predicted: np.ndarray

    def mark(self, there: np.ndarray, voxels: np.ndarray, first: int) -> None:
        """Sets ``there`` (z, y, x) where they differ in the planes from ``first`` on; voxels: of the copy."""
        drawn = self._drawn(there.shape, first)
        if self.copied is None:
            there |= drawn > 0
            return
        copied = voxels[..., self.copied]
        there |= drawn != np.take(self.predicted, copied, mode="clip")

    def _drawn(self, shape: Sequence[int], first: int) -> np.ndarray:
        ranks = np.zeros(shape, np.uint16)
        part = part_on_grid(self.layer, self.row.segmentation, self.row.volumes[0]) if self.layer is not None else None
        if part is None:
            return ranks
        z, y, x = part.region
        low, high = max(z.start, first), min(z.stop, first + shape[0])
        if low < high:
            planes = part.array[low - z.start : high - z.start]
            ranks[low - first : high - first, y, x] = np.take(self.drawn, planes, mode="clip")
        return ranks


def _pairs(row: CaseRow, copy: PredictionCopy) -> list[_Pair]:
    """All that has to be compared; one for each layer and layer of the copy that have segments in common."""
    ids = segment_ids(row.segmentation)
    remembered = places_of(row.segmentation)
    places: dict[str, Place | None] = {one: remembered.get(one, (0, 0)) for one in ids}
    compared = [one for one, place in places.items() if place is not None]
    rank = {one: number for number, one in enumerate(compared, start=1)}
    layers = stored_layers(row.segmentation, compared)
    _refuse_others(row, compared, layers)
    stored = {one for layer in layers for one in layer.values}
    empty = dict.fromkeys((one for one in compared if one not in stored), 0)
    groups: list[tuple[Layer | None, Mapping[str, int]]] = [(layer, layer.values) for layer in layers]
    pairs = []
    for layer, values in [*groups, (None, empty)]:
        for copied in [*range(copy.layers), None]:
            mine = [one for one in values if _copied(places[one]) == copied]
            if mine:
                drawn = _ranks({values[one]: rank[one] for one in mine})
                predicted = _ranks({_number(places[one]): rank[one] for one in mine})
                pairs.append(_Pair(row=row, layer=layer, drawn=drawn, copied=copied, predicted=predicted))
    return pairs


def _copied(place: Place | None) -> int | None:
    """The layer of the copy; None where it has nothing of the segment."""
    return place[0] if place is not None and place[1] > 0 else None


def _number(place: Place | None) -> int:
    return place[1] if place is not None else 0


def _ranks(rank_of: Mapping[int, int]) -> np.ndarray:
    """By number; the last entry, 0, is for all higher ones."""
    ranks = np.zeros(max(rank_of) + 2, np.uint16)
    for number, rank in rank_of.items():
        ranks[number] = rank
    ranks[0] = 0
    return ranks


def _refuse_others(row: CaseRow, compared: Sequence[str], layers: Sequence[Layer]) -> None:
    """Raises DataError where segments cannot be compared voxel by voxel."""
    if unstored_segments(row.segmentation, compared):
        text = _("{name} has surfaces in place of voxels: which slices were corrected cannot be told.")
        raise DataError(text.format(name=row.segmentation.GetName()))
    size = volume_geometry(row.volumes[0]).size
    for layer in layers:
        if offset_of(layer_to_grid(layer, row.segmentation, row.volumes[0]), (0, 0, 0), size) is None:
            text = _(
                "{name} has other voxels than its volume, or lies under another transform: which slices were corrected "
                "cannot be told."
            )
            raise DataError(text.format(name=row.segmentation.GetName()))


def _boxed(there: np.ndarray, first: int) -> Part | None:
    """The smallest box around what is there, ``there`` being the planes from ``first`` on."""
    if not there.any():
        return None
    sides = []
    for axis in range(3):
        used = np.flatnonzero(there.any(axis=tuple(other for other in range(3) if other != axis)))
        sides.append(slice(int(used[0]), int(used[-1]) + 1))
    z, y, x = sides
    return Part(array=there[z, y, x].copy(), start=(z.start + first, y.start, x.start))


def _joined(parts: Sequence[Part]) -> Part | None:
    if not parts:
        return None
    low = np.min([part.start for part in parts], axis=0)
    high = np.max([np.add(part.start, part.array.shape) for part in parts], axis=0)
    there = np.zeros(high - low, bool)
    for part in parts:
        inside = tuple(slice(side.start - at, side.stop - at) for side, at in zip(part.region, low, strict=True))
        there[inside] |= part.array
    return Part(array=there, start=tuple(int(one) for one in low))
