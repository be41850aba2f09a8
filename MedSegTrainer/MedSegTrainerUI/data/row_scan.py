"""Looks through the rows of the table in pieces: what their segments are, then what is wrong with each.

45 volumes with 60 segments take far longer than the user interface may stand still.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress

from MedSegTrainerLib.errors import DataError
from MedSegTrainerUI.data import class_decisions as class_names
from MedSegTrainerUI.scene.case_checks import Finding, check_row, check_together, row_overlaps
from MedSegTrainerUI.scene.case_drawing import Drawing, look_at
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.corrected_slices import compare
from MedSegTrainerUI.scene.export_labels import Overlap
from MedSegTrainerUI.scene.segment_classes import ClassFinder, SegmentClass, segments_of_row
from MedSegTrainerUI.scene.segment_layers import count_layer, segment_ids, stored_layers

SEGMENTS_AT_ONCE = 200  # looked at in one call, and the rest of the row
VOXELS_OF_A_SEGMENT = 30_000  # to count so many voxels takes as long as to look at one segment more
COMPARED = 4  # times as long as to count voxels it takes to unpack and compare them


class DataLook:
    """``classes``, ``leftOut``, ``findings``, ``drawings`` and ``overlapping`` (whether any segments do) are complete
    when it is ``done``.

    drawings: by the name of the row. names: the class of a segment name where it is not the name itself; '' leaves the
    segment out.
    """

    def __init__(self, rows: Sequence[CaseRow], names: Mapping[str, str], overlap: Overlap) -> None:
        self._used = [row for row in rows if row.use]
        self._names, self._overlap = names, overlap
        self.classes: list[SegmentClass] = []
        self.leftOut: list[SegmentClass] = []
        self.findings: list[Finding] = []
        self.overlapping = False
        self.drawings: dict[str, Drawing] = {}
        self.done = False
        self._pieces = self._look()

    def work(self) -> bool:
        """A piece of it; whether it is done."""
        spent = 0.0
        while not self.done and spent < SEGMENTS_AT_ONCE:
            spent += next(self._pieces, 0)
        return self.done

    def finish(self) -> None:
        while not self.work():
            pass

    def _look(self) -> Iterator[float]:
        """Yields what each row has cost, in segments."""
        learned, all_names = ClassFinder(self._names), ClassFinder({})
        for row in self._used:
            yield from _count_voxels(row)
            segments = segments_of_row(row)
            for finder in (learned, all_names) if self._names else (learned,):
                finder.add(row, segments)
            yield 1 + len(segments)
        self.classes = learned.classes()
        self.leftOut = class_names.left_out(self._names, all_names.classes())
        for row in self._used:
            yield from _compare(row)
            self.findings += check_row(row, self.classes, overlap=self._overlap)
            self.overlapping = self.overlapping or bool(row_overlaps(row, self.classes))
            self.drawings[row.name] = look_at(row, self.classes)
            yield 1 + len(segment_ids(row.segmentation) if row.segmentation else ())
        self.findings += check_together(self._used, self.classes, overlap=self._overlap)
        self.done = True


def _count_voxels(row: CaseRow) -> Iterator[float]:
    """Layers are large: some planes at a time. Yields what they cost, in segments."""
    if row.segmentation is not None:
        for layer in stored_layers(row.segmentation, segment_ids(row.segmentation)):
            for voxels in count_layer(layer.image):
                yield voxels / VOXELS_OF_A_SEGMENT


def _compare(row: CaseRow) -> Iterator[float]:
    """The same of a result of a model, whose copy is as large; what is wrong with it the check of the row tells."""
    if row.region == "corrected" and row.volumes:
        with suppress(DataError):
            for voxels in compare(row):
                yield COMPARED * voxels / VOXELS_OF_A_SEGMENT
