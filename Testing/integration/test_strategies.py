"""What the training guide calls strategies, in whole jobs: early stopping, checkpoints, schedules, recovery."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.package import load_package

ConfigFor = Callable[..., TrainConfig]


def run(config: TrainConfig, path: Path) -> JobFolder:
    folder = JobFolder(path / "job")
    folder.create(config)
    run_job(folder.path)
    return folder


def events(folder: JobFolder, kind: str) -> list[dict[str, Any]]:
    lines = folder.events_file.read_bytes().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def rates(folder: JobFolder) -> list[float]:
    return [event["learning_rate"] for event in events(folder, "epoch")]


STANDSTILL = ("learning_rate=1e-12", "eta_min=0")  # too little to change a weight


class TestEarlyStopping:
    def test_ends_when_nothing_improves(self, config_for: ConfigFor, tmp_path: Path) -> None:
        """At such a rate nothing ever changes: the first validation is the last improvement."""
        folder = run(config_for("epochs=30", *STANDSTILL, "early_stopping=true", "patience=4"), tmp_path)
        assert events(folder, "validated")[-1]["epoch"] == 5
        assert folder.status().message.startswith("Stopped early: val_dice has not improved since epoch 1.")
        assert folder.status().state == "finished"

    def test_without_it_the_training_goes_on(self, config_for: ConfigFor, tmp_path: Path) -> None:
        folder = run(config_for("epochs=7", *STANDSTILL, "patience=4"), tmp_path)
        assert events(folder, "validated")[-1]["epoch"] == 7

    def test_patience_is_in_epochs_also_with_rare_validations(self, config_for: ConfigFor, tmp_path: Path) -> None:
        settings = ("epochs=30", *STANDSTILL, "early_stopping=true", "patience=4", "validation_interval=3")
        folder = run(config_for(*settings), tmp_path)
        assert [event["epoch"] for event in events(folder, "validated")] == [3, 6]
        assert events(folder, "epoch")[-1]["epoch"] == 7


class TestMonitor:
    @pytest.mark.parametrize("name", ["val_loss", "val_iou", "val_dice/label 5"])
    def test_the_kept_model_is_the_best_by_the_named_metric(
        self, config_for: ConfigFor, tmp_path: Path, name: str
    ) -> None:
        folder = run(config_for("epochs=5", "samples_per_volume=4", f"monitor={name}"), tmp_path)
        values = {event["epoch"]: event["metrics"][name] for event in events(folder, "validated")}
        best = (min if name == "val_loss" else max)(values.values())
        package = load_package(folder.model)
        assert package.metrics["monitor"] == name and package.metrics["monitored"] == best
        assert values[package.training["epoch"]] == best


class TestCheckpoints:
    def test_every_so_many_epochs_the_newest_are_kept(self, config_for: ConfigFor, tmp_path: Path) -> None:
        settings = ("epochs=9", "save_frequency=2", "keep_checkpoints=3", "checkpoint_dir=checkpoints/unet")
        folder = run(config_for(*settings), tmp_path)
        kept = sorted(path.name for path in (folder.path / "checkpoints" / "unet").iterdir())
        assert kept == ["epoch_0004.pt", "epoch_0006.pt", "epoch_0008.pt"]
        content = torch.load(folder.path / "checkpoints" / "unet" / kept[0], weights_only=True)
        assert content["state"]["epoch"] == 4 and content["optimizer"]["state"]

    @pytest.mark.parametrize(("frequency", "epoch"), [("none", 1), ("2", 2)])
    def test_only_the_best(self, config_for: ConfigFor, tmp_path: Path, frequency: str, epoch: int) -> None:
        """Without a change none is better than the first that is looked at."""
        epochs = 2 * epoch + 1  # one more look, and an epoch behind it
        settings = (f"epochs={epochs}", *STANDSTILL, f"save_frequency={frequency}", "save_best_only=true")
        folder = run(config_for(*settings, "checkpoint_dir=checkpoints/unet"), tmp_path)
        (kept,) = (folder.path / "checkpoints" / "unet").iterdir()
        assert kept.name == "best.pt"
        assert torch.load(kept, weights_only=True)["state"]["epoch"] == epoch

    def test_in_a_folder_elsewhere(self, config_for: ConfigFor, tmp_path: Path) -> None:
        elsewhere = tmp_path / "elsewhere"
        run(config_for("epochs=1", "save_frequency=1", f"checkpoint_dir={elsewhere}"), tmp_path)
        assert [path.name for path in elsewhere.iterdir()] == ["epoch_0001.pt"]


class TestSchedules:
    def test_plateau_lowers_the_rate_when_the_validation_loss_stands_still(
        self, config_for: ConfigFor, tmp_path: Path
    ) -> None:
        settings = (
            "epochs=9",
            "lr_schedule=plateau",
            "patience=2",
            "factor=0.5",
            "warmup_epochs=0",
            "monitor=val_loss",
        )
        folder = run(config_for(*settings, "learning_rate=1e-12", "eta_min=0"), tmp_path)
        seen = [rate for rate, _ in itertools.groupby(rates(folder))]
        assert seen == pytest.approx([1e-12, 5e-13, 2.5e-13][: len(seen)]) and len(seen) == 3

    def test_steps(self, config_for: ConfigFor, tmp_path: Path) -> None:
        settings = ("epochs=5", "lr_schedule=step", "step_size=2", "trainer.gamma=0.1", "warmup_epochs=0")
        folder = run(config_for(*settings, "learning_rate=0.01"), tmp_path)
        assert rates(folder) == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4])


class TestRecovery:
    def test_an_exploding_training_goes_on_with_a_tenth_of_the_rate(
        self, config_for: ConfigFor, tmp_path: Path
    ) -> None:
        """Each step multiplies the weights by -99, at a tenth of the rate by -9, and at a hundredth by 0."""
        settings = ("epochs=6", "optimizer_type=SGD", "learning_rate=10", "weight_decay=10", "warmup_epochs=0")
        folder = run(config_for(*settings, "lr_schedule=constant", "samples_per_volume=12"), tmp_path)
        recovered = events(folder, "recovered")
        assert [event["attempt"] for event in recovered] == [1, 2]
        assert [event["learning_rate"] for event in recovered] == pytest.approx([1, 0.1])
        assert all(event["gradient_clip"] == 1 for event in recovered)
        assert folder.status().state == "finished"
        assert events(folder, "epoch")[-1]["epoch"] == 6


class TestMixing:
    def test_mixup_and_cutmix_still_learn(self, config_for: ConfigFor, tmp_path: Path) -> None:
        folder = run(config_for("epochs=6", "samples_per_volume=8", "mixup=0.5", "cutmix=0.5"), tmp_path)
        dice = [event["mean_dice"] for event in events(folder, "validated")]
        assert dice[-1] > 0.4 and dice[-1] > dice[0]
