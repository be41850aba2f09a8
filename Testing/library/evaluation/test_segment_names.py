"""What the values of an evaluation without a model mean."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.evaluation.evaluate import evaluate
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.evaluation.segment_names import named_classes
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map

GRID = Geometry(
    size=(9, 8, 7), spacing=(0.7, 1.1, 3.0), direction=(0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0)
)  # fmt: skip
RED, BLUE = (200, 80, 60), (60, 80, 200)
ARRAY = np.zeros(GRID.size_zyx, np.uint8)
ARRAY[1:4, 1:5, 1:4], ARRAY[4:6, 1:5, 5:8] = 1, 2


def save(folder: Path, side: str, case: str, names: dict[int, str], array: np.ndarray = ARRAY) -> Path:
    """A label map that names its values; without names a plain one."""
    path = folder / side / f"{case}{'.seg.nrrd' if names else '.nii.gz'}"
    colors = {"prediction": RED, "reference": BLUE}
    items = [LabelClass(value=value, name=name, color=colors[side]) for value, name in names.items()]
    write_label_map(GRID.place(array), path, items)
    return path


def pair(folder: Path, case: str, predicted: dict[int, str], expected: dict[int, str], swap: bool = False) -> Pair:
    swapped = np.array([0, 2, 1], np.uint8)[ARRAY]
    return Pair(
        name=case, prediction=save(folder, "prediction", case, predicted, swapped if swap else ARRAY),
        reference=save(folder, "reference", case, expected), image=None,
    )  # fmt: skip


def test_one_value_for_a_name_whatever_the_files_use(tmp_path: Path) -> None:
    one = pair(tmp_path, "a", {1: "Spleen", 2: "liver"}, {1: "Liver", 2: "spleen"}, swap=True)
    two = pair(tmp_path, "b", {1: "liver", 2: "spleen"}, {1: "Liver", 2: "spleen"})
    classes, notes = named_classes([one, two])
    assert [(item.value, item.name.casefold()) for item in classes] == [(1, "liver"), (2, "spleen")]
    assert classes[0].color == RED and notes == []


def test_swapped_values_with_the_right_names_agree(tmp_path: Path) -> None:
    swapped = pair(tmp_path, "a", {1: "spleen", 2: "liver"}, {1: "liver", 2: "spleen"}, swap=True)
    document = evaluate([swapped], None, tmp_path / "out", lambda event: None, title="t")
    assert {name: values["dice"] for name, values in document["cases"]["a"].items()} == {"liver": 1, "spleen": 1}
    assert document["notes"] == []
    assert document["confusion"]["voxels"][1][2] == document["confusion"]["voxels"][2][1] == 0


def test_names_of_one_side_alone_are_told(tmp_path: Path) -> None:
    _, notes = named_classes([pair(tmp_path, "a", {1: "liver", 2: "milt"}, {1: "liver", 2: "spleen"})])
    assert len(notes) == 1 and "only predictions name 'milt' and only references name 'spleen'" in notes[0]


def test_plain_references_are_compared_by_value(tmp_path: Path) -> None:
    """Where all named files agree there is nothing to tell; else the reader must look."""
    plain = pair(tmp_path, "a", {1: "liver", 2: "spleen"}, {})
    classes, notes = named_classes([plain])
    assert [item.name for item in classes] == ["liver", "spleen"] and notes == []
    other = pair(tmp_path, "b", {1: "spleen", 2: "liver"}, {1: "liver", 2: "spleen"}, swap=True)
    _, notes = named_classes([plain, other])
    assert len(notes) == 1 and "a have names on one side only" in notes[0] and "(1 and 2)" in notes[0]


def test_nothing_where_no_file_names_anything(tmp_path: Path) -> None:
    assert named_classes([pair(tmp_path, "a", {}, {})]) == ([], [])
