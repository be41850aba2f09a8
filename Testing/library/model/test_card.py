"""The card of a model in plain text."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib import __version__
from MedSegTrainerLib.config.plan import LabelCode, Plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.card import card_text
from MedSegTrainerLib.model.package import ModelPackage, describe_package, read_card, save_ensemble, save_package
from MedSegTrainerLib.networks import build_network

SUMMARY = {
    "kidney": {"dice": {"mean": 0.91}, "iou": {"mean": 0.84}, "hd95_mm": {"mean": None}},
    "cyst": {"dice": {"mean": None}, "iou": {"mean": None}, "hd95_mm": {"mean": None}},
}


@pytest.fixture
def package(tiny_plan: Plan) -> ModelPackage:
    weights = build_network(tiny_plan.architecture, tiny_plan.network).state_dict()
    training = {"train_cases": ["a", "b"], "val_cases": ["c"], "epoch": 4, "steps": 80}
    metrics = {"summary": SUMMARY, "measured_on": "validation", "validation_cases": ["c"]}
    curves = [{"epoch": n, "minutes": n / 10, "mean_dice": n / 100} for n in range(1, 21)]
    data = {
        "spacing_mm": [[2, 1, 1], [2.5, 1, 1], [3, 1, 1]], "size_voxels": [[9, 20, 30]] * 3, "planes": {"axial": 2},
        "channels": [{"name": "MR", "lowest": -3.0, "highest": 812.0}],
    }  # fmt: skip
    return ModelPackage(plan=tiny_plan, weights=weights, training=training, metrics=metrics, curves=curves, data=data)


def card(package: ModelPackage) -> str:
    return card_text([package.plan], describe_package(package))


def test_it_says_what_a_user_asks(package: ModelPackage) -> None:
    text = card(package)
    for line in (
        "Finds       kidney (label 3)", "cyst (label 7)", "Needs       volumes with 1 channel: MR", "axial slices",
        "2.5 x 1.1 x 0.8 mm (z, y, x)", "Trained on  2 cases", "voxels of 2-3 x 1 x 1 mm",
        "sizes of 9 x 20 x 30 voxels",
        "intensities of MR: -3 to 812", "on 1 validation case, which chose the best epoch",
        "kidney: Dice 0.910, IoU 0.840", "cyst: in none of them", "best after 4 epochs, 80 steps",
        f"with MedSegTrainer {__version__}",
    ):  # fmt: skip
        assert line in text, line
    assert "HD95" not in text


def test_the_curve_is_thinned_and_keeps_its_end(package: ModelPackage) -> None:
    lines = [line for line in card(package).splitlines() if " min  Dice " in line]
    assert len(lines) <= 8 and lines[-1].endswith("2.0 min  Dice 0.200")


def test_a_model_that_nobody_measured(package: ModelPackage) -> None:
    assert "nobody measured it" in card(replace(package, metrics={}, data={}, curves=[]))


def test_classes_that_were_not_drawn_everywhere(package: ModelPackage) -> None:
    summary = {name: {**metrics, "dice": {"mean": 0.9, "count": 1}} for name, metrics in SUMMARY.items()}
    plan = replace(package.plan, label_codes=(LabelCode(unknown=(2,)),))
    text = card(replace(package, plan=plan, metrics={**package.metrics, "summary": summary}))
    assert "not drawn in all of them: cyst" in text
    assert "cyst: Dice 0.900, in 1 of them" in text and "kidney: Dice 0.900, IoU 0.840\n" in text
    assert "not drawn" not in card(package)


def test_an_ensemble_is_told_as_a_whole(package: ModelPackage, tmp_path: Path) -> None:
    metrics = {"summary": SUMMARY, "measured_on": "cross-validation", "validation_cases": ["a", "b"], "words": "So so."}
    save_ensemble([package, package], tmp_path, training={"train_cases": ["a", "b", "c"]}, metrics=metrics)
    text = read_card(tmp_path)
    for line in ("an ensemble of 2 models", "on 2 cases, each held out once", "So so.", "Trained on  3 cases"):
        assert line in text, line


@pytest.mark.parametrize(
    "damage", [{"metrics": {"summary": 7}}, {"training": {"train_cases": 7}}, {"curves": [{"mean_dice": "x"}]}]
)
def test_what_it_tells_of_may_be_damaged(package: ModelPackage, tmp_path: Path, damage: dict[str, Any]) -> None:
    save_package(replace(package, data={}), tmp_path / "m")
    document = json.loads((tmp_path / "m" / "model.json").read_text())
    (tmp_path / "m" / "model.json").write_text(json.dumps({**document, **damage}))
    with pytest.raises(ModelError, match=r"what model\.json tells of training and metrics is damaged"):
        read_card(tmp_path / "m")


def test_nothing_steers_the_terminal(package: ModelPackage) -> None:
    text = card(replace(package, metrics={**package.metrics, "words": "\x1b[2Jgone\x07"}))
    assert "\x1b" not in text and "\x07" not in text and "[2Jgone" in text
