"""Remedies are settings that exist, with values they take, and only those that would change something."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import LossConfig, TrainConfig
from MedSegTrainerLib.guide.remedies import REMEDIES, Remedy, TrainingFacts, assignments, facts_of, text
from MedSegTrainerLib.guide.tables import choose_rate

PLANNED = {"base_channels": 16, "norm": "instance", "dropout": 0.0}
FACTS = TrainingFacts(
    optimizer_type="AdamW", learning_rate=2e-3, lr_schedule="cosine", warmup_epochs=0.6, weight_decay=1e-2,
    gradient_clip=12.0, mixed_precision=False, batch_size=2, augmentation=True, augmentation_strength="standard",
    foreground_oversampling=0.33, case_sampling="uniform", architecture="PlannedUNet", network=PLANNED,
    loss=LossConfig(loss_type="combined"), epochs=100, early_stopping=False, cases=12, class_names=("organ", "cyst"),
)  # fmt: skip
VARIATIONS: dict[str, list[Any]] = {
    "optimizer_type": ["Adam", "AdamW", "SGD"],
    "learning_rate": [10.0, 1e-4, 1e-9],
    "gradient_clip": [None, 12.0],
    "mixed_precision": [True],
    "augmentation": [False],
    "network": [
        {"base_channels": 2, "norm": "batch", "dropout": 0.4},
        {"base_channels": 64, "norm": "instance", "dropout": 0.0},
    ],
    "loss": [
        LossConfig(loss_type="cross_entropy", class_weights=[1.0, 1.0, 0.0]),
        LossConfig(loss_type="focal"),
        LossConfig(loss_type="dice"),
        LossConfig(loss_type="boundary"),
    ],
    "epochs": [3, 300],
    "weight_decay": [0.0, 1.0],
    "lr_schedule": ["constant"],
    "augmentation_strength": ["strong"],
}


def varied() -> Iterator[TrainingFacts]:
    yield FACTS
    yield replace(FACTS, architecture="SwinUNETR", network={"embed_dim": 24, "norm": "batch", "dropout": 0.0})
    for name, values in VARIATIONS.items():
        for value in values:
            yield replace(FACTS, **{name: value})
    for kind, rate in itertools.product(VARIATIONS["optimizer_type"], VARIATIONS["learning_rate"]):
        yield replace(FACTS, optimizer_type=kind, learning_rate=rate)


def changes(finding: str, **facts: Any) -> dict[str, str]:
    """Setting to the value that is suggested first."""
    given = assignments(list(REMEDIES[finding](replace(FACTS, **facts))))
    return dict(assignment.split("=", 1) for assignment in given)


@pytest.mark.parametrize("finding", REMEDIES)
def test_every_suggestion_can_be_set(finding: str) -> None:
    suggested: set[tuple[str, ...]] = set()
    for facts in varied():
        remedies = list(REMEDIES[finding](facts))
        network = f"network.type={facts.architecture}"
        suggested |= {(network, f"{remedy.setting}={remedy.suggested}") for remedy in remedies if remedy.setting}
        suggested.add((network, *assignments(remedies)))
    for settings in suggested:
        parse_config(TrainConfig, with_settings({}, list(settings)))


@pytest.mark.parametrize("finding", REMEDIES)
def test_every_suggestion_changes_something(finding: str) -> None:
    for facts in varied():
        for remedy in REMEDIES[finding](facts):
            assert remedy.current != remedy.suggested and remedy.why
            assert remedy.suggested


@pytest.mark.parametrize("finding", [finding for finding in REMEDIES if finding != "healthy"])
def test_there_is_always_something_to_do(finding: str) -> None:
    assert all(list(REMEDIES[finding](facts)) for facts in varied())


def test_unstable() -> None:
    """Guide, "Issue 1": a tenth of the rate, clipping at 1.0."""
    assert changes("unstable", learning_rate=1e-4, gradient_clip=None)["learning_rate"] == "1e-05"
    assert changes("unstable", gradient_clip=None)["gradient_clip"] == "1"
    assert "gradient_clip" not in changes("unstable", gradient_clip=0.5)
    assert changes("unstable", learning_rate=10.0)["learning_rate"] == "0.001"
    assert changes("unstable", mixed_precision=True)["mixed_precision"] == "false"
    assert "mixed_precision" not in changes("unstable")


def test_not_learning() -> None:
    """Guide, "Issue 2": the rate first; where it is far too low, nothing else is to blame."""
    low = changes("not_learning", learning_rate=1e-9)
    assert low == {"learning_rate": text(choose_rate("PlannedUNet", "AdamW")[0])}
    assert changes("not_learning", learning_rate=5e-5)["learning_rate"] == "0.0005"
    assert changes("not_learning", learning_rate=5e-5)["base_channels"] == "32"
    assert "learning_rate" not in changes("not_learning", learning_rate=5e-2)
    actions = [remedy.suggested for remedy in REMEDIES["not_learning"](FACTS) if not remedy.setting]
    assert "medsegtrainer find-lr DATA" in actions and "look at the pictures" in actions


def test_overfitting() -> None:
    """Guide, "Issue 3"."""
    given = changes("overfitting", augmentation=False, weight_decay=1e-5)
    assert given == {
        "augmentation": "true", "augmentation_strength": "strong", "weight_decay": "0.001", "early_stopping": "true",
        "patience": "20", "dropout": "0.2",
    }  # fmt: skip
    assert changes("overfitting", network={"base_channels": 32, "dropout": 0.2})["base_channels"] == "16"
    assert changes("overfitting", network={"base_channels": 32, "dropout": 0.2})["dropout"] == "0.5"
    assert "base_channels" not in changes("overfitting")
    assert "early_stopping" not in changes("overfitting", epochs=12)  # its patience is longer than the training
    assert changes("overfitting")["weight_decay"] == "0.05"
    assert "weight_decay" not in changes("overfitting", optimizer_type="Adam")


def test_underfitting() -> None:
    assert changes("underfitting", network={"base_channels": 2})["base_channels"] == "16"
    assert changes("underfitting", network={"base_channels": 32})["base_channels"] == "64"
    assert "base_channels" not in changes("underfitting", network={"base_channels": 64})
    assert changes("underfitting", network={"embed_dim": 24})["embed_dim"] == "48"
    assert changes("underfitting", network={"base_channels": 8, "dropout": 0.5})["dropout"] == "0"


def test_plateau() -> None:
    """Guide, "Issue 4"."""
    given = changes("plateau", optimizer_type="SGD", lr_schedule="constant", network={"norm": "batch"})
    assert given["optimizer_type"] == "Adam" and given["lr_schedule"] == "plateau"
    assert given["learning_rate"] == "0.0001" and given["network.norm"] == "group"
    assert not {"optimizer_type", "network.norm", "lr_schedule"} & changes("plateau").keys()


@pytest.mark.parametrize("finding", ["only_background", "class_at_zero"])
def test_imbalance(finding: str) -> None:
    """Guide, "Issue 5"."""
    ignoring = LossConfig(loss_type="cross_entropy", class_weights=[1.0, 1.0, 0.0])
    given = changes(finding, loss=ignoring)
    assert given["loss_type"] == "dice" and given["class_weights"] == "auto"
    assert given["foreground_oversampling"] == "0.67" and given["case_sampling"] == "weighted"
    ways = [
        remedy.suggested for remedy in REMEDIES[finding](replace(FACTS, loss=ignoring)) if remedy.setting == "loss_type"
    ]
    assert ways == ["dice", "focal"]
    assert changes(finding)["loss_type"] == "focal"  # it has a Dice term already
    weighted = replace(ignoring, class_weights=[0.1, 1.0, 5.0])
    assert "class_weights" not in changes(finding, loss=weighted)


def test_labels_cannot_be_mended_by_settings() -> None:
    remedies = list(REMEDIES["labels"](FACTS))
    assert len(remedies) >= 2 and assignments(remedies) == []


def test_of_two_ways_to_the_same_end_the_first_is_taken() -> None:
    ways = [Remedy(setting="loss_type", current="x", suggested=value, why="") for value in ("dice", "focal")]
    action = Remedy(setting="", current="", suggested="look", why="")
    assert assignments([action, *ways]) == ["loss_type=dice"]


@pytest.mark.parametrize(
    ("value", "expected"),
    [(None, "none"), (True, "true"), (1e-5, "1e-05"), (2.0, "2"), ([0.1, 3.0], "[0.1, 3]"), (7, "7")],
)
def test_values_are_written_as_set_takes_them(value: Any, expected: str) -> None:
    assert text(value) == expected


def test_facts_of_a_plan(tiny_plan: Plan) -> None:
    config = parse_config(TrainConfig, {"data": {"augmentation": False}, "trainer": {"early_stopping": True}})
    facts = facts_of(config, tiny_plan, 7)
    assert (facts.learning_rate, facts.weight_decay, facts.gradient_clip) == (1e-2, 1e-2, 12.0)
    assert (facts.augmentation, facts.early_stopping, facts.cases) == (False, True, 7)
    assert facts.class_names == ("kidney", "cyst") and facts.width == ("base_channels", 4)
