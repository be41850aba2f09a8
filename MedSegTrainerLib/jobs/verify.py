"""A job of kind ``verify``: what the data doctor finds, and what the data is like, as a page and as JSON."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from MedSegTrainerLib import atomic
from MedSegTrainerLib.classes import LabelClass, class_names, classes_from_values
from MedSegTrainerLib.config.job_settings import VerifyConfig
from MedSegTrainerLib.config.settings import NetworkConfig, TrainConfig
from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.fingerprint import take_fingerprint, with_look
from MedSegTrainerLib.data.checks.scan import examine_cases
from MedSegTrainerLib.data.dataset import Case, Dataset, IncompleteError
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError, MedSegError
from MedSegTrainerLib.events import Emit, Found
from MedSegTrainerLib.findings import SEVERITIES, Finding, worst_first
from MedSegTrainerLib.job import STOP_NOW, JobFolder, Outcome
from MedSegTrainerLib.jobs.context import JobContext

SCHEMA_VERSION = 1
SAMPLED_CASES = 4  # are prepared to draw augmented patches of


def run_verify(config: VerifyConfig, context: JobContext) -> Outcome:
    """Writes ``report/verify.html`` and ``report/verify.json``; raises DataError at the end where there are errors."""
    from MedSegTrainerLib.jobs.stages import counter
    from MedSegTrainerLib.report.data_page import render

    folder, emit = context.folder, context.emit
    dataset, findings = look_for_cases(config.train)
    context.owner.update(state="running", stage="verify")
    count = counter("verify", f"Checking {len(dataset.cases)} cases ({dataset.layout})", len(dataset.cases), emit)
    data = config.train.data
    examination = examine_cases(
        dataset.cases,
        count,
        num_workers=data.num_workers,
        ignore_label=dataset.ignore_label,
        label_names=dataset.label_names,
        thorough=True,
    )
    findings = worst_first([*findings, *examination.findings, *_overlap_note(dataset)])
    for one in findings:
        emit(Found(case=one.case, severity=one.severity, finding=one.kind, message=one.message, remedy=one.remedy))
    document = describe(dataset, examination.scans, findings, dataset.ignore_label)
    samples, document["samples_told"] = b"", ""
    refused = {finding.case for finding in findings if finding.severity == "error"}
    sound = [scan for scan in examination.scans if scan.name not in refused]
    if config.samples and sound:
        samples, document["samples_told"] = _draw_samples(config, dataset, sound, folder)
    pictures = _draw_cases(document, dataset, config.pictures, folder, emit, counter)
    page, table = folder.report / "verify.html", folder.report / "verify.json"
    with atomic.storage_errors(page):
        page.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(table, document)
    atomic.write_bytes(page, render(document, pictures, samples).encode())
    return _verdict(document["counts"], page, folder)


def _overlap_note(dataset: Dataset) -> list[Finding]:
    if not dataset.overlapping:
        return []
    return [
        Finding(
            severity="note",
            kind="classes that overlap",
            message=f"{dataset.overlap}: a voxel may have several classes, and each is learned against all else.",
            remedy="Nothing to do. Where they overlap by mistake, correct the labels, or train with --set "
            "overlapping=false, which says where.",
        )
    ]


def look_for_cases(train: TrainConfig) -> tuple[Dataset, list[Finding]]:
    """The cases that are whole, and a finding for each file that belongs to none; raises DataError without a layout."""
    try:
        return find_cases(Path(train.data.data_dir), train.data), []
    except IncompleteError as error:
        return error.dataset, error.findings


def describe(
    dataset: Dataset, scans: Sequence[CaseScan], findings: Sequence[Finding], ignore_label: int | None
) -> dict[str, Any]:
    """The document of ``verify.json``; volumes in ml, sizes and spacings (z, y, x)."""
    by_name = {scan.name: scan for scan in scans}
    ordered = sorted(dataset.cases, key=lambda case: _severity(case.name, findings))
    values = sorted({value for scan in scans for value in scan.voxels} - {0})
    names = {v: name for v, name in class_names(values, dataset.label_names).items() if v != ignore_label}
    classes = classes_from_values([*values, *names], names)
    return {
        "schema_version": SCHEMA_VERSION,
        "title": f"Check of {dataset.root.resolve().name}",
        "created": time.strftime("%Y-%m-%d %H:%M"),
        "data": str(dataset.root),
        "layout": dataset.layout,
        "ignore_label": ignore_label,
        "counts": {severity: sum(f.severity == severity for f in findings) for severity in SEVERITIES},
        "findings": [asdict(finding) for finding in findings],
        "classes": [_class_row(with_look(item, dataset), scans) for item in classes],
        "ranges": _ranges(dataset, scans),
        "cases": [_case_row(case, by_name.get(case.name), findings) for case in ordered],
    }


def _verdict(counts: Mapping[str, int], page: Path, folder: JobFolder) -> Outcome:
    summary = ", ".join(_number(counts[severity], severity) for severity in SEVERITIES)
    if counts["error"]:
        raise DataError(f"{summary}. Training would refuse this data. Report: {page}")
    if folder.stop_requested():
        return Outcome(message=f"Stopped; {summary}. Report: {page}", result=str(page), stopped=STOP_NOW)
    return Outcome(message=f"{summary}. Report: {page}", result=str(page))


def _number(count: int, what: str) -> str:
    return f"{count or 'no'} {what}{'' if count == 1 else 's'}"


def _severity(case: str, findings: Sequence[Finding]) -> tuple[int, int, str]:
    """By the worst finding of a case, then the number of them, then its name."""
    own = [SEVERITIES.index(finding.severity) for finding in findings if finding.case == case]
    return min(own, default=len(SEVERITIES)), -len(own), case


def _class_row(item: LabelClass, scans: Sequence[CaseScan]) -> dict[str, Any]:
    known = [scan for scan in scans if scan.knows(item.name)]
    having = [scan for scan in known if item.value in scan.voxels]
    whole = [scan for scan in having if scan.known is None]  # of others nobody knows how large it is
    ml = [scan.volume_mm3(item.value) / 1000 for scan in whole]
    total = sum(scan.known_voxels for scan in known)
    return {
        "value": item.value,
        "name": item.name,
        "color": list(item.color),
        "cases": len(having),
        "drawn": len(known),
        "share": sum(scan.voxels[item.value] for scan in having) / max(total, 1),
        "voxels_median": float(np.median([scan.voxels[item.value] for scan in whole])) if whole else None,
        "ml_min": min(ml, default=None),
        "ml_median": float(np.median(ml)) if ml else None,
        "ml_max": max(ml, default=None),
    }


def _ranges(dataset: Dataset, scans: Sequence[CaseScan]) -> list[dict[str, Any]]:
    """Smallest, median and largest of sizes, spacings and intensities over the cases."""
    if not scans:
        return []
    rows: dict[str, list[float]] = {}
    for index, axis in enumerate("zyx"):
        rows[f"Size along {axis}, voxels"] = [float(scan.geometry.size_zyx[index]) for scan in scans]
    for index, axis in enumerate("zyx"):
        rows[f"Spacing along {axis}, mm"] = [scan.geometry.spacing_zyx[index] for scan in scans]
    for channel in range(min(len(scan.low) for scan in scans)):
        names = dataset.channel_names
        name = names[channel] if channel < len(names) else f"channel {channel}"
        for side, word in enumerate(("dark end", "bright end")):
            rows[f"Intensity of {name}, {word}"] = [scan.stats.ranges[channel][side] for scan in scans if scan.stats]
    return [
        {"name": name, "min": min(values), "median": float(np.median(values)), "max": max(values)}
        for name, values in rows.items()
    ]


def _case_row(case: Case, scan: CaseScan | None, findings: Sequence[Finding]) -> dict[str, Any]:
    own = [finding.severity for finding in findings if finding.case == case.name]
    row: dict[str, Any] = {
        "name": case.name,
        "images": [str(path) for path in case.images],
        "label": str(case.label),
        "is_plain": case.labels.is_plain,
        "counts": {severity: own.count(severity) for severity in SEVERITIES},
        "size": None,
        "spacing": None,
        "intensities": None,
        "labelled_ml": None,
        "drawn": None if case.drawn is None else list(case.drawn),
        "labelled_slices": case.labelled_slices,
        "labelled_box": case.labelled_box,
    }
    if scan is not None and scan.stats is not None:
        labelled = scan.known_voxels - scan.voxels.get(0, 0)
        row |= {
            "size": list(scan.geometry.size_zyx),
            "spacing": list(scan.geometry.spacing_zyx),
            "intensities": [list(pair) for pair in scan.stats.ranges],
            "labelled_ml": labelled * scan.geometry.voxel_volume_mm3 / 1000,
        }
    return row


def _draw_cases(
    document: Mapping[str, Any],
    dataset: Dataset,
    most: int,
    folder: JobFolder,
    emit: Emit,
    counter: Callable[..., Callable[[], None]],
) -> dict[str, bytes | None]:
    """A picture of each case, the worst first, until somebody asks to stop."""
    from MedSegTrainerLib.report.data_pictures import draw_labelled

    cases = {case.name: case for case in dataset.cases}
    classes = [_label_class(item) for item in document["classes"]]
    names = [case["name"] for case in document["cases"][:most]]
    if not names:
        return {}
    count = counter("pictures", f"Drawing {len(names)} of {len(cases)} cases", len(names), emit)
    pictures: dict[str, bytes | None] = {}
    for name in names:
        if folder.stop_requested():
            break
        try:
            pictures[name] = draw_labelled(cases[name], classes, dataset.ignore_label)
        except DataError:
            pictures[name] = None  # the findings say why
        count()
    return pictures


def _draw_samples(
    config: VerifyConfig, dataset: Dataset, scans: Sequence[CaseScan], folder: JobFolder
) -> tuple[bytes, str]:
    """Patches of a few cases before and after augmentation, and how they were augmented, or why there are none."""
    import torch

    from MedSegTrainerLib.data.samples.batches import epoch_batches
    from MedSegTrainerLib.data.samples.cache import build_cache
    from MedSegTrainerLib.data.splits.split import Split
    from MedSegTrainerLib.planning.planner import make_plan
    from MedSegTrainerLib.report.data_pictures import draw_patches

    train, cpu = config.train, torch.device("cpu")
    if not train.data.augmentation:
        return b"", "Augmentation is switched off."
    names = tuple(scan.name for scan in scans if any(value for value in scan.voxels))[:SAMPLED_CASES]
    try:
        fingerprint = take_fingerprint(dataset, scans, dataset.ignore_label)
        split = Split(train=names, val=(), test=(), reason="")
        plan = make_plan(fingerprint, _quickly(train), split, cpu, None)
        plan = replace(plan, batch_size=config.samples, cache="memory")
        chosen = [case for case in dataset.cases if case.name in names]
        cached = build_cache(chosen, plan, folder.cache, cpu, num_workers=0)
    except MedSegError as error:
        return b"", f"No augmented patches are shown: {error}"
    finally:
        shutil.rmtree(folder.cache, ignore_errors=True)
    pairs = []
    for augmentation in (False, True):
        data = replace(train.data, augmentation=augmentation, mixup=0.0, cutmix=0.0, foreground_oversampling=1.0)
        batch = next(epoch_batches([cached[name] for name in names], plan, data, cpu, 0))
        pairs.append((batch[0][:, 0].numpy(), batch[1].numpy()))
    size, spacing = " x ".join(map(str, plan.patch_size)), " x ".join(f"{mm:.3g}" for mm in plan.spacing)
    return draw_patches(pairs[0], pairs[1], plan.spacing, plan.classes, plan.present_classes()), (
        f"{size} voxels ({', '.join(plan.axes)}) of {spacing} mm around a labelled voxel, varied at strength "
        f"'{train.data.augmentation_strength}'"
    )


def _quickly(train: TrainConfig) -> TrainConfig:
    """Settings whose plan has the same patches, and a network so small that measuring its step takes no time."""
    trainer = replace(train.trainer, epochs=1, budget=None, mixed_precision=False, channels_last=False, device="cpu")
    network = NetworkConfig(type="PlannedUNet", base_channels=2, dims=train.network.dims)
    return replace(train, trainer=trainer, network=network)


def _label_class(item: Mapping[str, Any]) -> LabelClass:
    red, green, blue = item["color"]
    return LabelClass(value=item["value"], name=item["name"], color=(red, green, blue))
