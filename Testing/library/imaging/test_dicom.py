"""DICOM folders: the same volume as from any other file, or words about what is wrong with the series."""

from __future__ import annotations

import locale
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom import holds_series, images_in, is_dicom, read_series
from MedSegTrainerLib.imaging.geometry import Geometry, to_canonical
from MedSegTrainerLib.imaging.read import case_name, file_stamps, image_files, read_channels, read_file

Writer = Callable[..., Path]


@pytest.fixture
def volume(oblique_case: tuple[sitk.Image, sitk.Image]) -> sitk.Image:
    """Whole numbers, negative ones among them."""
    return sitk.Cast(sitk.Round(oblique_case[0]) - 300, sitk.sitkInt16)


@pytest.fixture
def kept_locale() -> Iterator[None]:
    """Writing DICOM leaves the process with the locale C."""
    before = locale.setlocale(locale.LC_ALL)
    yield
    locale.setlocale(locale.LC_ALL, before)


def file_at(folder: Path, index: int) -> Path:
    """The file of a slice, counted along the volume."""
    return next(folder.glob(f"*_{(7 * index) % 101:03d}.dcm"))


def same(actual: sitk.Image, expected: sitk.Image) -> bool:
    actual, expected = to_canonical(actual), to_canonical(expected)
    grids = Geometry.of(actual), Geometry.of(expected)
    arrays = sitk.GetArrayViewFromImage(actual), sitk.GetArrayViewFromImage(expected)
    near = np.allclose(np.hstack([grids[0].spacing, grids[0].origin, grids[0].direction]),
                       np.hstack([grids[1].spacing, grids[1].origin, grids[1].direction]), atol=1e-4)  # fmt: skip
    return near and np.array_equal(*arrays)


