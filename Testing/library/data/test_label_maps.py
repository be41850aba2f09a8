"""Label maps keep values, names, colours and terminology; what is no label map is refused with its value."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.images import read_file
from MedSegTrainerLib.data.label_maps import read_classes, read_label_map, write_label_map
from MedSegTrainerLib.errors import DataError, StorageError
from MedSegTrainerLib.geometry import Geometry

TERMINOLOGY = (
    "Segmentation category and type - 3D Slicer General Anatomy list~SCT^123037004^Anatomical Structure"
    "~SCT^10200004^Liver~^^~Anatomic codes - DICOM master list~^^~^^"
)
CLASSES = [
    LabelClass(value=1, name="Leber (ä, ß) 肝", color=(221, 130, 101), terminology=TERMINOLOGY),
    LabelClass(value=2, name="tumor: left|right", color=(0, 255, 1)),
    LabelClass(value=12, name="a name\\with a \\n and\na line", color=(17, 3, 254)),
]
VALUES = {
    "one bit": ([0, 1], sitk.sitkUInt8),
    "binary mask": ([0, 255], sitk.sitkUInt8),
    "past a byte": ([0, 1, 256], sitk.sitkInt16),
    "negative": ([-3, 0, 4], sitk.sitkInt16),
    "past 16 bits": ([0, 40000], sitk.sitkInt32),
    "very large": ([-70000, 2**31 - 1], sitk.sitkInt32),
}


@pytest.fixture
def labels(oblique_case: tuple[sitk.Image, sitk.Image]) -> sitk.Image:
    return oblique_case[1]


def pattern(values: list[int], geometry: Geometry) -> sitk.Image:
    """Every value somewhere, in no symmetrical order."""
    indices = (np.arange(np.prod(geometry.size)) // 3 % len(values)).reshape(geometry.size_zyx)
    return geometry.place(np.array(values, np.int32)[indices])


class TestRoundTrip:
    @pytest.mark.parametrize("suffix", [".seg.nrrd", ".nii.gz", ".mha"])
    @pytest.mark.parametrize("kind", VALUES)
    def test_values_and_geometry(self, oblique_geometry: Geometry, tmp_path: Path, suffix: str, kind: str) -> None:
        values, stored = VALUES[kind]
        image = pattern(values, oblique_geometry)
        path = tmp_path / "new folder" / f"case{suffix}"
        write_label_map(image, path, [])
        assert read_file(path).GetPixelID() == stored
        back = read_label_map(path)
        assert back.GetPixelID() == sitk.sitkInt32
        assert np.array_equal(sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(image))
        assert oblique_geometry.disagreements(Geometry.of(back)) == []

    def test_names_colours_and_terminology(self, labels: sitk.Image, tmp_path: Path) -> None:
        path = tmp_path / "case.seg.nrrd"
        write_label_map(labels, path, CLASSES)
        assert read_classes(read_file(path)) == CLASSES

    def test_a_class_without_voxels_keeps_its_entry_and_its_type(self, labels: sitk.Image, tmp_path: Path) -> None:
        path = tmp_path / "case.seg.nrrd"
        write_label_map(labels, path, [LabelClass(value=300, name="absent", color=(1, 2, 3))])
        assert read_file(path).GetPixelID() == sitk.sitkInt16
        assert [item.value for item in read_classes(read_file(path))] == [300]

    def test_old_names_do_not_stay(self, labels: sitk.Image, tmp_path: Path) -> None:
        first, second = tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd"
        write_label_map(labels, first, CLASSES)
        write_label_map(read_file(first), second, CLASSES[:1])
        assert read_classes(read_file(second)) == CLASSES[:1]

    def test_fields_are_those_of_slicer(self, labels: sitk.Image, tmp_path: Path) -> None:
        path = tmp_path / "case.seg.nrrd"
        write_label_map(labels, path, CLASSES)
        image = read_file(path)
        fields = {key: image.GetMetaData(key) for key in image.GetMetaDataKeys()}
        assert fields["Segment0_ID"] == "Segment_1"
        assert fields["Segment0_LabelValue"] == "1"
        assert fields["Segment0_Layer"] == "0"
        assert fields["Segment0_Extent"] == "0 16 0 12 0 8"
        assert fields["Segment0_Tags"] == f"TerminologyEntry:{TERMINOLOGY}|"
        assert fields["Segment1_Color"] == "0.000000 1.000000 0.003922"
        assert fields["Segmentation_SourceRepresentation"] == "Binary labelmap"

    def test_other_formats_have_no_classes(self, labels: sitk.Image, tmp_path: Path) -> None:
        write_label_map(labels, tmp_path / "case.nii.gz", CLASSES)
        assert read_classes(read_file(tmp_path / "case.nii.gz")) == []


class TestRead:
    def write(self, image: sitk.Image, tmp_path: Path) -> Path:
        path = tmp_path / "label.nrrd"
        sitk.WriteImage(image, str(path))
        return path

    @pytest.mark.parametrize("kind", [sitk.sitkFloat32, sitk.sitkFloat64])
    def test_whole_numbers_stored_as_floats(self, labels: sitk.Image, tmp_path: Path, kind: int) -> None:
        back = read_label_map(self.write(sitk.Cast(labels, kind), tmp_path))
        assert back.GetPixelID() == sitk.sitkInt32
        assert np.array_equal(sitk.GetArrayViewFromImage(back), sitk.GetArrayViewFromImage(labels))

    @pytest.mark.parametrize("wrong, told", [(0.25, "0.25"), (np.nan, "nan"), (np.inf, "inf"), (1.0001, "1.0001")])
    def test_other_floats_are_refused_with_their_value(self, tmp_path: Path, wrong: float, told: str) -> None:
        array = np.zeros((3, 4, 5), np.float32)
        array[2, 1, 3] = array[2, 2, 2] = wrong
        path = self.write(Geometry(size=(5, 4, 3)).place(array), tmp_path)
        with pytest.raises(DataError, match=rf"2 voxels are not whole numbers \(the first is {told}\)"):
            read_label_map(path)

    @pytest.mark.parametrize(
        "array",
        [np.full((2, 3, 4), 2**31, np.int64), np.full((2, 3, 4), -1, np.int64) * 2**33, np.full((2, 3, 4), 1e20)],
        ids=["past", "below", "float"],
    )
    def test_values_beyond_32_bits_are_refused(self, tmp_path: Path, array: np.ndarray) -> None:
        path = self.write(sitk.GetImageFromArray(array), tmp_path)
        with pytest.raises(DataError, match="beyond 32 bits"):
            read_label_map(path)

    def test_several_layers_are_refused(self, labels: sitk.Image, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="one number a voxel"):
            read_label_map(self.write(sitk.Compose(labels, labels), tmp_path))

    def test_a_fourth_axis_is_refused(self, labels: sitk.Image, tmp_path: Path) -> None:
        with pytest.raises(DataError, match="one number a voxel"):
            read_label_map(self.write(sitk.JoinSeries(labels, labels), tmp_path))

    def test_a_2d_label_map_is_a_volume_of_one_slice(self, tmp_path: Path) -> None:
        path = self.write(sitk.GetImageFromArray(np.eye(3, 4, dtype=np.uint8)), tmp_path)
        assert read_label_map(path).GetSize() == (4, 3, 1)


class TestFailedWrite:
    def test_to_an_unknown_format_leaves_no_file(self, labels: sitk.Image, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match=r"Cannot write .*case\.unheard: "):
            write_label_map(labels, tmp_path / "case.unheard", [])
        assert list(tmp_path.iterdir()) == []

    def test_over_a_folder_leaves_no_file(self, labels: sitk.Image, tmp_path: Path) -> None:
        target = tmp_path / "case.seg.nrrd"
        target.mkdir()
        (target / "precious").touch()
        with pytest.raises(StorageError, match=r"Cannot write .*case\.seg\.nrrd"):
            write_label_map(labels, target, [])
        assert [path.name for path in tmp_path.rglob("*")] == ["case.seg.nrrd", "precious"]

    def test_below_a_file(self, labels: sitk.Image, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StorageError, match="Cannot write"):
            write_label_map(labels, tmp_path / "file" / "case.nii.gz", [])
