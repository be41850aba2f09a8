"""Image files in, scalar volumes out, one a channel."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from PIL import Image

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.imaging.read import case_name, image_files, image_suffix, read_channels


def write_nifti(path: Path, array: np.ndarray) -> None:
    """An int16 array of any number of axes, the fastest last, without what ITK would make of it."""
    header = bytearray(352)
    header[0:4] = np.array([348], "<i4").tobytes()
    header[40:56] = np.array([array.ndim, *array.shape[::-1], *[1] * (7 - array.ndim)], "<i2").tobytes()
    header[70:74] = np.array([4, 16], "<i2").tobytes()
    header[76:112] = np.array([1] * 8 + [352], "<f4").tobytes()
    header[344:348] = b"n+1\0"
    path.write_bytes(gzip.compress(bytes(header) + array.astype("<i2").tobytes()))


class TestNames:
    @pytest.mark.parametrize(
        "file, name, suffix",
        [
            ("a.nii.gz", "a", ".nii.gz"), ("A.NII.GZ", "A", ".nii.gz"), ("a.b.nii", "a.b", ".nii"),
            ("a.seg.nrrd", "a", ".nrrd"), ("x.nhdr", "x", ".nhdr"), ("x.mha", "x", ".mha"), ("x.mhd", "x", ".mhd"),
            ("x.png", "x", ".png"), ("X.TIFF", "X", ".tiff"), ("x.1.jpg", "x.1", ".jpg"),
            ("x.raw", "x", None), ("notes.txt", "notes", None),
        ],
    )  # fmt: skip
    def test_of_files(self, file: str, name: str, suffix: str | None) -> None:
        assert (case_name(Path("folder.nii") / file), image_suffix(Path(file))) == (name, suffix)


class TestReadChannels:
    def write(self, image: sitk.Image, path: Path) -> Path:
        sitk.WriteImage(image, str(path))
        return path

    @pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha"])
    def test_one_file(self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, suffix: str) -> None:
        image = oblique_case[0]
        (channel,) = read_channels([self.write(image, tmp_path / f"a{suffix}")])
        assert np.array_equal(sitk.GetArrayViewFromImage(channel), sitk.GetArrayViewFromImage(image))
        assert Geometry.of(image).disagreements(Geometry.of(channel)) == []

    def test_a_file_a_channel(self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> None:
        paths = [self.write(image, tmp_path / f"{index}.nrrd") for index, image in enumerate(oblique_case)]
        channels = read_channels(paths)
        assert [channel.GetPixel(5, 5, 4) for channel in channels] == [
            image.GetPixel(5, 5, 4) for image in oblique_case
        ]

    def test_components_are_channels(self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> None:
        image = oblique_case[0]
        path = self.write(sitk.Compose(image, image * 2, image * 3), tmp_path / "a.nrrd")
        channels = read_channels([path])
        assert [channel.GetNumberOfComponentsPerPixel() for channel in channels] == [1, 1, 1]
        assert channels[2].GetPixel(3, 4, 5) == pytest.approx(3 * image.GetPixel(3, 4, 5))
        assert Geometry.of(image).disagreements(Geometry.of(channels[2])) == []

    def test_a_fourth_axis_is_channels(self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> None:
        image = oblique_case[0]
        path = self.write(sitk.JoinSeries(image, image * 2), tmp_path / "a.nii.gz")
        channels = read_channels([path])
        assert len(channels) == 2
        assert channels[1].GetPixel(3, 4, 5) == pytest.approx(2 * image.GetPixel(3, 4, 5))
        assert Geometry.of(image).disagreements(Geometry.of(channels[1])) == []

    @pytest.mark.parametrize("last", [1, 3])
    def test_axes_of_one_beside_x_y_z_are_none(self, tmp_path: Path, last: int) -> None:
        """A fifth axis is channels, as a fourth is."""
        path = tmp_path / "five.nii.gz"
        write_nifti(path, np.arange(7 * 6 * 5 * last, dtype=np.int16).reshape(last, 1, 5, 6, 7))
        channels = read_channels([path])
        assert [channel.GetSize() for channel in channels] == [(7, 6, 5)] * last
        assert [channel[3, 2, 1] for channel in channels] == [1 * 42 + 2 * 7 + 3 + 210 * index for index in range(last)]
        if last == 1:
            assert read_label_map(path).GetSize() == (7, 6, 5)

    def test_several_axes_of_channels_are_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "five.nii.gz"
        write_nifti(path, np.zeros((3, 2, 5, 6, 7), np.int16))
        with pytest.raises(DataError, match=r"five.nii.gz has the size 7 x 6 x 5 x 2 x 3.*a file of its own"):
            read_channels([path])

    def test_complex_numbers_are_refused(self, tmp_path: Path) -> None:
        image = sitk.GetImageFromArray(np.ones((3, 4, 5), np.complex64))
        sitk.WriteImage(image, str(tmp_path / "k.nii.gz"))
        with pytest.raises(DataError, match=r"k\.nii\.gz holds complex numbers.*magnitude"):
            read_channels([tmp_path / "k.nii.gz"])

    def test_a_2d_image_is_a_volume_of_one_slice(self, tmp_path: Path) -> None:
        image = sitk.GetImageFromArray(np.arange(12, dtype=np.float32).reshape(3, 4))
        image.SetSpacing((0.5, 0.7))
        (channel,) = read_channels([self.write(image, tmp_path / "a.mha")])
        assert channel.GetSize() == (4, 3, 1)
        assert channel.GetSpacing()[:2] == (0.5, 0.7)
        assert channel.GetPixel(1, 2, 0) == 9

    def test_channels_on_different_grids_are_refused(
        self, oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path
    ) -> None:
        moved = sitk.Image(oblique_case[0])
        moved.SetOrigin((0, 0, 0))
        paths = [self.write(oblique_case[0], tmp_path / "a.nrrd"), self.write(moved, tmp_path / "b.nrrd")]
        with pytest.raises(DataError, match="channel 1 lies elsewhere than channel 0: origin "):
            read_channels(paths)


class TestPhotographs:
    """Pixels are 1 mm, colours are channels, alpha is not one."""

    gray = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
    colour = np.stack([gray, gray // 2, 255 - gray], axis=-1)

    def channels(self, image: Image.Image, path: Path) -> list[np.ndarray]:
        image.save(path, dpi=(300, 100))
        result = read_channels([path])
        assert {Geometry.of(channel) for channel in result} == {Geometry(size=(4, 3, 1))}
        return [sitk.GetArrayFromImage(channel)[0] for channel in result]

    @pytest.mark.parametrize("suffix", [".png", ".tif", ".tiff"])
    def test_gray(self, tmp_path: Path, suffix: str) -> None:
        (channel,) = self.channels(Image.fromarray(self.gray), tmp_path / f"a{suffix}")
        assert np.array_equal(channel, self.gray)

    def test_jpeg(self, tmp_path: Path) -> None:
        (channel,) = self.channels(Image.fromarray(self.gray), tmp_path / "a.jpg")
        assert np.abs(channel.astype(int) - self.gray).max() < 25
        assert len(self.channels(Image.fromarray(self.colour), tmp_path / "b.jpeg")) == 3

    @pytest.mark.parametrize("suffix", [".png", ".tif"])
    @pytest.mark.parametrize("alpha", [False, True])
    def test_colours_are_three_channels(self, tmp_path: Path, suffix: str, alpha: bool) -> None:
        pixels = np.dstack([self.colour, self.gray // 3]) if alpha else self.colour
        result = self.channels(Image.fromarray(pixels), tmp_path / f"a{suffix}")
        assert np.array_equal(np.stack(result, axis=-1), self.colour)

    def test_gray_with_alpha(self, tmp_path: Path) -> None:
        image = Image.merge("LA", [Image.fromarray(self.gray), Image.fromarray(255 - self.gray)])
        (channel,) = self.channels(image, tmp_path / "a.png")
        assert np.array_equal(channel, self.gray)

    def test_16_bits(self, tmp_path: Path) -> None:
        (channel,) = self.channels(Image.fromarray(self.gray.astype(np.uint16) * 250), tmp_path / "a.png")
        assert np.array_equal(channel, self.gray.astype(np.uint16) * 250)

    def test_the_pages_of_a_tiff_are_slices(self, tmp_path: Path) -> None:
        pages = [Image.fromarray(self.gray + index) for index in range(5)]
        pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:], dpi=(300, 300))
        (channel,) = read_channels([tmp_path / "a.tif"])
        assert Geometry.of(channel) == Geometry(size=(4, 3, 5))
        assert np.array_equal(sitk.GetArrayFromImage(channel), np.stack([self.gray + index for index in range(5)]))


class TestImageFiles:
    def test_are_sorted_and_nothing_else(self, tmp_path: Path) -> None:
        for name in ("b.png", "a.tif", "notes.txt", ".hidden.png"):
            (tmp_path / name).touch()
        assert [path.name for path in image_files(tmp_path)] == ["a.tif", "b.png"]

    def test_pictures_beside_volumes_are_left_out(self, tmp_path: Path) -> None:
        for name in ("b.nii.gz", "b.png", "a.nrrd", "screenshot.jpg"):
            (tmp_path / name).touch()
        assert [path.name for path in image_files(tmp_path)] == ["a.nrrd", "b.nii.gz"]


class TestProblems:
    def test_a_missing_file(self, tmp_path: Path) -> None:
        with pytest.raises(DataError, match=r"a\.nii does not exist"):
            read_channels([tmp_path / "a.nii"])

    @pytest.mark.parametrize("suffix", [".nii.gz", ".nrrd", ".mha", ".png", ".tif", ".jpg"])
    def test_a_broken_file_is_named_in_one_line(self, tmp_path: Path, suffix: str) -> None:
        path = tmp_path / f"broken{suffix}"
        path.write_bytes(b"this is no image")
        with pytest.raises(DataError, match=r"cannot be read as an image: .+\. Replace the file") as caught:
            read_channels([path])
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)
