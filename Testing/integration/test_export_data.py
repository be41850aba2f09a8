"""The command and the call that write a data set for other programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import SimpleITK as sitk

from MedSegTrainerLib.api import export_data
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.errors import ConfigError


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        main(["export-data", *map(str, words)])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), " ".join((shown.out + shown.err).split())


def test_the_command(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "Dataset003_Organs"
    code, text = run(capsys, dataset, "-o", output, "--folds", 3, "--set", "ignore_label=5")
    assert code == 0, text
    cases = sorted(path.name.partition(".")[0] for path in (dataset / "images").iterdir())
    assert f"{output} has {len(cases)} cases, 1 classes; 3 folds." in text
    assert "New numbers: label 2 2 -> 1." in text
    assert sorted(path.name for path in (output / "labelsTr").iterdir()) == [f"{name}.nii.gz" for name in cases]
    description = json.loads((output / "dataset.json").read_text())
    assert description["labels"] == {"background": 0, "label 2": 1, "ignore": 2}
    label = sitk.GetArrayFromImage(sitk.ReadImage(str(output / "labelsTr" / f"{cases[0]}.nii.gz")))
    original = sitk.GetArrayFromImage(sitk.ReadImage(str(dataset / "labels" / f"{cases[0]}.nii.gz")))
    assert ((label == 1) == (original == 2)).all() and ((label == 2) == (original == 5)).all()


def test_what_is_wrong_is_said_before_anything_is_read(
    dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, text = run(capsys, dataset, "-o", tmp_path / "organs")
    assert (code, "Checking" in text) == (2, False) and "such as Dataset007_Liver" in text
    code, text = run(capsys, dataset, "-o", tmp_path / "Dataset001_A", "--format", "decathlon")
    assert code == 2 and "'decathlon' is no format for data sets" in text
    assert list(tmp_path.iterdir()) == []


def test_from_python(dataset: Path, tmp_path: Path) -> None:
    notes = export_data(dataset, tmp_path / "Dataset003_Organs", folds=4)
    assert notes[0].endswith("2 classes; 4 folds.")
    with pytest.raises(ConfigError, match="foldz"):
        export_data(dataset, tmp_path / "Dataset004_Organs", foldz=4)
