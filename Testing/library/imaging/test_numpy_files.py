"""NPY and NPZ files: which array, which axes, where it lies; and words where it is none."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import read_label_map, read_label_map_onto
from MedSegTrainerLib.imaging.numpy_files import has_geometry, holds_case, read_array
from MedSegTrainerLib.imaging.read import read_channels

VALUES = np.arange(24, dtype=np.int16).reshape(2, 3, 4)


def npy(folder: Path, array: np.ndarray) -> Path:
    np.save(folder / "a.npy", array)
    return folder / "a.npy"


def npz(folder: Path, **arrays: Any) -> Path:
    np.savez(folder / "a.npz", **arrays)
    return folder / "a.npz"


def header(*shape: int) -> bytes:
    content = io.BytesIO()
    np.lib.format.write_array_header_1_0(content, {"descr": "<f4", "fortran_order": False, "shape": shape})
    return content.getvalue()


class TestPromises:
    """Headers of arrays that are not there: refused before anything is allocated."""

    def test_a_file(self, tmp_path: Path) -> None:
        (tmp_path / "a.npy").write_bytes(header(10**4, 10**4, 10**4) + bytes(100))
        with pytest.raises(DataError, match=r"a.npy is damaged: it holds 228 bytes and promises.*10000"):
            read_array(tmp_path / "a.npy")

    def test_a_header_that_is_no_python(self, tmp_path: Path) -> None:
        (tmp_path / "a.npy").write_bytes(header(2, 2, 2).replace(b"}", b" ") + bytes(32))
        with pytest.raises(DataError, match="cannot be read as an array"):
            read_array(tmp_path / "a.npy")

    @pytest.mark.parametrize("name", ["image", "spacing"])
    def test_a_member(self, tmp_path: Path, name: str) -> None:
        members = {"image": header(2, 2, 2) + bytes(32), "spacing": header(3) + bytes(12), name: header(10**12)}
        with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
            for key, content in members.items():
                archive.writestr(f"{key}.npy", content)
        with pytest.raises(DataError, match=r"a.npz is damaged: it holds 128 bytes and promises"):
            read_array(tmp_path / "a.npz")


class TestAxes:
    def test_a_volume(self, tmp_path: Path) -> None:
        (channel,) = read_channels([npy(tmp_path, VALUES)])
        assert channel.GetSize() == (4, 3, 2)
        assert channel.GetPixel(1, 2, 1) == VALUES[1, 2, 1]
        assert Geometry.of(channel) == Geometry(size=(4, 3, 2))

    def test_a_slice(self, tmp_path: Path) -> None:
        (channel,) = read_channels([npy(tmp_path, VALUES[0])])
        assert channel.GetSize() == (4, 3, 1)

    def test_channels_first(self, tmp_path: Path) -> None:
        path = npz(tmp_path, image=np.stack([VALUES, VALUES * 2, VALUES * 3]), spacing=(2.5, 1.1, 0.8))
        channels = read_channels([path])
        assert [channel.GetPixel(3, 2, 1) for channel in channels] == [23, 46, 69]
        assert channels[2].GetSpacing() == (0.8, 1.1, 2.5)

    def test_a_colour_picture(self, tmp_path: Path) -> None:
        picture = np.zeros((20, 30, 3), np.uint8)
        picture[4, 5] = 10, 20, 30
        channels = read_channels([npy(tmp_path, picture)])
        assert [channel.GetSize() for channel in channels] == [(30, 20, 1)] * 3
        assert [channel.GetPixel(5, 4, 0) for channel in channels] == [10, 20, 30]

    @pytest.mark.parametrize(
        "stored, read", [(bool, sitk.sitkUInt8), (np.float16, sitk.sitkFloat32), (">i2", sitk.sitkInt16)]
    )
    def test_types(self, tmp_path: Path, stored: Any, read: int) -> None:
        image = read_array(npy(tmp_path, (VALUES % 2).astype(stored)))
        assert image.GetPixelID() == read
        assert np.array_equal(sitk.GetArrayViewFromImage(image), VALUES % 2)


class TestPlace:
    def test_of_the_file(self, tmp_path: Path, oblique_case: tuple[sitk.Image, sitk.Image]) -> None:
        image = oblique_case[0]
        path = npz(
            tmp_path, image=sitk.GetArrayFromImage(image), spacing=image.GetSpacing()[::-1], origin=image.GetOrigin(),
            direction=np.reshape(image.GetDirection(), (3, 3)),
        )  # fmt: skip
        assert Geometry.of(image).disagreements(Geometry.of(read_array(path))) == []
        assert has_geometry(path)

    def test_a_label_map_without_place_lies_on_its_image(
        self, tmp_path: Path, oblique_case: tuple[sitk.Image, sitk.Image]
    ) -> None:
        image, label = oblique_case
        array = sitk.GetArrayFromImage(label)
        for path in (npy(tmp_path, array), npz(tmp_path, mask=array)):
            loaded = read_label_map_onto(path, image)
            assert Geometry.of(image) == Geometry.of(loaded)
            assert np.array_equal(sitk.GetArrayViewFromImage(loaded), array)
        placed = npz(tmp_path, mask=array, spacing=(1, 1, 1))
        assert Geometry.of(read_label_map_onto(placed, image)).spacing == (1, 1, 1)


class TestKeys:
    def test_image_and_label_in_one_file(self, tmp_path: Path) -> None:
        path = npz(tmp_path, data=VALUES, seg=VALUES % 3, spacing=(3, 2, 1))
        assert holds_case(path)
        (channel,) = read_channels([path])
        label = read_label_map(path)
        assert np.array_equal(sitk.GetArrayViewFromImage(channel), VALUES)
        assert np.array_equal(sitk.GetArrayViewFromImage(label), VALUES % 3)
        assert channel.GetSpacing() == label.GetSpacing() == (1, 2, 3)

    def test_the_only_array_may_have_any_name(self, tmp_path: Path) -> None:
        path = npz(tmp_path, arr_0=VALUES)
        assert not holds_case(path)
        (channel,) = read_channels([path])
        assert channel.GetPixel(3, 2, 1) == 23


class TestWrong:
    @pytest.mark.parametrize(
        "arrays, message",
        [
            ({"a": VALUES, "b": VALUES}, "has no array named 'image' but: a, b. Save it under that name"),
            ({"image": VALUES[0, 0]}, r"has an array of shape \(4,\)\. Save \(z, y, x\)"),
            ({"image": VALUES[:0]}, r"has an array of shape \(0, 3, 4\)"),
            ({"image": VALUES + 1j}, "holds values of type complex128"),
            ({"image": VALUES, "spacing": (1, 0, 1)}, r"spacing is \[1\.0, 0\.0, 1\.0\] mm"),
            ({"image": VALUES, "spacing": (1, 2, 3, 4)}, r"'spacing' must be 3 numbers, not \[1, 2, 3, 4\]"),
            ({"image": VALUES, "origin": ("a", "b", "c")}, "'origin' must be 3 numbers"),
            ({"image": VALUES, "direction": np.zeros((3, 3))}, "Give three unit vectors"),
            ({"image": np.array([{"a": 1}])}, "it holds Python objects, which may run code"),
        ],
    )
    def test_arrays(self, tmp_path: Path, arrays: dict[str, Any], message: str) -> None:
        with pytest.raises(DataError, match=message) as caught:
            read_array(npz(tmp_path, **arrays))
        assert str(tmp_path / "a.npz") in str(caught.value)

    @pytest.mark.parametrize("name", ["a.npy", "a.npz"])
    @pytest.mark.parametrize("content", [b"", b"nothing", b"\x93NUMPY\x01\x00", b"PK\x03\x04abc"])
    def test_files(self, tmp_path: Path, name: str, content: bytes) -> None:
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError, match=r"cannot be read as an array: .*Save it again as numbers"):
            read_array(tmp_path / name)
