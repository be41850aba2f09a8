"""Files that are of another format than their names say: what they are, and what to do."""

from __future__ import annotations

import gzip
import shutil
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.file_formats import FOREIGN
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.imaging.read import read_file


@pytest.fixture
def written(oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> dict[str, Path]:
    """The label map in every format, by suffix."""
    paths = {suffix: tmp_path / f"a{suffix}" for suffix in (".nii", ".nii.gz", ".nrrd", ".mha")}
    for path in paths.values():
        sitk.WriteImage(oblique_case[1], str(path))
    for suffix in (".png", ".jpg", ".tif"):
        paths[suffix] = tmp_path / f"a{suffix}"
        sitk.WriteImage(oblique_case[1][:, :, 4], str(paths[suffix]))
    paths[".npy"] = tmp_path / "a.npy"
    np.save(paths[".npy"], sitk.GetArrayFromImage(oblique_case[1]))
    return paths


@pytest.mark.parametrize(
    ("really", "named", "says"),
    [
        (".nii.gz", ".nii", "is packed NIfTI, and its name says .nii. Rename it to b.nii.gz"),
        (".nrrd", ".nii.gz", "is NRRD, and its name says .nii.gz. Rename it to b.nrrd"),
        (".nii", ".nrrd", "is NIfTI, and its name says .nrrd. Rename it to b.nii"),
        (".mha", ".nii", "is MetaImage"), (".png", ".nii.gz", "is PNG"), (".jpg", ".dcm", "is JPEG"),
        (".tif", ".mha", "is TIFF"), (".npy", ".nii.gz", "is NPY"), (".nii", ".npy", "is NIfTI"),
        (".nii.gz", ".npz", "is packed NIfTI"), (".nii", ".png", "is NIfTI"),
    ],
)  # fmt: skip
def test_another_format_than_the_name_says(written: dict[str, Path], really: str, named: str, says: str) -> None:
    path = written[really].with_name(f"b{named}")
    shutil.copy(written[really], path)
    for read in (read_file, read_label_map):
        with pytest.raises(DataError) as caught:
            read(path)
        assert says in str(caught.value) and str(path) in str(caught.value)


def test_a_nii_gz_need_not_be_packed(written: dict[str, Path], tmp_path: Path) -> None:
    shutil.copy(written[".nii"], tmp_path / "b.nii.gz")
    assert np.array_equal(sitk.GetArrayViewFromImage(read_file(tmp_path / "b.nii.gz")), np.load(written[".npy"]))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "is a web page, not the image. Download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:1\n", "git lfs pull"),
        (b"PK\x03\x04" + b"x" * 99, "is NPZ or another zip archive"),
    ],
)
def test_what_downloads_leave(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "a.nii.gz").write_bytes(content)
    with pytest.raises(DataError, match=says):
        read_file(tmp_path / "a.nii.gz")


def test_packed_twice(written: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "b.nii.gz").write_bytes(gzip.compress(written[".nii.gz"].read_bytes()))
    with pytest.raises(DataError, match="is packed twice"):
        read_file(tmp_path / "b.nii.gz")


def test_a_damaged_packed_file_is_told_by_its_reader(written: dict[str, Path], tmp_path: Path) -> None:
    (tmp_path / "b.nii.gz").write_bytes(written[".nii.gz"].read_bytes()[:60])
    with pytest.raises(DataError, match=r"b\.nii\.gz"):
        read_file(tmp_path / "b.nii.gz")


def test_formats_that_are_known_and_not_read(tmp_path: Path) -> None:
    for suffix, (name, remedy) in FOREIGN.items():
        (tmp_path / f"a{suffix}").write_bytes(b"x" * 400)
        with pytest.raises(DataError) as caught:
            read_file(tmp_path / f"a{suffix}")
        assert name in str(caught.value) and remedy[1:] in str(caught.value)
