"""Multi-frame DICOM images: the volume whose slices the frames are, or words about why they are none."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom_frames import read_frames
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.read import read_file

Writer = Callable[..., Path]


@pytest.fixture
def volume(oblique_case: tuple[sitk.Image, sitk.Image]) -> sitk.Image:
    """Whole numbers, negative ones among them."""
    return sitk.Cast(sitk.Round(oblique_case[0]) - 300, sitk.sitkInt16)


def same(actual: sitk.Image, expected: sitk.Image) -> bool:
    arrays = sitk.GetArrayViewFromImage(actual), sitk.GetArrayViewFromImage(expected)
    return not Geometry.of(actual).disagreements(Geometry.of(expected)) and np.array_equal(*arrays)


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        read_file(path)
    assert path.name in str(caught.value)
    return str(caught.value)


class TestVolumes:
    @pytest.mark.parametrize("order", [lambda z: z, lambda z: z[::-1], lambda z: z[::2] + z[1::2]])
    def test_frames_in_any_order(
        self, order: Callable[[list[int]], list[int]], volume: sitk.Image, tmp_path: Path, write_frames: Writer
    ) -> None:
        path = write_frames(tmp_path / "a.dcm", volume, order=order)
        assert same(read_file(path), volume)
        assert read_file(path).GetPixelID() == sitk.sitkInt16
        (tmp_path / "series").mkdir()
        shutil.move(path, tmp_path / "series")
        assert same(read_file(tmp_path / "series"), volume)

    def test_slope_and_intercept(self, volume: sitk.Image, tmp_path: Path, write_frames: Writer) -> None:
        read = read_file(write_frames(tmp_path / "a.dcm", volume, scales=[(2, -1024)]))
        assert same(read, 2 * sitk.Cast(volume, sitk.sitkInt16) - 1024)
        read = read_file(write_frames(tmp_path / "b.dcm", volume, scales=[(0.5, 0)]))
        assert same(read, 0.5 * sitk.Cast(volume, sitk.sitkFloat32))
        assert read.GetPixelID() == sitk.sitkFloat32

    def test_pet_has_a_slope_for_each_frame(self, volume: sitk.Image, tmp_path: Path, write_frames: Writer) -> None:
        scales = [(0.25 * (z + 1), 0) for z in range(9)]
        path = write_frames(tmp_path / "a.dcm", volume, scales=scales, Modality="PT", order=lambda z: z[::-1])
        expected = sitk.GetArrayFromImage(volume) * np.array(scales)[:, :1, None]
        assert np.array_equal(sitk.GetArrayFromImage(read_file(path)), expected.astype(np.float32))

    @pytest.mark.parametrize(
        "syntax",
        [pydicom.uid.RLELossless, pydicom.uid.JPEGLSLossless, pydicom.uid.JPEGLosslessSV1],
        ids=lambda x: x.name,
    )
    def test_packed_frames(
        self, syntax: pydicom.uid.UID, volume: sitk.Image, tmp_path: Path, write_frames: Writer
    ) -> None:
        """JPEG Lossless, the usual one of scanners, is known to GDCM alone."""
        path = write_frames(tmp_path / "a.dcm", volume, order=lambda z: z[::-1])
        dataset = pydicom.dcmread(path)
        if syntax == pydicom.uid.JPEGLosslessSV1:
            frames = [_lossless(frame, tmp_path / "frame.dcm") for frame in dataset.pixel_array]
            dataset.PixelData = pydicom.encaps.encapsulate(frames)
            dataset["PixelData"].is_undefined_length = True
            dataset.file_meta.TransferSyntaxUID = syntax
        else:
            dataset.compress(syntax)
        dataset.save_as(path)
        assert same(read_frames(path), volume)


def _lossless(frame: np.ndarray, path: Path) -> bytes:
    """One frame in JPEG Lossless, as GDCM packs it."""
    writer = sitk.ImageFileWriter()
    writer.SetImageIO("GDCMImageIO")
    writer.UseCompressionOn()
    writer.SetCompressor("JPEG")
    writer.SetFileName(str(path))
    writer.Execute(sitk.GetImageFromArray(frame))
    dataset = pydicom.dcmread(path)
    assert dataset.file_meta.TransferSyntaxUID == pydicom.uid.JPEGLosslessSV1
    return next(pydicom.encaps.generate_frames(dataset.PixelData, number_of_frames=1))


class TestRefused:
    def test_a_gap(self, volume: sitk.Image, tmp_path: Path, write_frames: Writer) -> None:
        path = write_frames(tmp_path / "a.dcm", volume, order=lambda z: [k for k in z if k not in (3, 4)])
        assert "slices are missing between frame 3 and frame 4: 7.5 mm apart, and 2.5 mm elsewhere" in refused(path)

    def test_two_echoes(self, volume: sitk.Image, tmp_path: Path, write_frames: Writer) -> None:
        path = write_frames(tmp_path / "a.dcm", volume, order=lambda z: [k for k in z for _ in range(2)])
        assert "9 slices lie where another one lies" in refused(path)

    def test_a_tilted_gantry(self, volume: sitk.Image, tmp_path: Path, write_frames: Writer) -> None:
        path = write_frames(tmp_path / "a.dcm", volume)
        dataset = pydicom.dcmread(path)
        for frame, group in enumerate(dataset.PerFrameFunctionalGroupsSequence):
            place = group.PlanePositionSequence[0]
            row = np.array(volume.GetDirection())[0::3]
            place.ImagePositionPatient = (np.array(place.ImagePositionPatient) + 0.2 * frame * row).tolist()
        dataset.save_as(path)
        assert "shifted against each other by up to 1.60 mm (a tilted gantry)" in refused(path)

    def test_two_directions(self, volume: sitk.Image, tmp_path: Path, write_frames: Writer) -> None:
        path = write_frames(tmp_path / "a.dcm", volume)
        dataset = pydicom.dcmread(path)
        axes = pydicom.Dataset()
        axes.ImageOrientationPatient = [0, 1, 0, 0, 0, 1]
        dataset.PerFrameFunctionalGroupsSequence[3].PlaneOrientationSequence = [axes]
        dataset.save_as(path)
        assert "do not lie parallel" in refused(path)

    def test_slopes_of_different_pictures(self, volume: sitk.Image, tmp_path: Path, write_frames: Writer) -> None:
        path = write_frames(tmp_path / "a.dcm", volume, scales=[(1, 0)] * 5 + [(3, -10)] * 4)
        assert "slope and intercept 1 and 0 in frame 1, 3 and -10 in frame 6" in refused(path)

    @pytest.mark.parametrize(
        ("elements", "says"),
        [({"PixelData": b"\1\2"}, "cannot be read as DICOM"), ({"SamplesPerPixel": 3}, "colour pictures"),
         ({"SharedFunctionalGroupsSequence": []}, "Image Orientation, Pixel Spacing")],
    )  # fmt: skip
    def test_damage(
        self, elements: dict[str, Any], says: str, volume: sitk.Image, tmp_path: Path, write_frames: Writer
    ) -> None:
        path = write_frames(tmp_path / "a.dcm", volume)
        dataset = pydicom.dcmread(path)
        for keyword, value in elements.items():
            setattr(dataset, keyword, value)
        dataset.save_as(path)
        with pytest.raises(DataError, match=says):
            read_frames(path)

    def test_several_such_files_of_a_series(self, volume: sitk.Image, tmp_path: Path, write_frames: Writer) -> None:
        for name in ("a", "b"):
            write_frames(tmp_path / f"{name}.dcm", volume)
        with pytest.raises(DataError, match=r"a\.dcm is a DICOM file of 9 frames: one of several of its series"):
            read_file(tmp_path)


class TestRealFiles:
    @pytest.mark.parametrize("name", ["mf_plain", "mf_no_spacing", "mf_reversed", "mf_shuffled"])
    def test_are_the_true_volume(self, name: str, shared_data: Path) -> None:
        folder = shared_data.parent / "cases" / "multiframe"
        if not folder.is_dir():
            pytest.skip(f"needs {folder}")
        assert same(read_file(folder / f"{name}.dcm"), sitk.ReadImage(str(folder / "truth.nii.gz")))

    @pytest.mark.parametrize(
        ("name", "says"),
        [
            ("mf_missing", "slices are missing between frame 8 and frame 9"),
            ("mf_slopes", "frames have different scales"),
        ],
    )
    def test_are_refused(self, name: str, says: str, shared_data: Path) -> None:
        folder = shared_data.parent / "cases" / "multiframe"
        if not folder.is_dir():
            pytest.skip(f"needs {folder}")
        assert says in refused(folder / f"{name}.dcm")

    @pytest.mark.parametrize("name", ["23x38x3", "24x38x3"])
    def test_is_the_series_that_it_was_made_of(self, name: str, shared_data: Path) -> None:
        folder = shared_data / "dicom_objects" / "dcmqi" / name
        if not folder.is_dir():
            pytest.skip(f"needs {folder}")
        assert same(read_file(folder / "multiframe" / "mf.dcm"), read_file(folder / "image"))
