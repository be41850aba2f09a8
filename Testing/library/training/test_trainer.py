"""The loop where memory runs out: it goes on with smaller steps, and says so."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.config.settings import DataConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.data.samples.cache import CachedCase
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.events import Epoch, Warned
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.package import load_package
from MedSegTrainerLib.training.checkpoint import TrainingState
from MedSegTrainerLib.training.early_stopping import Monitor
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.session import Training
from MedSegTrainerLib.training.trainer import fit
from MedSegTrainerLib.training.validation import HeldOut


class SmallDevice(Learner):
    """Learns on a device that holds so many voxels at once."""

    voxels = 0

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        if images.numel() > self.voxels:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return super().forward(images)


class Silent:
    """Stands for the owner of the job and for its pictures."""

    lost = False

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments, **values: None


def case(name: str) -> CachedCase:
    size = (5, 10, 14)
    label = torch.zeros(size, dtype=torch.uint8)
    label[1:4, 2:6, 3:9] = 1
    label[2, 3, 4:8] = 2
    image = label[None] + 0.1 * torch.randn((1, *size), generator=torch.Generator().manual_seed(3))
    rows = torch.nonzero(label).to(torch.int32)
    locations = torch.cat([label[label > 0].to(torch.int32)[:, None], rows], dim=1)
    geometry = Geometry(size=size[::-1], spacing=(0.8, 1.1, 2.5))
    return CachedCase(name=name, image=image, label=label, locations=locations, geometry=geometry)


def training_on(plan: Plan, voxels: int, folder: Path, events: list[Any]) -> Training:
    config, cpu = TrainConfig(data=DataConfig(augmentation=False)), torch.device("cpu")
    learner = SmallDevice(plan, config, cpu)
    learner.voxels = voxels
    job = JobFolder(folder)
    job.path.mkdir(exist_ok=True)
    silent: Any = Silent()
    return Training(
        plan=plan, config=config, folder=job, owner=silent, emit=events.append, device=cpu,
        train_cases=[case("a"), case("b")], held_out=HeldOut([case("c")], plan, cpu), learner=learner,
        state=TrainingState(total_steps=plan.epochs * plan.steps_per_epoch),
        monitor=Monitor(config.trainer, list(plan.class_names)), dashboard=silent, deadline=None,
    )  # fmt: skip


def test_a_batch_that_does_not_fit_is_computed_in_pieces(tiny_plan: Plan, tmp_path: Path) -> None:
    events: list[Any] = []
    training = training_on(tiny_plan, 4 * 8 * 12, tmp_path, events)
    assert fit(training) is None
    assert (training.plan.batch_size, training.plan.batch_parts, training.plan.patch_size) == (1, 2, (4, 8, 12))
    assert [event.message for event in events if isinstance(event, Warned)] == [
        "Memory ran out. Training goes on with 2 x 1 patches of 4 x 8 x 12 voxels a step."
    ]
    assert [event.step for event in events if isinstance(event, Epoch)] == [2, 4, 6]
    kept = parse_plan(read_json_file(tmp_path / "plan.json"))
    assert kept == training.plan == load_package(tmp_path / "model").plan


def test_a_patch_that_does_not_fit_becomes_smaller(tiny_plan: Plan, tmp_path: Path) -> None:
    training = training_on(tiny_plan, 200, tmp_path, [])
    assert fit(training) is None
    assert training.plan.patch_size == (3, 6, 10)
    assert training.held_out.plan == training.learner.plan == training.plan


def test_nothing_fits(tiny_plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"ran out in a step with a batch of 1, and nothing can be made smaller"):
        fit(training_on(tiny_plan, 3, tmp_path, []))


def test_other_errors_are_not_taken_for_it(tiny_plan: Plan, tmp_path: Path) -> None:
    training = training_on(tiny_plan, 10**6, tmp_path, [])
    training.learner.network.forward = lambda image: image[:, :, :1, :1, :1]  # type: ignore[method-assign]
    with pytest.raises((RuntimeError, IndexError, ValueError)):
        fit(training)
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("held_out", [0, 1])
@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_stop_at_any_moment_leaves_a_model(tiny_plan: Plan, tmp_path: Path, held_out: int, step: int) -> None:
    """With or without held-out cases, before the first epoch ends, at its end and after it."""
    plan = replace(tiny_plan, lr_schedule="plateau")
    training = training_on(plan, 10**6, tmp_path, [])
    training.held_out = HeldOut([case("c")][:held_out], plan, torch.device("cpu"))
    training.next_look = step
    training.folder.request_stop("keep-best")
    assert fit(training) == "keep-best"
    assert load_package(tmp_path / "model").training["val_cases"] == ["c"][:held_out]


def test_what_nobody_measures_stops_nothing(tiny_plan: Plan, tmp_path: Path) -> None:
    training = training_on(tiny_plan, 10**6, tmp_path, [])
    training.held_out = HeldOut([], tiny_plan, torch.device("cpu"))
    training.config = replace(training.config, trainer=TrainerConfig(early_stopping=True, patience=1))
    assert fit(training) is None
    assert training.state.epoch == tiny_plan.epochs == load_package(tmp_path / "model").training["epoch"]


def test_the_training_loss_stops_without_held_out_cases(tiny_plan: Plan, tmp_path: Path) -> None:
    training = training_on(tiny_plan, 10**6, tmp_path, [])
    training.held_out = HeldOut([], tiny_plan, torch.device("cpu"))
    trainer = TrainerConfig(early_stopping=True, patience=1, monitor="train_loss", min_delta=10)
    training.config = replace(training.config, trainer=trainer)
    training.monitor = Monitor(trainer, tiny_plan.class_names)
    assert fit(training) is None
    assert training.state.epoch == 2
