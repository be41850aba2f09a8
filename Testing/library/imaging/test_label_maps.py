"""Label maps keep values, names, colours and terminology; what is no label map is refused with its value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError, StorageError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import ROUNDED, read_label_map, write_label_map
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.seg_nrrd import read_header

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


def classes_in(path: Path) -> list[LabelClass]:
    """Those that a file names."""
    return [segment.item for segment in read_header(path)]


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
        assert classes_in(path) == CLASSES

    def test_a_class_without_voxels_keeps_its_entry_and_its_type(self, labels: sitk.Image, tmp_path: Path) -> None:
        path = tmp_path / "case.seg.nrrd"
        write_label_map(labels, path, [LabelClass(value=300, name="absent", color=(1, 2, 3))])
        assert read_file(path).GetPixelID() == sitk.sitkInt16
        assert [item.value for item in classes_in(path)] == [300]

    def test_old_names_do_not_stay(self, labels: sitk.Image, tmp_path: Path) -> None:
        first, second = tmp_path / "a.seg.nrrd", tmp_path / "b.seg.nrrd"
        write_label_map(labels, first, CLASSES)
        write_label_map(read_file(first), second, CLASSES[:1])
        assert classes_in(second) == CLASSES[:1]

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
        keys = read_file(tmp_path / "case.nii.gz").GetMetaDataKeys()
        assert not [key for key in keys if key.startswith("Segment")]


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

    def test_what_scaling_leaves_is_rounded_and_told(self, tmp_path: Path) -> None:
        array = np.zeros((3, 4, 5))
        array[2, 1, 3], array[0, 2, 2], array[1, 1, 1] = 0.99999994, 3.0000000003, 2
        grid = Geometry(size=(5, 4, 3), spacing=(0.7, 1.1, 3.0), origin=(12.0, -30.0, 5.0))
        labels = read_label_map(self.write(grid.place(array), tmp_path))
        assert np.array_equal(sitk.GetArrayViewFromImage(labels), np.round(array))
        assert Geometry.of(labels).disagreements(grid) == []
        assert labels.GetMetaData(ROUNDED) == "0.99999994"

    @pytest.mark.parametrize("wrong, number", [(0.25, "0.25"), (np.nan, "nan"), (np.inf, "inf"), (1.0011, "1.0011")])
    def test_other_floats_are_refused_with_their_value(self, tmp_path: Path, wrong: float, number: str) -> None:
        array = np.zeros((3, 4, 5), np.float32)
        array[2, 1, 3] = array[2, 2, 2] = wrong
        path = self.write(Geometry(size=(5, 4, 3)).place(array), tmp_path)
        with pytest.raises(DataError, match=rf"2 voxels are not whole numbers \(the first is {number}\)"):
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


class TestPhotographs:
    """Masks as drawing programs save them."""

    mask = np.kron(np.eye(3, 4, dtype=np.uint8), np.ones((8, 8), np.uint8))  # 24 x 32

    def read(self, image: Image.Image, path: Path, **options: Any) -> np.ndarray:
        image.save(path, **options)
        loaded = read_label_map(path)
        assert Geometry.of(loaded) == Geometry(size=(32, 24, 1))
        return sitk.GetArrayFromImage(loaded)[0]

    @pytest.mark.parametrize("name", ["a.png", "a.tif"])
    def test_gray(self, tmp_path: Path, name: str) -> None:
        assert np.array_equal(self.read(Image.fromarray(self.mask * 255), tmp_path / name), self.mask * 255)

    @pytest.mark.parametrize("alpha", [False, True])
    def test_gray_saved_as_colours(self, tmp_path: Path, alpha: bool) -> None:
        layers = [self.mask * 255] * 3 + [np.full_like(self.mask, 90)] * alpha
        assert np.array_equal(self.read(Image.fromarray(np.dstack(layers)), tmp_path / "a.png"), self.mask * 255)

    def test_one_bit(self, tmp_path: Path) -> None:
        assert np.array_equal(self.read(Image.fromarray(self.mask > 0), tmp_path / "a.png"), self.mask)

    def test_a_palette_gives_its_numbers_not_its_colours(self, tmp_path: Path) -> None:
        """Number 7 has a gray, as in the colours of PASCAL VOC; numbers without any colour have none."""
        image = Image.fromarray(self.mask * 7).convert("L")
        image.putpalette([0, 0, 0, *[40, 90, 10] * 6, 128, 128, 128, *[0] * 744])
        assert image.mode == "P"
        assert np.array_equal(self.read(image, tmp_path / "a.png"), self.mask * 7)

    def test_colours_are_refused(self, tmp_path: Path) -> None:
        image = Image.fromarray(np.dstack([self.mask * 255, self.mask, self.mask]))
        with pytest.raises(DataError, match=r"a\.png is a colour picture, .* Save it as gray"):
            self.read(image, tmp_path / "a.png")

    @pytest.mark.parametrize("quality", [75, 95])
    def test_a_binary_jpeg_loses_its_noise(self, tmp_path: Path, quality: int) -> None:
        shifted = np.roll(self.mask * 255, (3, 2), axis=(0, 1))  # off the 8 x 8 blocks, so that edges are blurred
        array = self.read(Image.fromarray(shifted), tmp_path / "a.jpg", quality=quality)
        assert np.array_equal(array, shifted)
        assert len(np.unique(sitk.GetArrayFromImage(read_file(tmp_path / "a.jpg")))) > 2

    def test_an_empty_jpeg_is_empty(self, tmp_path: Path) -> None:
        assert not self.read(Image.fromarray(self.mask * 0), tmp_path / "a.jpg").any()

    @pytest.mark.parametrize("factor", [127, 3], ids=["several classes", "numbers of classes"])
    def test_other_jpegs_are_refused(self, tmp_path: Path, factor: int) -> None:
        with pytest.raises(DataError, match=r"a\.jpg is a JPEG.* Save label maps as PNG"):
            self.read(Image.fromarray(self.mask * factor), tmp_path / "a.jpg")


class TestWriteSlices:
    @pytest.mark.parametrize(
        ("values", "stored"), [([0, 255], np.uint8), ([0, 1, 7], np.uint8), ([0, 300, 60000], np.uint16)]
    )
    def test_as_png(self, tmp_path: Path, values: list[int], stored: type) -> None:
        image = pattern(values, Geometry(size=(7, 5, 1)))
        write_label_map(image, tmp_path / "new" / "case.png", CLASSES)
        written = np.array(Image.open(tmp_path / "new" / "case.png"))
        assert np.array_equal(written, sitk.GetArrayFromImage(image)[0])
        assert sitk.GetArrayFromImage(read_file(tmp_path / "new" / "case.png")).dtype == stored
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["case.png"]

    def test_a_png_of_several_slices_is_refused(self, labels: sitk.Image, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"A PNG file holds one slice, and case\.png would have 9"):
            write_label_map(labels, tmp_path / "case.png", CLASSES)
        assert list(tmp_path.iterdir()) == []

    @pytest.mark.parametrize("value", [-1, 70000])
    def test_a_png_of_other_numbers_is_refused(self, tmp_path: Path, value: int) -> None:
        with pytest.raises(DataError, match="PNG files hold numbers from 0 to 65535"):
            write_label_map(pattern([0, value], Geometry(size=(7, 5, 1))), tmp_path / "case.png", [])
        assert list(tmp_path.iterdir()) == []

    def test_as_npy(self, labels: sitk.Image, tmp_path: Path) -> None:
        write_label_map(labels, tmp_path / "new" / "case.npy", CLASSES)
        array = np.load(tmp_path / "new" / "case.npy", allow_pickle=False)
        assert np.array_equal(array, sitk.GetArrayViewFromImage(labels))
        assert array.dtype == np.uint8
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["case.npy"]


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