class TestSeries:
    def test_is_the_volume_that_was_written(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        """Oblique, with slices whose names and numbers are not in the order of their places."""
        sitk.WriteImage(volume, str(tmp_path / "a.nii.gz"))
        series = read_file(write_series(volume, tmp_path / "a"))
        assert same(series, read_file(tmp_path / "a.nii.gz"))
        assert same(series, volume)

    def test_slices_without_suffix_among_other_files(
        self, volume: sitk.Image, tmp_path: Path, write_series: Writer
    ) -> None:
        folder = write_series(volume, tmp_path / "a")
        for path in folder.iterdir():
            path.rename(path.with_suffix(""))
        (folder / "notes.txt").write_text("x" * 200)
        (folder / ".hidden.dcm").write_text("x")
        sitk.WriteImage(volume, str(folder / "volume.nii.gz"))
        assert holds_series(folder) and not is_dicom(folder / "notes.txt")
        assert same(read_series(folder), volume)

    def test_rescale_slope_and_intercept(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        tags = {"0028|1052": "-1024", "0028|1053": "2"}
        folder = write_series(volume, tmp_path / "a", tags=tags)
        raw = sitk.GetArrayFromImage(volume)
        assert np.abs(sitk.GetArrayFromImage(read_series(folder)) - raw).max() <= 1  # stored in steps of 2
        stored = sitk.ImageFileReader()
        stored.SetFileName(str(file_at(folder, 0)))
        stored.ReadImageInformation()
        assert stored.GetMetaData("0028|1053").strip() == "2"

    def test_each_slice_has_its_own_slope(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        """As in PET: the type of the first slice must not cut the values of the others."""
        tags = {"0028|1052": "0", "0028|1053": "0.5", "0028|0100": "16", "0028|0101": "16", "0028|0102": "15",
                "0028|0103": "1"}  # fmt: skip
        halves = sitk.Cast(volume[:, :, 1:], sitk.sitkFloat64) / 2
        folder = write_series(volume[:, :, :1], tmp_path / "a")
        file_at(folder, 0).rename(folder / "first.dcm")
        write_series(halves, folder, tags=tags)
        slices = sitk.GetArrayFromImage(read_series(folder))
        expected = np.concatenate([sitk.GetArrayFromImage(volume[:, :, :1]), sitk.GetArrayFromImage(halves)])
        order = 1 if np.array_equal(slices[0], expected[0]) else -1
        assert np.allclose(slices[::order], expected)
        assert not np.array_equal(expected, np.round(expected))

    def test_one_slice(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        folder = write_series(volume[:, :, 3:4], tmp_path / "a")
        (channel,) = read_channels([folder])
        assert channel.GetSize() == (17, 13, 1)
        assert np.array_equal(sitk.GetArrayViewFromImage(channel)[0], sitk.GetArrayViewFromImage(volume)[3])

    def test_files_without_preamble(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        """As old devices write them: the data set alone, and no suffix."""
        folder = write_series(volume, tmp_path / "a")
        for path in list(folder.iterdir()):
            content = path.read_bytes()
            group = int.from_bytes(content[140:144], "little")
            path.with_suffix("").write_bytes(content[144 + group :])
            path.unlink()
        assert holds_series(folder)
        assert same(read_file(folder), volume)

    def test_two_echoes_of_one_series_in_a_folder(self, shared_data: Path) -> None:
        folder = shared_data.parent / "cases" / "interleaved_echoes" / "series"
        if not folder.is_dir():
            pytest.skip(f"needs {folder}")
        with pytest.raises(DataError, match=r"8 slices lie where another one lies .* echoes\? Keep one"):
            read_series(folder)


class TestFrames:
    """What lies in a file without saying where is refused; the others stand in test_dicom_frames."""

    def test_frames_without_places(self, shared_data: Path, tmp_path: Path) -> None:
        source = shared_data.parent / "cases" / "multiframe" / "mf_old_thickness.dcm"
        if not source.is_file():
            pytest.skip(f"needs {source}")
        (tmp_path / "a").mkdir()
        shutil.copy(source, tmp_path / "a")
        for path in (source, tmp_path / "a"):
            with pytest.raises(
                DataError, match=r"16 frames: where each lies does not stand in it .* dcm2niix"
            ) as caught:
                read_file(path)
            assert source.name in str(caught.value)

    @pytest.mark.usefixtures("kept_locale")
    def test_a_secondary_capture_that_says_where_they_lie(self, volume: sitk.Image, tmp_path: Path) -> None:
        """ITK writes 3D images so."""
        image = sitk.Cast(volume + 300, sitk.sitkUInt16)
        image.SetMetaData("0008|0016", "1.2.840.10008.5.1.4.1.1.7.3")
        sitk.WriteImage(image, str(tmp_path / "frames.dcm"))
        assert same(read_file(tmp_path / "frames.dcm"), image)

    @pytest.mark.usefixtures("kept_locale")
    @pytest.mark.parametrize(
        ("kind", "says"),
        [("3.1", "a film"), ("12.1", "a film"), ("77.1.1.1", "a film")],
        ids=["ultrasound", "X-ray", "endoscope"],
    )
    def test_other_kinds(self, kind: str, says: str, volume: sitk.Image, tmp_path: Path) -> None:
        image = sitk.Cast(volume + 300, sitk.sitkUInt16)
        image.SetMetaData("0008|0016", f"1.2.840.10008.5.1.4.1.1.{kind}")
        sitk.WriteImage(image, str(tmp_path / "frames.dcm"))
        with pytest.raises(DataError, match=says) as caught:
            read_channels([tmp_path / "frames.dcm"])
        assert "frames.dcm is a DICOM file of 9 frames" in str(caught.value)


class TestWrongSeries:
    @pytest.fixture
    def folder(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> Path:
        return write_series(volume, tmp_path / "a")

    def refused(self, folder: Path) -> str:
        with pytest.raises(DataError) as caught:
            read_series(folder)
        assert str(folder) in str(caught.value)
        return str(caught.value)

    def test_a_missing_slice(self, folder: Path) -> None:
        file_at(folder, 4).unlink()
        message = self.refused(folder)
        assert "slices are missing between" in message and "5 mm apart, and 2.5 mm elsewhere" in message
        assert file_at(folder, 3).name in message and file_at(folder, 5).name in message

    def test_uneven_slices(self, folder: Path, volume: sitk.Image, write_series: Writer) -> None:
        file_at(folder, 8).unlink()
        end = volume[:, :, 8:]
        normal = np.array(volume.GetDirection()).reshape(3, 3)[:, 2]
        end.SetOrigin((np.array(end.GetOrigin()) + 0.8 * normal).tolist())
        write_series(end, folder.parent / "end")
        shutil.copy(file_at(folder.parent / "end", 0), folder / "last.dcm")
        assert "the slices lie unevenly, 2.5 to 3.3 mm apart" in self.refused(folder)

    def test_shifted_slices(self, folder: Path, volume: sitk.Image, write_series: Writer) -> None:
        """Of a tilted gantry: each slice begins a little further down."""
        axes = np.array(volume.GetDirection()).reshape(3, 3)
        for index in range(1, 9):
            moved = volume[:, :, index : index + 1]
            moved.SetOrigin((np.array(moved.GetOrigin()) + 0.3 * index * axes[:, 1]).tolist())
            write_series(moved, folder.parent / "moved")
            shutil.copy(file_at(folder.parent / "moved", 0), file_at(folder, index))
        assert "shifted against each other by up to 2.40 mm (a tilted gantry)" in self.refused(folder)

    def test_two_time_points(self, folder: Path, volume: sitk.Image, write_series: Writer) -> None:
        for path in write_series(volume, folder.parent / "b").iterdir():
            shutil.copy(path, folder / f"again_{path.name}")
        assert "9 slices lie where another one lies" in self.refused(folder)

    def test_two_series(self, folder: Path, volume: sitk.Image, write_series: Writer) -> None:
        write_series(volume[:, :, :6], folder, uid="1.2.9")
        message = self.refused(folder)
        assert "holds 2 series of images: 9 slices (without description)" in message and "6 slices" in message

    def test_a_scout_beside_the_series(self, folder: Path, volume: sitk.Image, write_series: Writer) -> None:
        write_series(volume[:, :, :3], folder, uid="1.2.9")
        assert same(read_series(folder), volume)

    def test_a_damaged_slice(self, folder: Path) -> None:
        path = file_at(folder, 8)
        path.write_bytes(path.read_bytes()[:300])
        assert "is damaged" in self.refused(folder)

    def test_only_a_structure_set(self, folder: Path) -> None:
        for path in list(folder.iterdir())[1:]:
            path.unlink()
        (path,) = folder.iterdir()
        old, new = b"1.2.840.10008.5.1.4.1.1.2\0", b"1.2.840.10008.5.1.4.1.1.481.3\0"
        content = path.read_bytes()
        place = content.find(old) - 2
        path.write_bytes(content[:place] + len(new).to_bytes(2, "little") + new + content[place + 2 + len(old) :])
        assert "holds no DICOM image but a structure set (RTSTRUCT), which is labels" in self.refused(folder)
        with pytest.raises(DataError, match=r"is a structure set \(RTSTRUCT\), which is labels and no image"):
            read_file(path)

    def test_a_file_that_only_says_that_it_is_dicom(self, tmp_path: Path) -> None:
        (tmp_path / "a.dcm").write_text("nothing")
        with pytest.raises(DataError, match=r"a\.dcm cannot be read as DICOM"):
            read_file(tmp_path / "a.dcm")


class TestFolders:
    def test_a_folder_is_an_image_among_files(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        write_series(volume, tmp_path / "patient.1")
        (tmp_path / "empty").mkdir()
        sitk.WriteImage(volume, str(tmp_path / "b.nii.gz"))
        files = image_files(tmp_path)
        assert [path.name for path in files] == ["b.nii.gz", "patient.1"]
        assert [case_name(path) for path in files] == ["b", "patient.1"]

    def test_single_images_in_one_folder(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        """Radiographs: each file is a series of its own."""
        for index in range(3):
            write_series(volume[:, :, index : index + 1], tmp_path / "x", uid=f"1.2.{index}")
        assert [path.name for path in images_in(tmp_path / "x")] == [f"1.2.{index}_000.dcm" for index in range(3)]
        folder = write_series(volume, tmp_path / "y")
        assert images_in(folder) == [folder]

    def test_stamps_tell_a_change(self, volume: sitk.Image, tmp_path: Path, write_series: Writer) -> None:
        folder = write_series(volume, tmp_path / "a")
        before = file_stamps(folder)
        assert len(before) == 9
        path = file_at(folder, 2)
        path.write_bytes(path.read_bytes() + b"\0\0")
        assert file_stamps(folder) != before


def test_real_series(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "ct" / "dicom"
    if not folder.is_dir():
        pytest.skip(f"needs {folder}")
    volume = read_file(folder)
    assert (volume.GetSize(), volume.GetSpacing()) == ((512, 512, 20), (0.9765625, 0.9765625, 2.0))
    assert -1100 < sitk.GetArrayViewFromImage(volume).min() <= -1000  # Hounsfield units: air is there
    sitk.WriteImage(volume, str(tmp_path / "a.nii"))
    assert same(read_file(tmp_path / "a.nii"), volume)
