"""References with a mask for each class, paired by the names of cases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.evaluation.masked_references import masked_pairs
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.jobs.evaluate import evaluate_files


def put(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = sitk.GetImageFromArray(array.astype(np.uint8))
    image.SetSpacing((0.8, 1.3, 4.0))
    sitk.WriteImage(image, str(path))


@pytest.fixture
def labels() -> np.ndarray:
    """kidney 1, liver 2, spleen 3, as names in their order are numbered."""
    array = np.zeros((4, 9, 6), np.uint8)
    for value in (1, 2, 3):
        array[1:3, 3 * value - 3 : 3 * value - 1, 1:5] = value
    return array


@pytest.fixture
def folders(tmp_path: Path, labels: np.ndarray) -> tuple[Path, Path]:
    """Predictions that are right, and references of which the first lacks the kidney."""
    for name in ("s1", "s2"):
        put(tmp_path / "out" / f"{name}.nii.gz", labels)
        put(tmp_path / "data" / name / "ct.nii.gz", labels)
        for value, organ in enumerate(("kidney", "liver", "spleen"), start=1):
            if (name, organ) != ("s1", "kidney"):
                put(tmp_path / "data" / name / "segmentations" / f"{organ}.nii.gz", labels == value)
    return tmp_path / "out", tmp_path / "data"


def test_folders_of_masks(folders: tuple[Path, Path], tmp_path: Path) -> None:
    events: list[Any] = []
    config = EvaluateConfig(predictions=str(folders[0]), labels=str(folders[1]), output_dir=str(tmp_path / "report"))
    evaluate_files(config, events.append)
    metrics = read_json_file(tmp_path / "report" / "metrics.json")
    cases = metrics["cases"].items()
    dice = {(case, name): entry["dice"] for case, classes in cases for name, entry in classes.items()}
    assert dice == {("s1", "kidney"): None, **{(case, organ): 1.0 for case in ("s1", "s2")
                    for organ in ("kidney", "liver", "spleen") if (case, organ) != ("s1", "kidney")}}  # fmt: skip


def test_predictions_without_case_are_named(folders: tuple[Path, Path], labels: np.ndarray) -> None:
    put(folders[0] / "s3.nii.gz", labels)
    with pytest.raises(DataError, match="do not belong together one by one: s3"):
        masked_pairs(*folders, lambda event: None)


def test_no_masks(tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    assert masked_pairs(tmp_path, tmp_path / "labels", lambda event: None) == []
