"""The settings themselves: each has a help text, a default inside its limits, and nothing is shared."""

from __future__ import annotations

import json
import re
from dataclasses import FrozenInstanceError, fields, is_dataclass
from typing import Any, get_type_hints

import pytest

from MedSegTrainerLib.config.job_settings import job_document
from MedSegTrainerLib.config.settings import OptimizerConfig, TrainConfig
from MedSegTrainerLib.jobs.kinds import settings_of_kinds
from MedSegTrainerLib.workflow.nodes import SECTIONS


def settings_of(config: Any, path: str) -> list[Any]:
    """Every setting of a configuration and of the sections in it, as (dataclass field, default)."""
    parameters = []
    for item in fields(config):
        value, name = getattr(config, item.name), f"{path}.{item.name}"
        parameters += settings_of(value, name) if is_dataclass(value) else [pytest.param(item, value, id=name)]
    return parameters


def settings() -> list[Any]:
    """Those of every kind of job."""
    return [parameter for kind, cls in settings_of_kinds().items() for parameter in settings_of(cls(), kind)]


@pytest.mark.parametrize("item, default", settings())
def test_every_setting_is_explained_and_its_default_allowed(item: Any, default: Any) -> None:
    assert len(item.metadata["help"]) >= 10 and item.metadata["help"].endswith(".")
    low, high = item.metadata["minimum"], item.metadata["maximum"]
    for number in default if isinstance(default, list) else [default]:
        if isinstance(number, (int, float)):
            assert (low is None or number >= low) and (high is None or number <= high)


@pytest.mark.parametrize(
    "name, cls, hint",
    [
        pytest.param(item.name, cls, get_type_hints(cls)[item.name], id=f"{cls.__name__}.{item.name}")
        for cls in dict.fromkeys((*settings_of_kinds().values(), *SECTIONS.values()))
        for item in fields(cls)
        if re.search(r"\bint\b|\bfloat\b", str(get_type_hints(cls)[item.name]))
    ],
)
def test_every_number_has_limits(name: str, cls: type, hint: Any) -> None:
    """So that a slip of the keyboard starts no 10^6 processes; real values lie far inside."""
    limits = next(item.metadata for item in fields(cls) if item.name == name)
    assert limits["minimum"] is not None and limits["maximum"] is not None
    assert limits["minimum"] < limits["maximum"] <= 2**53


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


@pytest.mark.parametrize("kind", sorted(settings_of_kinds()))
def test_document_is_json_of_its_kind(kind: str) -> None:
    document = json.loads(json.dumps(job_document(settings_of_kinds()[kind]()), allow_nan=False))
    assert (document["schema_version"], document["kind"]) == (1, kind)
    assert set(document["config"]) == {item.name for item in fields(settings_of_kinds()[kind])}
