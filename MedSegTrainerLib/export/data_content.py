"""A data set as it is written for other programs: read, checked as for a training, and divided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.fingerprint import ChannelIntensities, take_fingerprint
from MedSegTrainerLib.data.checks.scan import examine_cases
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.split import Split, fold_splits, split_dataset
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.events import Emit, Progress, Stage, Warned
from MedSegTrainerLib.findings import refuse_errors, warning_lines


@dataclass(frozen=True, kw_only=True)
class DataContent:
    """dataset: without the cases in which nothing is labelled. channels, classes: of all of them, as a training has
    them. combinations: where classes overlap their ``class_bits`` with the voxels that have them, background not among
    them. splits: folds, or one division; test: names of the cases that are kept out of all of these for a test."""

    dataset: Dataset
    channels: Sequence[ChannelIntensities]
    classes: Sequence[LabelClass]
    combinations: dict[int, int]
    splits: Sequence[Split]
    test: frozenset[str]

    @property
    def ignore_label(self) -> int | None:
        return self.dataset.ignore_label

    def partly_drawn(self) -> list[str]:
        """Names of the cases in which not all classes were looked for."""
        return [case.name for case in self.dataset.cases if case.drawn is not None]


def read_content(folder: Path, config: DataConfig, emit: Emit) -> DataContent:
    """Reads every case; raises DataError with all that a training would refuse, and warns of what is doubtful."""
    dataset = find_cases(folder, config)
    done = count(1)
    total = len(dataset.cases)
    emit(Stage(name="scan", message=f"Checking {total} cases ({dataset.layout})", total=total))
    examination = examine_cases(
        dataset.cases,
        lambda: emit(Progress(done=next(done), total=total)),
        num_workers=config.num_workers,
        ignore_label=dataset.ignore_label,
        label_names=dataset.label_names,
    )
    refuse_errors(examination.findings)
    for line in warning_lines(examination.findings):
        emit(Warned(message=line))
    scans = [scan for scan in examination.scans if _teaches(scan)]
    dataset = _with_cases(dataset, scans, emit)
    fingerprint = take_fingerprint(dataset, scans, dataset.ignore_label)
    combinations: dict[int, int] = {}
    for bits, voxels in (item for scan in scans for item in scan.combinations.items() if item[0] > 0):
        combinations[bits] = combinations.get(bits, 0) + voxels
    splits = _splits(dataset, config)
    return DataContent(
        dataset=dataset,
        channels=fingerprint.channels,
        classes=fingerprint.classes,
        combinations=combinations,
        splits=splits,
        test=_test_cases(splits),
    )


def _teaches(scan: CaseScan) -> bool:
    """Whether somebody labelled a voxel, and looked for a class."""
    return not (scan.known is not None and not scan.known.slices) and scan.drawn != ()


def _with_cases(dataset: Dataset, scans: Sequence[CaseScan], emit: Emit) -> Dataset:
    """The data set with these cases alone."""
    names = {scan.name for scan in scans}
    left_out = [case.name for case in dataset.cases if case.name not in names]
    if not names:
        raise DataError(f"{dataset.root}: nothing is labelled in any case. Label a part of them.")
    if left_out:
        emit(Warned(message=f"Left out, as nothing is labelled there: {some(left_out)}."))
    cases = tuple(case for case in dataset.cases if case.name in names)
    return replace(dataset, cases=cases)


def _splits(dataset: Dataset, config: DataConfig) -> list[Split]:
    """The folds of a cross-validation; one division where somebody made it, asks for one fold, or there is one case."""
    is_divided = any(case.part == "val" for case in dataset.cases)
    trainable = [case for case in dataset.cases if case.part != "test"]
    if config.split_file is None and (is_divided or config.fold is not None or len(trainable) == 1):
        return [split_dataset(dataset, config)]
    splits = fold_splits(dataset, config)
    if config.split_file is None:
        test = tuple(sorted(case.name for case in dataset.cases if case.part == "test"))
        return [replace(split, test=test) for split in splits]
    return splits


def _test_cases(splits: Sequence[Split]) -> frozenset[str]:
    used = {name for split in splits for name in (*split.train, *split.val)}
    return frozenset(name for split in splits for name in split.test if name not in used)
