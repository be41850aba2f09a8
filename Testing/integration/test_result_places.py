"""Where results lie in the patient: nibabel, ITK and 3D Slicer's own reader each see them where they see the image."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.api import apply, train
from MedSegTrainerLib.imaging.geometry import corners
from MedSegTrainerLib.imaging.read import read_channels

nibabel = pytest.importorskip("nibabel")
slicer, vtk = pytest.importorskip("slicer"), pytest.importorskip("vtk")

TINY = {"device": "cpu", "epochs": 1, "samples_per_volume": 1, "base_channels": 4, "tensorboard": False}
TOLERANCE_MM = 0.01
NIFTI = (".nii", ".nii.gz")


@dataclass(frozen=True, kw_only=True)
class Set:
    """cases: image files of one case and its label map, relative to the set. images: what the model is applied to.
    spacing: of the network (z, y, x), coarse, so that it takes seconds."""

    cases: Sequence[tuple[Sequence[str], str]]
    images: Sequence[str | Sequence[str]]
    patch: tuple[int, ...] = (8, 16, 16)
    spacing: tuple[float, ...] = (8, 8, 8)
    probabilities: bool = True


def channels(folder: str, case: str, count: int) -> list[str]:
    return [f"{folder}/{case}_{index:04}.nii.gz" for index in range(count)]


SETS = {
    "hippocampus": Set(
        cases=[([f"imagesTr/hippocampus_{n}.nii.gz"], f"labelsTr/hippocampus_{n}.nii.gz") for n in ("190", "378")],
        images=["imagesTr/hippocampus_332.nii.gz", "imagesTr/hippocampus_163.nii.gz"], spacing=(2, 2, 2),
    ),
    "headneck": Set(
        cases=[([f"imagesTr/KBP_{n}_0000.nii.gz"], f"labelsTr/KBP_{n}.nii.gz") for n in ("155", "024")],
        images=["imagesTr/KBP_182_0000.nii.gz"],
    ),
    "ms_lesions": Set(
        cases=[(channels("imagesTr", f"MS_{n}", 4), f"labelsTr/MS_{n}.nii.gz") for n in ("26", "19")],
        images=[channels("imagesTr", "MS_07", 4)],
    ),
    "ct_organs": Set(
        cases=[([f"images/{n}.nii.gz"], f"labels/{n}.nii.gz") for n in ("msd_spleen2_crop", "ts_aorta_2mm")],
        images=["images/ts_pulmonary_1p5mm.nii.gz", "images/cip_lung_4mm.nii.gz", "images/msd_spleen2_crop.nii.gz"],
        probabilities=False,
    ),
    "ct": Set(
        cases=[(["ct.nii.gz"], "labels.nii.gz"), (["ct.nii.gz"], "labels.nii.gz")],
        images=["ct.nii.gz", "mr.nii.gz", "dicom"], probabilities=False,
    ),
    "prostate_overlap": Set(
        cases=[([f"images/case00000{n}.nii.gz"], f"first mask of labels4d/case00000{n}.nii.gz") for n in (0, 1)],
        images=["images/case000002.nii.gz", "images/case000003.nii.gz"], spacing=(1, 1, 1),
    ),
    "membrane": Set(
        cases=[([f"images/slice_{n}.png"], f"masks/slice_{n}.png") for n in ("00", "01")],
        images=["images/slice_24.png"], patch=(1, 16, 16),
    ),
    "nuclei": Set(
        cases=[([f"images/{n}.png"], f"labels/{n}.png") for n in ("nuc_003cee8935", "nuc_0280fa8f60")],
        images=["images/nuc_05040e2e95.png"], patch=(1, 16, 16),
    ),
    "dicom_objects": Set(
        cases=[(["slicerio/CTChest4.nrrd"], "slicerio/Segmentation.seg.nrrd")] * 2,
        images=["slicerio/CTChest4.nrrd", "slicerrt/TinyPatientCT.nrrd", "dcmqi/ct-3slice", "dcmqi/23x38x3/image",
                "rt-utils/oriented_data", "rt-utils/one_slice_data", "highdicom/ct_image.dcm"],
    ),
}  # fmt: skip


def nibabel_corners(path: Path) -> np.ndarray:
    image = nibabel.load(path)
    return (image.affine @ corners(image.shape[:3]))[:3]


def itk_corners(path: Path) -> np.ndarray:
    """RAS mm; of a series and of photographs as the project reads them."""
    channel = read_channels([path])[0]
    points = [channel.TransformIndexToPhysicalPoint(index) for index in corners(channel.GetSize())[:3].T.tolist()]
    return np.array(points).T * [[-1], [-1], [1]]


def slicer_corners(path: Path) -> np.ndarray | None:
    """None where the reader of this build knows no such files (PNG)."""
    node, storage = slicer.vtkMRMLScalarVolumeNode(), slicer.vtkMRMLVolumeArchetypeStorageNode()
    storage.SetFileName(str(min(path.glob("*.dcm")) if path.is_dir() else path))
    storage.SetSingleFile(not path.is_dir())
    if path.suffix == ".png" or not storage.ReadData(node):
        return None
    matrix = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)
    affine = np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(3)])
    return affine @ corners(node.GetImageData().GetDimensions())


def as_set(points: np.ndarray) -> np.ndarray:
    """Columns in an order of their own: readers may begin a DICOM series at either end."""
    return points[:, np.lexsort(np.round(points, 1))]


def differences(image: Path, result: Path) -> dict[str, float]:
    """How far apart a reader sees the same corner of both, at most, in mm."""
    by_itk = itk_corners(image)
    in_slicer = slicer_corners(image)
    pairs = {
        "ITK": (by_itk, itk_corners(result)),
        "3D Slicer": (by_itk if in_slicer is None else in_slicer, slicer_corners(result)),
    }
    if result.name.endswith(NIFTI):
        pairs["nibabel"] = nibabel_corners(image) if image.name.endswith(NIFTI) else by_itk, nibabel_corners(result)
    if image.is_dir():
        pairs = {reader: (as_set(first), as_set(second)) for reader, (first, second) in pairs.items()}
    return {reader: float(np.abs(first - second).max()) for reader, (first, second) in pairs.items()}


def label_file(root: Path, image: str, label: str, folder: Path) -> Path:
    """The label map; the first of overlapping masks as a file of its own."""
    words = label.removeprefix("first mask of ")
    if words == label:
        return root / label
    mask = read_channels([root / words])[0]
    mask.CopyInformation(read_channels([root / image])[0])
    path = folder / Path(words).name
    sitk.WriteImage(mask, str(path))
    return path


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_every_reader_sees_results_where_it_sees_the_image(name: str, shared_data: Path, tmp_path: Path) -> None:
    root, one = shared_data / name, SETS[name]
    data = tmp_path / "data"
    data.mkdir()
    cases = [
        {"name": f"case {index}", "images": [str(root / image) for image in images],
         "label": str(label_file(root, images[0], label, data))}
        for index, (images, label) in enumerate(one.cases)
    ]  # fmt: skip
    (data / "cases.json").write_text(json.dumps({"cases": cases}))
    train(data, tmp_path / "job", patch_size=json.dumps(one.patch), spacing=json.dumps(one.spacing), **TINY)
    images = [[entry] if isinstance(entry, str) else entry for entry in one.images]
    inputs = {f"case {index}": [str(root / file) for file in files] for index, files in enumerate(images)}
    seen = {}
    for kind, maps in (("nifti", True), ("seg.nrrd", False)):
        out = tmp_path / kind
        apply(
            tmp_path / "job", [], out, cases=inputs, output_format=kind, overlap=0.0, uncertainty=maps,
            probabilities=maps and one.probabilities,
        )  # fmt: skip
        for case, files in inputs.items():
            results = [path for path in out.rglob("*.n*") if case in str(path.relative_to(out))]
            assert len(results) >= 1 + maps + (maps and one.probabilities)
            for result in results:
                seen[str(result.relative_to(tmp_path))] = differences(Path(files[0]), result)
    assert {result: apart for result, apart in seen.items() if not max(apart.values()) <= TOLERANCE_MM} == {}
