"""Which paths are DICOM labels: one door to SEG and RTSTRUCT, for reading, headers and counts of components."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.dicom_index import index_dicom, series_uid
from MedSegTrainerLib.imaging.dicom_labels import SEG, STRUCTURES, is_label_object, label_file, lacks_grid
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_components import component_count
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.segment_headers import read_header

Writer = Callable[..., Path]
TRIANGLE = [(z, [(2.0, 2.0), (9.0, 3.0), (5.0, 8.0)]) for z in (3, 4)]


@pytest.fixture
def mask(oblique_geometry: Geometry) -> np.ndarray:
    mask = np.zeros(oblique_geometry.size_zyx, np.uint8)
    mask[2:5, 3:6, 3:6] = 1
    return mask


@pytest.fixture
def seg(oblique_geometry: Geometry, mask: np.ndarray, tmp_path: Path, write_seg: Writer) -> Path:
    return write_seg(tmp_path / "seg.dcm", oblique_geometry, {"a": mask, "b": mask})


@pytest.fixture
def structures(oblique_geometry: Geometry, tmp_path: Path, write_structures: Writer) -> Path:
    return write_structures(tmp_path / "rt", oblique_geometry, {"a": TRIANGLE, "b": TRIANGLE})


def test_objects_are_told_by_their_content(seg: Path, structures: Path, tmp_path: Path) -> None:
    """A name without suffix, and a file without preamble."""
    bare = tmp_path / "bare.dcm"
    bare.write_bytes(seg.read_bytes()[132:])
    assert [label_file(path) for path in (seg, bare, structures)] == [(seg, SEG), (bare, SEG), (structures, STRUCTURES)]
    assert [lacks_grid(path) for path in (seg, structures)] == [False, True]
    for path in (seg, structures):
        assert [(one.item.name, one.item.value) for one in read_header(path)] == [("a", 1), ("b", 2)]
        assert component_count(path) == 2


def test_others_are_none(tmp_path: Path, mask: np.ndarray, oblique_geometry: Geometry, write_series: Writer) -> None:
    sitk.WriteImage(oblique_geometry.place(mask), str(tmp_path / "a.nii.gz"))
    series = write_series(oblique_geometry.place(mask.astype(np.int16)), tmp_path / "series")
    for path in (tmp_path / "a.nii.gz", series, next(series.iterdir()), tmp_path / "not there"):
        assert not is_label_object(path)
        assert read_header(path) == [] and component_count(path) == 1


def test_a_series_with_its_segmentation_is_the_image(
    seg: Path, mask: np.ndarray, oblique_geometry: Geometry, write_series: Writer
) -> None:
    folder = write_series(oblique_geometry.place(mask.astype(np.int16)), seg.parent)
    assert not is_label_object(folder)
    assert read_file(folder).GetSize() == (17, 13, 9)


@pytest.mark.parametrize("name", ["seg", "structures"])
def test_labels_are_no_images(name: str, request: pytest.FixtureRequest) -> None:
    with pytest.raises(DataError, match=r"is a (DICOM segmentation|structure set).*, which is labels and no image"):
        read_file(request.getfixturevalue(name))


def test_the_index_knows_series_and_other_objects(
    seg: Path, structures: Path, mask: np.ndarray, oblique_geometry: Geometry, write_series: Writer, tmp_path: Path
) -> None:
    image = oblique_geometry.place(mask.astype(np.int16))
    for uid in ("1.7.1", "1.7.2", "1.7.3"):
        write_series(image[:, :, :2], tmp_path / "deep" / "er", uid=uid)
    write_series(image[:, :, :2], tmp_path / ".hidden", uid="1.7.4")
    index = index_dicom(tmp_path)
    assert index.series == {uid: tmp_path / "deep" / "er" for uid in ("1.7.1", "1.7.2", "1.7.3")}
    assert set(index.others) == {seg, structures}
    assert series_uid(seg) == "1.2.9"
