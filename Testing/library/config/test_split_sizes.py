"""How many cases train, validate and test, before there are any names."""

from __future__ import annotations

import pytest

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.config.split_sizes import SplitSizes, split_sizes
from MedSegTrainerLib.data.splits.split import split_cases
from MedSegTrainerLib.errors import UsageError


@pytest.mark.parametrize(
    ("count", "config", "sizes"),
    [
        (1, DataConfig(), (1, 1, 0)),
        (2, DataConfig(), (1, 1, 0)),
        (19, DataConfig(), (16, 3, 0)),
        (20, DataConfig(), (14, 3, 3)),
        (10, DataConfig(val_split=0), (10, 0, 0)),
        (10, DataConfig(val_split=1), (1, 9, 0)),
        (10, DataConfig(train_split=0.5, val_split=0.2), (5, 2, 0)),
        (40, DataConfig(train_split=0, val_split=0.1, test_split=0.2), (1, 4, 8)),
    ],
)
def test_sizes(count: int, config: DataConfig, sizes: tuple[int, int, int]) -> None:
    train, val, test = sizes
    assert split_sizes(count, config) == SplitSizes(train=train, val=val, test=test)
    split = split_cases([f"case_{index}" for index in range(count)], config)
    assert (len(split.train), len(split.val), len(split.test)) == sizes


def test_none_left_to_train_on_is_refused() -> None:
    with pytest.raises(UsageError, match=r"data\.test_split = 1 keeps all 20 cases aside"):
        split_sizes(20, DataConfig(val_split=0, test_split=1))
