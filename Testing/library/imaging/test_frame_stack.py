"""The grid of frames that are not at every slice."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom_dataset import read_dataset
from MedSegTrainerLib.imaging.frame_stack import frame_planes, stack_frames
from MedSegTrainerLib.imaging.geometry import Geometry

Writer = Callable[..., Path]


@pytest.fixture
def sparse(oblique_geometry: Geometry) -> np.ndarray:
    """Frames in slices 1, 3 and 6, so that the smallest distance is not that of slices."""
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[[1, 3, 6], 4, 5] = 1
    return mask


@pytest.mark.parametrize("step", [True, False])
def test_the_distance_is_told_or_that_of_the_image(
    step: bool, oblique_geometry: Geometry, sparse: np.ndarray, tmp_path: Path, write_seg: Writer
) -> None:
    path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"a": sparse}, step=step, order=lambda frames: frames[::-1])
    stack = stack_frames(read_dataset(path), path, oblique_geometry)
    assert stack.slices == (5, 2, 0)
    assert stack.grid.size == (17, 13, 6)
    assert np.allclose(stack.grid.spacing, oblique_geometry.spacing)


def test_without_either_they_lie_on_no_grid(
    oblique_geometry: Geometry, sparse: np.ndarray, tmp_path: Path, write_seg: Writer
) -> None:
    path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"a": sparse}, step=False)
    with pytest.raises(DataError, match="not at multiples of 5 mm"):
        stack_frames(read_dataset(path), path)


@pytest.mark.parametrize("axes", [[1, 0, 0, 0.5, 0.5, 0], [2, 0, 0, 0, 1, 0]])
def test_directions_that_are_none(
    axes: list[float], oblique_geometry: Geometry, sparse: np.ndarray, tmp_path: Path, write_seg: Writer
) -> None:
    path = write_seg(tmp_path / "a.dcm", oblique_geometry, {"a": sparse})
    dataset = pydicom.dcmread(path)
    dataset.SharedFunctionalGroupsSequence[0].PlaneOrientationSequence[0].ImageOrientationPatient = axes
    with pytest.raises(DataError, match="no pair of right-angled directions"):
        frame_planes(dataset, path)
