"""Inputs of public bug reports (``shared/cases``): results lie where their image does, label maps on its voxels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.api import apply, evaluate, train
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import read_label_map, read_label_map_onto
from MedSegTrainerLib.imaging.read import read_file
from MedSegTrainerLib.imaging.seg_nrrd import read_header
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.package import ModelPackage

nibabel = pytest.importorskip("nibabel")

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
TINY: dict[str, Any] = {
    "device": "cpu", "epochs": 1, "base_channels": 4, "patch_size": "[8, 8, 8]", "samples_per_volume": 1,
    "tensorboard": False, "mixed_precision": False, "channels_last": False,
}  # fmt: skip
NIFTI = {
    "sform_registered": "images/c0.nii.gz", "acdc_sform_scale": "images/c0.nii.gz",
    "near_orthonormal": "images/c0.nii.gz", "apply_odd": "mni.nii.gz", "apply_odd codes": "codes0.nii.gz",
}  # fmt: skip


@pytest.fixture(scope="module")
def cases() -> Path:
    if not CASES.is_dir():
        pytest.skip(f"needs the inputs in {CASES}")
    return CASES


@pytest.fixture(scope="module")
def job(cases: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trained on label maps of an old Slicer, so that its classes are named."""
    job = tmp_path_factory.mktemp("old") / "job"
    train(cases / "seg_old_slicer", job, **TINY)
    return job


def forms(path: Path) -> dict[str, Any]:
    header = nibabel.load(path).header
    return {
        "affine": header.get_best_affine().tolist(), "qform": header.get_qform().tolist(),
        "sform": header.get_sform().tolist(), "codes": (int(header["qform_code"]), int(header["sform_code"])),
        "units": header.get_xyzt_units(),
    }  # fmt: skip


def test_results_of_nifti_files_have_the_forms_of_their_image(job: Path, cases: Path, tmp_path: Path) -> None:
    images = {name: cases / name.split()[0] / file for name, file in NIFTI.items()}
    inputs = {name: [str(path)] for name, path in images.items()}
    apply(job, [], tmp_path, cases=inputs, output_format="nifti", probabilities=True)
    for name, image in images.items():
        for result in (tmp_path / f"{name}.nii.gz", tmp_path / "probabilities" / name / "1-liver.nii.gz"):
            assert forms(result) == forms(image)
            assert Geometry.of(read_file(result)) == Geometry.of(read_file(image))


def test_a_format_with_one_place_is_told(job: Path, cases: Path, tmp_path: Path) -> None:
    for name, told in (("sform_registered", True), ("double_oblique", False)):
        image = next((cases / name / "images").glob("c0.*"))
        apply(job, [image], tmp_path / name)
        events = EventReader(JobFolder(tmp_path / name / "job").events_file).read()
        words = " ".join(event["message"] for event in events if event["kind"] == "warned")
        assert ("lie up to 9.83 mm apart" in words and "--format nii.gz" in words) == told


def test_an_evaluation_measures_in_true_millimetres(cases: Path, tmp_path: Path) -> None:
    """nnU-Net #2741: by the sform these voxels would have 1 mm."""
    labels = cases / "acdc_sform_scale" / "labels"
    found = evaluate(labels, labels, tmp_path)
    voxels = int(np.count_nonzero(sitk.GetArrayFromImage(read_label_map(labels / "c0.nii.gz"))))
    volume = found["cases"]["c0"]["label 1"]["volume_ml"]
    assert volume == pytest.approx(voxels * 1.316 * 1.316 * 10 / 1000, rel=1e-3)


def test_a_double_oblique_volume(job: Path, cases: Path, tmp_path: Path) -> None:
    image = cases / "double_oblique" / "images" / "c0.nrrd"
    for kind, suffix in (("nifti", "nii.gz"), ("seg.nrrd", "seg.nrrd")):
        apply(job, [image], tmp_path / kind, output_format=kind)
        result, grid = Geometry.of(read_file(tmp_path / kind / f"c0.{suffix}")), Geometry.of(read_file(image))
        assert result.size == grid.size
        np.testing.assert_allclose(result.affine_ras(), grid.affine_ras(), atol=1e-3)


@pytest.mark.parametrize("name", ["seg_old_slicer", "seg_slicerio9"])
def test_classes_of_segmentations_are_those_of_results(name: str, job: Path, cases: Path, tmp_path: Path) -> None:
    package: ModelPackage | None = None
    if name != "seg_old_slicer":
        job = tmp_path / "job"
        package = train(cases / name, job, **TINY)
    (result,) = apply(job, [cases / name / "images" / "c0.nrrd"], tmp_path / "out")
    classes = [(segment.item.name, segment.item.value) for segment in read_header(Path(result))]
    wanted = [("liver", 1), ("tumor", 2), ("corner", 3), ("far corner", 4)]
    assert classes == wanted[: 4 if package else 2]
    case = find_cases(cases / name).cases[0]
    grid = read_file(case.images[0])
    assert set(np.unique(sitk.GetArrayFromImage(read_label_map_onto(case.label, grid, case.segment_values)))) == {
        0, *(value for _, value in classes),
    }  # fmt: skip


def test_a_cropped_segmentation_in_a_left_handed_volume(cases: Path) -> None:
    root = cases / "nrrd_ras_cropped_seg"
    grid = read_file(root / "images" / "c0.nrrd")
    labels = read_label_map_onto(root / "labels" / "c0.seg.nrrd", grid)
    array, truth = sitk.GetArrayFromImage(labels), np.load(root / "truth.npy")
    assert np.array_equal(array if array.shape == truth.shape else array.transpose(2, 1, 0), truth)
    assert Geometry.of(labels).disagreements(Geometry.of(grid)) == []
