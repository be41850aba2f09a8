"""Training, applying and evaluating from Python, on 2D images with two channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.api import apply, evaluate, resume, train
from MedSegTrainerLib.errors import ConfigError, JobError
from MedSegTrainerLib.imaging.geometry import Geometry

CASES = 8


@pytest.fixture(scope="module")
def slices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """nnU-Net raw data: 2D images of two channels, a disc (label 7) that only their difference shows."""
    root = tmp_path_factory.mktemp("slices")
    (root / "imagesTr").mkdir()
    (root / "labelsTr").mkdir()
    generator = np.random.default_rng(5)
    rows, columns = np.mgrid[:52, :61]
    for index in range(CASES):
        center, radius = generator.uniform(18, 34, 2), generator.uniform(8, 13)
        disc = np.hypot(rows - center[0], columns - center[1]) < radius
        texture = generator.normal(0, 1, disc.shape)
        first, second = texture + generator.normal(0, 0.1, disc.shape), texture + 2 * disc
        name = f"slice_{index}"
        _write(first.astype(np.float32), root / "imagesTr" / f"{name}_0000.nii.gz")
        _write(second.astype(np.float32), root / "imagesTr" / f"{name}_0001.nii.gz")
        _write((7 * disc).astype(np.uint8), root / "labelsTr" / f"{name}.nii.gz")
    return root


def _write(array: np.ndarray, path: Path) -> None:
    image = sitk.GetImageFromArray(array)
    image.SetSpacing((0.7, 0.9))
    image.SetOrigin((12.0, -3.5))
    sitk.WriteImage(image, str(path))


def test_two_channels_in_2d_from_folder_to_metrics(slices: Path, tmp_path: Path) -> None:
    settings = {"epochs": 6, "base_channels": 8, "device": "cpu", "learning_rate": 5e-3}
    settings |= {"flip_axes": ["x"], "betas": (0.9, np.float64(0.999)), "loss": {"gamma": 1}}
    model = train(slices, tmp_path / "job", **settings, fold=0, folds=4)
    assert model.plan.dims == 2 and model.plan.flip_axes == (2,)
    assert model.plan.patch_size[0] == 1
    assert len(model.plan.normalization) == 2

    files = apply(tmp_path / "job", [slices / "imagesTr"], tmp_path / "out", tta=True, output_format="nii.gz")
    assert [path.name for path in files] == [f"slice_{index}.nii.gz" for index in range(CASES)]
    label, image = sitk.ReadImage(str(files[0])), sitk.ReadImage(str(slices / "imagesTr" / "slice_0_0000.nii.gz"))
    assert set(np.unique(sitk.GetArrayFromImage(label))) <= {0, 7}
    assert label.GetSize()[:2] == image.GetSize()
    assert Geometry.of(label).spacing[:2] == pytest.approx(image.GetSpacing())

    metrics = evaluate(tmp_path / "out", slices, tmp_path / "report")
    assert metrics["summary"]["label 7"]["dice"]["mean"] > 0.8
    assert (tmp_path / "report" / "report.html").stat().st_size > 10_000


def test_a_finished_training_is_not_trained_over_and_resumes_to_itself(slices: Path, tmp_path: Path) -> None:
    settings = {"epochs": 1, "base_channels": 4, "samples_per_volume": 1, "device": "cpu"}
    first = train(slices, tmp_path / "job", **settings)
    with pytest.raises(JobError, match="--resume"):
        train(slices, tmp_path / "job", **settings)
    again = resume(tmp_path / "job")
    assert all(bool((first.weights[name] == again.weights[name]).all()) for name in first.weights)


def test_unknown_settings_are_refused_before_anything_is_written(slices: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="learning_rate"):
        train(slices, tmp_path / "job", learning_rat=1)
    assert not (tmp_path / "job").exists()
