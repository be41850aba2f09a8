"""Applying a model beside nnU-Net, with a small script in the place of its process: nnU-Net itself is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

pytest.importorskip("monai", reason="the extra 'bench' is not installed")

import bench
from benchmarks import nnunet_apply
from rich.console import Console

from MedSegTrainerLib.errors import MedSegError, UsageError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.model.package import load_members

CPU = torch.device("cpu")
COMMAND = [sys.executable, str(Path(__file__).parent / "fake_nnunet_predict.py")]


@pytest.fixture
def image() -> sitk.Image:
    array = np.random.default_rng(4).normal(size=(9, 16, 20)).astype(np.float32)
    return Geometry(size=(20, 16, 9), spacing=(0.8, 1.1, 2.5)).place(array)


@pytest.fixture
def data(tmp_path: Path, image: sitk.Image) -> Path:
    for folder, one in (("images", image), ("labels", sitk.Cast(image > 1, sitk.sitkUInt8))):
        (tmp_path / "data" / folder).mkdir(parents=True)
        sitk.WriteImage(one, str(tmp_path / "data" / folder / "head.nii.gz"))
    return tmp_path / "data"


def test_equal_voxels_and_ratio(
    write_nnunet: Callable[..., Path], tmp_path: Path, image: sitk.Image, data: Path
) -> None:  # fmt: skip
    model = write_nnunet(tmp_path / "results")
    section = nnunet_apply.measure(model, data, 1, 1, CPU, COMMAND)
    assert section["cases"] == 1 and [row["name"] for row in section["rows"]] == ["once", "mirrored"]
    labels = sitk.GetArrayFromImage(Predictor(load_members(model), CPU).predict([image]))
    once = section["rows"][0]
    assert once["equal"] == once["least"] == pytest.approx(np.mean(labels == 0))
    assert once["theirs_s"] == 2.0 and once["ratio"] == pytest.approx(2.0 / once["ours_s"])
    console = Console(width=160, record=True)
    console.print(nnunet_apply.show(section))
    assert f"{once['equal']:.3%}" in console.export_text()


def test_what_the_other_says_when_it_fails_is_told(
    write_nnunet: Callable[..., Path], tmp_path: Path, data: Path
) -> None:  # fmt: skip
    model, wrong = write_nnunet(tmp_path / "results"), [*COMMAND, "one argument too many"]
    with pytest.raises(MedSegError, match="nnU-Net could not apply its model"):
        nnunet_apply.measure(model, data, 1, 1, CPU, wrong)


def test_it_needs_a_model_and_images() -> None:
    arguments = bench.read_arguments(["--only", "nnunet-apply"])
    with pytest.raises(UsageError, match="give --model"):
        nnunet_apply.section(None, arguments)  # type: ignore[arg-type]
