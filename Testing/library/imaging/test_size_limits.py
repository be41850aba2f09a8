"""Headers that promise more than there is are refused in no time, and nothing is allocated for them."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.size_limits import refuse_beyond_memory

MHA = "ObjectType = Image\nNDims = 3\nDimSize = 90000 90000 9000\nElementType = MET_FLOAT\nElementDataFile = LOCAL\n"
NRRD = "NRRD0004\ntype: float\ndimension: 3\nsizes: 90000 90000 9000\nencoding: gzip\nendian: little\n\n"


def nifti(tmp_path: Path, size: int) -> bytes:
    """The header of a volume of so many voxels an edge, and none of them."""
    sitk.WriteImage(sitk.GetImageFromArray(np.zeros((2, 2, 2), np.float32)), str(tmp_path / "small.nii"))
    content = bytearray((tmp_path / "small.nii").read_bytes()[:352])
    content[42:48] = np.array([size] * 3, "<i2").tobytes()
    return bytes(content)


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.mha", "a.nrrd"])
def test_what_a_file_cannot_hold(tmp_path: Path, name: str) -> None:
    contents = {
        "a.nii": nifti(tmp_path, 500), "a.nii.gz": gzip.compress(nifti(tmp_path, 500)), "a.mha": MHA.encode(),
        "a.nrrd": NRRD.encode(),
    }  # fmt: skip
    (tmp_path / name).write_bytes(contents[name])
    with pytest.raises(DataError, match=rf"{name} is damaged: it holds \d+ bytes and its header promises"):
        read_file(tmp_path / name)


def test_what_memory_cannot_hold() -> None:
    with pytest.raises(DataError, match=r"a.nii has 9 voxels, 1152921504.6 GB, and .* GB of memory are free"):
        refuse_beyond_memory(Path("a.nii"), 2**60, "9 voxels")
    refuse_beyond_memory(Path("a.nii"), 9, "9 voxels")


def test_a_constant_volume_packs_as_well_as_any(tmp_path: Path) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(gzip.compress(nifti(tmp_path, 200) + bytes(4 * 200**3), 9))
    assert read_file(path).GetSize() == (200, 200, 200)
