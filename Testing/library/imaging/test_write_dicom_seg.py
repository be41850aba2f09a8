"""DICOM segmentations lie where the label map lies, and keep names, colours, codes and overlap."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Sequence
from itertools import permutations, product
from pathlib import Path

import highdicom
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.config import disable_value_validation
from scipy.spatial.transform import Rotation

from MedSegTrainerLib import __version__
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import to_bits
from MedSegTrainerLib.imaging.dicom_seg import seg_classes
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_source import LabelSource, place_labels
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.segment_codes import segment_codes
from MedSegTrainerLib.imaging.source_planes import source_planes
from MedSegTrainerLib.imaging.write_dicom_seg import Maker, SegmentationType, refuse_unwritable, write_dicom_seg

Writer = Callable[..., Path]
KIDNEY = "c~SCT^123037004^Anatomical Structure~SCT^64033007^Kidney~SCT^7771000^Left~a~SCT^818983003^Abdomen~^^"
CLASSES = [
    LabelClass(value=2, name="Gefäße", color=(221, 130, 101)),
    LabelClass(value=5, name="left kidney", color=(1, 200, 255), terminology=KIDNEY),
]
MAKER = Maker(name="my model")
TURNED = Rotation.from_euler("xyz", (11, -7, 16), degrees=True).as_matrix()
RIGHT_HANDED = [
    np.eye(3)[list(order)] * signs
    for order in permutations(range(3))
    for signs in product((1, -1), repeat=3)
    if np.linalg.det(np.eye(3)[list(order)] * signs) > 0
]


def axes_text(matrix: np.ndarray) -> str:
    """Which axis of the patient each axis goes along, and which way."""
    return "".join("-+"[int(column.sum() > 0)] + "LPS"[int(np.abs(column).argmax())] for column in matrix.T)


def placed(array: np.ndarray, direction: np.ndarray, spacing: tuple[float, float, float]) -> sitk.Image:
    geometry = Geometry(
        size=array.shape[::-1], spacing=spacing, origin=(-31.5, 12.25, 107.0), direction=tuple(direction.ravel())
    )
    return geometry.place(array)


@pytest.fixture
def labels() -> np.ndarray:
    """Two boxes that touch, in (z, y, x) of 5 x 7 x 11; none of them is symmetric, and the first slice has nothing."""
    array = np.zeros((5, 7, 11), np.uint8)
    array[1:4, 1:4, 2:9] = 2
    array[3:, 2:6, 5:] = 5
    return array


def written(
    labels: sitk.Image,
    folder: Path,
    write_series: Writer,
    kind: SegmentationType = "BINARY",
    *,
    classes: Sequence[LabelClass] = CLASSES,
    overlapping: bool = False,
) -> Path:
    """A segmentation of a series on the grid of these labels."""
    series = write_series(sitk.Cast(labels, sitk.sitkInt16) * 10 - 5, folder / "series")
    path = folder / "result.seg.dcm"
    planes = source_planes(series, Geometry.of(read_file(series)))
    write_dicom_seg(labels, path, classes, planes, MAKER, kind=kind, overlapping=overlapping)
    return path


def places(mask: np.ndarray, affine: np.ndarray) -> np.ndarray:
    """Where the voxels of a mask lie, mm in LPS, in the order of an array's axes; rows are sorted."""
    points = np.argwhere(mask) @ affine[:3, :3].T + affine[:3, 3]
    return points[np.lexsort(np.round(points, 3).T)]


def label_affine(labels: sitk.Image) -> np.ndarray:
    """From an index (z, y, x) to mm in LPS."""
    affine = np.eye(4)
    affine[:3, :3] = (np.array(labels.GetDirection()).reshape(3, 3) * labels.GetSpacing())[:, ::-1]
    affine[:3, 3] = labels.GetOrigin()
    return affine


