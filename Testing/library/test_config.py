"""The settings themselves: each has a help text, a default inside its limits, and nothing is shared."""

from __future__ import annotations

import json
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any

import pytest

from MedSegTrainerLib.config import JOB_KINDS, OptimizerConfig, TrainConfig, job_document


def settings() -> list[Any]:
    """Every setting of every kind of job, as (path, dataclass field, default)."""
    found = []
    for kind, cls in JOB_KINDS.items():
        config = cls()
        for item in fields(config):
            value = getattr(config, item.name)
            inner = [(item, value)] if not is_dataclass(value) else [(f, getattr(value, f.name)) for f in fields(value)]
            found += [pytest.param(f, v, id=f"{kind}.{item.name}.{f.name}") for f, v in inner]
    return found


@pytest.mark.parametrize("item, default", settings())
def test_every_setting_is_explained_and_its_default_allowed(item: Any, default: Any) -> None:
    assert len(item.metadata["help"]) >= 10 and item.metadata["help"].endswith(".")
    low, high = item.metadata["minimum"], item.metadata["maximum"]
    for number in default if isinstance(default, list) else [default]:
        if isinstance(number, (int, float)):
            assert (low is None or number >= low) and (high is None or number <= high)


def test_defaults_of_the_training_guide() -> None:
    config = TrainConfig()
    assert (config.data.train_split, config.data.val_split, config.data.test_split) == ("auto", 0.15, 0.15)
    assert config.data.seed == 42
    assert config.data.augmentation_strength == "standard"
    assert config.optimizer.betas == [0.9, 0.999]


def test_lists_are_not_shared() -> None:
    first, second = OptimizerConfig(), OptimizerConfig()
    first.betas.append(1.0)
    assert second.betas == OptimizerConfig().betas == [0.9, 0.999]


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(FrozenInstanceError):
        TrainConfig().data.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize("kind", sorted(JOB_KINDS))
def test_document_is_json_of_its_kind(kind: str) -> None:
    document = json.loads(json.dumps(job_document(JOB_KINDS[kind]()), allow_nan=False))
    assert (document["schema_version"], document["kind"]) == (1, kind)
    assert set(document["config"]) == {item.name for item in fields(JOB_KINDS[kind])}
