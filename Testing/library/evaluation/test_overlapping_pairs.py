"""Evaluations of classes that overlap: whatever form the files have, the numbers are those of each class by itself."""

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
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.evaluation.overlapping_pairs import compared_classes, with_forms
from MedSegTrainerLib.imaging.class_bits import has_class, to_bits
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.overlapping_results import write_overlapping
from MedSegTrainerLib.jobs.evaluate import evaluate_files
from MedSegTrainerLib.report.case_arrays import read_case

GEOMETRY = Geometry(
    size=(13, 11, 7), spacing=(0.7, 1.1, 3.0), origin=(12.0, -30.0, 5.0),
    direction=(0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0),
)  # fmt: skip
CLASSES = [
    LabelClass(value=1, name="organ", color=(200, 80, 60)), LabelClass(value=2, name="tumor", color=(60, 80, 200))
]  # fmt: skip
IGNORE = 9


def ignore(event: Any) -> None:
    pass


def organ(shift: int = 0) -> np.ndarray:
    mask = np.zeros(GEOMETRY.size_zyx, bool)
    mask[1:6, 2:9, 2 + shift : 9 + shift] = True
    return mask


def tumor(shift: int = 0) -> np.ndarray:
    mask = np.zeros(GEOMETRY.size_zyx, bool)
    mask[2:4, 4:7, 4 + shift : 7 + shift] = True
    return mask


def save(image: sitk.Image, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))
    return path


def place(array: np.ndarray) -> sitk.Image:
    return GEOMETRY.place(array.astype(np.int32 if array.dtype == np.int32 else np.uint8))


def write_prediction(folder: Path, suffix: str = "seg.nrrd", name: str = "a") -> Path:
    path = folder / "predictions" / f"{name}.{suffix}"
    write_overlapping(GEOMETRY.place(to_bits([organ(1), tumor(1)])), path, CLASSES)
    return path


def write_regions(folder: Path) -> Path:
    """nnU-Net: 1 the organ alone, 2 the tumor in it."""
    values = organ().astype(np.uint8) + tumor()
    description = {"labels": {"background": 0, "organ": [1, 2], "tumor": [2]}}
    (folder / "set").mkdir()
    (folder / "set" / "dataset.json").write_text(json.dumps(description))
    save(place(values), folder / "set" / "labelsTr" / "a.nii.gz")
    return folder / "set"


def write_masks(folder: Path) -> Path:
    root = folder / "set"
    files = {}
    for name, mask in (("organ", organ()), ("tumor", tumor())):
        files[name] = save(place(mask), root / f"a_{name}.nrrd").name
    case = {"name": "a", "images": [save(place(organ()), root / "a.nrrd").name], "masks": files}
    (root / "cases.json").write_text(json.dumps({"cases": [case]}))
    return root


def write_channels(folder: Path) -> Path:
    save(sitk.JoinSeries([place(organ()), place(tumor())]), folder / "set" / "labels" / "a.nii.gz")
    (folder / "set" / "dataset.json").write_text(
        json.dumps({"labels": {"0": "background", "1": "organ", "2": "tumor"}})
    )
    return folder / "set"


def write_layers(folder: Path) -> Path:
    path = folder / "set" / "labels" / "a.seg.nrrd"
    path.parent.mkdir(parents=True)
    write_overlapping(GEOMETRY.place(to_bits([organ(), tumor()])), path, CLASSES)
    return folder / "set"


FORMS = {"regions": write_regions, "masks": write_masks, "channels": write_channels, "layers": write_layers}


def numbers(folder: Path, predictions: Path, labels: Path, **settings: Any) -> dict[str, Any]:
    config = EvaluateConfig(
        predictions=str(predictions), labels=str(labels), output_dir=str(folder / "report"), **settings
    )
    evaluate_files(config, ignore)
    document: dict[str, Any] = json.loads((folder / "report" / "metrics.json").read_text())
    return document


def alone(folder: Path, prediction: np.ndarray, reference: np.ndarray) -> dict[str, float | None]:
    """The numbers of one class by itself, as of binary label maps."""
    pair = Pair(
        name="a", prediction=save(place(prediction), folder / "alone" / "p.nii.gz"),
        reference=save(place(reference), folder / "alone" / "r.nii.gz"), image=None,
    )  # fmt: skip
    document = evaluate([pair], CLASSES[:1], folder / "alone" / "out", ignore, title="t")
    values: dict[str, float | None] = document["cases"]["a"]["organ"]
    return values


