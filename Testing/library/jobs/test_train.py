"""What the job of kind ``train`` decides between its parts; whole jobs are in the integration tests."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import DataConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.events import Warned
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.stages import explain, scan_data
from MedSegTrainerLib.jobs.train import _restore_best
from MedSegTrainerLib.model.package import ModelPackage, save_package
from MedSegTrainerLib.training.checkpoint import TrainingState
from MedSegTrainerLib.training.early_stopping import Monitor

MONITOR = Monitor(TrainerConfig(), ["kidney", "cyst"])


@pytest.mark.parametrize(
    ("steps_into_the_epoch", "before", "after"),
    [(1, 0.5, 0.8), (0, 0.5, 0.5), (1, 0.9, 0.9), (1, None, 0.8)],
    ids=[
        "saved when stopped",
        "saved after an epoch, which is trained again",
        "no better than the checkpoint's",
        "first",
    ],
)
def test_a_model_saved_when_stopped_within_an_epoch_is_not_replaced_by_a_worse_one(
    tmp_path: Path,
    tiny_plan: Plan,
    package: ModelPackage,
    steps_into_the_epoch: int,
    before: float | None,
    after: float,
) -> None:
    training = {"steps": 3 * tiny_plan.steps_per_epoch + steps_into_the_epoch, "epoch": 3}
    save_package(replace(package, training=training, metrics={"monitored": 0.8}), JobFolder(tmp_path).model)
    state = TrainingState(total_steps=100, epoch=2, best=before)
    _restore_best(state, tiny_plan, JobFolder(tmp_path), MONITOR)
    assert state.best == after


def test_a_checkpoint_from_before_the_first_validation_is_resumed(tmp_path: Path, tiny_plan: Plan) -> None:
    state = TrainingState(total_steps=100, epoch=1)
    _restore_best(state, tiny_plan, JobFolder(tmp_path), MONITOR)
    assert state.best is None


def test_every_choice_is_explained(tiny_plan: Plan) -> None:
    choices = explain(replace(tiny_plan, reasons={"device": "CPU", "split": "5 cases train, 1 validates"}))
    assert all(choice["value"] != "" for choice in choices.values())
    assert choices["learning_rate"]["value"] == tiny_plan.learning_rate
    assert choices["loss"]["value"] == "0.5 dice + 0.5 cross_entropy"
    assert choices["gradient_clip"]["value"] == 12.0
    assert choices["ema_decay"]["value"] == 0.999
    assert "class_weights" not in choices


def test_class_weights_are_shown(tiny_plan: Plan) -> None:
    loss = replace(tiny_plan.loss, class_weights=[0.013333, 0.5, 1.0])
    reasons = {**tiny_plan.reasons, "class_weights": "the rarer the more"}
    choice = explain(replace(tiny_plan, loss=loss, reasons=reasons))["class_weights"]
    assert choice == {"value": [0.0133, 0.5, 1.0], "reason": "the rarer the more"}


def test_the_network_is_explained_with_its_settings(tiny_plan: Plan) -> None:
    assert explain(tiny_plan)["base_channels"]["value"] == 4
    network = {"in_channels": 1, "out_channels": 3, "embed_dim": 24, "window_size": 7, "norm": "group", "dropout": 0.1}
    choices = explain(replace(tiny_plan, architecture="SwinUNETR", network=network, image_size=(64, 48)))
    assert {name: choices[name]["value"] for name in network} == network
    assert (choices["network"]["value"], choices["image_size"]["value"]) == ("SwinUNETR", [64, 48])
    assert "image_size" not in explain(tiny_plan)


class TestClassesThatFewCasesHave:
    """Six cases; ``rare`` ones have label 2 too."""

    def scanned(
        self, root: Path, rare: set[str], job: JobFolder | None = None, **settings: Any
    ) -> tuple[tuple[str, ...], list[str]]:
        """Held-out cases, and what was told."""
        for name in "abcdef":
            label = np.zeros((6, 9, 12), np.uint8)
            label[1:3, 2:5, 2:9] = 1
            label[4, 2:7, 3:8] = 2 * (name in rare)
            noise = np.random.default_rng(ord(name)).normal(100, 5, label.shape) + 50.0 * label
            for folder, array in (("images", noise.astype(np.float32)), ("labels", label)):
                (root / "data" / folder).mkdir(parents=True, exist_ok=True)
                sitk.WriteImage(sitk.GetImageFromArray(array), str(root / "data" / folder / f"{name}.nrrd"))
        events: list[Any] = []
        config = TrainConfig(data=DataConfig(data_dir=str(root / "data")), trainer=TrainerConfig(**settings))
        scanned = scan_data(config, events.append, job)
        return scanned.split.val, [event.message for event in events if isinstance(event, Warned)]

    def test_one_of_them_is_held_out(self, tmp_path: Path) -> None:
        usual, _ = self.scanned(tmp_path, set())
        rare = set("abcdef".replace(usual[0], "")[:2])
        val, warnings = self.scanned(tmp_path, rare)
        assert set(val) < rare and not [message for message in warnings if "No held-out" in message]

    def test_a_job_keeps_its_division(self, tmp_path: Path) -> None:
        usual, _ = self.scanned(tmp_path, set())
        rare = set("abcdef".replace(usual[0], "")[:2])
        (tmp_path / "job").mkdir()
        val, _ = self.scanned(tmp_path, rare, JobFolder(tmp_path / "job"))
        assert set(val) < rare
        assert self.scanned(tmp_path, rare, JobFolder(tmp_path / "job"))[0] == val

    def test_a_metric_that_nothing_will_tell(self, tmp_path: Path) -> None:
        usual, _ = self.scanned(tmp_path, set())
        rare = set("abcdef".replace(usual[0], "")[:1])
        _, warnings = self.scanned(tmp_path, rare, monitor="val_dice/label 2", early_stopping=True)
        assert [text for text in warnings if "no held-out case has 'label 2'" in text and "Early stopping" in text]


class TestTestCases:
    """They are scanned with the others, and decide nothing: neither the plan nor what the model says of its data."""

    def write(self, root: Path, names: str) -> DataConfig:
        """Three alike cases a, b and c; t is larger, brighter, on a finer grid and nearly all of one class."""
        for name in names:
            shape = (9, 14, 17) if name == "t" else (6, 9, 12)
            label = np.zeros(shape, np.uint8)
            label[1:3, 2:5, 2:9] = 1
            label[4, 2:7, 3:8] = 2
            if name == "t":
                label[:] = np.where(label == 0, 2, label)
            image = np.random.default_rng(ord(name)).normal(900 if name == "t" else 100, 5, shape)
            for folder, array in (("images", image.astype(np.float32)), ("labels", label)):
                (root / folder).mkdir(parents=True, exist_ok=True)
                volume = sitk.GetImageFromArray(array)
                volume.SetSpacing((0.5, 0.5, 0.75) if name == "t" else (1.0, 1.0, 2.0))
                sitk.WriteImage(volume, str(root / folder / f"{name}.nrrd"))
        split = {"train": ["a", "b"], "val": ["c"], "test": ["t"] if "t" in names else []}
        (root / "split.json").write_text(json.dumps(split), encoding="utf-8")
        return DataConfig(data_dir=str(root), split_file=str(root / "split.json"))

    def test_are_not_in_the_fingerprint(self, tmp_path: Path) -> None:
        with_it, without = (
            scan_data(TrainConfig(data=self.write(tmp_path / names, names)), lambda event: None)
            for names in ("abct", "abc")
        )
        assert (with_it.split.test, without.split.test) == (("t",), ())
        actual, expected = asdict(with_it.fingerprint), asdict(without.fingerprint)
        for name, value in expected.items():
            np.testing.assert_equal(actual[name], value, err_msg=name)
        assert with_it.data == without.data
