"""A case is the same in other files of the same content, and another where anything that it follows from is."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
import SimpleITK as sitk

from MedSegTrainerLib.cache_folder import SharedFolder, is_whole
from MedSegTrainerLib.data.case_contents import contents_of
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.shared_cases import SharedCases
from MedSegTrainerLib.errors import DataError

LARGE = 10**9


def shared_of(root: Path, *cases: Case) -> SharedCases:
    folder = SharedFolder(root / "shared", LARGE)
    folder.open()
    return SharedCases(folder=folder, contents=contents_of(Dataset(root=root, layout="", cases=cases)))


def exported(case: Case, folder: Path, name: str) -> Case:
    """The same content in other files, of another time."""
    folder.mkdir(exist_ok=True)
    pairs = [(path, folder / f"{name}{kind}.nrrd") for kind, path in (("", case.images[0]), ("_label", case.label))]
    for source, target in pairs:
        shutil.copy(source, target)
        os.utime(target, (1, 1))
    return replace(case, name=name, images=(pairs[0][1],), label=pairs[1][1])


@pytest.fixture
def case(oblique_case: tuple[sitk.Image, sitk.Image], tmp_path: Path) -> Case:
    for image, name in zip(oblique_case, ("a", "a_label"), strict=True):
        sitk.WriteImage(image, str(tmp_path / f"{name}.nrrd"))
    return Case(name="a", images=(tmp_path / "a.nrrd",), label=tmp_path / "a_label.nrrd")


def place(root: Path, case: Case, **follows_from: object) -> Path | None:
    return shared_of(root, case).entry("scans", case, follows_from)


def test_the_same_content_elsewhere_is_the_same_case(case: Case, tmp_path: Path) -> None:
    assert place(tmp_path, case) == place(tmp_path, exported(case, tmp_path / "other", "patient_7")) is not None


def test_whatever_it_follows_from_makes_it_another(case: Case, tmp_path: Path) -> None:
    other = exported(case, tmp_path / "other", "b")
    image = sitk.ReadImage(str(other.label))
    sitk.WriteImage(image * 2, str(other.label))
    segmentation = tmp_path / "a.seg.nrrd"
    shutil.copy(case.label, segmentation)
    changes: list[Case] = [
        case, other, replace(case, label=segmentation), replace(case, segment_values={"box": 1}),
        replace(case, regions={"box": (1, 2)}), replace(case, overlapping=True), replace(case, ignored_value=3),
        replace(case, labelled_slices="z"), replace(case, labelled_box=((0, 0, 0), (1, 1, 1))),
        replace(case, masks={"box": case.label}), replace(case, images=(case.images[0], case.images[0])),
    ]  # fmt: skip
    places = {place(tmp_path, changed) for changed in changes} | {place(tmp_path, case, version=2)}
    assert len(places - {None}) == len(changes) + 1
    assert place(tmp_path, replace(case, labelled_slices="none", patient="p", part="train")) == place(tmp_path, case)


def test_a_header_with_voxels_in_other_files_is_not_shared(case: Case, tmp_path: Path) -> None:
    sitk.WriteImage(sitk.ReadImage(str(case.images[0])), str(tmp_path / "apart.mhd"))
    assert place(tmp_path, replace(case, images=(tmp_path / "apart.mhd",))) is None
    (tmp_path / "apart.mhd").write_text("ElementDataFile = %s%d.raw 1\n")
    assert place(tmp_path, replace(case, images=(tmp_path / "apart.mhd",))) is None


def test_a_case_that_cannot_be_read_is_not_shared(case: Case, tmp_path: Path) -> None:
    assert place(tmp_path, replace(case, label=tmp_path / "gone.nrrd")) is None


def test_what_was_read_while_its_files_changed_is_not_kept(case: Case, tmp_path: Path) -> None:
    shared = shared_of(tmp_path, case)
    path = shared.entry("scans", case, {})
    assert path is not None
    sitk.WriteImage(sitk.ReadImage(str(case.label)) * 3, str(case.label))
    with pytest.raises(DataError, match="label map changed while it was read"):
        shared.store(path, case, lambda folder: (folder / "scan.json").touch())
    assert not path.exists()
    shared = shared_of(tmp_path, case)
    os.utime(case.label, (5, 5))  # the content is the same
    shared.store(path, case, lambda folder: (folder / "scan.json").touch())
    assert is_whole(path)
