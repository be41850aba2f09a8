"""What the job of kind ``train`` decides between its parts; whole jobs are in the integration tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MedSegTrainerLib.checkpoint import TrainingState
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.package import ModelPackage, save_package
from MedSegTrainerLib.plan import Plan
from MedSegTrainerLib.train_job import _remember_best, explain


@pytest.mark.parametrize(
    ("steps_into_the_epoch", "dice_before", "dice_after"),
    [(1, 0.5, 0.8), (0, 0.5, 0.5), (1, 0.9, 0.9)],
    ids=["saved when stopped", "saved after an epoch, which is trained again", "no better than the checkpoint's"],
)
def test_a_model_saved_when_stopped_within_an_epoch_is_not_replaced_by_a_worse_one(
    tmp_path: Path, tiny_plan: Plan, steps_into_the_epoch: int, dice_before: float, dice_after: float
) -> None:
    training = {"steps": 3 * tiny_plan.steps_per_epoch + steps_into_the_epoch, "epoch": 3}
    weights = {"w": torch.zeros(1)}
    package = ModelPackage(plan=tiny_plan, weights=weights, training=training, metrics={"val_dice": 0.8})
    save_package(package, JobFolder(tmp_path).model)
    state = TrainingState(total_steps=100, epoch=2, best_dice=dice_before)
    _remember_best(state, tiny_plan, JobFolder(tmp_path))
    assert state.best_dice == dice_after


def test_a_checkpoint_from_before_the_first_validation_is_resumed(tmp_path: Path, tiny_plan: Plan) -> None:
    state = TrainingState(total_steps=100, epoch=1)
    _remember_best(state, tiny_plan, JobFolder(tmp_path))
    assert state.best_dice == TrainingState(total_steps=100).best_dice


def test_every_choice_is_explained(tiny_plan: Plan) -> None:
    choices = explain(replace(tiny_plan, reasons={"device": "CPU", "split": "5 cases train, 1 validates"}))
    assert all(choice["value"] != "" for choice in choices.values())
    assert choices["learning_rate"]["value"] == tiny_plan.learning_rate
