"""How many of the cases train, validate and test; standard library only, so that Slicer can say it before a start."""

from __future__ import annotations

from dataclasses import dataclass

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.errors import UsageError

CASES_FOR_A_TEST_SET = 20


@dataclass(frozen=True, kw_only=True)
class SplitSizes:
    """Numbers of cases. A single case both trains and validates; ``train_split`` may leave cases out of all three."""

    train: int
    val: int
    test: int


def split_sizes(count: int, config: DataConfig) -> SplitSizes:
    """The sizes of a random division of ``count`` cases, of whatever patients and classes; folds and split files
    divide in another way. Raises UsageError where no case is left to train on."""
    if count == 1:
        return SplitSizes(train=1, val=1, test=0)
    test = round(count * config.test_split) if count >= CASES_FOR_A_TEST_SET else 0
    if test == count:
        raise UsageError(f"data.test_split = {config.test_split:g} keeps all {count} cases aside. Leave some to train.")
    val = min(max(1, round(count * config.val_split)), count - test - 1) if config.val_split > 0 else 0
    rest = count - test - val
    train = rest if config.train_split == "auto" else max(1, min(rest, round(count * config.train_split)))
    return SplitSizes(train=train, val=val, test=test)
