"""Folders as a PACS exports them: series and their SEG or RTSTRUCT are found by UIDs, wherever they lie."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.data.case_labels import place_labels, read_labels_onto
from MedSegTrainerLib.data.dataset import IncompleteError
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.read import read_channels

Writer = Callable[..., Path]
Polygons = list[tuple[int, list[tuple[float, float]]]]


@pytest.fixture
def organ(oblique_geometry: Geometry) -> np.ndarray:
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[2:7, 3:10, 4:14] = 1
    return mask


@pytest.fixture
def image(oblique_case: tuple[sitk.Image, sitk.Image]) -> sitk.Image:
    return sitk.Cast(sitk.Round(oblique_case[0]), sitk.sitkInt16)


def series_item(uid: str) -> list[pydicom.Dataset]:
    item = pydicom.Dataset()
    item.SeriesInstanceUID = uid
    return [item]


@pytest.fixture
def archive(
    tmp_path: Path, oblique_geometry: Geometry, organ: np.ndarray, image: sitk.Image, write_series: Writer,
    write_seg: Writer,
) -> Path:  # fmt: skip
    """P1 and P2 with a folder for a study, in it a CT, a scout and the SEG of the CT; P3 with all in one folder."""
    for number in (1, 2):
        study = tmp_path / f"P{number}" / "study"
        write_series(image, study / "2.000-CT", uid=f"1.9.{number}")
        write_series(image[:, :, :3], study / "1.000-scout", uid=f"1.8.{number}")
        (study / "300.000-Seg").mkdir()
        write_seg(
            study / "300.000-Seg" / "1-1.dcm", oblique_geometry, {"Organ": organ},
            ReferencedSeriesSequence=series_item(f"1.9.{number}"),
        )  # fmt: skip
    write_series(image, tmp_path / "P3", uid="1.9.3")
    write_seg(
        tmp_path / "P3" / "x.dcm", oblique_geometry, {"organ": organ}, ReferencedSeriesSequence=series_item("1.9.3")
    )
    return tmp_path


def test_series_and_segmentations_belong_together_by_uid(archive: Path, organ: np.ndarray) -> None:
    dataset = find_cases(archive)
    assert dataset.layout == "DICOM series with segmentations"
    assert [(case.name, case.patient) for case in dataset.cases] == [("P1", "P1"), ("P2", "P2"), ("P3", "P3")]
    assert [case.images[0].name for case in dataset.cases] == ["2.000-CT", "2.000-CT", "P3"]
    assert dataset.label_names == {1: "Organ"} and "Kind of Organ" in dataset.looks["Organ"].terminology
    for case in dataset.cases:
        channels = read_channels(case.images)
        assert int(sitk.GetArrayFromImage(read_labels_onto(case, channels[0], None)).sum()) == organ.sum()


def test_a_structure_set(
    archive: Path, oblique_geometry: Geometry, organ: np.ndarray, image: sitk.Image, write_series: Writer,
    write_structures: Writer,
) -> None:  # fmt: skip
    corners = [(3.5, 2.5), (13.5, 2.5), (13.5, 9.5), (3.5, 9.5)]
    write_series(image, archive / "P4" / "a", uid="1.2.3.4")
    write_structures(archive / "P4" / "rt.dcm", oblique_geometry, {"organ": [(z, corners) for z in range(2, 7)]})
    case = find_cases(archive).cases[3]
    labels = read_labels_onto(case, read_channels(case.images)[0], None)
    assert case.name == "P4" and int(sitk.GetArrayFromImage(labels).sum()) == organ.sum()


def test_two_series_of_a_patient(
    archive: Path, oblique_geometry: Geometry, organ: np.ndarray, image: sitk.Image, write_series: Writer,
    write_seg: Writer,
) -> None:  # fmt: skip
    write_series(image, archive / "P2" / "later", uid="1.7.2")
    write_seg(
        archive / "P2" / "later.dcm", oblique_geometry, {"organ": organ}, ReferencedSeriesSequence=series_item("1.7.2")
    )
    cases = find_cases(archive).cases
    assert [(case.name, case.patient) for case in cases][1:3] == [("P2_1", "P2"), ("P2_2", "P2")]


def test_a_study_alone(archive: Path) -> None:
    (case,) = find_cases(archive / "P1" / "study").cases
    assert case.name == "2.000-CT"


def test_what_has_no_counterpart(
    archive: Path, oblique_geometry: Geometry, organ: np.ndarray, image: sitk.Image, write_series: Writer,
    write_seg: Writer,
) -> None:  # fmt: skip
    write_series(image, archive / "P5" / "CT", uid="1.9.5")
    (archive / "P6").mkdir()
    write_seg(archive / "P6" / "s.dcm", oblique_geometry, {"organ": organ})
    with pytest.raises(IncompleteError, match=r"1 DICOM segmentations without their series and 1 folders") as caught:
        find_cases(archive)
    assert [finding.case for finding in caught.value.findings] == ["P6", "P5"]
    assert [case.name for case in caught.value.dataset.cases] == ["P1", "P2", "P3"]


def test_two_segmentations_of_a_series(
    archive: Path, oblique_geometry: Geometry, organ: np.ndarray, write_seg: Writer
) -> None:
    write_seg(
        archive / "P3" / "y.dcm", oblique_geometry, {"organ": organ}, ReferencedSeriesSequence=series_item("1.9.3")
    )
    with pytest.raises(DataError, match=r"x\.dcm and .*y\.dcm are both labels of the series in .*P3\. Keep one"):
        find_cases(archive)


@pytest.mark.parametrize("overlapping", [False, True])
def test_classes_that_are_listed_are_taken_alone(
    overlapping: bool, archive: Path, oblique_geometry: Geometry, organ: np.ndarray, image: sitk.Image,
    write_series: Writer, write_structures: Writer,
) -> None:  # fmt: skip
    """A structure set often has more, with other names in each patient."""
    corners = [(3.5, 2.5), (13.5, 2.5), (13.5, 9.5), (3.5, 9.5)]
    whole = [(z, corners) for z in range(2, 7)]
    write_series(image, archive / "P4" / "a", uid="1.2.3.4")
    further = {"body": whole} if overlapping else {}
    write_structures(archive / "P4" / "rt.dcm", oblique_geometry, {"PTV": whole, "ORGAN": whole, **further})
    labels = {"background": 0, "organ": 1, **({"body": 2} if overlapping else {})}
    (archive / "dataset.json").write_text(json.dumps({"labels": labels}))
    dataset = find_cases(archive)
    assert dataset.overlapping == overlapping and dataset.label_names[1] == "organ"
    case = dataset.cases[3]
    placed = place_labels(case, read_channels(case.images)[0], None)
    found = sitk.GetArrayFromImage(placed.image)
    assert np.unique(found).tolist() == [0, 3 if overlapping else 1] and (found > 0).sum() == organ.sum()
    assert placed.finding is not None
    assert "structure set (RTSTRUCT) has segments that are none of the classes" in placed.finding.message
    assert placed.finding.message.endswith("left out: PTV.")


def test_a_patient_without_any_listed_class(
    archive: Path, oblique_geometry: Geometry, organ: np.ndarray, write_seg: Writer
) -> None:
    write_seg(
        archive / "P3" / "x.dcm", oblique_geometry, {"cyst": organ}, ReferencedSeriesSequence=series_item("1.9.3")
    )
    (archive / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "organ": 1}}))
    case = find_cases(archive).cases[2]
    placed = place_labels(case, read_channels(case.images)[0], None)
    assert not sitk.GetArrayFromImage(placed.image).any()
    assert placed.finding is not None and placed.finding.message.endswith("left out: cyst.")


def test_a_list_that_names_nothing_of_them(archive: Path) -> None:
    """The numbers of segments say nothing, so that none may become the class of that number."""
    (archive / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "kidney": 1}}))
    with pytest.raises(DataError, match=r"name none of the classes kidney\. They name [Oo]rgan.* Give the classes"):
        find_cases(archive)
