"""Which instance or frame lies at each slice of a label map; a series that cannot be referred to is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.source_planes import source_planes

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
