"""Values that only one side of an evaluation has are told, and binary masks compared whatever their number."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.evaluation.evaluate import evaluate
from MedSegTrainerLib.evaluation.file_pairs import pair_folders
from MedSegTrainerLib.events import Warned
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map
from MedSegTrainerLib.jobs.evaluate import evaluate_files

GEOMETRY = Geometry(
    size=(13, 11, 7),
    spacing=(0.7, 1.1, 3.0),
    origin=(12.0, -30.0, 5.0),
    direction=(0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0),
)
ORGAN = LabelClass(value=1, name="organ", color=(200, 80, 60))


def labels(*values: float, shift: int = 0) -> np.ndarray:
    """A block for each value, beside each other."""
    array = np.zeros(GEOMETRY.size_zyx, np.float32)
    for place, value in enumerate(values):
        array[2:5, 3:8, 2 + 3 * place + shift : 5 + 3 * place + shift] = value
    return array


def compared(
    tmp_path: Path, predictions: list[np.ndarray], references: list[np.ndarray], *classes: LabelClass, **options: Any
) -> dict[str, Any]:
    for side, arrays in (("p", predictions), ("r", references)):
        (tmp_path / side).mkdir()
        for number, array in enumerate(arrays):
            whole = array if (array % 1).any() else array.astype(np.int16)
            sitk.WriteImage(GEOMETRY.place(whole), str(tmp_path / side / f"c{number}.nii.gz"))
    pairs, events = pair_folders(tmp_path / "p", tmp_path / "r"), []
    document = evaluate(pairs, classes or None, tmp_path / "out", events.append, title="t", **options)
    assert [event.message for event in events if isinstance(event, Warned)] == document["notes"]
    assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == document
    return document


def dice(document: dict[str, Any]) -> dict[str, float]:
    return {name: item["dice"]["mean"] for name, item in document["summary"].items()}


class TestBinaryMasks:
    @pytest.mark.parametrize("predicted, expected", [(1, 255), (255, 1)])
    def test_the_reference_names_the_class(self, tmp_path: Path, predicted: int, expected: int) -> None:
        document = compared(tmp_path, [labels(predicted, shift=1)], [labels(expected)])
        assert dice(document) == {f"label {expected}": pytest.approx(2 / 3)}
        assert document["notes"] == ["Masks of 0 and 1 and of 0 and 255 were compared as one class."]
        assert document["confusion"]["voxels"][1][1] == 30

    def test_references_of_both_kinds(self, tmp_path: Path) -> None:
        document = compared(tmp_path, [labels(255), labels(1), labels()], [labels(1), labels(255), labels()])
        assert dice(document) == {"label 1": 1.0}
        assert document["confusion"]["voxels"][1] == [0, 90]
        assert "one class" in document["notes"][0] and len(document["notes"]) == 1

    @pytest.mark.parametrize("value", [1, 255])
    def test_the_class_of_a_model(self, tmp_path: Path, value: int) -> None:
        document = compared(tmp_path, [labels(1)], [labels(value)], ORGAN)
        assert dice(document) == {"organ": 1.0}

    def test_the_class_of_named_segments(self, tmp_path: Path) -> None:
        (tmp_path / "r").mkdir()
        sitk.WriteImage(GEOMETRY.place(labels(255).astype(np.uint8)), str(tmp_path / "r" / "a.nrrd"))
        write_label_map(GEOMETRY.place(labels(1).astype(np.uint8)), tmp_path / "p" / "a.seg.nrrd", [ORGAN])
        pairs = pair_folders(tmp_path / "p", tmp_path / "r")
        assert dice(evaluate(pairs, None, tmp_path / "out", lambda event: None, title="t")) == {"organ": 1.0}

    def test_several_classes_stay(self, tmp_path: Path) -> None:
        document = compared(tmp_path, [labels(1, 255)], [labels(1, 255)])
        assert dice(document) == {"label 1": 1.0, "label 255": 1.0}
        assert document["notes"] == []


class TestOneSide:
    def test_shifted_values(self, tmp_path: Path) -> None:
        document = compared(tmp_path, [labels(2, 3)], [labels(1, 2)])
        [note] = document["notes"]
        assert "only predictions have 3 (in c0) and only references have 1 (in c0)" in note
        assert "shifted by +1" in note

    def test_values_of_no_class_of_the_model(self, tmp_path: Path) -> None:
        notes = compared(tmp_path, [labels(2)], [labels(1)], ORGAN)["notes"]
        assert any("only references have 1 (organ) (in c0)" in note for note in notes)

    def test_missed_everywhere(self, tmp_path: Path) -> None:
        [note] = compared(tmp_path, [labels(1), labels(1)], [labels(1, 2), labels(1)])["notes"]
        assert "only references have 2 (in c0). It was missed everywhere, or" in note

    def test_what_is_often_not_labelled(self, tmp_path: Path) -> None:
        [note] = compared(tmp_path, [labels(1)], [labels(1, 255)])["notes"]
        assert "--ignore-label 255" in note

    def test_not_labelled_is_not_missing(self, tmp_path: Path) -> None:
        document = compared(tmp_path, [labels(1)], [labels(1, 255)], ignore_label=255)
        [note] = document["notes"]
        assert dice(document) == {"label 1": 1.0} and note.startswith(
            "Voxels that nobody labelled do not count. In 1 of 1"
        )

    def test_a_case_that_shares_no_value(self, tmp_path: Path) -> None:
        [note] = compared(tmp_path, [labels(1), labels(1, 2)], [labels(2), labels(1, 2)])["notes"]
        assert note.startswith("Prediction and reference of c0 have no label value in common.")

    def test_negative_values(self, tmp_path: Path) -> None:
        notes = compared(tmp_path, [labels(1, -1)], [labels(1, -1)])["notes"]
        assert "--ignore-label -1" in notes[0]


def test_rounded_values_are_told(tmp_path: Path) -> None:
    document = compared(tmp_path, [labels(0.99999994, 3.0000002)], [labels(1, 3)])
    assert dice(document) == {"label 1": 1.0, "label 3": 1.0}
    assert document["notes"][0].startswith("Label values near to whole numbers were rounded: c0.nii.gz (")


def test_soft_edges_are_refused(tmp_path: Path) -> None:
    soft = labels(255, 255)
    soft[1, 2, 1:11] = range(20, 220, 20)
    with pytest.raises(DataError, match=r"r/c0\.nii\.gz: 10 gray values .* Set all below 128 to 0"):
        compared(tmp_path, [labels(255)], [soft])


def test_ignore_of_a_dataset_json(tmp_path: Path) -> None:
    compared(tmp_path, [labels(1)], [labels(1)])
    root = tmp_path / "nnunet"
    (root / "labelsTr").mkdir(parents=True)
    sitk.WriteImage(GEOMETRY.place(labels(1, 3).astype(np.uint8)), str(root / "labelsTr" / "c0.nii.gz"))
    (root / "dataset.json").write_text('{"labels": {"background": 0, "organ": 1, "ignore": 3}}')
    for place in (root, root / "labelsTr"):
        config = EvaluateConfig(predictions=str(tmp_path / "p"), labels=str(place), output_dir=str(tmp_path / "o"))
        evaluate_files(config, lambda event: None)
        document = json.loads((tmp_path / "o" / "metrics.json").read_text())
        assert (document["ignore_label"], list(document["summary"])) == (3, ["label 1"])
        assert "Voxels of value 3 do not count" in document["notes"][0]
