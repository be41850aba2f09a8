"""What planning knows of a data set: sizes, spacings, intensities in the foreground, class frequencies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from MedSegTrainerLib.classes import LabelClass, class_names, classes_from_values, unknown_classes
from MedSegTrainerLib.config.plan import AXES
from MedSegTrainerLib.data.checks.case_scan import CaseScan, Examined
from MedSegTrainerLib.data.checks.doctor import unknown_labels
from MedSegTrainerLib.data.checks.laterality import opposite_sides
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.findings import refuse_errors
from MedSegTrainerLib.imaging.class_bits import classes_of

CT_AIR = -500  # Hounsfield units; nothing but CT has a scale fixed so far below zero
CT_BONE = 300


@dataclass(frozen=True, kw_only=True)
class ChannelIntensities:
    """Intensities of one channel at labelled voxels of all cases, and its range over whole volumes."""

    name: str
    low: float
    high: float
    percentile_00_5: float
    percentile_99_5: float
    mean: float
    std: float

    @property
    def is_ct(self) -> bool:
        named_ct = self.name.strip().lower() in ("ct", "computed tomography")
        return named_ct or (self.low < CT_AIR and self.high > CT_BONE)


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """Sizes and spacings are (cases, 3), (z, y, x), in canonical axes; ``voxel_share`` is of all labelled cases.

    Shares and volumes of a class are those of the cases in which somebody looked for it, ``cases_drawn`` of them, and
    shares those of voxels that somebody labelled. labelled_along: the axis of the patient along which some slices of
    every case are labelled, '' without one; labelled_part: in how many cases only a part is labelled and how much
    that is, as a text, '' where all is.

    sides: axes (0 is z) along which mirror images exchange two classes, as ``laterality.opposite_sides`` says.
    ignore_label: value of voxels that nobody labelled. unknown: sets of classes (indices, 1 the first) that nobody
    looked for in some case of the data set, each set once, in rising order. overlapping: whether classes overlap,
    overlap: why, or why not, as a text; combinations: then the sets of at least two that occur together, as indices,
    with their voxels; background_share: of the voxels without any class, None where it is what the classes leave.
    """

    cases: int
    dims: int
    sizes: np.ndarray
    spacings: np.ndarray
    channels: tuple[ChannelIntensities, ...]
    classes: tuple[LabelClass, ...]
    cases_with: dict[str, int]
    voxel_share: dict[str, float]
    median_volume_mm3: dict[str, float]
    sides: dict[int, str] = field(default_factory=dict)
    ignore_label: int | None = None
    cases_drawn: dict[str, int] = field(default_factory=dict)
    unknown: tuple[tuple[int, ...], ...] = ()
    background_share: float | None = None
    overlapping: bool = False
    overlap: str = ""
    combinations: dict[tuple[int, ...], int] = field(default_factory=dict)
    labelled_along: str = ""
    labelled_part: str = ""


def along_slice_axis(fingerprint: Fingerprint, slice_axis: str) -> Fingerprint:
    """With sizes and spacings in the order of ``geometry.AXES``, as a network sees slices along this axis."""
    order = ["zyx".index(axis) for axis in AXES[slice_axis]]
    return replace(fingerprint, sizes=fingerprint.sizes[:, order], spacings=fingerprint.spacings[:, order])


def take_fingerprint(dataset: Dataset, scans: Sequence[CaseScan], ignore_label: int | None = None) -> Fingerprint:
    """Sums the scans up; raises DataError for label values that the data set's own list does not name."""
    present = sorted({value for scan in scans for value, count in scan.voxels.items() if count} - {0})
    names = {value: name for value, name in class_names(present, dataset.label_names).items() if value != ignore_label}
    refuse_errors(unknown_labels(Examined(scans=scans, names=dataset.label_names, ignore_label=ignore_label)))
    classes = [with_look(item, dataset) for item in classes_from_values([*present, *names], names)]
    known = {item.name: [scan for scan in scans if scan.knows(item.name)] for item in classes}
    voxels = {item.name: np.array([scan.voxels.get(item.value, 0) for scan in known[item.name]]) for item in classes}
    total = {name: sum(scan.known_voxels for scan in own) for name, own in known.items()}
    class_sets = {unknown_classes([item.name for item in classes], case.drawn) for case in dataset.cases}
    return Fingerprint(
        cases=len(scans),
        dims=2 if all(scan.geometry.size[2] == 1 for scan in scans) else 3,
        sizes=np.array([scan.geometry.size_zyx for scan in scans]),
        spacings=np.array([scan.geometry.spacing_zyx for scan in scans]),
        channels=tuple(_channel(dataset, scans, index) for index in range(len(scans[0].low))),
        classes=tuple(classes),
        cases_with={name: int((counts > 0).sum()) for name, counts in voxels.items()},
        voxel_share={name: float(counts.sum() / max(total[name], 1)) for name, counts in voxels.items()},
        median_volume_mm3={item.name: _median_volume(item.value, known[item.name]) for item in classes},
        sides=opposite_sides(scans, {it.value: it.name for it in classes}),
        ignore_label=ignore_label,
        cases_drawn={name: len(own) for name, own in known.items()},
        unknown=tuple(sorted(class_sets - {()})),
        background_share=_background_share(scans) if dataset.overlapping else None,
        labelled_along=_labelled_along(scans),
        labelled_part=_labelled_part(scans),
        overlapping=dataset.overlapping,
        overlap=dataset.overlap,
        combinations=_combinations(scans) if dataset.overlapping else {},
    )