def assert_lies_as(path: Path, labels: sitk.Image, values: Sequence[int]) -> None:
    volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
    array, numbers = sitk.GetArrayViewFromImage(labels), np.unique(volume.array)[1:]
    assert len(numbers) == len(values)
    for number, value in zip(numbers, values, strict=True):
        found, expected = places(volume.array == number, volume.affine), places(array == value, label_affine(labels))
        assert found.shape == expected.shape and np.abs(found - expected).max() < 1e-6


class TestRoundTrip:
    @pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
    @pytest.mark.parametrize("direction", RIGHT_HANDED, ids=axes_text)
    def test_every_order_and_direction_of_axes(
        self, labels: np.ndarray, direction: np.ndarray, kind: SegmentationType, tmp_path: Path, write_series: Writer
    ) -> None:
        image = placed(labels, direction, (0.75, 1.5, 2.5))
        assert_lies_as(written(image, tmp_path, write_series, kind), image, (2, 5))

    @pytest.mark.parametrize(
        "direction", RIGHT_HANDED[::5], ids=lambda matrix: "".join(f"{n:+.0f}" for n in matrix.ravel())
    )
    def test_oblique_planes(
        self, labels: np.ndarray, direction: np.ndarray, tmp_path: Path, write_series: Writer
    ) -> None:
        image = placed(labels, TURNED @ direction, (0.8125, 1.125, 3.0))
        assert_lies_as(written(image, tmp_path, write_series), image, (2, 5))

    def test_one_slice(self, labels: np.ndarray, tmp_path: Path, write_series: Writer) -> None:
        image = placed(labels[3:4], TURNED, (0.8, 1.1, 2.0))
        path = written(image, tmp_path, write_series)
        volume = highdicom.seg.segread(path).get_volume(combine_segments=True)
        assert np.array_equal(volume.array, np.array([0, 0, 1, 0, 0, 2])[labels[3:4]])

    def test_frames_lie_where_the_slices_lie_and_not_where_even_ones_would(
        self, labels: np.ndarray, tmp_path: Path, write_series: Writer
    ) -> None:
        """Slices may be off by a tenth of their distance: a SEG says the place of each as the slice itself does."""
        image = placed(labels, np.eye(3), (1.0, 1.0, 2.0))
        path = written(image, tmp_path, write_series)
        file = next(file for file in (tmp_path / "series").iterdir() if pydicom.dcmread(file).SOPInstanceUID[-1] == "3")
        dataset = pydicom.dcmread(file)
        dataset.ImagePositionPatient = ["-31.5", "12.25", "111.125"]
        dataset.save_as(file)
        series = tmp_path / "series"
        write_dicom_seg(image, path, CLASSES, source_planes(series, Geometry.of(read_file(series))), MAKER)
        frames = pydicom.dcmread(path).PerFrameFunctionalGroupsSequence
        assert {float(frame.PlanePositionSequence[0].ImagePositionPatient[2]) for frame in frames} == {
            109.0, 111.125, 113.0, 115.0,
        }  # fmt: skip

    def test_overlapping_classes(self, labels: np.ndarray, tmp_path: Path, write_series: Writer) -> None:
        classes = [LabelClass(value=n, name=f"c{n}", color=(n, 80, 90)) for n in (1, 2, 3)]
        masks = [labels > 0, labels == 5, np.roll(labels, 2, axis=1) == 2]
        image = placed(to_bits(masks), TURNED, (0.75, 1.5, 2.5))
        path = written(image, tmp_path, write_series, classes=classes, overlapping=True)
        segmentation = highdicom.seg.segread(path)
        assert segmentation.SegmentsOverlap == "YES"
        volume = segmentation.get_volume()
        for index, mask in enumerate(masks):
            expected = places(mask, label_affine(image))
            assert np.abs(places(volume.array[..., index], volume.affine) - expected).max() < 1e-6

    @pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
    def test_nothing_was_found(
        self, labels: np.ndarray, kind: SegmentationType, tmp_path: Path, write_series: Writer
    ) -> None:
        path = written(placed(0 * labels, np.eye(3), (1.0, 1.0, 2.0)), tmp_path, write_series, kind)
        segmentation = highdicom.seg.segread(path)
        assert not segmentation.pixel_array.any() and segmentation.segment_numbers[-1] in (2, 5)


