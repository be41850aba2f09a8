"""Wrong settings: refused before the data is read, all of them at once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Words = list[str | Path]


def plan(place: Any, *options: str | Path) -> Words:
    return ["plan", place.data, "--epochs", "1", *options]


def options(*words: str) -> Any:
    return lambda place: plan(place, *words)


def with_config(content: Any, *words: str) -> Any:
    """A mistake: what the file given by --config holds."""
    return lambda place: plan(place, "--config", place.text("config.json", content), *words)


def with_split(content: Any, *words: str) -> Any:
    return lambda place: plan(place, "--split-file", place.text("split.json", content), *words)


def binary_config(place: Any) -> Words:
    return plan(place, "--config", place.image())


def no_split_file(place: Any) -> Words:
    return plan(place, "--split-file", place.root / "split.json")


SEVERAL = {"trainer": {"epoch": 3}, "data": {"batch_size": 0, "cache": "cloud"}, "loss": {"smooth": "much"}}
SETTINGS = {
    "an unknown setting": (with_config({"trainer": {"epoch": 3}}), ("trainer.epoch", "Did you mean 'epochs'"), 2),
    "a wrong type": (with_config({"trainer": {"patience": "long"}}), ("trainer.patience", "'long'", "integer"), 2),
    "a section that is none": (with_config({"data": [1]}), ("data", "[1]", "object"), 2),
    "a split file that is a number": (with_config({"data": {"split_file": 5}}), ("data.split_file", "5"), 2),
    "an infinite number": (options("--set", "learning_rate=inf"), ("optimizer.learning_rate", "inf", "finite"), 2),
    "several wrong settings at once": (
        with_config(SEVERAL),
        ("trainer.epoch", "data.cache", "cloud", "loss.smooth", "much"),
        2,
    ),
    "several limits at once": (options("--val-split", "3", "--fold", "-1"), ("val_split = 3", "fold = -1"), 2),
    "no configuration file": (lambda p: plan(p, "--config", p.root / "c.json"), ("c.json cannot be read", "Check"), 2),
    "a configuration that is not JSON": (with_config("{'a': 1}"), ("config.json", "line 1 column 2", "Correct"), 2),
    "a configuration that is no text": (binary_config, ("case_1.nii.gz", "no text file", "Correct"), 2),
    "a configuration that is a list": (with_config([1]), ("config.json", "object"), 2),
    "a budget in words": (lambda p: ["plan", p.data, "--budget", "soon"], ("budget", "'soon'", "20m"), 2),
    "no time at all": (lambda p: ["plan", p.data, "--budget", "0m"], ("budget", "'0m'", "20m"), 2),
    "budget and epochs": (options("--budget", "20m"), ("--budget", "--epochs", "Give one"), 2),
    "a device that is none": (options("--device", "gpu"), ("'gpu'", "cuda:0"), 2),
    "an assignment without value": (options("--set", "epochs"), ("--set epochs", "key=value"), 2),
    "an unknown assignment": (options("--set", "learning_rat=1"), ("learning_rat", "'learning_rate'"), 2),
    "a number of epochs in words": (
        lambda p: ["plan", p.data, "--epochs", "many"],
        ("--epochs", "integer", "for help"),
        2,
    ),
    "a fold out of range": (options("--fold", "5"), ("data.fold = 5", "0 to 4"), 2),
    "too few cases for the folds": (options("--fold", "0", "--folds", "9"), ("4 cases", "9 folds", "at most 4"), 2),
    "no split file": (no_split_file, ("split.json does not exist", "Check"), 2),
    "a split file that is not JSON": (with_split("train: 1"), ("split.json", "line 1"), 2),
    "a split of unknown cases": (with_split({"train": ["case_1", "case_8"]}), ("split.json", "case_8")),
    "a split that overlaps": (with_split({"train": ["case_1"], "val": ["case_1"]}), ("case_1", "'train'", "Keep")),
    "a split without training": (with_split({"train": [], "val": ["case_1"]}), ("split.json", "no case to train")),
    "a fold that the split lacks": (with_split([{"train": ["case_1"]}], "--fold", "3"), ("1 folds", "fold 3"), 2),
    "too many class weights": (
        options("--set", "class_weights=[1,2,3,4,5]", "--device", "cpu"),
        ("class_weights", "3"),
        2,
    ),
}


@pytest.mark.parametrize("mistake", SETTINGS.values(), ids=SETTINGS.keys())
def test_settings(check: Callable[..., None], mistake: tuple[Any, ...]) -> None:
    check(*mistake)
