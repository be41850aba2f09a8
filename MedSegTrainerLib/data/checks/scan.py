"""Reads every case once: what is wrong with it, and what planning must know of it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.config.settings import Auto
from MedSegTrainerLib.data.case_labels import place_labels, read_labels
from MedSegTrainerLib.data.checks.case_scan import CaseScan, Examined
from MedSegTrainerLib.data.checks.case_statistics import find_specks, take_statistics
from MedSegTrainerLib.data.checks.doctor import diagnose
from MedSegTrainerLib.data.checks.hot_voxels import find_hot_voxels
from MedSegTrainerLib.data.checks.known_part import known_part, single_slices
from MedSegTrainerLib.data.checks.known_scans import find_scan, keep_scan
from MedSegTrainerLib.data.checks.label_values import join_binary
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.shared_cases import SharedCases
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.findings import Finding, from_error, refuse_errors
from MedSegTrainerLib.imaging.class_bits import class_counts
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.imaging.grid_remedies import Volume, difference
from MedSegTrainerLib.imaging.label_maps import ROUNDED
from MedSegTrainerLib.imaging.not_finite import REMEDY, not_finite
from MedSegTrainerLib.imaging.qform_sform import forms_apart
from MedSegTrainerLib.imaging.read import read_channels

SAMPLES_PER_CASE = 5000
MOST_THREADS = 8
ORTHONORMAL = "orthonormal"  # ITK's word where a NIfTI file has axes that are not at right angles


@dataclass(frozen=True, kw_only=True)
class Examination:
    """Scans of the cases that can be used, in their order, and everything found wrong with any. known: how many of them
    an earlier job had read."""

    scans: list[CaseScan] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    known: int = 0


def thread_count(num_workers: int | Auto) -> int:
    """Cases worked on at the same time: 'auto' is a thread for each processor, at most 8; 0 is one, as 1 is."""
    return min(MOST_THREADS, os.cpu_count() or 1) if num_workers == "auto" else max(1, num_workers)


def scan_cases(
    cases: Sequence[Case],
    on_case: Callable[[], None] = lambda: None,
    *,
    num_workers: int | Auto = "auto",
    ignore_label: int | None = None,
) -> list[CaseScan]:
    """Scans of all cases, in their order; ``on_case`` is called after each.

    ignore_label: value of voxels that nobody labelled.

    Raises one DataError that lists what is wrong with every case.
    """
    examination = examine_cases(cases, on_case, num_workers=num_workers, ignore_label=ignore_label)
    refuse_errors(examination.findings)
    return examination.scans


def examine_cases(
    cases: Sequence[Case],
    on_case: Callable[[], None] = lambda: None,
    *,
    num_workers: int | Auto = "auto",
    ignore_label: int | None = None,
    label_names: Mapping[int, str] | None = None,
    thorough: bool = False,
    shared: SharedCases | None = None,
) -> Examination:
    """Reads every case and runs the doctor's checks; ``on_case`` is called after each case.

    label_names: those that the data set gives values. thorough: looks for what takes longer than reading, too. shared:
    where what an earlier job found in unchanged cases is looked for, and kept; a case with findings is always read.
    """
    examination = Examination()
    known = 0
    with ThreadPoolExecutor(max_workers=thread_count(num_workers)) as pool:
        for future in [pool.submit(_examine_once, case, ignore_label, thorough, shared) for case in cases]:
            one = future.result()
            known += one.known
            examination.scans.extend(one.scans)
            examination.findings.extend(one.findings)
            on_case()
    names = label_names or {}
    scans, joined = join_binary(examination.scans, names)
    examined = Examined(
        scans=scans,
        names=names,
        labels={case.name: case.label for case in cases},
        images={case.name: case.images for case in cases},
        ignore_label=ignore_label,
    )
    return Examination(scans=scans, findings=[*examination.findings, *joined, *diagnose(examined)], known=known)


def _examine_once(case: Case, ignore_label: int | None, thorough: bool, shared: SharedCases | None) -> Examination:
    if shared is None:
        return _examine(case, ignore_label, thorough)
    scan = find_scan(shared, case, ignore_label, thorough=thorough)
    if scan is not None:
        return Examination(scans=[scan], known=1)
    examination = _examine(case, ignore_label, thorough)
    if examination.scans and not examination.findings:
        keep_scan(shared, case, examination.scans[0], ignore_label, thorough=thorough)
    return examination


def _examine(case: Case, ignore_label: int | None, thorough: bool) -> Examination:
    findings: list[Finding] = []
    channels = label = None
    try:
        channels = read_channels(case.images)
    except DataError as error:
        findings.append(_unreadable(error, "image that cannot be used", case.name))
    try:
        if channels is None:
            label = read_labels(case, ignore_label)
        else:
            placed = place_labels(case, channels[0], ignore_label)
            label = placed.image
            findings.extend([replace(placed.finding, case=case.name)] if placed.finding else [])
    except DataError as error:
        findings.append(_unreadable(error, "label map that cannot be used", case.name))
    if channels is not None and label is not None:
        findings.extend(_grid_differences(case, channels[0], label))
    if channels is not None:
        findings.extend([*_forms_apart(case, channels[0]), *_not_finite(case, channels)])
    if channels is None or label is None or any(finding.severity == "error" for finding in findings):
        return Examination(findings=findings)
    scan = _scan(case, channels, label, ignore_label, thorough)
    scan = replace(scan, drawn=case.drawn, labelled_slices=case.labelled_slices)
    return Examination(scans=[scan], findings=[*findings, *_rounded(case, label)])


def _unreadable(error: DataError, kind: str, case: str) -> Finding:
    finding = from_error(error, kind, case)
    if ORTHONORMAL not in str(error):
        return finding
    remedy = "Its axes are not at right angles: resample it to a grid with right angles, in the program it came from."
    return replace(finding, kind="axes that are not at right angles", remedy=remedy)


def _grid_differences(case: Case, image: sitk.Image, label: sitk.Image) -> Iterator[Finding]:
    lying = (("image", case.images[0], image), ("label", case.label, label))
    fixed, moved = (Volume(name=name, path=path, grid=Geometry.of(item)) for name, path, item in lying)
    problem = difference(fixed, moved)
    if problem:
        message, remedy = problem
        yield Finding(
            case=case.name, severity="error", kind="image and label on different grids", message=message, remedy=remedy
        )


def _forms_apart(case: Case, image: sitk.Image) -> Iterator[Finding]:
    """A finding for each NIfTI file of the case whose qform and sform disagree."""
    for path in case.images:
        message = forms_apart(path, Geometry.of(image))
        if message:
            yield Finding(
                case=case.name,
                severity="warning",
                kind="qform and sform that disagree",
                message=message,
                remedy="Label maps of 'apply' as NIfTI carry both, as the image does. If the other form is right, make "
                "them equal in images and labels (nibabel: image.set_qform(image.get_sform(), 1)).",
            )


def _rounded(case: Case, label: sitk.Image) -> Iterator[Finding]:
    if label.HasMetaDataKey(ROUNDED):
        yield Finding(
            case=case.name,
            severity="warning",
            kind="label values that were rounded",
            message=f"values of {case.label.name}, such as {label.GetMetaData(ROUNDED)}, were rounded.",
            remedy="Nothing to do; scaled label maps have them. Whole numbers are saved as an integer type.",
        )


def _not_finite(case: Case, channels: Sequence[sitk.Image]) -> Iterator[Finding]:
    """A finding for each file with voxels that are NaN or infinite, once."""
    wrong = dict.fromkeys(case.images, 0)
    for index, mask in enumerate(not_finite(case.images, channels)):
        path = case.images[min(index, len(case.images) - 1)]
        wrong[path] = max(wrong[path], 0 if mask is None else int(mask.sum()))
    for path, voxels in wrong.items():
        if voxels:
            yield Finding(
                case=case.name,
                severity="error",
                kind="voxels that are no numbers",
                message=f"{path}: {voxels} voxels are NaN or infinite.",
                remedy=REMEDY,
            )


def _scan(
    case: Case, channels: Sequence[sitk.Image], label: sitk.Image, ignore_label: int | None, thorough: bool
) -> CaseScan:
    direction = channels[0].GetDirection()
    arrays = [sitk.GetArrayFromImage(to_canonical(channel)) for channel in channels]
    labels = to_canonical(label)
    geometry = Geometry.of(labels)
    values = sitk.GetArrayViewFromImage(labels)
    known = np.ones(values.shape, bool) if ignore_label is None else values != ignore_label
    labelled = (values != 0) & known
    chosen = _evenly_sampled(np.flatnonzero(labelled.ravel()))
    stats = take_statistics(
        arrays, values, chosen, geometry.spacing_zyx, direction, overlapping=case.overlapping, known=known
    )
    hot = [find_hot_voxels(array, span) for array, span in zip(arrays, stats.ranges, strict=True)]
    stats = replace(stats, hot={index: each.text for index, each in enumerate(hot) if each})
    present, counts = np.unique(values, return_counts=True)
    voxels = {int(value): int(n) for value, n in zip(present, counts, strict=True) if value != ignore_label}
    combinations = {bits: count for bits, count in voxels.items() if bits >= 0} if case.overlapping else {}
    voxels = class_counts(combinations) if case.overlapping else voxels
    if thorough and known.all():  # in slices that lie apart every small part would be one
        classes = [value for value in voxels if value != 0]
        stats = replace(stats, specks=find_specks(values, classes, overlapping=case.overlapping))
    if not chosen.size:
        chosen = _evenly_sampled(np.flatnonzero(known.ravel() if known.any() else np.ones(known.size, bool)))
    return CaseScan(
        name=case.name,
        geometry=geometry,
        foreground=np.stack([array.ravel()[chosen].astype(np.float32) for array in arrays]),
        low=tuple(float(array.min()) for array in arrays),
        high=tuple(float(array.max()) for array in arrays),
        voxels=voxels,
        combinations=combinations,
        stats=stats,
        known=known_part(known),
        single_slices=single_slices(labelled) if known.all() else "",
    )


def _evenly_sampled(positions: np.ndarray) -> np.ndarray:
    """At most 5000 of the positions, evenly spread over all of them."""
    count = min(positions.size, SAMPLES_PER_CASE)
    return positions[np.linspace(0, positions.size - 1, count).astype(np.int64)]
