"""What a data set folder holds: cases with their files, and the names of classes and channels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.label_source import LabelSource
from MedSegTrainerLib.imaging.partly_labelled import Box, LabelledPart

if TYPE_CHECKING:
    from MedSegTrainerLib.findings import Finding

Part = Literal["train", "val", "test"]
SliceAxis = Literal["", "none", "auto", "x", "y", "z"]


@dataclass(frozen=True, kw_only=True)
class Case:
    """Files of one patient: an image file for each channel (or one with all of them) and the label map.

    An image or label may be a folder with a DICOM series. patient: whose it is, '' where nobody says. part: where the
    data set's own folders put it. segment_values: value that a segment of this name gets, where the label map names
    its segments; empty: the values stand as they are in the file.

    masks: class name to the file with its voxels, where each class has a file of its own; ``label`` is then the first
    of them. drawn: names of the classes that somebody looked for, None for all; of the others nothing is known but that
    they are not where another class was drawn. labelled_slices: the axis (x, y, z of the patient) whose slices are
    labelled where they have something in them and unknown where not; "auto" finds the axis, "" says that all is
    labelled, as does "none" whatever the setting of this name says. labelled_box: first and last voxel (i, j, k) of the
    label map between which all is labelled, and outside of which nothing is known; None for all of it.

    regions: class name to the values of the label map that belong to it, where a value may belong to several.
    overlapping: whether a voxel may have several classes; ``segment_values`` then numbers all classes from 1 on.
    ignored_value: of voxels that nobody labelled, in the files of masks, regions or overlapping classes.
    """

    name: str
    images: tuple[Path, ...]
    label: Path
    patient: str = ""
    part: Part | None = None
    segment_values: Mapping[str, int] = field(default_factory=dict, hash=False)
    masks: Mapping[str, Path] = field(default_factory=dict, hash=False)
    drawn: tuple[str, ...] | None = None
    labelled_slices: SliceAxis = ""
    labelled_box: Box | None = None
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict, hash=False)
    overlapping: bool = False
    ignored_value: int | None = None

    @property
    def is_sparse(self) -> bool:
        """Whether a part of its label map alone is labelled."""
        return not self.labels.part.is_all

    @property
    def label_files(self) -> tuple[Path, ...]:
        """All files that its labels are read from."""
        return self.labels.files

    @property
    def labels(self) -> LabelSource:
        """Where the labels are, and what the numbers in their files mean."""
        return LabelSource(
            path=self.label,
            numbers=self.segment_values,
            masks=self.masks,
            regions=self.regions,
            overlapping=self.overlapping,
            ignored_value=self.ignored_value,
            part=LabelledPart(slices=self.labelled_slices.removeprefix("none"), box=self.labelled_box),
            image=self.images[0] if self.images else None,
        )


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """What a folder holds. ``label_names`` maps label values to names, where the data set knows them.

    ignore_label: value of voxels that nobody labelled, as the settings say or else the data set.
    looks: class name to the class with the color and terminology that the data set gives it. overlapping: whether a
    voxel may belong to several classes, and they are learned so; overlap: why, or why not, as a text.
    """

    root: Path
    layout: str
    cases: tuple[Case, ...]
    label_names: dict[int, str] = field(default_factory=dict)
    channel_names: tuple[str, ...] = ()
    ignore_label: int | None = None
    looks: dict[str, LabelClass] = field(default_factory=dict)
    overlapping: bool = False
    overlap: str = ""


class IncompleteError(DataError):
    """Files that make no whole case, such as an image without label map: a finding for each of them.

    ``dataset`` holds the cases that are whole, for those who want to look at them all the same.
    """

    def __init__(self, message: str, dataset: Dataset, findings: Sequence[Finding]) -> None:
        super().__init__(message)
        self.dataset, self.findings = dataset, list(findings)
