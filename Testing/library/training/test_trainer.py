"""The loop: with less memory than it wants, with less time, stopped at any moment, as one rank of several."""

from __future__ import annotations

import itertools
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
from MedSegTrainerLib.events import Epoch, Progress, Validated, Warned
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.hardware.distributed import Ranks
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.package import load_package
from MedSegTrainerLib.training.checkpoint import TrainingState
from MedSegTrainerLib.training.early_stopping import Monitor
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.session import TrainingSession
from MedSegTrainerLib.training.time_budget import TimeBudget
from MedSegTrainerLib.training.trainer import fit
from MedSegTrainerLib.training.validation import ValidationScores, Validator


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


class NotingWriter(Silent):
    """Notes after which epochs a checkpoint is wanted."""

    def __init__(self, saved: list[int]) -> None:
        self.saved = saved

    def save(self, path: Path, learner: Learner, state: TrainingState) -> None:
        self.saved.append(state.epoch)


class Watch:
    """A clock that goes on by so many seconds with each step and each validation."""

    def __init__(self, step: float, validation: float = 0.0) -> None:
        self.now, self.step, self.validation = 5000.0, step, validation

    def __call__(self) -> float:
        return self.now


class TimedLearner(Learner):
    """Learns by a watch instead of the clock of the wall."""

    watch: Watch

    def step(self, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        self.watch.now += self.watch.step
        return super().step(*arguments)


class TimedValidator(Validator):
    """Judges by the watch."""

    watch: Watch

    def score(self, weights: dict[str, torch.Tensor]) -> ValidationScores:
        self.watch.now += self.watch.validation
        return super().score(weights)


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


def training_on(plan: Plan, voxels: int, folder: Path, events: list[Any]) -> TrainingSession:
    config, cpu = TrainConfig(data=DataConfig(augmentation=False)), torch.device("cpu")
    learner = SmallDevice(plan, config, cpu)
    learner.voxels = voxels
    job = JobFolder(folder)
    job.path.mkdir(exist_ok=True)
    silent: Any = Silent()
    return TrainingSession(
        plan=plan, config=config, folder=job, owner=silent, emit=events.append, device=cpu,
        train_cases=[case("a"), case("b")], validator=Validator([case("c")], plan, cpu), learner=learner,
        state=TrainingState(total_steps=plan.epochs * plan.steps_per_epoch),
        monitor=Monitor(config.trainer, list(plan.class_names)), dashboard=silent, budget=TimeBudget(),
    )  # fmt: skip


def test_a_batch_that_does_not_fit_is_computed_in_pieces(tiny_plan: Plan, tmp_path: Path) -> None:
    events: list[Any] = []
    session = training_on(tiny_plan, 4 * 8 * 12, tmp_path, events)
    assert fit(session) is None
    assert (session.plan.batch_size, session.plan.batch_parts, session.plan.patch_size) == (1, 2, (4, 8, 12))
    assert [event.message for event in events if isinstance(event, Warned)] == [
        "Memory ran out. Training goes on with 2 x 1 patches of 4 x 8 x 12 voxels a step."
    ]
    assert [event.step for event in events if isinstance(event, Epoch)] == [2, 4, 6]
    saved_plan = parse_plan(read_json_file(tmp_path / "plan.json"))
    assert saved_plan == session.plan == load_package(tmp_path / "model").plan


def test_a_patch_that_does_not_fit_becomes_smaller(tiny_plan: Plan, tmp_path: Path) -> None:
    session = training_on(tiny_plan, 200, tmp_path, [])
    assert fit(session) is None
    assert session.plan.patch_size == (3, 6, 10)
    assert session.validator.plan == session.learner.plan == session.plan


def test_nothing_fits(tiny_plan: Plan, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"ran out in a step with a batch of 1, and nothing can be made smaller"):
        fit(training_on(tiny_plan, 3, tmp_path, []))


def test_other_errors_are_not_taken_for_it(tiny_plan: Plan, tmp_path: Path) -> None:
    session = training_on(tiny_plan, 10**6, tmp_path, [])
    session.learner.network.forward = lambda image: image[:, :, :1, :1, :1]  # type: ignore[method-assign]
    with pytest.raises((RuntimeError, IndexError, ValueError)):
        fit(session)
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize("held_out", [0, 1])
@pytest.mark.parametrize("step", [0, 1, 2, 3])
def test_a_stop_at_any_moment_leaves_a_model(tiny_plan: Plan, tmp_path: Path, held_out: int, step: int) -> None:
    """With or without held-out cases, before the first epoch ends, at its end and after it."""
    plan = replace(tiny_plan, lr_schedule="plateau")
    session = training_on(plan, 10**6, tmp_path, [])
    session.validator = Validator([case("c")][:held_out], plan, torch.device("cpu"))
    session.next_look = step
    session.folder.request_stop("keep-best")
    assert fit(session) == "keep-best"
    assert load_package(tmp_path / "model").training["val_cases"] == ["c"][:held_out]


def test_what_nobody_measures_stops_nothing(tiny_plan: Plan, tmp_path: Path) -> None:
    session = training_on(tiny_plan, 10**6, tmp_path, [])
    session.validator = Validator([], tiny_plan, torch.device("cpu"))
    session.config = replace(session.config, trainer=TrainerConfig(early_stopping=True, patience=1))
    assert fit(session) is None
    assert session.state.epoch == tiny_plan.epochs == load_package(tmp_path / "model").training["epoch"]


def test_the_training_loss_stops_without_held_out_cases(tiny_plan: Plan, tmp_path: Path) -> None:
    session = training_on(tiny_plan, 10**6, tmp_path, [])
    session.validator = Validator([], tiny_plan, torch.device("cpu"))
    trainer = TrainerConfig(early_stopping=True, patience=1, monitor="train_loss", min_delta=10)
    session.config = replace(session.config, trainer=trainer)
    session.monitor = Monitor(trainer, tiny_plan.class_names)
    assert fit(session) is None
    assert session.state.epoch == 2


def timed_training(plan: Plan, folder: Path, watch: Watch, seconds: float | None, events: list[Any]) -> TrainingSession:
    """One whose steps and validations take what the watch says, with so many seconds for all."""
    session = training_on(plan, 10**6, folder, events)
    learner = TimedLearner(plan, session.config, session.device)
    validator = TimedValidator(session.validator.cases, plan, session.device)
    learner.watch = validator.watch = watch
    return replace(session, learner=learner, validator=validator, budget=TimeBudget(seconds, watch.now, watch))


@pytest.mark.parametrize(
    ("seconds", "validation", "steps"),
    [
        (40, 0.0, 10),  # 32 of them for steps of 3 seconds, the rest for the report
        (140, 0.0, 44),
        (60, 2.0, 13),  # five validations, one after every third step, and time for three more
        (7, 0.0, 1),
        (None, 0.0, 30),
    ],
)
def test_the_time_budget_ends_it(
    tiny_plan: Plan, tmp_path: Path, seconds: float | None, validation: float, steps: int
) -> None:
    watch, events = Watch(step=3, validation=validation), []  # type: ignore[var-annotated]
    plan = replace(tiny_plan, steps_per_epoch=3, epochs=10)
    session = timed_training(plan, tmp_path, watch, seconds, events)
    assert fit(session) is None
    assert session.state.step == steps
    assert session.state.seconds == watch.now - 5000 - session.budget.validation_seconds
    left = [event.eta_seconds for event in events if isinstance(event, Progress)]
    assert left[0] == (seconds - 3 if seconds else 29 * 3)
    assert all(earlier > later for earlier, later in itertools.pairwise(left))


def test_an_epoch_takes_the_time_of_its_steps(tiny_plan: Plan, tmp_path: Path) -> None:
    events: list[Any] = []
    fit(timed_training(tiny_plan, tmp_path, Watch(step=3, validation=7), None, events))
    assert [event.seconds for event in events if isinstance(event, Epoch)] == [6, 6, 6]
    assert [event.minutes for event in events if isinstance(event, Validated)] == pytest.approx(
        [13 / 60, 26 / 60, 39 / 60], abs=0.001
    )


def test_checkpoints_are_written_from_time_to_time(tiny_plan: Plan, tmp_path: Path) -> None:
    events: list[Any] = []
    session = timed_training(replace(tiny_plan, epochs=8), tmp_path, Watch(step=5), None, events)
    session.config = replace(session.config, trainer=TrainerConfig(checkpoint_seconds=30))
    saved: list[int] = []
    session.writer = NotingWriter(saved)  # type: ignore[assignment]
    fit(session)
    assert saved == [3, 6, 8]


class ApartRanks(Ranks):
    """One of several ranks of which the others say nothing."""

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def all_reduce(self, tensors: Any) -> None:
        pass

    def broadcast_tensors(self, tensors: Any) -> None:
        pass


class DroppingLearner(Learner):
    """Notes the random numbers that dropout would draw in each step."""

    def step(self, *arguments: Any) -> tuple[torch.Tensor, torch.Tensor]:
        self.draws = [*getattr(self, "draws", []), torch.rand(()).item()]
        return super().step(*arguments)


def test_dropout_differs_between_ranks_and_epochs_and_is_repeated(tiny_plan: Plan, tmp_path: Path) -> None:
    draws = []
    for rank in (0, 1, 2, 1):
        session = training_on(replace(tiny_plan, batch_size=3), 10**6, tmp_path / str(len(draws)), [])
        learner = DroppingLearner(session.plan, session.config, session.device)
        session = replace(session, learner=learner, ranks=ApartRanks(rank=rank, count=3))
        assert fit(session) is None
        draws.append(learner.draws)
    assert draws[1] == draws[3]
    different = [draw for rank in draws[:3] for draw in rank]
    assert len(different) == len(set(different)) == 3 * tiny_plan.steps_per_epoch * tiny_plan.epochs
