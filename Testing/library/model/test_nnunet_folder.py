"""nnU-Net's folders and zips are found wherever they lie, and say what they are without PyTorch."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.any_description import read_description, written_file
from MedSegTrainerLib.model.nnunet_folder import find_nnunet

WriteNnunet = Callable[..., Path]


@pytest.fixture
def folder(write_nnunet: WriteNnunet, tmp_path: Path) -> Path:
    return write_nnunet(tmp_path / "results", folds=2)


def zipped(folder: Path, path: Path, inside: str) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.rglob("*")):
            archive.write(file, inside + file.relative_to(folder).as_posix())
    return path


def summary(dice: dict[str, Any], cases: int) -> str:
    return json.dumps(
        {
            "foreground_mean": {"Dice": 0.5},
            "mean": {key: {"Dice": value} for key, value in dice.items()},
            "metric_per_case": [
                {"metrics": {key: {"Dice": value} for key, value in dice.items()}, "reference_file": f"/gt/c{n}.nii.gz"}
                for n in range(cases)
            ],
        }
    )


class TestPlaces:
    def test_of_the_model_of_its_data_set_and_of_all_results(self, folder: Path) -> None:
        for path in (folder, folder.parent, folder.parent.parent):
            found = find_nnunet(path)
            assert found is not None
            assert list(found.folds) == ["fold_0", "fold_1"]
            assert found.place.name == folder.name
            assert read_description(path) == read_description(folder)

    def test_of_one_fold(self, folder: Path) -> None:
        document = read_description(folder / "fold_1")
        assert "members" not in document
        assert document["training"]["imported"]["fold"] == "fold_1"

    @pytest.mark.parametrize("inside", ["", "Dataset004_Organs/nnUNetTrainer__nnUNetPlans__3d_fullres/", "any/x/"])
    def test_zip(self, folder: Path, tmp_path: Path, inside: str) -> None:
        path = zipped(folder, tmp_path / "model.zip", inside)
        document, expected = read_description(path), read_description(folder)
        assert document["plan"] == expected["plan"]
        assert len(document["members"]) == 2
        assert written_file(path) == path

    def test_a_renamed_folder_is_known_by_its_checkpoint(self, folder: Path) -> None:
        expected = read_description(folder)
        renamed = folder.rename(folder.parent / "my liver")
        assert read_description(renamed)["plan"] == expected["plan"]

    def test_final_checkpoints_come_before_the_best_and_numbers_before_all(self, folder: Path) -> None:
        shutil.copytree(folder / "fold_0", folder / "fold_all")
        (folder / "fold_1" / "checkpoint_final.pth").rename(folder / "fold_1" / "checkpoint_best.pth")
        found = find_nnunet(folder)
        assert found is not None
        assert found.folds == {"fold_0": "fold_0/checkpoint_final.pth"}
        shutil.rmtree(folder / "fold_0")
        shutil.rmtree(folder / "fold_1")
        found = find_nnunet(folder)
        assert found is not None
        assert found.folds == {"fold_all": "fold_all/checkpoint_final.pth"}
        (folder / "fold_all" / "checkpoint_final.pth").rename(folder / "fold_all" / "checkpoint_best.pth")
        found = find_nnunet(folder)
        assert found is not None
        assert found.folds == {"fold_all": "fold_all/checkpoint_best.pth"}

    def test_several_models_are_named(self, folder: Path, tmp_path: Path) -> None:
        shutil.copytree(folder, folder.parent / "nnUNetTrainer__nnUNetPlans__2d")
        with pytest.raises(ModelError, match=r"2 models \(.*nnUNetTrainer__nnUNetPlans__2d.*Give its folder"):
            read_description(folder.parent)
        with pytest.raises(ModelError, match=r"2 models .*Unpack it"):
            read_description(zipped(folder.parent, tmp_path / "both.zip", ""))

    def test_anything_else_is_none(self, tmp_path: Path) -> None:
        (tmp_path / "plans.json").write_text("{}")
        other = tmp_path / "other.zip"
        with zipfile.ZipFile(other, "w") as archive:
            archive.writestr("plans.json", "{}")
        for path in (tmp_path, other, tmp_path / "gone", tmp_path / "plans.json"):
            assert find_nnunet(path) is None


class TestDescription:
    def test_what_the_plan_says(self, folder: Path) -> None:
        plan = read_description(folder)["plan"]
        assert plan["spacing"] == [2.5, 1.1, 0.8]
        assert plan["divisor"] == [2, 4, 4]
        assert plan["normalization"] == [{"method": "zscore", "masked": True}]
        assert [(item["value"], item["name"]) for item in plan["classes"]] == [(1, "liver"), (2, "cyst")]

    def test_scores_of_held_out_cases_are_those_of_the_folds_by_their_number(self, folder: Path) -> None:
        for fold, dice, cases in (("fold_0", {"1": 0.9, "2": 0.5}, 3), ("fold_1", {"1": 0.8, "2": float("nan")}, 1)):
            (folder / fold / "validation").mkdir()
            (folder / fold / "validation" / "summary.json").write_text(summary(dice, cases))
        metrics = read_description(folder)["metrics"]
        assert metrics["val_dice_per_class"] == {"liver": pytest.approx((3 * 0.9 + 0.8) / 4), "cyst": 0.5}
        assert metrics["summary"]["cyst"]["dice"]["count"] == 3
        assert metrics["validation_cases"] == ["c0", "c1", "c2", "c0"]

    def test_a_damaged_summary_says_nothing(self, folder: Path) -> None:
        (folder / "fold_0" / "validation").mkdir()
        (folder / "fold_0" / "validation" / "summary.json").write_text("{")
        assert read_description(folder / "fold_0")["metrics"] == {}

    def test_it_is_read_without_pytorch(self, folder: Path) -> None:
        code = (
            "import sys; from pathlib import Path; "
            "from MedSegTrainerLib.model.any_description import read_description; "
            f"read_description(Path({str(folder)!r})); "
            "print(sorted({'torch', 'numpy', 'pydantic'} & set(sys.modules)))"
        )
        root = str(Path(__file__).resolve().parents[3])
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=True)
        assert done.stdout.strip() == "[]"
