"""Headers with numbers that cannot be are refused with the name of the field."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.read import read_file


@pytest.mark.parametrize(
    ("text", "place", "value", "says"),
    [
        ("<h", 40, 9, "dim in its header must be a number of axes and their lengths, not 9"),
        ("<h", 44, 0, "dim in its header"), ("<h", 44, -13, "dim in its header"),
        ("<h", 72, 1, "bitpix in its header must be 8 for datatype 2, not 1"),
        ("<f", 108, -1.0, "vox_offset in its header must be 352 or more, not -1"),
        ("<f", 108, float("nan"), "vox_offset in its header"),
        ("<f", 84, 0.0, "pixdim in its header must be the size of a voxel in mm"),
        ("<f", 80, float("inf"), "pixdim in its header"),
    ],
)  # fmt: skip
def test_nifti(
    oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, text: str, place: int, value: Any, says: str
) -> None:
    path = tmp_path / "a.nii"
    sitk.WriteImage(oblique_case[1], str(path))
    content = bytearray(path.read_bytes())
    struct.pack_into(text, content, place, value)
    path.write_bytes(bytes(content))
    with pytest.raises(DataError) as caught:
        read_file(path)
    assert says in str(caught.value) and str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("NDims", "1e300", "NDims in its header must be a number from 1 to 6, not '1e300'"),
        ("DimSize", "17 0 9", "DimSize in its header must be a whole number above 0 for each dimension, not '17 0 9'"),
        ("DimSize", "17 13", "DimSize in its header"), ("ElementSpacing", "nan 1 1", "ElementSpacing in its header"),
        ("ElementSpacing", "-1 1 1", "ElementSpacing in its header"), ("Offset", "inf 0 0", "Offset in its header"),
        ("TransformMatrix", "1 0 0", "TransformMatrix in its header must be a number for each pair of dimensions"),
    ],
)  # fmt: skip
def test_meta_image(
    oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path, key: str, value: str, says: str
) -> None:
    path = tmp_path / "a.mha"
    sitk.WriteImage(oblique_case[1], str(path))
    lines = path.read_bytes().split(b"\n")
    place = next(index for index, line in enumerate(lines) if line.startswith(key.encode()))
    good = lines[place]
    lines[place] = f"{key} = {value}".encode()
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError) as caught:
        read_file(path)
    assert says in str(caught.value) and str(path) in str(caught.value)
    lines[place : place + 1] = [good, good]
    path.write_bytes(b"\n".join(lines))
    with pytest.raises(DataError, match=f"{key} in its header stands twice"):
        read_file(path)
