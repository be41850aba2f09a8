"""Cases of which single slices are labelled: trained, judged and shown by these slices alone, also a single one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib import api
from MedSegTrainerLib.config.job_settings import CrossValidateConfig, VerifyConfig
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.partly_labelled import patient_axes
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job

UNKNOWN_SIZES = ("hd95_mm", "asd_mm", "surface_dice", "volume_ml", "predicted_volume_ml", "volume_error_percent")


@pytest.fixture
def drawn(dataset: Path, tmp_path: Path) -> Callable[..., Path]:
    """The data set with some coronal slices of its label maps alone, what lies between them wrongly 0."""

    def make(every: int, *cases: str) -> Path:
        root = tmp_path / f"data_{every}"
        for part in ("images", "labels"):
            (root / part).mkdir(parents=True)
        for path in sorted((dataset / "labels").iterdir()):
            name = path.name.removesuffix(".nii.gz")
            if cases and name not in cases:
                continue
            label = sitk.ReadImage(str(path))
            values = sitk.GetArrayFromImage(label)
            along = np.moveaxis(values, patient_axes(Geometry.of(label)).index("y"), 0)
            largest = int((along != 0).sum(axis=(1, 2)).argmax())
            along[[index for index in range(len(along)) if (index - largest) % every]] = 0
            sitk.WriteImage(Geometry.of(label).place(values), str(root / "labels" / path.name))
            image = next(image for image in (dataset / "images").iterdir() if image.name.startswith(name))
            (root / "images" / image.name).write_bytes(image.read_bytes())
        (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 2, "cyst": 5}}))
        return root

    return make


def report_of(job: JobFolder) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((job.report / "metrics.json").read_text())
    return document


def trained(config: TrainConfig, folder: Path) -> JobFolder:
    job = JobFolder(folder)
    job.create(config)
    run_job(job.path)
    return job


@pytest.mark.parametrize("dims", [3, 2])
def test_training_and_scores_are_of_the_slices(
    config_for: Callable[..., TrainConfig], drawn: Callable[..., Path], tmp_path: Path, dims: int
) -> None:
    data = drawn(4)
    patch = () if dims == 3 else ("dims=2", "patch_size=auto")
    config = config_for(
        f"data_dir={data}",
        "labelled_slices=auto",
        "samples_per_volume=4",
        "epochs=2",
        "mixup=0.3",
        "cutmix=0.3",
        *patch,
    )
    job = trained(config, tmp_path / "job")
    plan = json.loads(job.plan_file.read_text())
    assert plan["ignore_label"] == -1 and plan["reasons"]["ignore_label"].startswith(
        "6 of 6 cases are labelled in part"
    )
    assert plan["slice_axis"] == ("z" if dims == 3 else "y")
    report = report_of(job)
    assert all(report["summary"][name][metric]["count"] == 0 for name in ("liver", "cyst") for metric in UNKNOWN_SIZES)
    assert report["summary"]["liver"]["dice"]["count"] == len(report["cases"]) == 2
    assert any("Voxels that nobody labelled do not count. In 2 of 2 cases" in note for note in report["notes"])
    assert "Voxels that nobody labelled do not count" in (job.report / "report.html").read_text()
    again = api.evaluate(job.report / "predictions", data, tmp_path / "again", labelled_slices="y")
    assert again["cases"] == report["cases"] and again["confusion"] == report["confusion"]
    plain = api.evaluate(job.report / "predictions", data, tmp_path / "plain")
    assert plain["cases"] != report["cases"] and plain["summary"]["liver"]["hd95_mm"]["count"]


@pytest.mark.parametrize("dims", [3, 2])
def test_a_single_slice_of_a_single_case(
    config_for: Callable[..., TrainConfig], drawn: Callable[..., Path], tmp_path: Path, dims: int
) -> None:
    """On a grid that is twice as coarse across the slice."""
    data = drawn(1000, "case_1")
    patch = ("spacing=[2.0, 3.5, 1.5]",) if dims == 3 else ("dims=2", "patch_size=auto")
    config = config_for(
        f"data_dir={data}", "labelled_slices=auto", "samples_per_volume=8", "epochs=2", "fold=none", *patch
    )
    job = trained(config, tmp_path / "job")
    scored = [event for event in EventReader(job.events_file).read() if event["kind"] == "validated"]
    assert scored and all(event["per_case"]["case_1"]["liver"] is not None for event in scored)
    assert report_of(job)["cases"]["case_1"]["liver"]["dice"] > 0


def test_the_halves_of_a_single_slice(
    config_for: Callable[..., TrainConfig], drawn: Callable[..., Path], tmp_path: Path
) -> None:
    config = config_for(
        f"data_dir={drawn(1000, 'case_1')}", "labelled_slices=auto", "samples_per_volume=4", "epochs=1", "fold=none"
    )
    job = JobFolder(tmp_path / "cv")
    job.create(CrossValidateConfig(train=config))
    run_job(job.path)
    known = []
    for half in sorted((job.path / "halves").glob("*.nii.gz")):
        known.append(sitk.GetArrayFromImage(sitk.ReadImage(str(half))) != -1)
    assert len(known) == 2 and not (known[0] & known[1]).any()
    axes = patient_axes(Geometry.of(sitk.ReadImage(str(half))))
    both = np.moveaxis(known[0] | known[1], axes.index("y"), 0)
    assert [int(plane.all()) for plane in both if plane.any()] == [1]
    assert all(part.any() for part in known)
    assert report_of(job)["cases"]["case_1"]["liver"]["hd95_mm"] is None


def test_a_box_in_cases_json_and_a_case_without_labels(
    config_for: Callable[..., TrainConfig], dataset: Path, tmp_path: Path
) -> None:
    """A case labelled in a box around all of it has all numbers; one that is empty is left out, whatever it was for."""
    entries = []
    (tmp_path / "data").mkdir()
    for path in sorted((dataset / "labels").iterdir()):
        name = path.name.removesuffix(".nii.gz")
        label = sitk.ReadImage(str(path))
        image = next(image for image in (dataset / "images").iterdir() if image.name.startswith(name))
        entry: dict[str, Any] = {"name": name, "images": [str(image)], "label": str(path)}
        if name == "case_0":
            entry["labelled_box"] = [[1, 1, 1], [size - 2 for size in label.GetSize()]]
        if name in ("case_2", "case_3"):
            empty = tmp_path / "data" / f"{name}.nii.gz"
            sitk.WriteImage(label * 0, str(empty))
            entry |= {"label": str(empty), "labelled_slices": "y"}
        entry["part"] = "val" if name in ("case_0", "case_3") else "train"
        entries.append(entry)
    classes = [{"value": 2, "name": "liver", "color": [1, 2, 3]}, {"value": 5, "name": "cyst", "color": [4, 5, 6]}]
    (tmp_path / "data" / "cases.json").write_text(json.dumps({"cases": entries, "classes": classes}))
    settings = ("fold=none", "samples_per_volume=2", "epochs=1")
    job = trained(config_for(f"data_dir={tmp_path / 'data'}", *settings), tmp_path / "job")
    used = json.loads(job.used_cases_file.read_text())
    assert used["val"] == ["case_0"] and used["train"] == ["case_1", "case_4", "case_5"]
    assert used["reason"].endswith("without case_2, case_3, in which nothing is labelled")
    cases = report_of(job)["cases"]
    assert list(cases) == ["case_0"] and cases["case_0"]["liver"]["volume_ml"] is not None
    for entry in entries:
        entry |= {"label": entries[2]["label"], "labelled_slices": "y"}
    (tmp_path / "data" / "cases.json").write_text(json.dumps({"cases": entries, "classes": classes}))
    with pytest.raises(DataError, match="No label map has a labelled voxel"):
        trained(config_for(f"data_dir={tmp_path / 'data'}", *settings), tmp_path / "other")


def test_verify_says_it(config_for: Callable[..., TrainConfig], drawn: Callable[..., Path], tmp_path: Path) -> None:
    data = drawn(4)
    job = JobFolder(tmp_path / "verify")
    job.create(VerifyConfig(train=config_for(f"data_dir={data}", "labelled_slices=auto"), pictures=2, samples=2))
    run_job(job.path)
    document = json.loads((job.report / "verify.json").read_text())
    messages = [finding["message"] for finding in document["findings"] if finding["kind"] == "labelled in part"]
    assert len(messages) == 6 and all("slices along y, " in message for message in messages)
    assert document["counts"]["error"] == document["counts"]["warning"] == 0
    assert document["samples_told"].startswith("16 x 24 x 24")
    assert [item["ml_median"] for item in document["classes"]] == [None, None]
    without = JobFolder(tmp_path / "without")
    without.create(VerifyConfig(train=config_for(f"data_dir={data}"), pictures=0, samples=0))
    run_job(without.path)
    kinds = [finding["kind"] for finding in json.loads((without.report / "verify.json").read_text())["findings"]]
    assert "single slices" in kinds
