"""The same cases in every layout and format: the same fingerprint and the same split."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass, default_color
from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.checks.fingerprint import Fingerprint, take_fingerprint
from MedSegTrainerLib.data.checks.scan import scan_cases
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.split import Split, fold_splits, split_dataset
from MedSegTrainerLib.export.dataset_formats import export_data
from MedSegTrainerLib.imaging.geometry import to_canonical
from MedSegTrainerLib.imaging.label_maps import read_label_map, write_label_map
from MedSegTrainerLib.imaging.read import read_channels

CASES = 20
NAMES = {1: "Anterior", 2: "Posterior"}
CLASSES = [LabelClass(value=value, name=name, color=default_color(value - 1)) for value, name in NAMES.items()]
Put = Callable[[sitk.Image, sitk.Image, str, Path], None]


@pytest.fixture(scope="module")
def volumes(shared_data: Path) -> dict[str, tuple[sitk.Image, sitk.Image]]:
    """Whole numbers, as DICOM has them, and canonical axes, which NPY files imply."""
    found = find_cases(shared_data / "hippocampus").cases[:CASES]

    def read(case: Case) -> tuple[sitk.Image, sitk.Image]:
        image, label = to_canonical(read_channels(case.images)[0]), to_canonical(read_label_map(case.label))
        rounded = sitk.Cast(
            sitk.Round(sitk.RescaleIntensity(sitk.Cast(image, sitk.sitkFloat64), 0, 900)), sitk.sitkInt16
        )
        label.CopyInformation(rounded)
        return rounded, sitk.Cast(label, sitk.sitkUInt8)

    return {case.name: read(case) for case in found}


def save(image: sitk.Image, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(image, str(path))


def save_array(image: sitk.Image, path: Path, **more: sitk.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"image": image, **more}
    np.savez(path, spacing=image.GetSpacing()[::-1], **{key: sitk.GetArrayFromImage(v) for key, v in arrays.items()})


def two_folders(image: sitk.Image, label: sitk.Image, name: str, root: Path) -> None:
    save(image, root / "images" / f"{name}.nii.gz")
    save(label, root / "masks" / f"{name}.mha")


def numbered(image: sitk.Image, label: sitk.Image, name: str, root: Path) -> None:
    save(image, root / f"image_{name}.nrrd")
    save(label, root / f"mask_{name}.nrrd")


def case_folder(image: sitk.Image, label: sitk.Image, name: str, root: Path) -> None:
    save(image, root / name / "image.mha")
    save(label, root / name / "mask.nii")


def nnunet(image: sitk.Image, label: sitk.Image, name: str, root: Path) -> None:
    save(image, root / "imagesTr" / f"{name}_0000.nii.gz")
    save(label, root / "labelsTr" / f"{name}.nii.gz")


def masks(image: sitk.Image, label: sitk.Image, name: str, root: Path) -> None:
    save(image, root / name / "mri.nii.gz")
    for value, structure in NAMES.items():
        save(sitk.Cast(label == value, sitk.sitkUInt8), root / name / "segmentations" / f"{structure}.nii.gz")


def npy(image: sitk.Image, label: sitk.Image, name: str, root: Path) -> None:
    for folder, content in (("images", image), ("labels", label)):
        (root / folder).mkdir(parents=True, exist_ok=True)
        np.save(root / folder / f"{name}.npy", sitk.GetArrayFromImage(content))


def npz(image: sitk.Image, label: sitk.Image, name: str, root: Path) -> None:
    save_array(image, root / f"{name}.npz", label=label)


def named_segments(image: sitk.Image, label: sitk.Image, name: str, root: Path) -> None:
    """Every third case has its values exchanged: the names say what is what."""
    exchanged = int(name.split("_")[-1]) % 3 == 0
    classes = [replace(item, value=3 - item.value) for item in CLASSES] if exchanged else CLASSES
    save(image, root / "images" / f"{name}.nrrd")
    values = sitk.ChangeLabel(label, {1: 2, 2: 1}) if exchanged else label
    write_label_map(values, root / "labels" / f"{name}.seg.nrrd", classes)


FORMATS: dict[str, Put] = {
    "images/ and masks/": two_folders,
    "image_* and mask_* files": numbered,
    "a folder for each case": case_folder,
    "nnU-Net": nnunet,
    "images/ and labels/": npy,
    "NPZ files with image and label": npz,
}


def look(dataset: Dataset) -> tuple[Fingerprint, Split]:
    scans = scan_cases(dataset.cases, num_workers=1)
    return take_fingerprint(dataset, scans), split_dataset(dataset, DataConfig(split_by="stratified"))


@pytest.fixture(scope="module")
def expected(
    volumes: dict[str, tuple[sitk.Image, sitk.Image]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Fingerprint, Split]:
    """As the Decathlon's layout has it."""
    root = tmp_path_factory.mktemp("decathlon")
    entries = []
    for name, (image, label) in volumes.items():
        save(image, root / "imagesTr" / f"{name}.nii.gz")
        save(label, root / "labelsTr" / f"{name}.nii.gz")
        entries.append({"image": f"./imagesTr/{name}.nii.gz", "label": f"./labelsTr/{name}.nii.gz"})
    (root / "dataset.json").write_text(
        json.dumps({"labels": {"0": "background", **NAMES}, "modality": {"0": "MRI"}, "training": entries})
    )
    dataset = find_cases(root)
    assert (dataset.layout, len(dataset.cases)) == ("Decathlon", CASES)
    return look(dataset)


