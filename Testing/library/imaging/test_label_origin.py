"""Labels of another series are told, where both sides say what they are of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_origin import other_origin
from MedSegTrainerLib.imaging.label_source import LabelSource, place_labels
from MedSegTrainerLib.imaging.read import read_channels

Writer = Callable[..., Path]


@pytest.fixture
def mask(oblique_geometry: Geometry) -> np.ndarray:
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[2:5, 3:6, 3:6] = 1
    return mask


@pytest.fixture(params=["SEG", "RTSTRUCT"])
def label(
    request: pytest.FixtureRequest, oblique_geometry: Geometry, mask: np.ndarray, tmp_path: Path, write_seg: Writer,
    write_structures: Writer,
) -> Path:  # fmt: skip
    """Of series 1.2.3.4 in the frame of reference 1.2.5."""
    if request.param == "SEG":
        return write_seg(tmp_path / "a.dcm", oblique_geometry, {"a": mask})
    corners = [(2.5, 2.5), (5.5, 2.5), (5.5, 5.5), (2.5, 5.5)]
    return write_structures(tmp_path / "a.dcm", oblique_geometry, {"a": [(z, corners) for z in (2, 3, 4)]})


@pytest.mark.parametrize(
    ("uid", "frame", "told"),
    [("1.2.3.4", "1.2.5", False), ("1.2.3.4", "1.7", False), ("1.9", "1.2.5", False), ("1.9", "1.7", True)],
)
def test_series_and_frame_of_reference(
    uid: str, frame: str, told: bool, label: Path, oblique_geometry: Geometry, mask: np.ndarray, write_series: Writer
) -> None:
    folder = label.parent / "series"
    write_series(oblique_geometry.place(mask.astype(np.int16)), folder, uid=uid, tags={"0020|0052": frame})
    finding = other_origin(label, folder)
    assert (finding is not None) == told
    placed = place_labels(LabelSource(path=label), read_channels([folder])[0], folder)
    assert placed.finding == finding and sitk.GetArrayFromImage(placed.image).sum() == 27
    if finding is not None:
        assert finding.severity == "warning" and "another series (1.2.3.4)" in finding.message


def test_images_that_do_not_say_it(label: Path, oblique_geometry: Geometry, mask: np.ndarray, tmp_path: Path) -> None:
    sitk.WriteImage(oblique_geometry.place(mask), str(tmp_path / "a.nii.gz"))
    assert other_origin(label, tmp_path / "a.nii.gz") is None
    assert other_origin(tmp_path / "a.nii.gz", label) is None
    assert other_origin(label, None) is None
