"""What a data set folder holds: cases with their files, and the names of classes and channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError

if TYPE_CHECKING:
    from MedSegTrainerLib.findings import Finding

Part = Literal["train", "val", "test"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files of one patient: an image file for each channel (or one with all of them) and the label map.

    An image or label may be a folder with a DICOM series. patient: whose it is, '' where nobody says. part: where the
    data set's own folders put it. segment_values: value that a segment of this name gets, where the label map names
    its segments; empty: the values stand as they are in the file.
    """

    name: str
    images: tuple[Path, ...]
    label: Path
    patient: str = ""
    part: Part | None = None
    segment_values: Mapping[str, int] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a folder holds. ``label_names`` maps label values to names, where the data set knows them.

    ignore_label: value of voxels that nobody labelled, as the settings say or else the data set.
    looks: class name to the class with the color and terminology that the data set gives it.
    """

    root: Path
    layout: str
    cases: tuple[Case, ...]
    label_names: dict[int, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    ignore_label: int | None = None
    looks: dict[str, LabelClass] = field(default_factory=dict)


class IncompleteError(DataError):
    """Files that make no whole case, such as an image without label map: a finding for each of them.

    ``dataset`` holds the cases that are whole, for those who want to look at them all the same.
    """

    def __init__(self, message: str, dataset: Dataset, findings: Sequence[Finding]) -> None:
        super().__init__(message)
        self.dataset, self.findings = dataset, list(findings)
