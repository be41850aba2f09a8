"""Which cases train, validate and test: the same on every machine for the same seed and names."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.config.split_sizes import CASES_FOR_A_TEST_SET, SplitSizes, split_sizes
from MedSegTrainerLib.data.case_labels import read_labels
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.splits.partition import Unit, count_cases, cover, evenly, in_turn, stratify
from MedSegTrainerLib.data.splits.patients import patient_pattern_for, patients_of
from MedSegTrainerLib.errors import DataError, UsageError, some
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.imaging.class_bits import classes_of

LEAVE_ONE_OUT = 4  # so few cases, or patients, are each held out once in a cross-validation
THREADS = 4
NO_PARTS: Mapping[str, str] = MappingProxyType({})
IMAGE_PREFIX = re.compile(r"^(image|img)[_-]", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Split:
    """Case names. Without any ``val`` the last weights are the model.

    units: cases that stay together, where chance alone divided them: then some may change sides. trained_before:
    held-out cases that trained the model that a training begins as.
    """

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    reason: str
    units: tuple[Unit, ...] = field(default=(), compare=False, repr=False)
    trained_before: tuple[str, ...] = ()


def split_dataset(dataset: Dataset, config: DataConfig, parts: Mapping[str, str] = NO_PARTS) -> Split:
    """Divides the cases of a data set: as the configuration says, else as the folders of the data set do.

    Reads the label maps where classes decide (``split_by`` stratified). parts: name to part ('train', 'val' or 'test')
    of the cases that the model that a training begins as knows. Where nobody divides them by hand, those that it held
    out stay held out and all others train; where it held none of them out, chance divides, and cases that trained it
    are not held out as long as there are others.
    """
    names = [case.name for case in dataset.cases]
    if config.split_file is not None:
        return split_cases(names, config)
    part_of = {case.name: case.part for case in dataset.cases if case.part is not None}
    test = sorted(name for name, part in part_of.items() if part == "test")
    if "val" in part_of.values() and config.fold is None:
        train = tuple(sorted(name for name in names if part_of.get(name, "train") == "train"))
        if not train:
            raise DataError(f"{dataset.root}: no case is there to train on. Move cases from val or test to train.")
        val = tuple(sorted(name for name, part in part_of.items() if part == "val"))
        reason = f"the data set divides its cases: {len(train)} train, {len(val)} validate, {len(test)} test"
        return Split(train=train, val=val, test=tuple(test), reason=reason)
    rest = [case for case in dataset.cases if case.name not in test]
    if not rest:
        raise DataError(f"{dataset.root}: all cases are test cases. Move some to train.")
    units = [
        replace(unit, only_trains=any(parts.get(name) == "train" for name in unit.cases))
        for unit in _units(rest, config, dataset.ignore_label)
    ]
    split = _as_before(units, config, parts) or _divide(units, replace(config, test_split=0.0) if test else config)
    if not test:
        return split
    reason = f"{split.reason}, {len(test)} test, as the data set says"
    return replace(split, test=tuple(sorted({*test, *split.test})), reason=reason)


def _as_before(units: Sequence[Unit], config: DataConfig, parts: Mapping[str, str]) -> Split | None:
    """The division in which cases that were held out still are; None where none of them was, where nothing would be
    left to train on, and where somebody asks for a fold or for shares.

    All cases of a patient of whom one was held out are, but those that trained.
    """
    if config.fold is not None or config.train_split != "auto" or config.val_split == 0:
        return None
    now: dict[str, list[str]] = {"train": [], "val": [], "test": []}
    for unit in units:
        held_out = sorted({parts.get(name, "train") for name in unit.cases} - {"train"}, reverse=True)  # val, test
        for name in unit.cases:
            new = held_out[0] if held_out else "train"
            now[parts.get(name, new)].append(name)
    train, val, test = (tuple(sorted(now[part])) for part in ("train", "val", "test"))
    if not val:
        val, test = test, ()
    if not train or not val:
        return None
    new_names = [name for name in train if name not in parts]
    aside = f", {len(test)} are kept aside for the final report" if test else ""
    reason = (
        f"{len(val)} of {count_cases(units)} cases validate{aside}, as they were held out when the model to begin with "
        f"was trained; {len(train)} train, {len(new_names)} of them new"
    )
    return Split(train=train, val=val, test=test, reason=reason)


def cover_classes(split: Split, present: Mapping[str, frozenset[int]]) -> Split:
    """The split, in which training cases and then held-out cases have every class that they can; ``present``: label
    values of each case. One that somebody made by hand, a fold, or one in which none is missing stays as it is."""
    units = [
        replace(unit, labels=frozenset().union(*(present.get(name, frozenset()) for name in unit.cases)))
        for unit in split.units
    ]
    parts = [[unit for unit in units if unit.cases[0] in part] for part in (split.train, split.val)]
    train, val = (_names(part) for part in cover(*parts))
    if not split.units or set(val) == set(split.val):
        return split
    reason = f"{len(train)} train, {len(val)} validate, exchanged so that both have every class that they can"
    return replace(split, train=train, val=val, reason=f"{split.reason}; {reason}")


def without_cases(split: Split, names: Collection[str]) -> Split:
    """The split without cases that teach and judge nothing; raises DataError where no training case is left."""
    if not {*split.train, *split.val, *split.test} & set(names):
        return split
    train, val, test = (
        tuple(name for name in part if name not in names) for part in (split.train, split.val, split.test)
    )
    if not train:
        raise DataError(
            f"Nothing is labelled in any of the training cases ({some(split.train)}). Label a part of them."
        )
    units = tuple(unit for unit in split.units if not set(unit.cases) & set(names))
    reason = f"{split.reason}; without {some(sorted(names))}, in which nothing is labelled"
    return replace(split, train=train, val=val, test=test, units=units, reason=reason)


def missing_classes(split: Split, present: Mapping[str, frozenset[int]], names: Mapping[int, str]) -> Iterator[str]:
    """What the model will not learn, or nothing will judge, a sentence each; ``names``: of label values."""
    having = {
        part: {value for case in cases for value in present.get(case, frozenset())}
        for part, cases in (("train", split.train), ("val", split.val), ("test", split.test))
    }

    def quoted(values: set[int]) -> str:
        return some([f"'{names.get(value, f'label {value}')}'" for value in sorted(values)])

    unjudged, unlearned = having["train"] - having["val"], having["val"] - having["train"]
    unseen = having["test"] - having["train"] - having["val"]
    if split.val and unjudged:
        yield (
            f"No held-out case ({some(split.val)}) has {quoted(unjudged)}: nothing judges it while training, and it "
            "counts in no score. Add cases that have it, or name other held-out cases in a --split-file."
        )
    if unlearned:
        yield (
            f"No training case has {quoted(unlearned)}, which held-out cases have: the model will not learn it. Add "
            "training cases that have it, or name other ones in a --split-file."
        )
    if unseen:
        yield (
            f"Only test cases ({some(split.test)}) have {quoted(unseen)}: it is no class of the model, and the report "
            "does not count it. Move a case that has it to the training cases."
        )


def split_cases(names: Sequence[str], config: DataConfig) -> Split:
    """Divides cases of which nothing but the names is known: explicit lists, a fold, or random shares."""
    if config.split_file is not None:
        path = Path(config.split_file)
        return _of_fold(_read(path), set(names), path, config.fold or 0)
    return _divide([Unit(cases=(name,)) for name in names], config)


def fold_splits(dataset: Dataset, config: DataConfig) -> list[Split]:
    """A split for each fold of a cross-validation: those of the split file, or ``folds`` equal parts in turn.

    With up to four cases (patients, where they are known) each is held out once. Cases that the data set keeps aside
    for a test are in no fold. Raises UsageError where there are fewer cases than folds, or a single one.
    """
    if config.split_file is not None:
        case_names, path = {case.name for case in dataset.cases}, Path(config.split_file)
        listed = _read(path)
        return [_of_fold(listed, case_names, path, index) for index in range(len(listed))]
    rest = [case for case in dataset.cases if case.part != "test"]
    if len(rest) < 2:
        raise UsageError(f"{dataset.root} has {len(rest)} cases to divide into folds. Add cases.")
    ordered = _shuffled(_units(rest, config, dataset.ignore_label), config.seed)
    folds = len(ordered) if len(ordered) <= LEAVE_ONE_OUT else config.folds
    note = _grouping_note(ordered, config)
    return [_fold(ordered, index, folds, config.split_by == "stratified", note) for index in range(folds)]


def _units(cases: Sequence[Case], config: DataConfig, ignore_label: int | None) -> list[Unit]:
    patients = {} if config.split_by == "random" else patients_of(cases, config)
    if config.split_by == "patient" and not patients:
        raise UsageError(
            "data.split_by = patient, but nobody says whose the cases are. "
            "Give data.patient_pattern (such as ^([^_]+)_) or data.patient_table."
        )
    labels = _labels_of(cases, ignore_label) if config.split_by == "stratified" else {}
    groups: dict[str, list[str]] = {}
    for case in cases:
        groups.setdefault(patients.get(case.name, case.name), []).append(case.name)
    if len(groups) == 1:  # one patient: nothing else can be held out than some of his cases
        groups = {case.name: [case.name] for case in cases}
    return [
        Unit(
            cases=tuple(sorted(names)),
            labels=frozenset(label for name in names for label in labels.get(name, frozenset())),
        )
        for names in groups.values()
    ]


def _labels_of(cases: Sequence[Case], ignore_label: int | None) -> dict[str, frozenset[int]]:
    def read(case: Case) -> frozenset[int]:
        try:
            label = read_labels(case, ignore_label)
        except DataError:  # checking the cases says what is wrong, with all others that are
            return frozenset()
        values = [int(v) for v in np.unique(sitk.GetArrayViewFromImage(label)) if v not in (0, ignore_label)]
        return frozenset(n for bits in values for n in classes_of(bits)) if case.overlapping else frozenset(values)

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        return dict(zip([case.name for case in cases], pool.map(read, cases), strict=True))


def _divide(units: Sequence[Unit], config: DataConfig) -> Split:
    ordered = _shuffled(units, config.seed)
    note = _grouping_note(ordered, config)
    if config.fold is not None:
        return _fold(ordered, config.fold, config.folds, config.split_by == "stratified", note)
    return _shares(ordered, config, note)


def _shuffled(units: Sequence[Unit], seed: int) -> list[Unit]:
    """In an order that follows from seed and names alone; image_0001 is the name 0001 where all begin like that."""
    names = [name for unit in units for name in unit.cases]
    short = {name: IMAGE_PREFIX.sub("", name) for name in names}
    if len(set(short.values())) < len(names) or not all(IMAGE_PREFIX.match(name) for name in names):
        short = {name: name for name in names}

    def draw(unit: Unit) -> bytes:
        return hashlib.sha256(f"{seed}:{short[unit.cases[0]]}".encode()).digest()

    return sorted(units, key=draw)


def _grouping_note(units: Sequence[Unit], config: DataConfig) -> str:
    patients = any(len(unit.cases) > 1 for unit in units)
    note = f", all cases of a patient on one side ({len(units)} patients)" if patients else ""
    pattern = patient_pattern_for([name for unit in units for name in unit.cases])
    if pattern and not patients and not config.patient_pattern and not config.patient_table:
        note = (
            "; the names seem to name patients with several cases each, which may lie on both sides: "
            f'--set "data.patient_pattern={pattern}" keeps each patient on one'
        )
    return note + (", classes alike in all parts" if config.split_by == "stratified" else "")


def _shares(ordered: Sequence[Unit], config: DataConfig, note: str) -> Split:
    count = count_cases(ordered)
    if count == 1:
        only = ordered[0].cases
        return Split(
            train=only,
            val=only,
            test=(),
            reason="the only case both trains and validates: its Dice says nothing about other patients",
        )
    free = [unit for unit in ordered if not unit.only_trains] or list(ordered)
    seen = [unit for unit in ordered if unit.only_trains] if len(free) < len(ordered) else []
    sizes = _held_out_of(split_sizes(count, config), count_cases(free) if seen else count)
    left_out = count - sizes.test - sizes.val - sizes.train
    train = max(0, sizes.train - count_cases(seen))
    parts = (stratify if config.split_by == "stratified" else in_turn)(free, (sizes.test, sizes.val, train, left_out))
    test_names, val_names, train_names = (_names(part) for part in (*parts[:2], [*parts[2], *seen]))
    reason = f"{len(train_names)} of {count} cases train, {len(val_names)} validate"
    if seen:
        reason += f", none of the {count_cases(seen)} that trained the model to begin with"
    if sizes.test:
        reason += f", {len(test_names)} are kept aside for the final report"
    elif config.test_split > 0:
        reason += f"; with fewer than {CASES_FOR_A_TEST_SET} cases none are kept aside"
    return Split(train=train_names, val=val_names, test=test_names, reason=reason + note, units=tuple(ordered))


def _held_out_of(sizes: SplitSizes, free: int) -> SplitSizes:
    """The sizes where so many cases may be held out: first those that validate."""
    val = min(sizes.val, free)
    test = min(sizes.test, free - val)
    return SplitSizes(train=sizes.train + sizes.val - val + sizes.test - test, val=val, test=test)


def _fold(ordered: Sequence[Unit], fold: int, folds: int, stratified: bool, note: str) -> Split:
    if len(ordered) < folds:
        what = "patients" if any(len(unit.cases) > 1 for unit in ordered) else "cases"
        raise UsageError(f"{len(ordered)} {what} cannot make {folds} folds. Ask for at most {len(ordered)}.")
    count = count_cases(ordered)
    if stratified:
        parts = stratify(ordered, [count // folds + (index < count % folds) for index in range(folds)])
    else:
        parts = evenly(ordered, folds)
    val = _names(parts[fold])
    train = tuple(sorted(name for index, part in enumerate(parts) if index != fold for name in _names(part)))
    return Split(train=train, val=val, test=(), reason=f"fold {fold} of {folds} validates, the others train{note}")


def _names(units: Sequence[Unit]) -> tuple[str, ...]:
    return tuple(sorted(name for unit in units for name in unit.cases))


def _of_fold(folds: Sequence[Any], case_names: set[str], path: Path, fold: int) -> Split:
    if fold >= len(folds):
        raise UsageError(f"{path} holds {len(folds)} folds; fold {fold} is not one of 0 to {len(folds) - 1}.")
    parts = folds[fold]
    if not isinstance(parts, dict) or not isinstance(parts.get("train"), list):
        raise DataError(f"{path}: fold {fold} must be an object with a 'train' list and a 'val' list of case names.")
    wrong = [key for key in ("val", "test") if not isinstance(parts.get(key, []), list)]
    if wrong:
        raise DataError(f"{path}: '{wrong[0]}' of fold {fold} must be a list of case names, not {parts[wrong[0]]!r}.")
    names = {key: parts.get(key, []) for key in ("train", "val", "test")}
    if not all(isinstance(name, str) for listed in names.values() for name in listed):
        raise DataError(f"{path}: the lists of fold {fold} must hold names of cases, as text.")
    for key, listed in names.items():
        if len(set(listed)) < len(listed):
            raise DataError(f"{path}: '{key}' of fold {fold} names a case twice. Keep one.")
    lists = {key: tuple(sorted(listed)) for key, listed in names.items()}
    unknown = sorted({name for names in lists.values() for name in names} - case_names)
    if unknown:
        raise DataError(f"{path} names {len(unknown)} cases that the data does not have: {some(unknown)}.")
    twice = sorted((set(lists["train"]) & set(lists["val"])) | (set(lists["train"]) & set(lists["test"])))
    if twice:
        raise DataError(f"{path}: {some(twice)} stand in 'train' and in 'val' or 'test'. Keep one.")
    if not lists["train"]:
        raise DataError(f"{path}: fold {fold} has no case to train on.")
    return Split(train=lists["train"], val=lists["val"], test=lists["test"], reason=f"fold {fold} of {path.name}")


def _read(path: Path) -> list[Any]:
    """The folds in a split file; one division is a list of one."""
    try:
        document = read_json_file(path)
    except FileNotFoundError:
        raise UsageError(f"The split file {path} does not exist. Check the path.") from None
    except OSError as error:
        raise UsageError(
            f"The split file {path} cannot be read: {error.strerror}. Check that you may read it."
        ) from None
    return document if isinstance(document, list) else [document]
