"""A model of nnU-Net in its folder, in a zip and imported: the same networks, and the same label maps."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.api import apply
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.model.any_description import read_description
from MedSegTrainerLib.model.import_model import import_model
from MedSegTrainerLib.model.package import load_members, load_package, read_card

WriteNnunet = Callable[..., Path]


@pytest.fixture(params=["PlainConvUNet", "ResEncUNet", "2d"])
def folder(request: pytest.FixtureRequest, write_nnunet: WriteNnunet, tmp_path: Path) -> Path:
    """Of two folds."""
    if request.param == "2d":
        flat = {"strides": [[1, 1], [2, 2], [2, 2]], "kernels": [[3, 3], [3, 3], [3, 3]]}
        return write_nnunet(tmp_path / "results", folds=2, dims=2, **flat)
    return write_nnunet(tmp_path / "results", folds=2, architecture=request.param)


@pytest.fixture
def image(oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> Path:
    path = tmp_path / "images" / "case.nii.gz"
    path.parent.mkdir()
    sitk.WriteImage(oblique_case[0], str(path))
    return path


def test_folder_zip_and_import_give_the_same(folder: Path, image: Path, tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as packed:
        for file in sorted(folder.rglob("*")):
            packed.write(file, file.relative_to(folder.parent).as_posix())
    assert len(import_model(folder, tmp_path / "imported")) == 2
    expected = load_members(folder)
    for model in (archive, tmp_path / "imported"):
        for member, other in zip(load_members(model), expected, strict=True):
            assert member.plan == other.plan
            assert member.training == other.training
            assert all(torch.equal(value, other.weights[name]) for name, value in member.weights.items())
    label_maps = []
    for number, model in enumerate((folder, archive, tmp_path / "imported")):
        (file,) = apply(model, [image], tmp_path / f"out_{number}", device="cpu", tta=True)
        label_maps.append(sitk.GetArrayFromImage(sitk.ReadImage(str(file))))
    assert np.array_equal(label_maps[0], label_maps[1])
    assert np.array_equal(label_maps[0], label_maps[2])
    assert len(np.unique(label_maps[0])) > 1, "else it could be of any network"


def test_folds_differ_and_one_can_be_taken(write_nnunet: WriteNnunet, image: Path, tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path / "results", folds=2)
    both = load_members(folder)
    one = load_package(folder / "fold_1")
    assert not torch.equal(both[0].weights["heads.0.weight"], both[1].weights["heads.0.weight"])
    assert all(torch.equal(value, both[1].weights[name]) for name, value in one.weights.items())


@pytest.mark.parametrize(("axes", "expected"), [((0, 2), (0, 2)), (None, ())])
def test_only_the_stored_axes_are_mirrored(
    axes: tuple[int, ...] | None, expected: tuple[int, ...], write_nnunet: WriteNnunet, tmp_path: Path
) -> None:
    folder = write_nnunet(tmp_path / "results")
    file = folder / "fold_0" / "checkpoint_final.pth"
    torch.save({**torch.load(file, weights_only=False), "inference_allowed_mirroring_axes": axes}, file)
    assert load_package(folder).plan.flip_axes == expected


def test_regions_become_classes_that_overlap(write_nnunet: WriteNnunet, tmp_path: Path) -> None:
    folder = write_nnunet(tmp_path / "results")
    dataset = json.loads((folder / "dataset.json").read_text())
    regions = {"background": 0, "whole": [1, 2, 3], "core": [2, 3], "active": 3}
    dataset |= {"labels": regions, "regions_class_order": [1, 2, 3]}
    (folder / "dataset.json").write_text(json.dumps(dataset))
    plan = load_package(folder).plan  # with three outputs, as many as there are regions
    assert plan.overlapping
    assert [(item.value, item.name) for item in plan.classes] == [(1, "whole"), (2, "core"), (3, "active")]


def test_the_command(write_nnunet: WriteNnunet, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, output = write_nnunet(tmp_path / "results", folds=2, epochs=1), tmp_path / "made" / "model"
    with pytest.raises(SystemExit) as ended:
        main(["import", str(folder), "-o", str(output)])
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    assert "7 cases of Dataset004_Organs" in printed
    assert "an ensemble of 2 models: PlainConvUNet, 3D" in printed
    assert "by nnU-Net, nnUNetTrainer, nnUNetPlans, 3d_fullres, fold 0, fold 1" in printed
    assert read_card(output) in printed
    assert read_description(output)["training"]["imported"]["dataset"] == "Dataset004_Organs"
    with pytest.raises(UsageError, match="is there already"):
        import_model(folder, output)
    assert [path.name for path in output.parent.iterdir()] == ["model"]


@pytest.mark.parametrize(("trainer", "is_told"), [("nnUNetTrainer_250epochs", False), ("nnUNetTrainerSwish", True)])
def test_a_trainer_of_somebody_else_is_told(
    trainer: str,
    is_told: bool,
    write_nnunet: WriteNnunet,
    image: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Its weights fit, and what it may have changed beside them stands nowhere."""
    folder = write_nnunet(tmp_path / "results", trainer=trainer)
    said = f"{trainer} is no trainer of nnU-Net itself"
    assert (said in read_card(folder).replace("\n", " ")) == is_told
    with pytest.raises(SystemExit, match="0"):
        main(["apply", str(folder), str(image), "-o", str(tmp_path / "out"), "--device", "cpu"])
    assert (said in " ".join("".join(capsys.readouterr()).split())) == is_told
