"""The comparison with nnU-Net, with a small script in the place of its process: nnU-Net itself is not installed."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

pytest.importorskip("monai", reason="the extra 'bench' is not installed")

import bench
from benchmarks import nnunet, nnunet_process
from benchmarks.material import Material, prepare
from benchmarks.nnunet_steps import NnunetSteps
from rich.console import Console

from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerLib.networks.nnunet_unet import NnunetUNet
from MedSegTrainerLib.training.learner import Learner

FAKE = Path(__file__).parent / "fake_nnunet.py"
CPU = torch.device("cpu")
Measured = tuple[dict[str, Any], dict[str, Any]]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Material:
    return prepare(None, tmp_path_factory.mktemp("bench"), CPU, bench.SMOKE_VOLUME, smoke=True)


@pytest.fixture(scope="module")
def measured(material: Material, tmp_path_factory: pytest.TempPathFactory) -> Measured:
    """The section, and what the other process was given."""
    folder = tmp_path_factory.mktemp("given")
    section = nnunet.measure(material, None, 2, command(folder))
    return section, json.loads((folder / "given.json").read_text(encoding="utf-8"))


def command(folder: Path, most: int = 100) -> list[str]:
    return [sys.executable, str(FAKE), str(folder), str(most)]


class TestSection:
    def test_both_sides_took_turns_and_then_the_variants(self, measured: Measured) -> None:
        section, given = measured
        assert given["steps"] == ["plain"] * 6 + ["compiled"] + ["bfloat16"] * 3
        assert [row["name"] for row in section["rows"]] == ["nnunet", "nnunet-same"]
        for row in section["rows"]:
            assert row["theirs"]["inside_ms"] == 3000
            assert len(row["ours"]["times_ms"]) == len(row["theirs"]["times_ms"]) == 2

    def test_ratios_follow_from_what_each_did_in_a_step(self, measured: Measured) -> None:
        own, same = measured[0]["rows"]
        ours, theirs = own["ours"], own["theirs"]
        assert (ours["patches"], ours["voxels"]) == (2, 2 * 16 * 32 * 32)
        assert (theirs["patches"], theirs["voxels"], theirs["gflop"]) == (3, 3 * 8 * 16 * 24, 2.0)
        a_voxel = [side["median_ms"] / side["voxels"] for side in (theirs, ours)]
        assert own["per_voxel"] == pytest.approx(a_voxel[0] / a_voxel[1])
        assert own["per_patch"] == pytest.approx(own["ratio"] * 2 / 3)
        assert own["per_gflop"] == pytest.approx(own["ratio"] * ours["gflop"] / 2.0)
        assert same["ours"]["voxels"] == same["theirs"]["voxels"]
        assert [same["per_voxel"], same["per_patch"]] == pytest.approx([same["ratio"]] * 2)

    def test_a_variant_that_fails_is_told_and_the_others_are_measured(self, measured: Measured) -> None:
        compiled, half = measured[0]["variants"]
        assert "InductorError: no compiler" in compiled["failed"]
        assert half["times_ms"] == [2000, 2000]
        assert half["ratio"] == pytest.approx(2000 / measured[0]["rows"][1]["ours"]["median_ms"])

    def test_the_table_shows_both_comparisons_and_variants(self, measured: Measured) -> None:
        console = Console(width=160)
        with console.capture() as capture:
            console.print(nnunet.show(measured[0]))
        output = capture.get()
        for word in ("nnunet-same", "voxels a second", "GFLOP a step", "no compiler", "bfloat16", "2.000 s"):
            assert word in output, word

    def test_the_other_side_gets_files_with_consecutive_labels_and_the_planner(self, measured: Measured) -> None:
        given = measured[1]
        folder = "Dataset001_Bench"
        assert given["files"] == [
            f"{folder}/dataset.json",
            *(f"{folder}/imagesTr/case00{i}_0000.nii.gz" for i in range(2)),
            *(f"{folder}/labelsTr/case00{i}.nii.gz" for i in range(2)),
        ]
        assert list(given["dataset"]["labels"].values()) == [0, 1, 2, 3, 4]
        assert given["dataset"]["numTraining"] == 2
        assert given["arguments"] == ["ExperimentPlanner", "cpu", str(torch.get_num_threads())]
        names = ("RAW", "PREPROCESSED", "RESULTS", "N_PROC_DA", "DEF_N_PROC")
        assert given["variables"].keys() == {f"NNUNET_{name}" for name in names}

    def test_another_network_than_its_default_is_refused(self, material: Material) -> None:
        facts = {"network": "ResidualEncoderUNet"}
        with pytest.raises(MedSegError, match="ResidualEncoderUNet"):
            nnunet._their_plan(material.plan, facts)

    def test_in_a_smoke_run_of_everything_nothing_is_installed(self, material: Material) -> None:
        section = nnunet.section(material, argparse.Namespace(only=["train", "nnunet"], data=None, rounds=1))
        assert "not installed" in section["left_out"]
        assert "left out" in str(nnunet.show(section))


class TestProcess:
    def test_one_that_ends_is_told_with_its_last_words(self, material: Material, tmp_path: Path) -> None:
        (tmp_path / "raw" / "Dataset001_Bench").mkdir(parents=True)
        (tmp_path / "raw" / "Dataset001_Bench" / "dataset.json").write_text("{}")
        with NnunetSteps(command(tmp_path, most=1), tmp_path, CPU) as steps:
            assert steps.step("plain") == 3.0
            with pytest.raises(MedSegError, match=r"code 7(.|\n)*the memory was too small"):
                steps.step("plain")

    def test_one_that_does_not_begin_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(MedSegError, match=r"(?s)ended with code 1.*FileNotFoundError"):
            NnunetSteps(command(tmp_path), tmp_path, CPU)

    def test_steps_are_the_trainers_own_in_each_way(self) -> None:
        trainer = _Trainer()
        batch = {"data": torch.ones(2, 1, 4, 4, 4)}
        timed = {}
        for name in ("plain", "bfloat16"):
            step = nnunet_process._step(trainer, *nnunet_process.STEPS[name](trainer))
            timed[name] = nnunet_process._timed(step, batch, CPU)
        assert trainer.seen == [torch.float32, torch.bfloat16]
        assert all(answer["seconds"] > 0 and answer["loss"] == 0 for answer in timed.values())

    def test_a_step_that_fails_says_why(self, capsys: pytest.CaptureFixture[str]) -> None:
        answer = nnunet_process._timed(nnunet_process._step(_Trainer(), None, torch.no_grad()), {"data": 1}, CPU)
        assert answer["failed"].startswith("TypeError: 'NoneType' object is not callable")
        assert "Traceback" in capsys.readouterr().err

    def test_operations_are_those_of_the_step_forwards_and_backwards(self) -> None:
        trainer = _Trainer()
        wrapped = nn.Sequential(trainer.network)
        wrapped._orig_mod = trainer.network  # as torch.compile keeps it
        trainer.network = wrapped
        multiplications = 2 * 4**3 * 3 * 1  # a convolution of 1 with 3 results, of 2 patches
        gflop = nnunet_process._gflop(trainer, {"data": torch.ones(2, 1, 4, 4, 4)})
        assert gflop * 1e9 == 2 * 2 * multiplications  # forwards, and the gradient of the weights
        assert trainer.network is wrapped


def test_a_plan_of_nnunet_becomes_this_network(material: Material, measured: Measured) -> None:
    plan = nnunet._their_plan(material.plan, measured[0]["theirs"])
    learner = Learner(plan, material.config, material.device)
    assert isinstance(learner.network, NnunetUNet)
    assert plan.divisor == (2, 4, 4)
    images, labels = replace(material, plan=plan).batch(plan.patch_size, np.random.default_rng(0))
    assert images.shape == (3, 1, 8, 16, 24)
    losses = [float(learner.step([(images, labels.clamp(min=0))], 1, 1e-3)[0]) for _ in range(6)]
    assert losses[-1] < losses[0]
    convolutions = [len([m for m in stage.modules() if isinstance(m, nn.Conv3d)]) for stage in learner.network.decoder]
    assert convolutions == [2, 1]  # nnU-Net names the coarsest first


class _Trainer:
    """As far as nnunet_process needs it of nnU-Net's."""

    def __init__(self) -> None:
        self.network: Any = nn.Conv3d(1, 3, 1)
        self.device = CPU
        self.seen: list[torch.dtype] = []

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        logits = self.network(batch["data"])
        self.seen.append(logits.dtype)
        loss = (logits - logits).sum()
        loss.backward()
        return {"loss": loss.detach().float().numpy()}
