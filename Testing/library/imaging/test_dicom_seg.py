"""DICOM segmentations as labels: every type, any order of frames, overlap, codes; as highdicom and dcmqi read them."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom_seg import may_overlap, read_seg, seg_classes
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_components import component_count
from MedSegTrainerLib.imaging.label_maps import read_label_map, read_label_map_onto
from MedSegTrainerLib.imaging.label_source import LabelSource, overlapping_pairs, place_labels
from MedSegTrainerLib.imaging.segment_headers import read_header

Writer = Callable[..., Path]


@pytest.fixture
def organ(oblique_geometry: Geometry) -> np.ndarray:
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[2:7, 3:10, 4:14] = 1
    return mask


@pytest.fixture
def tumor(oblique_geometry: Geometry) -> np.ndarray:
    """Partly outside of the organ."""
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[3:5, 8:12, 6:9] = 1
    return mask


def values(image: sitk.Image) -> np.ndarray:
    return sitk.GetArrayFromImage(image)


class TestTypes:
    @pytest.mark.parametrize("kind", ["BINARY", "LABELMAP", "FRACTIONAL"])
    @pytest.mark.parametrize("backwards", [False, True])
    def test_is_the_label_map_that_was_written(
        self, kind: str, backwards: bool, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray,
        tmp_path: Path, write_seg: Writer,
    ) -> None:  # fmt: skip
        """17 x 13 pixels are no whole number of bytes."""
        tumor = np.where(organ, 0, tumor)
        path = write_seg(
            tmp_path / "a.dcm", oblique_geometry, {"organ": organ, "tumor": tumor}, kind,
            order=lambda frames: frames[::-1] if backwards else frames,
        )  # fmt: skip
        labels = read_label_map_onto(path, oblique_geometry.place(organ))
        assert Geometry.of(labels).disagreements(oblique_geometry) == []
        assert np.array_equal(values(labels), organ + 2 * tumor)
        assert Geometry.of(read_seg(path)).size == (17, 13, 5)

    def test_half_of_a_voxel_and_more_counts(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        shares = organ * np.linspace(0, 1, organ.shape[2])
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": shares}, "FRACTIONAL")
        labels = values(read_label_map_onto(path, oblique_geometry.place(organ)))
        assert np.array_equal(labels, organ * (np.linspace(0, 1, organ.shape[2]) >= 0.5))

    def test_another_type(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": organ}, "SURFACE")
        with pytest.raises(DataError, match="type SURFACE, and BINARY, FRACTIONAL, LABELMAP are read"):
            read_label_map(path)


class TestPlaces:
    def test_a_sparse_one_without_distance_takes_that_of_its_image(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        organ[[3, 4, 5]] = 0  # slices 2 and 6 are left, 10 mm apart
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": organ}, step=False)
        assert np.array_equal(values(read_label_map_onto(path, oblique_geometry.place(organ))), organ)
        assert Geometry.of(read_seg(path)).spacing[2] == pytest.approx(10)

    def test_one_frame(self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer) -> None:
        organ[:6] = 0
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": organ}, step=False)
        assert np.array_equal(values(read_label_map_onto(path, oblique_geometry.place(organ))), organ)

    @pytest.mark.parametrize("axes", ["RAS", "SAR", "PIL", "ASL", "LPI"])
    def test_an_image_with_other_axes(
        self, axes: str, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        image = sitk.DICOMOrient(oblique_geometry.place(organ), axes)
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": organ})
        assert np.array_equal(values(read_label_map_onto(path, image)), values(image))

    def test_frames_between_slices(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": organ})
        dataset = pydicom.dcmread(path)
        place = dataset.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence[0]
        place.ImagePositionPatient = (
            np.array(place.ImagePositionPatient) + 0.9 * np.array(oblique_geometry.direction)[2::3]
        ).tolist()
        dataset.save_as(path)
        with pytest.raises(DataError, match="its frames lie unevenly"):
            read_label_map(path)

    def test_a_folder_with_it_alone(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        write_seg(tmp_path / "1-1.dcm", oblique_geometry, {"organ": organ})
        assert np.array_equal(values(read_label_map_onto(tmp_path, oblique_geometry.place(organ))), organ)
        assert [segment.item.name for segment in read_header(tmp_path)] == ["organ"]
        write_seg(tmp_path / "1-2.dcm", oblique_geometry, {"organ": organ})
        with pytest.raises(DataError, match=r"several DICOM segmentations: 1-1\.dcm, 1-2\.dcm"):
            read_label_map(tmp_path)


class TestSegments:
    def test_names_codes_and_colours(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": organ})
        (one,) = seg_classes(path)
        assert (one.value, one.name) == (1, "organ")
        assert one.terminology == (
            "Segmentation category and type - DICOM master list~SCT^123037004^Anatomical Structure"
            "~SCT^10200004^Kind of organ~^^~Anatomic codes - DICOM master list~^^~^^"
        )
        expected = highdicom.color.CIELabColor.from_dicom_value([30001, 40000, 20000]).to_rgb(clip=True)
        assert one.color == tuple(expected)
        assert [segment.item for segment in read_header(path)] == [one]

    def test_overlap_is_kept_in_layers(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        masks = {"organ": organ, "tumor": tumor, "apart": np.roll(tumor, 4, axis=0)}
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, masks, order=lambda frames: frames[::-1])
        assert read_seg(path).GetNumberOfComponentsPerPixel() == 2
        assert may_overlap(path) and component_count(path) == 3
        numbers = {"organ": 1, "tumor": 2, "apart": 3}
        source = LabelSource(path=path, numbers=numbers, overlapping=True)
        bits = organ + 2 * masks["tumor"].astype(int) + 4 * masks["apart"]
        assert np.array_equal(values(place_labels(source, oblique_geometry.place(organ)).image), bits)
        assert overlapping_pairs(source) == {("organ", "tumor"): int((organ & tumor).sum())}
        with pytest.raises(DataError, match="'organ' and 'tumor' overlap in 12 voxels"):
            read_label_map(path)

    def test_it_says_that_none_overlap(
        self, oblique_geometry: Geometry, organ: np.ndarray, tumor: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        masks = {"organ": organ, "tumor": tumor}
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, masks, SegmentsOverlap="NO")
        assert not may_overlap(path) and component_count(path) == 1

    def test_a_frame_of_a_segment_that_is_not_named(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": organ})
        dataset = pydicom.dcmread(path)
        dataset.SegmentSequence[0].SegmentNumber = 4
        dataset.save_as(path)
        with pytest.raises(DataError, match="frame 1 is of segment 1, which it does not name"):
            read_label_map(path)


class TestDamage:
    @pytest.mark.parametrize(
        ("elements", "says"),
        [
            ({"PixelData": b"\1\2"}, "pixel data end before frame 5"),
            ({"Rows": 0}, r"has no size \(Rows, Columns\)"),
            ({"NumberOfFrames": 7}, "has 7 frames by its header, and tells of 5 where they lie"),
            ({"NumberOfFrames": 2**31 - 1}, "has 2147483647 frames by its header"),
            ({"SegmentSequence": []}, "it has no segments"),
            ({"SharedFunctionalGroupsSequence": []}, r"\(Image Orientation, Pixel Spacing\)"),
            ({"TotalPixelMatrixRows": 9}, "of a slide under a microscope"),
        ],
    )
    def test_is_told_in_words(
        self, elements: dict[str, Any], says: str, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path,
        write_seg: Writer,
    ) -> None:  # fmt: skip
        path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": organ})
        dataset = pydicom.dcmread(path)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
        with pytest.raises(DataError, match=says) as caught:
            read_label_map(path)
        assert str(path) in str(caught.value)

    def test_a_file_that_is_cut_anywhere(
        self, oblique_geometry: Geometry, organ: np.ndarray, tmp_path: Path, write_seg: Writer
    ) -> None:
        content = write_seg(tmp_path / "a.dcm", oblique_geometry, {"organ": organ}).read_bytes()
        for length in range(200, len(content) - 1, 97):
            (tmp_path / "b.dcm").write_bytes(content[:length])
            with pytest.raises(DataError, match=r"b\.dcm"):
                read_label_map(tmp_path / "b.dcm")
            assert component_count(tmp_path / "b.dcm") == 1


@pytest.fixture(scope="module")
def objects(shared_data: Path) -> Path:
    folder = shared_data / "dicom_objects"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    return folder


class TestRealFiles:
    @pytest.mark.parametrize(
        "name",
        ["highdicom/seg_image_ct_binary", "highdicom/seg_image_ct_binary_overlap", "dcmqi/partial_overlaps",
         "highdicom/seg_image_ct_true_fractional", "highdicom/seg_image_ct_binary_single_frame", "dcmqi/liver"],
    )  # fmt: skip
    def test_as_highdicom_reads_them(self, name: str, objects: Path) -> None:
        path = objects / f"{name}.dcm"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of their codes
            theirs = highdicom.seg.segread(path).get_volume(rescale_fractional=False, allow_missing_positions=True)
        image = read_seg(path)
        shares = theirs.array.astype(int) / (255 if "fractional" in name else 1)
        expected = {index + 1: shares[..., index] >= 0.5 for index in range(shares.shape[-1])}
        ours = values(image)
        origins = [image.TransformIndexToPhysicalPoint((0, 0, z)) for z in (0, image.GetSize()[2] - 1)]
        backwards = bool(theirs.affine[:3, 0] @ np.array(image.GetDirection())[2::3] < 0)
        assert np.allclose(theirs.affine[:3, 3], origins[backwards], atol=1e-3)
        for axis, step in enumerate(((0, 0, 1 - 2 * backwards), (0, 1, 0), (1, 0, 0))):
            there = np.array(image.TransformIndexToPhysicalPoint(step)) - origins[0]
            assert np.allclose(theirs.affine[:3, axis], there, atol=1e-3)
        for number, mask in expected.items():
            found = (ours == number).any(axis=-1) if ours.ndim == 4 else ours == number
            assert mask.any() and np.array_equal(found[:: -1 if backwards else 1], mask)

    @pytest.mark.parametrize(
        ("name", "reference"),
        [("23x38x3/seg/label.seg", "23x38x3/nrrd/label.nrrd"), ("24x38x3/seg/label.seg", "24x38x3/nrrd/label.nrrd"),
         ("sparse-labelmap-noppv.dcm", "sparse_labelmap_noppv_seg.nrrd"),
         ("sparse-labelmap-ppv5.dcm", "sparse_labelmap_ppv5_seg.nrrd"), ("liver.dcm", "liver_seg.nrrd")],
    )  # fmt: skip
    def test_as_dcmqi_wrote_them(self, name: str, reference: str, objects: Path) -> None:
        expected = sitk.ReadImage(str(objects / "dcmqi" / reference))
        found = read_label_map_onto(objects / "dcmqi" / name, expected)
        assert Geometry.of(found).disagreements(Geometry.of(expected)) == []
        assert np.array_equal(values(found) == 1, values(expected) == 1)

    def test_a_slide(self, objects: Path) -> None:
        with pytest.raises(DataError, match="slide under a microscope"):
            read_label_map(objects / "highdicom" / "seg_image_sm_dots.dcm")
