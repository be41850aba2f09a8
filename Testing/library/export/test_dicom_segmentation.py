"""Label files of any format become segmentations of the series they were drawn on, or words about why not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.export.dicom_segmentation import write_segmentation
from MedSegTrainerLib.imaging.class_bits import to_bits
from MedSegTrainerLib.imaging.dicom_seg import seg_classes
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map
from MedSegTrainerLib.imaging.label_source import LabelSource, place_labels
from MedSegTrainerLib.imaging.overlapping_results import write_overlapping
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.write_dicom_seg import BY_HAND, Maker

CODED = "c~SCT^123037004^Anatomical Structure~SCT^10200004^Liver~^^~a~^^~^^"
CLASSES = [
    LabelClass(value=1, name="liver", color=(221, 130, 101), terminology=CODED),
    LabelClass(value=2, name="cyst", color=(10, 20, 230)),
]


@pytest.fixture
def case(
    oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, write_series: Callable[..., Path]
) -> tuple[Path, sitk.Image]:
    """A series, and the label map of its volume."""
    image, label = oblique_case
    return write_series(sitk.Cast(image, sitk.sitkInt16), tmp_path / "series"), label


def read_on(series: Path, path: Path, **source: object) -> np.ndarray:
    grid = read_file(series)
    numbers = {item.name: number for number, item in enumerate(seg_classes(path), start=1)}
    placed = place_labels(LabelSource(path=path, numbers=numbers, overlapping=bool(source)), grid)
    return sitk.GetArrayFromImage(placed.image)


@pytest.mark.parametrize("axes", ["LPS", "RAS", "SAL", "IPR"])
def test_a_slicer_segmentation_in_any_order_of_axes(case: tuple[Path, sitk.Image], axes: str, tmp_path: Path) -> None:
    series, label = case
    write_label_map(sitk.DICOMOrient(label, axes), tmp_path / "a.seg.nrrd", CLASSES)
    written = write_segmentation(tmp_path / "a.seg.nrrd", series, tmp_path / "a.seg.dcm", Maker(name="my model"))
    assert written == CLASSES
    assert np.array_equal(read_on(series, tmp_path / "a.seg.dcm"), sitk.GetArrayViewFromImage(label))
    liver, cyst = seg_classes(tmp_path / "a.seg.dcm")
    assert (liver.name, cyst.name) == ("liver", "cyst") and "SCT^10200004^Liver" in liver.terminology


def test_a_segmentation_that_was_cut_to_what_is_in_it(case: tuple[Path, sitk.Image], tmp_path: Path) -> None:
    series, label = case
    write_label_map(label[4:14, 3:10, 2:7], tmp_path / "a.seg.nrrd", CLASSES)
    write_segmentation(tmp_path / "a.seg.nrrd", series, tmp_path / "a.seg.dcm", BY_HAND, kind="LABELMAP")
    assert np.array_equal(read_on(series, tmp_path / "a.seg.dcm"), sitk.GetArrayViewFromImage(label))


def test_overlapping_segments(case: tuple[Path, sitk.Image], tmp_path: Path) -> None:
    series, label = case
    array = sitk.GetArrayViewFromImage(label)
    bits = to_bits([array > 0, array == 2])
    write_overlapping(Geometry.of(label).place(bits), tmp_path / "a.seg.nrrd", CLASSES)
    write_segmentation(tmp_path / "a.seg.nrrd", series, tmp_path / "a.seg.dcm", BY_HAND)
    assert np.array_equal(read_on(series, tmp_path / "a.seg.dcm", overlapping=True), bits)


def test_a_label_map_without_names(case: tuple[Path, sitk.Image], tmp_path: Path) -> None:
    series, label = case
    sitk.WriteImage(label, str(tmp_path / "a.nii.gz"))
    write_segmentation(tmp_path / "a.nii.gz", series, tmp_path / "a.dcm", BY_HAND)
    assert [item.name for item in seg_classes(tmp_path / "a.dcm")] == ["label 1", "label 2"]
    assert pydicom.dcmread(tmp_path / "a.dcm").SegmentSequence[0].SegmentAlgorithmType == "MANUAL"


def test_a_real_one_with_overlap_comes_back_as_it_was(shared_data: Path, tmp_path: Path) -> None:
    """Made by dcmqi; read, and written again, by this program; compared by highdicom."""
    folder = shared_data / "dicom_objects" / "dcmqi"
    original, again = folder / "partial_overlaps.dcm", tmp_path / "new" / "again.dcm"
    write_segmentation(original, folder / "ct-3slice", again, Maker(name="my model"))
    first, second = highdicom.seg.segread(original), highdicom.seg.segread(again)
    assert second.SegmentsOverlap == "YES"
    volumes = first.get_volume(), second.get_volume()
    assert np.array_equal(volumes[0].array, volumes[1].array) and volumes[0].array.any(axis=(0, 1, 2)).all()
    assert np.array_equal(volumes[0].affine, volumes[1].affine)
    for number in first.segment_numbers:
        old, new = first.get_segment_description(number), second.get_segment_description(number)
        assert (old.segment_label, old.segmented_property_type) == (new.segment_label, new.segmented_property_type)
        assert old.segmented_property_category == new.segmented_property_category
        assert np.abs(np.subtract(old.RecommendedDisplayCIELabValue, new.RecommendedDisplayCIELabValue)).max() < 800


class TestRefused:
    def test_labels_of_another_volume(self, case: tuple[Path, sitk.Image], tmp_path: Path) -> None:
        series, label = case
        label.SetOrigin((0.0, 0.0, 0.0))
        write_label_map(label, tmp_path / "a.seg.nrrd", CLASSES)
        with pytest.raises(DataError, match=r"does not lie on the slices of .*series: origin"):
            write_segmentation(tmp_path / "a.seg.nrrd", series, tmp_path / "a.dcm", BY_HAND)
        assert not (tmp_path / "a.dcm").exists()

    def test_a_file_that_is_there(self, case: tuple[Path, sitk.Image], tmp_path: Path) -> None:
        (tmp_path / "a.dcm").write_text("mine")
        with pytest.raises(UsageError, match=r"a\.dcm exists already"):
            write_segmentation(tmp_path / "a.nii.gz", case[0], tmp_path / "a.dcm", BY_HAND)
        assert (tmp_path / "a.dcm").read_text() == "mine"

    def test_a_name_of_another_format(self, case: tuple[Path, sitk.Image], tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"Name it a\.nrrd\.seg\.dcm"):
            write_segmentation(tmp_path / "a.nii.gz", case[0], tmp_path / "a.nrrd", BY_HAND)

    def test_nothing_drawn(self, case: tuple[Path, sitk.Image], tmp_path: Path) -> None:
        series, label = case
        sitk.WriteImage(label * 0, str(tmp_path / "a.nii.gz"))
        with pytest.raises(DataError, match="has no labels"):
            write_segmentation(tmp_path / "a.nii.gz", series, tmp_path / "a.dcm", BY_HAND)

    def test_more_overlap_than_is_written(self, case: tuple[Path, sitk.Image], tmp_path: Path) -> None:
        series, label = case
        sitk.WriteImage(sitk.JoinSeries([label] * 31), str(tmp_path / "a.nii.gz"))
        with pytest.raises(DataError, match="31 segments that may overlap; at most 30"):
            write_segmentation(tmp_path / "a.nii.gz", series, tmp_path / "a.dcm", BY_HAND)