def _median_volume(value: int, scans: Sequence[CaseScan]) -> float:
    """Of the cases that are labelled in full and have the class; else of estimates from those that have some of it."""
    having = [scan for scan in scans if scan.voxels.get(value)]
    chosen = [scan for scan in having if scan.known is None] or having
    return float(np.median([scan.volume_mm3(value) for scan in chosen])) if chosen else 0.0


def _labelled_along(scans: Sequence[CaseScan]) -> str:
    axes = {scan.known.axis if scan.known and scan.known.is_of_slices else "" for scan in scans}
    return axes.pop() if len(axes) == 1 else ""


def _labelled_part(scans: Sequence[CaseScan]) -> str:
    shares = [scan.known.share for scan in scans if scan.known]
    if not shares:
        return ""
    percent = f"{100 * float(np.mean(shares)):.2g} % of the voxels"
    return f"{len(shares)} of {len(scans)} cases are labelled in part ({percent})"


def _background_share(scans: Sequence[CaseScan]) -> float:
    return sum(scan.combinations.get(0, 0) for scan in scans) / max(1, sum(scan.known_voxels for scan in scans))


def _combinations(scans: Sequence[CaseScan]) -> dict[tuple[int, ...], int]:
    counts: dict[tuple[int, ...], int] = {}
    for bits, voxels in sorted(item for scan in scans for item in scan.combinations.items()):
        if len(classes_of(bits)) > 1:
            counts[classes_of(bits)] = counts.get(classes_of(bits), 0) + voxels
    return counts


def _channel(dataset: Dataset, scans: Sequence[CaseScan], index: int) -> ChannelIntensities:
    samples = np.concatenate([scan.foreground[index] for scan in scans])
    name = dataset.channel_names[index] if index < len(dataset.channel_names) else f"channel {index}"
    low, high = np.percentile(samples, (0.5, 99.5))
    return ChannelIntensities(
        name=name,
        low=min(scan.low[index] for scan in scans),
        high=max(scan.high[index] for scan in scans),
        percentile_00_5=float(low),
        percentile_99_5=float(high),
        mean=float(samples.mean()),
        std=float(samples.std()),
    )


def with_look(item: LabelClass, dataset: Dataset) -> LabelClass:
    """The class in the color, and with the terminology, that the data set gives it."""
    look = dataset.looks.get(item.name)
    return item if look is None else replace(item, color=look.color, terminology=look.terminology)
