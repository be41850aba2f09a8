"""Which segments mean the same over the cases: one class for each name, whatever its capitals and spaces.

"Liver" and "liver " are one structure to everybody but a computer. Values are 1, 2, ... in the order in which the
names first appear; cases on disk keep the values that their label maps have.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field

import vtk

from MedSegTrainerLib.classes import default_color
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.drawn_mark import is_marked
from MedSegTrainerUI.scene.segment_layers import segment_ids, segment_name, segment_volumes
from MedSegTrainerUI.slicer_types import Segment, SegmentationNode

RowSegment = tuple[str, Segment, float, int | None]


@dataclass(frozen=True, kw_only=True)
class SegmentClass:
    """A structure to learn. ``segments``: the names, as written, of the segments that it is made of.

    color: 0-255 RGB and terminology of the first of them. drawn: in how many cases it was looked for; cases: in how
    many of these it is not empty; ml: in all together, without those on disk. value: its number in label maps.
    """

    name: str
    segments: tuple[str, ...]
    color: tuple[int, int, int]
    terminology: str
    cases: int
    ml: float
    value: int
    drawn: int = 0


@dataclass
class _ClassInProgress:
    name: str
    segments: list[str] = field(default_factory=list)
    color: tuple[int, int, int] | None = None
    terminology: str = ""
    drawn: int = 0
    cases: int = 0
    ml: float = 0.0
    value: int | None = None


def find_classes(rows: Sequence[CaseRow], class_names: Mapping[str, str]) -> list[SegmentClass]:
    """The classes of the rows, in the order of first appearance.

    ``class_names`` gives the class of a segment name where it is not the name itself; '' leaves the segment out.
    """
    finder = ClassFinder(class_names)
    for row in rows:
        finder.add(row, segments_of_row(row))
    return finder.classes()


class ClassFinder:
    """The classes of rows that are added one by one; ``class_names`` as in ``find_classes``."""

    def __init__(self, class_names: Mapping[str, str]) -> None:
        self._chosen = {same_name(name): " ".join(wanted.split()) for name, wanted in class_names.items()}
        self._by_key: dict[str, _ClassInProgress] = {}
        self._reserved: set[int] = set()

    def add(self, row: CaseRow, segments: Sequence[RowSegment]) -> None:
        """segments: those of the row."""
        sizes: dict[str, float] = {}
        not_drawn: set[str] = set()
        self._reserved |= set() if row.ignore_label is None else {row.ignore_label}
        for name, segment, ml, value in segments:
            wanted = self._chosen.get(same_name(name), name)
            if not wanted:
                continue
            key = same_name(wanted)
            one = self._by_key.setdefault(key, _ClassInProgress(wanted))
            sizes[key] = sizes.get(key, 0.0) + ml
            if not _is_drawn(row, name, segment):
                not_drawn.add(key)
            if name not in one.segments:
                one.segments.append(name)
            if one.value is None:
                one.value = value
            if one.color is None and segment is not None:
                one.color, one.terminology = _looks(segment)
        for key in sizes.keys() - not_drawn:
            ml = sizes[key]
            self._by_key[key].drawn += 1
            self._by_key[key].cases += ml > 0 or row.segmentation is None
            self._by_key[key].ml += ml

    def classes(self) -> list[SegmentClass]:
        return _numbered(list(self._by_key.values()), self._reserved)


@functools.lru_cache(maxsize=4096)
def same_name(name: str) -> str:
    """Equal for names that mean the same: capitals and spaces do not count."""
    return " ".join(name.split()).casefold()


def segments_of_classes(segmentation: SegmentationNode, classes: Sequence[SegmentClass]) -> dict[str, SegmentClass]:
    """The class of each segment that belongs to one, by its ID, in the order of the segments table."""
    by_name = {same_name(name): item for item in classes for name in item.segments}
    owners = {one: by_name.get(same_name(segment_name(segmentation, one))) for one in segment_ids(segmentation)}
    return {segment_id: item for segment_id, item in owners.items() if item is not None}


def segment_terminology(segment: Segment) -> str:
    """Slicer's text form of the coded entry; '' when there is none."""
    text = vtk.reference("")
    return str(text) if segment.GetTag(segment.GetTerminologyEntryTagName(), text) else ""


def segments_of_row(row: CaseRow) -> list[RowSegment]:
    """Name, vtkSegment, ml and value of each; segments on disk have no vtkSegment."""
    if row.segmentation is None:
        values = row.values or range(1, len(row.segments) + 1)
        return [(name.strip(), None, 0.0, value) for name, value in zip(row.segments, values, strict=True)]
    volumes = segment_volumes(row.segmentation, row.volumes[0] if row.volumes else None)
    content = row.segmentation.GetSegmentation()
    segments = {segment_id: content.GetSegment(segment_id) for segment_id in volumes}
    return [((segment.GetName() or "").strip(), segment, volumes[one], None) for one, segment in segments.items()]


def _is_drawn(row: CaseRow, name: str, segment: Segment) -> bool:
    """Whether somebody looked for it; of segments on disk the row knows."""
    if segment is not None:
        return not is_marked(segment)
    return row.drawn is None or same_name(name) in map(same_name, row.drawn)


def _looks(segment: Segment) -> tuple[tuple[int, int, int], str]:
    red, green, blue = (min(255, max(0, round(255 * part))) for part in segment.GetColor())
    return (red, green, blue), segment_terminology(segment)


def _numbered(classes: Sequence[_ClassInProgress], reserved: Set[int]) -> list[SegmentClass]:
    """reserved: values that are no classes in the label maps of cases on disk."""
    taken = {one.value for one in classes if one.value is not None} | reserved
    free = (value for value in range(1, len(classes) + len(taken) + 1) if value not in taken)
    given: set[int] = set()
    result = []
    for index, one in enumerate(classes):
        value = one.value if one.value is not None and one.value not in given else next(free)
        given.add(value)
        item = SegmentClass(
            name=one.name,
            segments=tuple(one.segments),
            color=one.color or default_color(index),
            terminology=one.terminology,
            drawn=one.drawn,
            cases=one.cases,
            ml=one.ml,
            value=value,
        )
        result.append(item)
    return result
