"""Results of classes that overlap: layers as 3D Slicer writes them, or a channel a class; read again the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_source import LabelSource, read_labels
from MedSegTrainerLib.imaging.overlapping_results import layers_of, refuse_one_number, write_overlapping
from MedSegTrainerLib.imaging.seg_nrrd import read_header

CLASSES = [
    LabelClass(value=1, name="organ", color=(221, 130, 101), terminology="a~b"),
    LabelClass(value=2, name="tumor", color=(0, 255, 1)),
    LabelClass(value=3, name="beside", color=(17, 3, 254)),
]


@pytest.fixture
def labels(oblique_geometry: Geometry) -> sitk.Image:
    """A tumor inside of an organ, and something beside it."""
    bits = np.zeros(oblique_geometry.size_zyx, np.int32)
    bits[2:7, 3:10, 4:14] |= 0b1
    bits[3:5, 5:8, 6:10] |= 0b10
    bits[8, 0:2, 0:3] |= 0b100
    return oblique_geometry.place(bits)


def source(path: Path) -> LabelSource:
    return LabelSource(path=path, numbers={item.name: item.value for item in CLASSES}, overlapping=True)


@pytest.mark.parametrize("suffix", ["seg.nrrd", "nii.gz", "mha", "npy"])
def test_comes_back_as_it_was(suffix: str, labels: sitk.Image, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    write_overlapping(labels, path, CLASSES)
    result = read_labels(source(path))
    assert (sitk.GetArrayFromImage(result) == sitk.GetArrayFromImage(labels)).all()
    if suffix != "npy":
        assert Geometry.of(result).disagreements(Geometry.of(labels)) == []


def test_nested_segments_take_two_layers(labels: sitk.Image, tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    write_overlapping(labels, path, CLASSES)
    segments = read_header(path)
    assert [(one.item.name, one.stored, one.layer) for one in segments] == [
        ("organ", 1, 0), ("tumor", 2, 1), ("beside", 3, 0)
    ]  # fmt: skip
    assert [one.item for one in segments] == CLASSES


def test_the_header_is_that_of_slicer(labels: sitk.Image, tmp_path: Path) -> None:
    path = tmp_path / "a.seg.nrrd"
    write_overlapping(labels, path, CLASSES)
    header = path.read_bytes().split(b"\n\n")[0].decode()
    assert "kinds: list domain domain domain" in header
    assert "sizes: 2 17 13 9" in header
    assert "Segment1_LabelValue:=2" in header and "Segment1_Layer:=1" in header


def test_without_overlap_there_is_one_layer(labels: sitk.Image, tmp_path: Path) -> None:
    array = sitk.GetArrayFromImage(labels)
    apart = np.where(array == 0b11, 0b10, array).astype(np.int32)
    path = tmp_path / "a.seg.nrrd"
    write_overlapping(Geometry.of(labels).place(apart), path, CLASSES)
    image = sitk.ReadImage(str(path))
    assert image.GetNumberOfComponentsPerPixel() == 1
    assert set(np.unique(sitk.GetArrayFromImage(image))) == {0, 1, 2, 3}


def test_real_layers_of_slicer_are_read(shared_data: Path) -> None:
    """The file that 3D Slicer wrote, and ours of the same segments, say the same."""
    path = shared_data / "dicom_objects" / "slicerio" / "SegmentationOverlapping.seg.nrrd"
    segments = read_header(path)
    assert max(one.layer for one in segments) == 1
    numbers = {one.item.name: number for number, one in enumerate(segments, start=1)}
    bits = sitk.GetArrayFromImage(read_labels(LabelSource(path=path, numbers=numbers, overlapping=True)))
    stored = sitk.GetArrayFromImage(sitk.ReadImage(str(path)))
    for number, one in enumerate(segments, start=1):
        assert (((bits >> (number - 1)) & 1).astype(bool) == (stored[..., one.layer] == one.stored)).all()
    assert any(bit.bit_count() > 1 for bit in np.unique(bits).tolist())


def test_layers_are_as_few_as_can_be() -> None:
    line = np.arange(12)
    masks = [line < 6, (line > 3) & (line < 9), line > 7, line == 11, line < 1]
    assert layers_of(masks) == [0, 1, 0, 1, 1]


def test_no_form_of_one_number_a_pixel(labels: sitk.Image, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"PNG file holds one number a pixel.*Write seg.nrrd"):
        write_overlapping(labels, tmp_path / "a.png", CLASSES)
    assert not list(tmp_path.iterdir())
    refuse_one_number(tmp_path / "a.nii.gz")


def test_nifti_carries_both_forms_of_the_image(tmp_path: Path, labels: sitk.Image, shared_data: Path) -> None:
    """qform and sform of the image, to the last digit."""
    from MedSegTrainerLib.imaging.qform_sform import read_forms

    like = sorted((shared_data / "hippocampus" / "imagesTr").glob("*.nii.gz"))[0]
    image = sitk.ReadImage(str(like))
    bits = sitk.Cast(image > 0, sitk.sitkInt32)
    write_overlapping(bits, tmp_path / "a.nii.gz", CLASSES, like)
    written, original = read_forms(tmp_path / "a.nii.gz"), read_forms(like)
    assert written is not None and original is not None
    assert written.stored == original.stored
    assert sitk.ReadImage(str(tmp_path / "a.nii.gz")).GetSize() == (*image.GetSize(), 3)
