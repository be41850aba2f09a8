from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.nifti_checks import read_not_finite, refuse_truncated


@pytest.fixture(params=["image.nii", "image.nii.gz", "IMAGE.NII.GZ"])
def whole(request: pytest.FixtureRequest, tmp_path: Path, oblique_geometry: Geometry) -> Path:
    noise = np.random.default_rng(1).integers(0, 2000, oblique_geometry.size_zyx).astype(np.int16)
    path = tmp_path / str(request.param).lower()
    sitk.WriteImage(oblique_geometry.place(noise), str(path))
    return path.rename(tmp_path / str(request.param))


def test_whole_file_passes(whole: Path) -> None:
    refuse_truncated(whole)


@pytest.mark.parametrize("missing", [1, 5, 500, 2500])
def test_file_that_ends_too_early_is_refused(whole: Path, missing: int) -> None:
    whole.write_bytes(whole.read_bytes()[:-missing])
    with pytest.raises(DataError, match=rf"{whole.name} is damaged.*again"):
        refuse_truncated(whole)


def test_itk_still_says_nothing(tmp_path: Path) -> None:
    """The day this fails, the file it tests is not needed any more."""
    path = tmp_path / "image.nii"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.int16)), str(path))
    path.write_bytes(path.read_bytes()[:-100])
    assert sitk.ReadImage(str(path)).GetSize() == (6, 5, 4)


# Packing in several pieces, or with bytes behind, makes the size at the end of the file another one.
ODD_PACKINGS: dict[str, Callable[[bytes], bytes]] = {
    "two pieces": lambda content: gzip.compress(content[:400]) + gzip.compress(content[400:]),
    "zeros behind": lambda content: gzip.compress(content) + bytes(64),
}


@pytest.mark.parametrize("pack", ODD_PACKINGS.values(), ids=ODD_PACKINGS.keys())
def test_odd_packing_is_counted(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    plain, packed = tmp_path / "plain.nii", tmp_path / "packed.nii.gz"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.int16)), str(plain))
    packed.write_bytes(pack(plain.read_bytes()))
    refuse_truncated(packed)
    packed.write_bytes(pack(plain.read_bytes()[:-1]))
    with pytest.raises(DataError, match=r"591 bytes.* 592"):
        refuse_truncated(packed)


@pytest.mark.parametrize("order", ["<", ">"])
def test_nifti_2(tmp_path: Path, order: str) -> None:
    header = np.zeros(544, np.uint8)
    header[0:4] = np.array([540], order + "i4").view(np.uint8)
    header[14:16] = np.array([32], order + "i2").view(np.uint8)
    header[16:80] = np.array([3, 4, 5, 6, 1, 1, 1, 1], order + "i8").view(np.uint8)
    header[168:176] = np.array([544], order + "i8").view(np.uint8)
    path = tmp_path / "image.nii"
    path.write_bytes(header.tobytes() + bytes(4 * 5 * 6 * 4))
    refuse_truncated(path)
    path.write_bytes(header.tobytes() + bytes(4 * 5 * 6 * 4 - 1))
    with pytest.raises(DataError, match=r"1023 bytes.* 1024"):
        refuse_truncated(path)


def test_other_files_are_left_to_their_readers(tmp_path: Path) -> None:
    for name, content in (("text.nii", b"hello"), ("empty.nii", b""), ("image.nrrd", b"\x1f\x8bx")):
        (tmp_path / name).write_bytes(content)
        refuse_truncated(tmp_path / name)


@pytest.mark.parametrize("name", ["image.nii", "image.nii.gz"])
@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_voxels_that_are_no_numbers_are_found(
    tmp_path: Path, oblique_geometry: Geometry, name: str, kind: type[np.floating]
) -> None:
    """ITK reads them as 0."""
    array = np.ones(oblique_geometry.size_zyx, kind)
    array[1, 2, 3], array[0, 0, 0], array[-1, -1, -1] = np.nan, np.inf, -np.inf
    sitk.WriteImage(oblique_geometry.place(array), str(tmp_path / name))
    read = sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / name)))
    mask = read_not_finite(tmp_path / name, [read])
    assert mask is not None and (mask[0] == ~np.isfinite(array)).all()
    sitk.WriteImage(oblique_geometry.place(np.ones_like(array)), str(tmp_path / name))
    assert read_not_finite(tmp_path / name, [np.zeros(1)]) is None


def test_bits_that_do_not_fit_the_type_are_not_believed(tmp_path: Path) -> None:
    """ITK would make up what is missing."""
    path = tmp_path / "image.nii"
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((4, 5, 6), np.float32)), str(path))
    content = bytearray(path.read_bytes())
    content[72:74] = bytes(2)
    path.write_bytes(content)
    assert read_not_finite(path, [np.zeros(1)]) is None
    path.write_bytes(content[:-1])
    with pytest.raises(DataError, match=r"831 bytes.* 832"):
        refuse_truncated(path)


def test_a_place_of_voxels_that_is_no_number(tmp_path: Path) -> None:
    path = tmp_path / "image.nii"
    sitk.WriteImage(sitk.GetImageFromArray(np.ones((4, 5, 6), np.int16)), str(path))
    content = bytearray(path.read_bytes())
    content[108:112] = np.array([np.nan], "<f4").tobytes()
    path.write_bytes(content)
    with pytest.raises(DataError, match="begin at byte nan"):
        refuse_truncated(path)