def agree(found: tuple[Fingerprint, Split], expected: tuple[Fingerprint, Split], prefix: str = "") -> None:
    for name in Fingerprint.__dataclass_fields__:
        ours, theirs = getattr(found[0], name), getattr(expected[0], name)
        assert np.allclose(ours, theirs, atol=1e-4) if isinstance(ours, np.ndarray) else ours == theirs, name
    for part in ("train", "val", "test"):
        assert getattr(found[1], part) == tuple(prefix + name for name in getattr(expected[1], part))


def describe(root: Path) -> None:
    (root / "dataset.json").write_text(json.dumps({"labels": NAMES, "channel_names": {"0": "MRI"}}))


@pytest.mark.parametrize("layout", FORMATS)
def test_layouts_and_formats(
    layout: str, volumes: dict[str, tuple[sitk.Image, sitk.Image]], expected: tuple[Fingerprint, Split], tmp_path: Path
) -> None:
    for name, (image, label) in volumes.items():
        FORMATS[layout](image, label, name, tmp_path)
    describe(tmp_path)
    dataset = find_cases(tmp_path)
    assert dataset.layout == layout
    agree(look(dataset), expected, "image_" if layout.startswith("image_") else "")


def test_named_segments_with_other_values(
    volumes: dict[str, tuple[sitk.Image, sitk.Image]], expected: tuple[Fingerprint, Split], tmp_path: Path
) -> None:
    """No list of names but those in the files."""
    for name, (image, label) in volumes.items():
        named_segments(image, label, name, tmp_path)
    dataset = replace(find_cases(tmp_path), channel_names=("MRI",))
    assert dataset.label_names == NAMES
    agree(look(dataset), expected)


def test_masks_of_classes_and_what_is_written_of_them_for_nnunet(
    volumes: dict[str, tuple[sitk.Image, sitk.Image]], expected: tuple[Fingerprint, Split], tmp_path: Path
) -> None:
    data, output = tmp_path / "data", tmp_path / "Dataset004_Hippocampus"
    for name, (image, label) in volumes.items():
        masks(image, label, name, data)
    describe(data)
    dataset = find_cases(data)
    assert dataset.overlap == "no classes overlap in any case"
    agree(look(replace(dataset, overlap="")), expected)
    export_data(data, output, "nnunet", DataConfig(folds=4), lambda event: None)
    written = find_cases(output)
    assert written.layout == "nnU-Net"
    agree(look(written), expected)
    folds = DataConfig(split_file=str(output / "splits_final.json"))
    assert [split.val for split in fold_splits(written, folds)] == [
        split.val for split in fold_splits(dataset, DataConfig(folds=4))
    ]


def test_dicom(
    volumes: dict[str, tuple[sitk.Image, sitk.Image]],
    expected: tuple[Fingerprint, Split],
    tmp_path: Path,
    write_series: Callable[..., Path],
) -> None:
    """Cases with the slices in image/, and cases with slices and label map in one folder."""
    for index, (name, (image, label)) in enumerate(volumes.items()):
        write_series(image, tmp_path / name / ("image" if index % 2 else "."))
        save(label, tmp_path / name / "seg.nii.gz")
    describe(tmp_path)
    agree(look(find_cases(tmp_path)), expected)


def test_the_job_folder_of_slicer(
    volumes: dict[str, tuple[sitk.Image, sitk.Image]], expected: tuple[Fingerprint, Split], tmp_path: Path
) -> None:
    data = tmp_path / "data"
    for name, (image, label) in volumes.items():
        save(image, data / f"{name}.nrrd")
        write_label_map(label, data / f"{name}.seg.nrrd", CLASSES)
    classes = [{"value": item.value, "name": item.name, "color": list(item.color)} for item in CLASSES]
    cases = [{"name": name, "images": [f"{name}.nrrd"], "label": f"{name}.seg.nrrd"} for name in volumes]
    (data / "cases.json").write_text(json.dumps({"channels": ["MRI"], "classes": classes, "cases": cases}))
    agree(look(find_cases(tmp_path)), expected)


def test_folders_for_the_parts(
    volumes: dict[str, tuple[sitk.Image, sitk.Image]], expected: tuple[Fingerprint, Split], tmp_path: Path
) -> None:
    """The folders decide, each with a layout of its own; they hold the parts that another layout was divided into."""
    layouts = {"train": nnunet, "val": two_folders, "test": case_folder}
    for part, put in layouts.items():
        for name in getattr(expected[1], part):
            put(*volumes[name], name, tmp_path / part)
    describe(tmp_path)
    agree(look(replace(find_cases(tmp_path), channel_names=("MRI",))), expected)
    shutil.rmtree(tmp_path / "val")
    left = split_dataset(find_cases(tmp_path), DataConfig())
    assert left.test == expected[1].test
    assert sorted({*left.train, *left.val}) == list(expected[1].train)