class TestReadAgain:
    """By this program, on the grid of the series that it belongs to."""

    @pytest.mark.parametrize("direction", RIGHT_HANDED, ids=axes_text)
    def test_it_is_the_label_map(
        self, labels: np.ndarray, direction: np.ndarray, tmp_path: Path, write_series: Writer
    ) -> None:
        path = written(placed(labels, TURNED @ direction, (0.75, 1.5, 2.5)), tmp_path, write_series)
        grid, source = read_file(tmp_path / "series"), LabelSource(path=path, numbers={"Gefäße": 2, "left kidney": 5})
        found = place_labels(source, grid, tmp_path / "series").image
        assert not Geometry.of(found).disagreements(Geometry.of(grid))
        assert np.array_equal(sitk.GetArrayViewFromImage(found), labels)

    def test_overlap(self, labels: np.ndarray, tmp_path: Path, write_series: Writer) -> None:
        classes = [LabelClass(value=n, name=f"c{n}", color=(n, 80, 90)) for n in (1, 2)]
        bits = to_bits([labels > 0, np.roll(labels, 1, axis=1) == 5])
        path = written(
            placed(bits, TURNED, (0.75, 1.5, 2.5)), tmp_path, write_series, classes=classes, overlapping=True
        )
        grid = read_file(tmp_path / "series")
        source = LabelSource(path=path, numbers={"c1": 1, "c2": 2}, overlapping=True)
        assert np.array_equal(sitk.GetArrayViewFromImage(place_labels(source, grid).image), bits)

    def test_names_colours_and_codes(self, labels: np.ndarray, tmp_path: Path, write_series: Writer) -> None:
        path = written(placed(labels, TURNED, (0.75, 1.5, 2.5)), tmp_path, write_series)
        vessels, kidney = seg_classes(path)
        assert (vessels.name, kidney.name) == ("Gefäße", "left kidney")
        assert segment_codes(kidney.terminology) == segment_codes(KIDNEY)
        assert segment_codes(vessels.terminology) == segment_codes("")
        for found, item in zip((vessels, kidney), CLASSES, strict=True):
            assert np.abs(np.array(found.color) - item.color).max() <= 1


