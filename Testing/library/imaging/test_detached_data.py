"""A header of a data set must not make an image of any other file of the machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.read import read_file

VOXELS = np.arange(5 * 6 * 7, dtype="<i2").reshape(5, 6, 7)
NRRD = "NRRD0004\ntype: short\ndimension: 3\nsizes: 7 6 5\nendian: little\nencoding: raw\n"
META = "ObjectType = Image\nNDims = 3\nDimSize = 7 6 5\nElementType = MET_SHORT\n"
SLICES = [f"s{index:03d}.raw" for index in range(5)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "set" / "sub").mkdir(parents=True)
    for path in (tmp_path / "set" / "a.raw", tmp_path / "set" / "sub" / "a.raw", tmp_path / "secret.raw"):
        path.write_bytes(VOXELS.tobytes())
    for name, piece in zip(SLICES, VOXELS, strict=True):
        (tmp_path / "set" / name).write_bytes(piece.tobytes())
    return tmp_path / "set"


def write(folder: Path, suffix: str, value: str, nrrd: str = "data file: ") -> Path:
    path = folder / f"a{suffix}"
    is_nrrd = suffix in (".nrrd", ".nhdr")
    path.write_text(f"{NRRD}{nrrd}{value}\n" if is_nrrd else f"{META}ElementDataFile = {value}\n")
    return path


@pytest.mark.parametrize("suffix", [".nhdr", ".nrrd", ".mhd", ".mha"])
@pytest.mark.parametrize(
    "value", ["a.raw", "sub/a.raw", "./a.raw", "s%03d.raw 0 4 1", "LIST\n" + "\n".join(SLICES)], ids=str.split
)
def test_files_beside_the_header_are_read(folder: Path, suffix: str, value: str) -> None:
    assert np.array_equal(sitk.GetArrayViewFromImage(read_file(write(folder, suffix, value))), VOXELS)


@pytest.mark.parametrize("suffix", [".nhdr", ".nrrd", ".mhd", ".mha"])
@pytest.mark.parametrize(
    "value",
    [
        "../secret.raw", "sub/../../secret.raw", "{absolute}", "..\\secret.raw", "C:\\secret.raw",
        "LIST\na.raw\n../secret.raw", "LIST 3\n{absolute}", "../secret%d.raw 0 4 1",
    ],
)  # fmt: skip
def test_files_elsewhere_are_refused(folder: Path, suffix: str, value: str) -> None:
    path = write(folder, suffix, value.format(absolute=(folder.parent / "secret.raw").resolve()))
    with pytest.raises(DataError, match="outside its own folder") as caught:
        read_file(path)
    assert str(path) in str(caught.value) and "beside the header" in str(caught.value)


def test_other_ways_to_write_the_field(folder: Path) -> None:
    for field in ("datafile: ", "Data File: ", "DATA FILE: "):
        with pytest.raises(DataError, match="outside its own folder"):
            read_file(write(folder, ".nhdr", "../secret.raw", field))
    for field in ("ElementDataFile=", " ElementDataFile :", "ElementDataFile\t=\t"):
        (folder / "b.mhd").write_text(f"{META}{field}../secret.raw\n")
        with pytest.raises(DataError, match="outside its own folder"):
            read_file(folder / "b.mhd")


@pytest.mark.parametrize("value", ["%s%s%n.raw 0 4 1", "s%03d.raw 0 4", "s%03d.raw 0 4 0", "-"])
def test_what_ends_the_process_or_waits_for_the_keyboard_is_refused(folder: Path, value: str) -> None:
    for suffix in (".mhd", ".nhdr"):
        with pytest.raises(DataError):
            read_file(write(folder, suffix, value))


def test_a_data_file_that_is_a_folder(folder: Path) -> None:
    with pytest.raises(DataError, match="is a folder"):
        read_file(write(folder, ".mhd", "sub"))


def test_a_link_beside_the_header_may_lead_elsewhere(folder: Path) -> None:
    (folder / "linked.raw").symlink_to(folder.parent / "secret.raw")
    assert np.array_equal(sitk.GetArrayViewFromImage(read_file(write(folder, ".nhdr", "linked.raw"))), VOXELS)
