"""Segments named after their cases: one structure that is another class in every case."""

from __future__ import annotations

from collections.abc import Iterator

from MedSegTrainerLib.data.checks.case_scan import Examined
from MedSegTrainerLib.errors import some
from MedSegTrainerLib.findings import Finding


def named_by_case(examined: Examined) -> Iterator[Finding]:
    """A warning where every class is in one case only, whose name is in that of the class."""
    owners = {v: [scan.name for scan in examined.scans if scan.voxels.get(v)] for v in examined.values()}
    single = {value: names[0] for value, names in owners.items() if len(names) == 1}
    values = [v for v, case in single.items() if case.casefold() in examined.names.get(v, "").casefold()]
    if 1 < len(values) == len(owners):
        listed = some([f"'{examined.names[value]}' in {single[value]}" for value in values])
        yield Finding(
            severity="warning",
            kind="segments named by their case",
            message=f"Every class is in one case only, and named after it: {listed}. 3D Slicer names a segment so that "
            f"was imported from a label map, so that one structure becomes {len(values)} classes.",
            remedy="Give the segment of the same structure the same name in all cases (double-click it in 3D Slicer).",
        )
