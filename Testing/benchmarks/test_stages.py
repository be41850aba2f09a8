"""scripts/benchmarks/stages.py: that the parts of a step are the step, and how shares follow from seconds. No times."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from rich.console import Console

pytest.importorskip("monai", reason="the extra 'bench' is not installed")

import bench
from benchmarks.divided_step import STAGES, DividedStep, Stopwatch
from benchmarks.material import Material, prepare
from benchmarks.stages import Measured, show, whole_training

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import DataConfig, NetworkConfig, TrainConfig, TrainerConfig
from MedSegTrainerLib.data.samples.batches import epoch_batches
from MedSegTrainerLib.jobs.stages import plan_training, scan_data
from MedSegTrainerLib.training.learner import Learner

CPU = torch.device("cpu")
RATE = 1e-3
SECONDS = Measured(
    once={"read": 5.0, "plan": 3.0, "preprocess": 12.0, "inference": 6.0, "report": 4.0},
    step=1.0,
    parts=dict(zip(STAGES, (0.01, 0.2, 0.0, 0.2, 0.05, 0.4, 0.04), strict=True)),
    epoch_end={"validation": 4.0, "package": 2.0, "checkpoint": 1.0},
)


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return prepare(None, tmp_path_factory.mktemp("stages"), CPU, bench.SMOKE_VOLUME, smoke=True)


class ListOfStages:
    def __init__(self) -> None:
        self.seen: list[str] = []

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.seen.append(name)
        yield


class TestDividedStep:
    @pytest.mark.parametrize("accumulated", [1, 2])
    def test_its_steps_are_those_of_a_training(self, material: Material, accumulated: int) -> None:
        trainer = replace(material.config.trainer, gradient_accumulation_steps=accumulated)
        config = replace(material.config, trainer=trainer)
        whole, parts = _learner(material.plan, config), _learner(material.plan, config)
        batches = epoch_batches(material.cached, material.plan, config.data, CPU, 0)
        divided = DividedStep(parts, material.cached, config)
        for _ in range(2):
            expected, _ = whole.step((next(batches) for _ in range(accumulated)), accumulated, RATE)
            assert torch.equal(divided.run(ListOfStages(), RATE), expected)
        for name, weights in whole.network.state_dict().items():
            assert torch.equal(parts.network.state_dict()[name], weights), name
        for name, weights in whole.average.weights.items():
            assert torch.equal(parts.average.weights[name], weights), name

    def test_slices_are_taken_as_in_a_training(self, material: Material) -> None:
        data = DataConfig(data_dir=str(material.cases[0].label.parents[1]), patch_size=[1, 32, 32], batch_size=2)
        network, trainer = NetworkConfig(dims=2, base_channels=4), TrainerConfig(device="cpu", epochs=1)
        config = TrainConfig(data=data, network=network, trainer=trainer)
        plan = plan_training(config, scan_data(config, lambda event: None), lambda event: None, None)
        batch = next(epoch_batches(material.cached, plan, config.data, CPU, 0))
        expected, _ = _learner(plan, config).step([batch], 1, RATE)
        divided = DividedStep(_learner(plan, config), material.cached, config)
        assert torch.equal(divided.run(ListOfStages(), RATE), expected)

    def test_it_names_every_stage_in_turn(self, material: Material) -> None:
        watch = ListOfStages()
        DividedStep(_learner(material.plan, material.config), material.cached, material.config).run(watch, RATE)
        in_turn = [name for name, _ in itertools.groupby(watch.seen)]
        assert in_turn == ["optimizer", "sample", "augment", "forward", "loss", "backward", "optimizer"]

    def test_cutting_is_transfer_where_volumes_lie_elsewhere(self, material: Material) -> None:
        away = [replace(case, image=case.image.to("meta")) for case in material.cached]
        assert DividedStep(_learner(material.plan, material.config), away, material.config).cut_stage == "transfer"


def test_stopwatch_adds_up_by_stage() -> None:
    ticks = iter([1.0, 3.0, 10.0, 11.0, 20.0, 24.0])
    watch = Stopwatch(CPU, lambda: next(ticks))
    for name in ("loss", "forward", "loss"):
        with watch.stage(name):
            pass
    assert watch.seconds == {"loss": 6.0, "forward": 1.0}


class TestWholeTraining:
    def test_counts_follow_from_plan_and_budget(self, material: Material) -> None:
        summary = whole_training(SECONDS, _plan(material), 1230.0, 15.0)
        # an epoch: 10 steps, half a validation with its model, and half a checkpoint, as 15 s are two epochs of 13 s
        assert summary["epochs"] == pytest.approx(1200 / 13.5)
        times = {row["name"]: row["times"] for row in summary["stages"]}
        assert times["forward"] == times["other"] == summary["steps"] == pytest.approx(12000 / 13.5)
        assert times["validation"] == times["package"] == times["checkpoint"] == pytest.approx(600 / 13.5)
        assert times["read"] == times["report"] == 1

    def test_nothing_of_the_time_is_missing(self, material: Material) -> None:
        summary = whole_training(SECONDS, _plan(material), 1230.0, 15.0)
        assert summary["total_seconds"] == pytest.approx(1230)
        assert sum(row["share"] for row in summary["stages"]) == pytest.approx(1)
        other = next(row for row in summary["stages"] if row["name"] == "other")
        assert other["seconds"] == pytest.approx(0.1)

    def test_what_is_above_a_tenth_is_told(self, material: Material) -> None:
        summary = whole_training(SECONDS, _plan(material), 1230.0, 15.0)
        above = [row["name"] for row in summary["stages"] if row["above_a_tenth"]]
        assert above == ["augment", "forward", "backward", "validation"]
        assert summary["above_a_tenth"] == ["augment", "validation"]

    def test_a_checkpoint_comes_after_every_long_epoch(self, material: Material) -> None:
        summary = whole_training(SECONDS, _plan(material), 1230.0, 5.0)
        assert summary["epochs"] == pytest.approx(1200 / 14)
        assert next(row["times"] for row in summary["stages"] if row["name"] == "checkpoint") == summary["epochs"]

    def test_the_table_shows_every_stage_and_those_that_take_too_long(self, material: Material) -> None:
        section = {
            **whole_training(SECONDS, _plan(material), 1230.0, 15.0), "budget_seconds": 1230.0, "training_cases": 4,
            "held_out_cases": 1, "step": {"whole": 1.0, "parts": 0.9},
        }  # fmt: skip
        console = Console(width=120, record=True)
        console.print(show(section))
        output = console.export_text()
        assert all(row["name"] in output for row in section["stages"])
        assert "left aside: augment, validation" in output


def _plan(material: Material) -> Plan:
    return replace(material.plan, steps_per_epoch=10, validation_interval=2)


def _learner(plan: Plan, config: TrainConfig) -> Learner:
    torch.manual_seed(3)
    return Learner(plan, config, CPU)
