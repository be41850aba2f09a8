"""What one case, and all cases together, are like: what the checks look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from MedSegTrainerLib.classes import class_names, unknown_classes
from MedSegTrainerLib.data.checks.case_statistics import CaseStatistics
from MedSegTrainerLib.data.checks.known_part import KnownPart
from MedSegTrainerLib.imaging.geometry import Geometry


@dataclass(frozen=True, kw_only=True)
class CaseScan:
    """What one case is like, its axes in canonical (LPS) order.

    foreground: (channels, samples) intensities at up to 5000 labelled voxels, evenly spread.
    low, high: smallest and largest intensity of each channel. voxels: label value to count, background too, but
    not the voxels that nobody labelled. combinations: where classes overlap, the same of their ``class_bits``; a voxel
    then counts for each of its classes in ``voxels``. stats: what only the data doctor looks at; None where nobody
    measured them. drawn: names of the classes that somebody looked for, None for all. known: how much of it is
    labelled, None for all of it; labelled_slices: as the case has it. single_slices: axis of the patient along which
    the labels are single slices, although all is labelled, '' where they are not.
    """

    name: str
    geometry: Geometry
    foreground: np.ndarray
    low: tuple[float, ...]
    high: tuple[float, ...]
    voxels: dict[int, int]
    stats: CaseStatistics | None = None
    combinations: dict[int, int] = field(default_factory=dict)
    drawn: tuple[str, ...] | None = None
    known: KnownPart | None = None
    labelled_slices: str = ""
    single_slices: str = ""

    @property
    def known_voxels(self) -> int:
        """Voxels that somebody labelled, be it as background."""
        return sum((self.combinations or self.voxels).values())

    def volume_mm3(self, value: int) -> float:
        """Of a class; where a part alone is labelled an estimate."""
        count = self.voxels.get(value, 0)
        return (
            count * self.geometry.voxel_volume_mm3
            if self.known is None
            else self.known.volume_mm3(count, self.geometry)
        )

    def knows(self, name: str) -> bool:
        """Whether somebody looked for the class of this name."""
        return not unknown_classes([name], self.drawn)

    def present(self, names: Mapping[int, str]) -> frozenset[int]:
        """Label values of classes that are there and were looked for; ``names``: of label values."""
        return frozenset(
            value for value in self.voxels if value != 0 and self.knows(names.get(value, f"label {value}"))
        )


@dataclass(frozen=True, kw_only=True)
class Examined:
    """Scans of the cases that can be read. names: those that the data set gives label values. labels, images: files of
    each case."""

    scans: Sequence[CaseScan]
    names: Mapping[int, str] = field(default_factory=dict)
    labels: Mapping[str, Path] = field(default_factory=dict)
    images: Mapping[str, Sequence[Path]] = field(default_factory=dict)
    ignore_label: int | None = None

    def values(self) -> list[int]:
        """Label values that stand in any label map, without the background."""
        return sorted({value for scan in self.scans for value in scan.voxels} - {0})

    def knowing(self, value: int) -> list[CaseScan]:
        """Scans of the cases in which somebody looked for the class."""
        return [scan for scan in self.scans if scan.knows(self.name_of(value))]

    def name_of(self, value: int) -> str:
        return class_names(self.values(), self.names).get(value, f"label {value}")
