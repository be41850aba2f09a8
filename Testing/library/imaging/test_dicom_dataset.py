"""Datasets of pydicom: errors in words, no warnings, no bombs; groups of frames."""

from __future__ import annotations

import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging import dicom_dataset
from MedSegTrainerLib.imaging.dicom_dataset import FunctionalGroups, numbers, read_dataset
from MedSegTrainerLib.imaging.geometry import Geometry

Writer = Callable[..., Path]


@pytest.fixture
def path(oblique_geometry: Geometry, tmp_path: Path, write_seg: Writer) -> Path:
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[2:5, 3:6, 3:6] = 1
    return write_seg(tmp_path / "a.dcm", oblique_geometry, {"a": mask})


@pytest.fixture
def deflated(path: Path) -> Path:
    dataset = pydicom.dcmread(path)
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.DeflatedExplicitVRLittleEndian
    dataset.save_as(path, enforce_file_format=True)
    return path


def test_pixels_are_read_where_they_are_wanted(path: Path) -> None:
    assert "PixelData" in read_dataset(path) and "PixelData" not in read_dataset(path, pixels=False)


def test_a_deflated_file(deflated: Path) -> None:
    assert read_dataset(deflated).SegmentSequence[0].SegmentLabel == "a"


def test_a_bomb_is_not_unpacked(deflated: Path, tmp_path: Path) -> None:
    content = deflated.read_bytes()
    start = 144 + int.from_bytes(content[140:144], "little")
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = b"".join(packer.compress(bytes(1 << 24)) for _ in range(4)) + packer.flush()
    bomb = tmp_path / "bomb.dcm"
    bomb.write_bytes(content[:start] + zeros)
    with pytest.raises(DataError, match=r"bomb\.dcm .* unpacks to more than the 0\.0 GB"):
        dicom_dataset.refuse_bomb(bomb, free=1 << 24)
    dicom_dataset.refuse_bomb(bomb, free=1 << 27)


def test_a_deflated_file_without_preamble(deflated: Path) -> None:
    deflated.write_bytes(deflated.read_bytes()[132:])
    with pytest.raises(DataError, match="it is deflated and has no preamble"):
        read_dataset(deflated)


def test_warnings_are_not_shown(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.2.3.4", b"1.2.x.4"))
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        assert read_dataset(path).ReferencedSeriesSequence
    assert seen == []


def test_a_group_of_a_frame_goes_before_that_of_all(path: Path) -> None:
    dataset = read_dataset(path)
    own = pydicom.Dataset()
    own.PixelSpacing = [3, 4]
    dataset.PerFrameFunctionalGroupsSequence[1].PixelMeasuresSequence = [own]
    groups = FunctionalGroups(dataset)
    found = [groups.numbers(frame, "PixelMeasuresSequence", "PixelSpacing", 2) for frame in (0, 1, 2, 99)]
    assert [list(one) for one in found if one is not None] == [[1.1, 0.8], [3, 4], [1.1, 0.8], [1.1, 0.8]]
    assert groups.numbers(0, "PixelMeasuresSequence", "RescaleSlope", 1) is None


@pytest.mark.parametrize("value", [None, [], [1, 2], ["1", "nan", "2"]])
def test_numbers_that_are_not_there(value: list[float] | None) -> None:
    assert numbers({"ImagePositionPatient": value}, "ImagePositionPatient", 3) is None
