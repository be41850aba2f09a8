"""A class that was drawn in some of the cases: trained, judged, cross-validated and gone on with where it is known."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import SimpleITK as sitk

from MedSegTrainerLib import api
from MedSegTrainerLib.config.job_settings import CrossValidateConfig, VerifyConfig
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job

CYST = 5
DRAWN = {f"case_{index}": ["liver"] for index in (1, 3, 5)}  # in the others the cyst was drawn, too


@pytest.fixture
def data(dataset: Path, tmp_path: Path) -> Path:
    """The data set with the cyst left out of the label maps of three cases, and a list of what was drawn in them."""
    root = tmp_path / "data"
    (root / "labels").mkdir(parents=True)
    (root / "images").symlink_to(dataset / "images", target_is_directory=True)
    for path in (dataset / "labels").iterdir():
        label = sitk.ReadImage(str(path))
        name = path.name.removesuffix(".nii.gz")
        sitk.WriteImage(label * (label != CYST) if name in DRAWN else label, str(root / "labels" / path.name))
    (root / "dataset.json").write_text(json.dumps({"labels": {"background": 0, "liver": 2, "cyst": 5}}))
    (root / "drawn.json").write_text(json.dumps(DRAWN))
    return root


@pytest.fixture
def config(config_for: Callable[..., TrainConfig], data: Path, tmp_path: Path) -> Callable[..., TrainConfig]:
    """With these cases for training and validation."""

    def make(train: str, val: str, *settings: str) -> TrainConfig:
        split = {part: [f"case_{digit}" for digit in digits] for part, digits in (("train", train), ("val", val))}
        file = tmp_path / f"split_{train}_{val}.json"
        file.write_text(json.dumps([split]))
        return config_for(f"data_dir={data}", f"split_file={file}", "samples_per_volume=4", "epochs=2", *settings)

    return make


def report_of(job: JobFolder) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((job.report / "metrics.json").read_text())
    return document


def test_training_counts_it_where_it_was_drawn(config: Callable[..., TrainConfig], data: Path, tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "job")
    job.create(config("0134", "25", "case_sampling=weighted", "mixup=0.3", "cutmix=0.3", "loss_type=combined",
                      "boundary_weight=0.1", "dice_weight=1", "ce_weight=1", "class_weights=auto"))  # fmt: skip
    run_job(job.path)
    plan = json.loads(job.plan_file.read_text())
    assert plan["label_codes"] == [{"present": [], "unknown": [2]}]
    assert plan["reasons"]["unknown_classes"].startswith("cyst: drawn in 3 of 6 cases: marginal loss")
    report = report_of(job)
    assert report["not_drawn"] == {"case_5": ["cyst"]}
    assert (
        report["summary"]["cyst"]["volume_ml"]["count"] == 1 and report["summary"]["liver"]["volume_ml"]["count"] == 2
    )
    scored = [event for event in EventReader(job.events_file).read() if event["kind"] == "validated"]
    assert scored and all(event["per_case"]["case_5"]["cyst"] is None for event in scored)
    assert all(event["per_case"]["case_2"]["cyst"] is not None for event in scored)
    again = api.evaluate(job.report / "predictions", data, tmp_path / "again")
    assert again["cases"] == report["cases"] and again["overall"] == report["overall"]
    assert again["confusion"] == report["confusion"]


def test_a_resume_goes_on_with_the_same_list_and_with_no_other(
    config: Callable[..., TrainConfig], data: Path, tmp_path: Path
) -> None:
    job = JobFolder(tmp_path / "job")
    job.create(config("0134", "25"))
    run_job(job.path)
    run_job(job.path)  # only its report is made anew
    (data / "drawn.json").write_text(json.dumps({**DRAWN, "case_2": ["liver"]}))
    with pytest.raises(DataError, match="other classes were drawn: case_2"):
        run_job(job.path)


def test_a_class_that_was_drawn_in_no_training_case_is_refused(
    config: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    job = JobFolder(tmp_path / "job")
    job.create(config("135", "02"))
    with pytest.raises(DataError, match="'cyst' was drawn in none of the 3 training cases"):
        run_job(job.path)


def test_folds_share_the_plan_and_each_case_counts_once(
    config_for: Callable[..., TrainConfig], data: Path, tmp_path: Path
) -> None:
    """Of the folds only some have each set of classes among their own cases."""
    settings = config_for(
        f"data_dir={data}", "samples_per_volume=2", "epochs=1", "folds=2", "fold=none", "split_by=stratified"
    )
    job = JobFolder(tmp_path / "cv")
    job.create(CrossValidateConfig(train=settings))
    run_job(job.path)
    report = report_of(job)
    assert report["not_drawn"] == {name: ["cyst"] for name in DRAWN}
    with (job.report / "metrics.csv").open(newline="") as stream:
        outcomes = {row["case"]: row["outcome"] for row in csv.DictReader(stream) if row["class"] == "cyst"}
    assert {name for name, outcome in outcomes.items() if outcome == "not drawn"} == set(DRAWN)
    assert len(outcomes) == 6


def test_folds_without_a_case_that_tells_of_a_class_are_refused_before_any_trains(
    config_for: Callable[..., TrainConfig], data: Path, tmp_path: Path
) -> None:
    (data / "drawn.json").write_text(json.dumps({f"case_{index}": ["liver"] for index in range(5)}))
    job = JobFolder(tmp_path / "cv")
    job.create(CrossValidateConfig(train=config_for(f"data_dir={data}", "folds=2", "fold=none")))
    with pytest.raises(UsageError, match=r"Fold \d would train without a case in which 'cyst' was drawn"):
        run_job(job.path)
    assert not job.folds.exists()


def test_verify_says_it(config_for: Callable[..., TrainConfig], data: Path, tmp_path: Path) -> None:
    job = JobFolder(tmp_path / "verify")
    job.create(VerifyConfig(train=config_for(f"data_dir={data}"), pictures=1, samples=2))
    run_job(job.path)
    document = json.loads((job.report / "verify.json").read_text())
    assert "cyst: drawn in 3 of 6 cases." in {finding["message"] for finding in document["findings"]}
    assert document["counts"]["error"] == document["counts"]["warning"] == 0
    assert [(item["name"], item["cases"], item["drawn"]) for item in document["classes"]] == [
        ("liver", 6, 6), ("cyst", 3, 3),
    ]  # fmt: skip
    assert document["samples_told"].startswith("16 x 24 x 24")
    page = re.sub(r"\s+", " ", (job.report / "verify.html").read_text())
    assert "drawn in 3 of 6" in page and "Cyst: drawn in 3 of 6 cases." in page