class TestEveryForm:
    @pytest.mark.parametrize("form", FORMS)
    @pytest.mark.parametrize("suffix", ["seg.nrrd", "nii.gz", "npy"])
    def test_is_each_class_by_itself(self, form: str, suffix: str, tmp_path: Path) -> None:
        predictions = write_prediction(tmp_path, suffix).parent
        document = numbers(tmp_path, predictions, FORMS[form](tmp_path))
        assert document["overlapping"] is True and document["confusion"] is None
        assert [item["name"] for item in document["classes"]] == ["organ", "tumor"]
        expected = {"organ": alone(tmp_path, organ(1), organ()), "tumor": alone(tmp_path, tumor(1), tumor())}
        for name, values in document["cases"]["a"].items():
            assert values == pytest.approx(expected[name], rel=1e-5), name
        page = (tmp_path / "report" / "report.html").read_text(encoding="utf-8")
        assert "there is no confusion matrix" in page and 'id="confusion"' not in page


class TestWhatDoesNotCount:
    def test_voxels_that_nobody_labelled(self, tmp_path: Path) -> None:
        root = write_regions(tmp_path)
        description = json.loads((root / "dataset.json").read_text())
        description["labels"]["ignore"] = IGNORE
        (root / "dataset.json").write_text(json.dumps(description))
        values = organ().astype(np.uint8) + tumor()
        values[:, :, 9:] = IGNORE
        save(place(values), root / "labelsTr" / "a.nii.gz")
        document = numbers(tmp_path, write_prediction(tmp_path).parent, root)
        known = organ(1).copy()
        known[:, :, 9:] = False
        both = 2 * (known & organ()).sum() / (known.sum() + organ().sum())
        assert document["cases"]["a"]["organ"]["dice"] == pytest.approx(both)

    def test_a_class_that_was_not_drawn(self, tmp_path: Path) -> None:
        root = write_regions(tmp_path)
        (root / "drawn.json").write_text(json.dumps({"a": ["organ"]}))
        document = numbers(tmp_path, write_prediction(tmp_path).parent, root)
        assert document["not_drawn"] == {"a": ["tumor"]}
        assert document["cases"]["a"]["tumor"]["dice"] is None
        assert document["cases"]["a"]["organ"]["dice"] == pytest.approx(alone(tmp_path, organ(1), organ())["dice"])


class TestWithoutOverlap:
    def test_layers_that_do_not_overlap_are_compared_as_ever(self, tmp_path: Path) -> None:
        rest = organ() & ~tumor()
        path = tmp_path / "labels" / "a.seg.nrrd"
        path.parent.mkdir()
        image = sitk.Compose([place(rest), place(tumor())])
        for index, name in enumerate(("organ", "tumor")):
            for key, text in {"Name": name, "LabelValue": "1", "Layer": str(index)}.items():
                image.SetMetaData(f"Segment{index}_{key}", text)
        sitk.WriteImage(image, str(path))
        pair = Pair(name="a", prediction=path, reference=path, image=None)
        assert compared_classes([pair]) is None
        document = evaluate([pair], None, tmp_path / "out", ignore, title="t")
        assert document["overlapping"] is False and document["confusion"]["labels"] == ["background", "organ", "tumor"]

    def test_plain_label_maps_are_left_as_they_are(self, tmp_path: Path) -> None:
        path = save(place(organ()), tmp_path / "labels" / "a.nii.gz")
        pair = Pair(name="a", prediction=path, reference=path, image=None)
        assert with_forms([pair]) == [pair]


class TestMasks:
    def test_a_prediction_of_no_case(self, tmp_path: Path) -> None:
        root = write_masks(tmp_path)
        predictions = write_prediction(tmp_path, name="b").parent
        with pytest.raises(DataError, match="do not belong together one by one: b"):
            numbers(tmp_path, predictions, root)

    def test_of_a_list_of_references(self, tmp_path: Path) -> None:
        root = write_masks(tmp_path)
        files = {name: str(root / f"a_{name}.nrrd") for name in ("organ", "tumor")}
        document = numbers(
            tmp_path, write_prediction(tmp_path).parent, Path(), references={"a": files["organ"]}, masks={"a": files}
        )
        assert document["cases"]["a"]["tumor"] == pytest.approx(alone(tmp_path, tumor(1), tumor()), rel=1e-5)


def test_the_pictures_are_of_both(tmp_path: Path) -> None:
    document = numbers(tmp_path, write_prediction(tmp_path).parent, write_regions(tmp_path))
    case = read_case(document["files"]["a"], [1, 2], None, None, (), document["label_forms"]["a"])
    assert case.overlapping
    for value, (predicted, expected) in enumerate(((organ(1), organ()), (tumor(1), tumor())), start=1):
        assert has_class(case.prediction, value).sum() == predicted.sum()
        assert has_class(case.reference, value).sum() == expected.sum()
