"""Which cases train, validate and test: the same on every machine for the same seed and names."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from MedSegTrainerLib.config import DataConfig
from MedSegTrainerLib.errors import DataError, UsageError

CASES_FOR_A_TEST_SET = 20


@dataclass(frozen=True, kw_only=True)
class Split:
    """Case names. Without any ``val`` the last weights are the model."""

    train: tuple[str, ...]
    val: tuple[str, ...]
    test: tuple[str, ...]
    reason: str


def split_cases(names: Sequence[str], config: DataConfig) -> Split:
    """Divides the cases as the configuration says: explicit lists, a fold, or random shares."""
    if config.split_file is not None:
        return _from_file(set(names), Path(config.split_file), config.fold or 0)
    ordered = sorted(names, key=lambda name: hashlib.sha256(f"{config.seed}:{name}".encode()).digest())
    if config.fold is not None:
        return _fold(ordered, config.fold, config.folds)
    return _shares(ordered, config)


def _shares(ordered: Sequence[str], config: DataConfig) -> Split:
    count = len(ordered)
    if count == 1:
        return Split(
            train=tuple(ordered), val=tuple(ordered), test=(),
            reason="the only case both trains and validates: its Dice says nothing about other patients",
        )  # fmt: skip
    test = round(count * config.test_split) if count >= CASES_FOR_A_TEST_SET else 0
    if test == count:
        raise UsageError(f"data.test_split = {config.test_split:g} keeps all {count} cases aside. Leave some to train.")
    val = min(max(1, round(count * config.val_split)), count - test - 1) if config.val_split > 0 else 0
    train = count - test - val
    if config.train_split != "auto":
        train = max(1, min(train, round(count * config.train_split)))
    reason = f"{train} of {count} cases train, {val} validate"
    if test:
        reason += f", {test} are kept aside for the final report"
    elif config.test_split > 0:
        reason += f"; with fewer than {CASES_FOR_A_TEST_SET} cases none are kept aside"
    return Split(
        train=tuple(sorted(ordered[test + val :][:train])),
        val=tuple(sorted(ordered[test : test + val])),
        test=tuple(sorted(ordered[:test])),
        reason=reason,
    )


def _fold(ordered: Sequence[str], fold: int, folds: int) -> Split:
    if len(ordered) < folds:
        raise UsageError(f"{len(ordered)} cases cannot make {folds} folds. Ask for at most {len(ordered)}.")
    val = tuple(sorted(ordered[fold::folds]))
    train = tuple(sorted(set(ordered) - set(val)))
    return Split(train=train, val=val, test=(), reason=f"fold {fold} of {folds} validates, the others train")


def _from_file(known: set[str], path: Path, fold: int) -> Split:
    document = _read(path)
    folds = document if isinstance(document, list) else [document]
    if fold >= len(folds):
        raise UsageError(f"{path} holds {len(folds)} folds; fold {fold} is not one of 0 to {len(folds) - 1}.")
    parts = folds[fold]
    if not isinstance(parts, dict) or not isinstance(parts.get("train"), list):
        raise DataError(f"{path}: fold {fold} must be an object with a 'train' list and a 'val' list of case names.")
    wrong = [key for key in ("val", "test") if not isinstance(parts.get(key, []), list)]
    if wrong:
        raise DataError(f"{path}: '{wrong[0]}' of fold {fold} must be a list of case names, not {parts[wrong[0]]!r}.")
    lists = {key: tuple(sorted(str(name) for name in parts.get(key, []))) for key in ("train", "val", "test")}
    unknown = sorted({name for names in lists.values() for name in names} - known)
    if unknown:
        raise DataError(f"{path} names {len(unknown)} cases that the data does not have: {', '.join(unknown[:5])}.")
    twice = sorted((set(lists["train"]) & set(lists["val"])) | (set(lists["train"]) & set(lists["test"])))
    if twice:
        raise DataError(f"{path}: {', '.join(twice[:5])} stand in 'train' and in 'val' or 'test'. Keep one.")
    if not lists["train"]:
        raise DataError(f"{path}: fold {fold} has no case to train on.")
    return Split(**lists, reason=f"fold {fold} of {path.name}")


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(f"The split file {path} does not exist. Check the path.") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"The split file {path} cannot be read: {error}") from None
