"""Which instance or frame lies at each slice of a label map; a series that cannot be referred to is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.source_planes import source_planes
from MedSegTrainerLib.imaging.write_dicom_seg import Maker, write_dicom_seg

Writer = Callable[..., Path]


@pytest.fixture
def volume(oblique_case: tuple[sitk.Image, sitk.Image]) -> sitk.Image:
    return sitk.Cast(oblique_case[0], sitk.sitkInt16)


@pytest.fixture
def folder(volume: sitk.Image, tmp_path: Path, write_series: Writer) -> Path:
    return write_series(volume, tmp_path / "a")


def changed(folder: Path, change: Callable[[pydicom.Dataset], None], which: Sequence[int] | None = None) -> None:
    """Each file, or those of some places in the folder, written again as something makes it."""
    files = sorted(folder.iterdir())
    for file in files if which is None else [files[index] for index in which]:
        dataset = pydicom.dcmread(file)
        change(dataset)
        dataset.save_as(file)


def without(*names: str) -> Callable[[pydicom.Dataset], None]:
    def change(dataset: pydicom.Dataset) -> None:
        for name in names:
            del dataset[name]

    return change


class TestSeries:
    def test_instances_are_in_the_order_of_the_slices(self, folder: Path, volume: sitk.Image) -> None:
        planes = source_planes(folder, Geometry.of(read_file(folder)))
        assert [str(one.SOPInstanceUID) for one in planes.instances] == [f"1.2.3.4.{n}" for n in range(1, 10)]
        assert planes.slices == tuple(range(9))
        for index, one in enumerate(planes.instances):
            assert np.allclose(one.ImagePositionPatient, volume.TransformIndexToPhysicalPoint((0, 0, index)))

    def test_scouts_reports_and_other_files_beside_it(
        self, folder: Path, volume: sitk.Image, write_series: Writer
    ) -> None:
        write_series(volume[:, :, 2:4], folder, "1.2.99")
        (folder / "report.dcm").write_bytes(b"no DICOM")
        (folder / "notes.txt").write_text("a series")
        planes = source_planes(folder, Geometry.of(volume))
        assert {str(one.SeriesInstanceUID) for one in planes.instances} == {"1.2.3.4"}

    def test_one_slice(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        folder = write_series(volume[:, :, 3:4], tmp_path / "a")
        (file,) = folder.iterdir()
        for path in (folder, file):
            planes = source_planes(path, Geometry.of(read_file(folder)))
            assert planes.slices == (0,) and len(planes.instances) == 1

    def test_distance_of_slices_is_that_of_the_grid_and_not_what_the_file_says(self, folder: Path) -> None:
        def change(dataset: pydicom.Dataset) -> None:
            dataset.SpacingBetweenSlices = "0.7"

        changed(folder, change)
        planes = source_planes(folder, Geometry.of(read_file(folder)))
        assert {float(one.SpacingBetweenSlices) for one in planes.instances} == {2.5}

    def test_what_programs_for_anonymity_take_out_is_there_and_empty(self, folder: Path) -> None:
        changed(folder, lambda dataset: [dataset.pop(name, None) for name in ("PatientID", "StudyDate")] and None)
        (first, *_) = source_planes(folder, Geometry.of(read_file(folder))).instances
        assert first.PatientID == "" and first.StudyDate == "" and first.AccessionNumber == ""


class TestRefused:
    def test_all_missing_tags_are_named_at_once(self, folder: Path) -> None:
        grid = Geometry.of(read_file(folder))
        changed(folder, without("FrameOfReferenceUID", "StudyInstanceUID"))
        changed(folder, without("SOPInstanceUID"), [2, 5])
        with pytest.raises(DataError) as caught:
            source_planes(folder, grid)
        message = str(caught.value)
        assert str(folder) in message and "seg.nrrd" in message
        assert "SOP Instance UID (0008,0018) in 2 of 9 slices" in message
        assert "Study Instance UID (0020,000D)," in message and "Frame of Reference UID (0020,0052)." in message

    def test_places_that_are_missing(self, folder: Path) -> None:
        grid = Geometry.of(read_file(folder))
        changed(folder, without("ImagePositionPatient", "PixelSpacing"))
        with pytest.raises(DataError, match=r"Image Position \(Patient\) \(0020,0032\), Pixel Spacing \(0028,0030\)"):
            source_planes(folder, grid)

    def test_a_slice_that_is_gone(self, folder: Path) -> None:
        grid = Geometry.of(read_file(folder))
        sorted(folder.iterdir())[3].unlink()
        with pytest.raises(DataError, match="of the 9 slices of the label map 8 lie where one slice"):
            source_planes(folder, grid)

    def test_a_slice_that_is_there_twice(self, folder: Path) -> None:
        grid = Geometry.of(read_file(folder))
        dataset = pydicom.dcmread(sorted(folder.iterdir())[0])
        dataset.SOPInstanceUID = "1.2.3.4.77"
        dataset.save_as(folder / "again.dcm")
        with pytest.raises(DataError, match="of the 9 slices of the label map 8 lie where one slice"):
            source_planes(folder, grid)

    @pytest.mark.parametrize("shift", [(0.3 * 2.5, 0.0), (0.0, 1.2)])
    def test_a_grid_that_lies_beside_it(self, folder: Path, shift: tuple[float, float]) -> None:
        volume = read_file(folder)
        along, across = np.array(volume.GetDirection()).reshape(3, 3)[:, (2, 0)].T
        volume.SetOrigin((np.array(volume.GetOrigin()) + shift[0] * along + shift[1] * across).tolist())
        with pytest.raises(DataError, match="of the 9 slices of the label map 0 lie"):
            source_planes(folder, Geometry.of(volume))

    def test_a_grid_that_is_turned(self, folder: Path) -> None:
        volume = read_file(folder)
        volume.SetDirection((np.array(volume.GetDirection()).reshape(3, 3) @ np.diag([-1, -1, 1])).ravel().tolist())
        with pytest.raises(DataError, match="of the 9 slices of the label map 0 lie"):
            source_planes(folder, Geometry.of(volume))

    @pytest.mark.parametrize("name", ["StudyInstanceUID", "FrameOfReferenceUID"])
    def test_slices_of_several_places_of_reference(self, folder: Path, name: str) -> None:
        def change(dataset: pydicom.Dataset) -> None:
            setattr(dataset, name, "1.2.777")

        grid = Geometry.of(read_file(folder))
        changed(folder, change, [4])
        with pytest.raises(DataError, match=r"its slices have 2 values of .*1\.2\.777"):
            source_planes(folder, grid)

    def test_two_slices_of_one_identity(self, folder: Path) -> None:
        def change(dataset: pydicom.Dataset) -> None:
            dataset.SOPInstanceUID = "1.2.3.4.1"

        grid = Geometry.of(read_file(folder))
        changed(folder, change, [0, 1, 2])
        with pytest.raises(DataError, match="several slices have one SOP Instance UID"):
            source_planes(folder, grid)

    def test_what_is_no_dicom(self, volume: sitk.Image, tmp_path: Path) -> None:
        sitk.WriteImage(volume, str(tmp_path / "a.nii.gz"))
        with pytest.raises(DataError, match=r"a.nii.gz is no DICOM image with slices of 17 x 13 pixels"):
            source_planes(tmp_path / "a.nii.gz", Geometry.of(volume))


class TestFrames:
    """A file of several frames, in an order of its own, made of the series."""

    ORDER = (4, 0, 8, 2, 6, 1, 3, 5, 7)

    @pytest.fixture
    def file(self, folder: Path, tmp_path: Path) -> Path:
        slices = sorted(map(pydicom.dcmread, folder.iterdir()), key=lambda one: int(one.SOPInstanceUID.split(".")[-1]))
        many = pydicom.dcmread(next(folder.iterdir()))
        for name in ("ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing", "SliceThickness"):
            del many[name]
        many.file_meta.MediaStorageSOPClassUID = many.SOPClassUID = pydicom.uid.EnhancedCTImageStorage
        many.file_meta.MediaStorageSOPInstanceUID = many.SOPInstanceUID = "1.2.3.5"
        many.NumberOfFrames = len(self.ORDER)
        many.PixelData = b"".join(slices[index].PixelData for index in self.ORDER)
        many.PerFrameFunctionalGroupsSequence = [groups_of(slices[index]) for index in self.ORDER]
        many.save_as(tmp_path / "many.dcm", enforce_file_format=True)
        return tmp_path / "many.dcm"

    def test_each_frame_has_its_slice(self, file: Path, volume: sitk.Image) -> None:
        planes = source_planes(file, Geometry.of(volume))
        assert planes.slices == self.ORDER and len(planes.instances) == 1

    def test_the_segmentation_lies_where_its_frames_lie(self, file: Path, volume: sitk.Image, tmp_path: Path) -> None:
        labels = np.zeros((9, 13, 17), np.uint8)
        for index in range(9):
            labels[index, index : index + 3, 2:5] = 1
        grid = Geometry.of(volume)
        classes = [LabelClass(value=1, name="a", color=(9, 9, 9))]
        path = tmp_path / "a.seg.dcm"
        write_dicom_seg(grid.place(labels), path, classes, source_planes(file, grid), Maker(name="m"))
        dataset = pydicom.dcmread(path)
        for frame, pixels in zip(dataset.PerFrameFunctionalGroupsSequence, dataset.pixel_array, strict=True):
            source = frame.DerivationImageSequence[0].SourceImageSequence[0]
            index = self.ORDER[int(source.ReferencedFrameNumber) - 1]
            position = frame.PlanePositionSequence[0].ImagePositionPatient
            assert np.allclose(position, volume.TransformIndexToPhysicalPoint((0, 0, index)))
            assert np.array_equal(pixels, labels[index])

    def test_a_frame_that_lies_elsewhere(self, file: Path, volume: sitk.Image) -> None:
        with pytest.raises(DataError, match="of the 8 slices of the label map 8 lie where one slice"):
            source_planes(file, Geometry.of(volume[:, :, :8]))


def groups_of(one: pydicom.Dataset) -> pydicom.Dataset:
    """The functional groups of a frame that lies where a slice lies."""
    groups = pydicom.Dataset()
    for sequence, names in (
        ("PlanePositionSequence", ["ImagePositionPatient"]),
        ("PlaneOrientationSequence", ["ImageOrientationPatient"]),
        ("PixelMeasuresSequence", ["PixelSpacing", "SliceThickness"]),
    ):
        item = pydicom.Dataset()
        for name in names:
            setattr(item, name, one[name].value)
        setattr(groups, sequence, [item])
    return groups