class TestContent:
    @pytest.fixture
    def image(self, labels: np.ndarray) -> sitk.Image:
        return placed(labels, TURNED, (0.75, 1.5, 2.5))

    def test_references(self, image: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        dataset = pydicom.dcmread(written(image, tmp_path, write_series))
        assert (dataset.StudyInstanceUID, dataset.FrameOfReferenceUID) == ("1.2.3", "1.2.5")
        (series,) = dataset.ReferencedSeriesSequence
        assert series.SeriesInstanceUID == "1.2.3.4" != dataset.SeriesInstanceUID
        assert {one.ReferencedSOPInstanceUID for one in series.ReferencedInstanceSequence} == {
            f"1.2.3.4.{number}" for number in range(1, 6)
        }
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            source = frame.DerivationImageSequence[0].SourceImageSequence[0]
            (slice_index,) = [
                z for z in range(5)
                if np.allclose(position, image.TransformIndexToPhysicalPoint((0, 0, z)))
            ]  # fmt: skip
            assert source.ReferencedSOPInstanceUID == f"1.2.3.4.{slice_index + 1}"

    def test_other_channels_are_further_sources(self, image: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        """Where they are DICOM of the same study."""
        path = written(image, tmp_path, write_series)
        other = write_series(sitk.Cast(image, sitk.sitkInt16), tmp_path / "other", "1.2.8")
        elsewhere = write_series(image, tmp_path / "elsewhere", "1.2.9", {"0020|000d": "1.2.333"})
        sitk.WriteImage(image, str(tmp_path / "a.nii.gz"))
        grid = Geometry.of(read_file(tmp_path / "series"))
        planes = source_planes(tmp_path / "series", grid, [other, elsewhere, tmp_path / "a.nii.gz"])
        write_dicom_seg(image, path, CLASSES, planes, MAKER)
        dataset = pydicom.dcmread(path)
        assert {one.SeriesInstanceUID for one in dataset.ReferencedSeriesSequence} == {"1.2.3.4", "1.2.8"}
        for frame in dataset.PerFrameFunctionalGroupsSequence:
            sources = frame.DerivationImageSequence[0].SourceImageSequence
            first, second = (one.ReferencedSOPInstanceUID.rpartition(".") for one in sources)
            assert (first[0], second[0]) == ("1.2.3.4", "1.2.8") and first[2] == second[2]

    @pytest.mark.parametrize(("kind", "numbers"), [("BINARY", (1, 2)), ("LABELMAP", (2, 5))])
    def test_names_colours_and_codes(
        self, image: sitk.Image, kind: SegmentationType, numbers: tuple[int, int], tmp_path: Path, write_series: Writer
    ) -> None:
        segmentation = highdicom.seg.segread(written(image, tmp_path, write_series, kind))
        vessels, kidney = (segmentation.get_segment_description(number) for number in numbers)
        assert (vessels.segment_label, kidney.segment_label) == ("Gefäße", "left kidney")
        assert {vessels.segmented_property_category.value, vessels.segmented_property_type.value} == {"85756007"}
        kind_of = kidney.segmented_property_type
        assert (kind_of.scheme_designator, kind_of.value, kind_of.meaning) == ("SCT", "64033007", "Kidney")
        assert kind_of.SegmentedPropertyTypeModifierCodeSequence[0].CodeMeaning == "Left"
        assert kidney.segmented_property_category.meaning == "Anatomical Structure"
        assert kidney.AnatomicRegionSequence[0].CodeValue == "818983003"
        for segment, item in zip((vessels, kidney), CLASSES, strict=True):
            color = highdicom.color.CIELabColor.from_dicom_value(segment.RecommendedDisplayCIELabValue)
            assert np.abs(np.array(color.to_rgb()) - item.color).max() <= 1

    def test_who_made_it(self, image: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        dataset = pydicom.dcmread(written(image, tmp_path, write_series))
        segment = dataset.SegmentSequence[0]
        algorithm = segment.SegmentationAlgorithmIdentificationSequence[0]
        assert (segment.SegmentAlgorithmType, segment.SegmentAlgorithmName) == ("AUTOMATIC", "my model")
        assert (algorithm.AlgorithmName, algorithm.AlgorithmVersion) == ("my model", __version__)
        assert dataset.SeriesDescription == "Segmentation: my model" and dataset.Manufacturer == "MedSegTrainer"

    def test_by_hand(self, image: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        path = written(image, tmp_path, write_series)
        planes = source_planes(tmp_path / "series", Geometry.of(read_file(tmp_path / "series")))
        write_dicom_seg(image, path, CLASSES, planes, Maker(name="me", way="MANUAL"))
        segment = pydicom.dcmread(path).SegmentSequence[0]
        assert segment.SegmentAlgorithmType == "MANUAL" and "SegmentAlgorithmName" not in segment

    def test_the_patient_stays_as_the_series_has_it(
        self, image: sitk.Image, tmp_path: Path, write_series: Writer
    ) -> None:
        """Also where it has a character set of its own, and values that are no good DICOM."""
        path = written(image, tmp_path, write_series)
        for file in (tmp_path / "series").iterdir():
            dataset = pydicom.dcmread(file)
            dataset.SpecificCharacterSet = "ISO_IR 100"
            dataset.PatientName, dataset.PatientID, dataset.PatientSex = "Müller^Jörg", "ß7", "M"
            with disable_value_validation():
                dataset.add_new("PatientAge", "AS", "sixty")
                dataset.save_as(file)
        planes = source_planes(tmp_path / "series", Geometry.of(read_file(tmp_path / "series")))
        write_dicom_seg(image, path, CLASSES, planes, MAKER)
        dataset = pydicom.dcmread(path)
        assert (str(dataset.PatientName), dataset.PatientID, dataset.PatientSex) == ("Müller^Jörg", "ß7", "M")
        assert dataset.SegmentSequence[0].SegmentLabel == "Gefäße"

    @pytest.mark.parametrize("kind", ["BINARY", "LABELMAP"])
    def test_other_programs_find_nothing_wrong(
        self, image: sitk.Image, kind: SegmentationType, tmp_path: Path, write_series: Writer
    ) -> None:
        """dciodvfy of dicom3tools, and the reader that 3D Slicer has (dcmqi), where they are installed."""
        checker, reader = shutil.which("dciodvfy"), shutil.which("segimage2itkimage")
        if checker is None or reader is None:
            pytest.skip("needs dciodvfy (dicom3tools) and segimage2itkimage (dcmqi)")
        path = written(image, tmp_path, write_series, kind)
        said = subprocess.run([checker, "-new", str(path)], capture_output=True, text=True, check=False).stderr
        assert "Error" not in said, said
        (tmp_path / "read").mkdir()
        command = [
            reader,
            "--inputDICOM",
            str(path),
            "--outputDirectory",
            str(tmp_path / "read"),
            "--outputType",
            "nrrd",
        ]
        subprocess.run([*command, "--mergeSegments"], capture_output=True, check=True)
        (file,) = (tmp_path / "read").glob("*.nrrd")
        found = sitk.ReadImage(str(file))
        array, affine = sitk.GetArrayViewFromImage(found), label_affine(found)
        for number, value in zip((1, 2) if kind == "BINARY" else (2, 5), (2, 5), strict=True):
            expected = places(sitk.GetArrayViewFromImage(image) == value, label_affine(image))
            assert np.abs(places(array == number, affine) - expected).max() < 1e-3


class TestRefused:
    def test_overlap_in_one_number_a_voxel(self) -> None:
        with pytest.raises(DataError, match=r"The classes overlap.*dicom-seg"):
            refuse_unwritable(CLASSES, "LABELMAP", overlapping=True)

    @pytest.mark.parametrize("name", ["x" * 65, "left\\right"])
    def test_names_that_are_no_labels(self, name: str) -> None:
        with pytest.raises(DataError, match="at most 64 letters and no backslash"):
            refuse_unwritable([LabelClass(value=1, name=name, color=(1, 2, 3))], "BINARY", overlapping=False)

    def test_values_that_are_no_numbers_of_segments(self) -> None:
        classes = [LabelClass(value=70_000, name="a", color=(1, 2, 3))]
        refuse_unwritable(classes, "BINARY", overlapping=False)
        with pytest.raises(DataError, match="is 1 to 65535, and classes have the values 70000"):
            refuse_unwritable(classes, "LABELMAP", overlapping=False)

    def test_an_image_of_a_kind_that_nothing_refers_to(
        self, labels: np.ndarray, tmp_path: Path, write_series: Writer
    ) -> None:
        image = placed(labels, np.eye(3), (1.0, 1.0, 2.0))
        series = write_series(sitk.Cast(image, sitk.sitkInt16), tmp_path / "series")
        planes = source_planes(series, Geometry.of(read_file(series)))
        for one in planes.instances:
            one.SOPClassUID = "1.2.3.4.5.6"
        with pytest.raises(DataError, match=r"series 1\.2\.3\.4 .*1\.2\.3\.4\.5\.6 is no kind of image\..*seg\.nrrd"):
            write_dicom_seg(image, tmp_path / "a.seg.dcm", CLASSES, planes, MAKER)
        assert not (tmp_path / "a.seg.dcm").exists()
