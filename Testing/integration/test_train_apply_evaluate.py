"""Whole jobs, from images and labels to a report: in this process, and once through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.config.job_settings import ApplyConfig, EvaluateConfig
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.events import EVENT_KINDS, EventReader
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.imaging.seg_nrrd import read_header
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.likely_dice import from_json
from MedSegTrainerLib.model.package import load_package, save_package
from MedSegTrainerLib.results_file import read_results

ROOT = Path(__file__).resolve().parents[2]
VALUES = {0, 2, 5}  # background, liver and cyst
FORMATS = ("seg.nrrd", "nii.gz", "mha")


def events(folder: JobFolder) -> list[dict[str, Any]]:
    return EventReader(folder.events_file).read(limit=10**6)


def kinds(folder: JobFolder) -> list[str]:
    return [event["kind"] for event in events(folder)]


class TestTraining:
    def test_status(self, trained: JobFolder) -> None:
        status = trained.status()
        assert (status.state, status.kind, status.progress) == ("finished", "train", 1.0)
        assert (status.epoch, status.epochs) == (3, 3)
        assert status.best == load_package(trained.model).metrics["val_dice"]
        assert not trained.lock_file.exists()

    def test_events_tell_the_story_in_order(self, trained: JobFolder) -> None:
        told = kinds(trained)
        assert set(told) <= set(EVENT_KINDS)
        assert told[0] == "started" and told[-1] == "finished"
        assert [kind for kind in told if kind in ("epoch", "validated")] == ["epoch", "validated"] * 3
        assert told.index("planned") < told.index("epoch") < told.index("best") < told.index("measured")
        stages = [event["name"] for event in events(trained) if event["kind"] == "stage"]
        assert stages == ["scan", "plan", "prepare", "train", "apply", "evaluate"]

    def test_epochs_count_their_steps_and_the_loss_falls(self, trained: JobFolder) -> None:
        epochs = [event for event in events(trained) if event["kind"] == "epoch"]
        steps = 4 * 12 // 2  # four cases train, twelve patches of each, two in a step
        assert [event["step"] for event in epochs] == [steps, 2 * steps, 3 * steps]
        assert epochs[-1]["train_loss"] < 0.7 * epochs[0]["train_loss"]

    def test_the_best_epoch_is_the_model(self, trained: JobFolder) -> None:
        validated = [event for event in events(trained) if event["kind"] == "validated"]
        best = max(validated, key=lambda event: event["mean_dice"])
        package = load_package(trained.path)
        assert package.training["epoch"] == best["epoch"]
        assert package.metrics["val_dice"] == best["mean_dice"] > 0.7

    def test_the_model_knows_how_it_was_made(self, trained: JobFolder) -> None:
        package = load_package(trained.model)
        assert package.plan == parse_plan(json.loads(trained.plan_file.read_text()))
        assert [item.value for item in package.plan.classes] == sorted(VALUES - {0})
        assert [how.method for how in package.plan.normalization] == ["ct"]
        train, val = set(package.training["train_cases"]), set(package.training["val_cases"])
        assert len(train) == 4 and len(val) == 2 and not train & val
        assert set(package.metrics["validation_cases"]) == val

    def test_the_report_is_of_the_held_out_files(self, trained: JobFolder) -> None:
        metrics = json.loads((trained.report / "metrics.json").read_text())
        package = load_package(trained.model)
        assert set(metrics["cases"]) == set(package.training["val_cases"])
        assert metrics["summary"] == package.metrics["summary"]
        assert "<html" in (trained.report / "report.html").read_text(encoding="utf-8")
        assert (trained.report / "metrics.csv").exists()
        assert metrics["overall"]["mean_dice"] > 0.7

    def test_held_out_cases_teach_what_an_agreement_means(self, trained: JobFolder) -> None:
        """Their true Dice is that of the report, and none of them was told there by itself: one of two says nothing."""
        package = load_package(trained.model)
        metrics = json.loads((trained.report / "metrics.json").read_text())
        taught = from_json(package.likely_dice)
        assert [item.value for item in taught] == sorted(VALUES - {0})
        for item in taught:
            assert {point.case: point.dice for point in item.points} == {
                case: values[item.name]["dice"] for case, values in metrics["cases"].items()
            }
            assert all(point.agreement is None or 0.3 < point.agreement <= 1 for point in item.points)
        told = metrics["likely_dice"]
        assert set(told) == set(package.training["val_cases"])
        assert all((one["low"], one["high"]) == (0.0, 1.0) for by_class in told.values() for one in by_class.values())
        assert "Likely against true Dice" in (trained.report / "report.html").read_text(encoding="utf-8")

    def test_nothing_temporary_is_left(self, trained: JobFolder) -> None:
        assert list(trained.path.rglob(".tmp-*")) == []

    def test_a_finished_job_is_not_overwritten(
        self, trained: JobFolder, config_for: Callable[..., TrainConfig]
    ) -> None:
        with pytest.raises(JobError, match="already holds a trained job"):
            trained.create(config_for())


@pytest.fixture(scope="module")
def applied(trained: JobFolder, dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The model on the images of its data set, through a job; the folder of the label maps."""
    out = tmp_path_factory.mktemp("applied")
    job = JobFolder(out / "job")
    inputs = [str(dataset / "images" / f"case_{index}.nii.gz") for index in (0, 3)]
    job.create(ApplyConfig(model=str(trained.path), inputs=inputs, output_dir=str(out), device="cpu"))
    outcome = run_job(job.path)
    assert outcome.result == str(out)
    assert [event["name"] for event in events(job) if event["kind"] == "case"] == ["case_0", "case_3"]
    assert job.status().state == "finished"
    return out


class TestLikelyDice:
    def test_every_result_has_one(self, applied: Path, trained: JobFolder) -> None:
        cases = read_results(applied)
        assert {case.name for case in cases} == {"case_0", "case_3"}
        told = {event["name"]: event for event in events(JobFolder(applied / "job")) if event["kind"] == "case"}
        for case in cases:
            assert case.likely_dice is not None and case.low is not None and case.high is not None
            assert 0.5 < case.likely_dice < 1 and case.low <= case.likely_dice <= case.high
            assert [item.name for item in case.classes] == ["label 2", "label 5"]
            assert all(item.volume_ml and item.volume_ml > 0 for item in case.classes)
            assert (told[case.name]["likely_dice"], told[case.name]["low"]) == (case.likely_dice, case.low)
        assert cases == sorted(cases, key=lambda case: case.likely_dice or 0)
        assert (applied / "results.csv").read_text().startswith("case,class,likely_dice,low,high,volume_ml,")

    def test_it_can_be_left_out_and_older_models_have_none(
        self, trained: JobFolder, dataset: Path, tmp_path: Path
    ) -> None:
        older = tmp_path / "older"
        save_package(replace(load_package(trained.model), likely_dice={}), older)
        assert "likely_dice" not in json.loads((older / "model.json").read_text())
        image = str(dataset / "images" / "case_0.nii.gz")
        for number, (model, wanted) in enumerate(((older, True), (trained.model, False))):
            out = tmp_path / f"out_{number}"
            job = JobFolder(out / "job")
            job.create(
                ApplyConfig(model=str(model), inputs=[image], output_dir=str(out), device="cpu", likely_dice=wanted)
            )
            run_job(job.path)
            (case,) = read_results(out)
            assert case.likely_dice is None and case.classes[0].likely_dice is None
            assert case.classes[0].volume_ml and case.label_map == "case_0.seg.nrrd"


class TestApplying:
    @pytest.mark.parametrize("index", [0, 3])
    def test_each_result_lies_exactly_on_its_image(self, applied: Path, dataset: Path, index: int) -> None:
        image = sitk.ReadImage(str(dataset / "images" / f"case_{index}.nii.gz"))
        labels = sitk.ReadImage(str(applied / f"case_{index}.seg.nrrd"))
        found, wanted = Geometry.of(labels), Geometry.of(image)
        assert found.size == wanted.size
        for one, other in zip(
            (found.spacing, found.origin, found.direction),
            (wanted.spacing, wanted.origin, wanted.direction),
            strict=True,
        ):
            np.testing.assert_allclose(one, other, rtol=1e-12, atol=1e-12)

    @pytest.mark.parametrize("index", [0, 3])
    def test_values_and_classes_are_those_of_the_training(self, applied: Path, trained: JobFolder, index: int) -> None:
        path = applied / f"case_{index}.seg.nrrd"
        assert set(np.unique(sitk.GetArrayViewFromImage(sitk.ReadImage(str(path)))).tolist()) == VALUES
        assert tuple(segment.item for segment in read_header(path)) == load_package(trained.model).plan.classes

    @pytest.mark.parametrize("index", [0, 3])
    def test_structures_are_found_where_they_are(self, applied: Path, dataset: Path, index: int) -> None:
        found = sitk.GetArrayFromImage(read_label_map(applied / f"case_{index}.seg.nrrd"))
        wanted = sitk.GetArrayFromImage(read_label_map(dataset / "labels" / f"case_{index}.nii.gz"))
        for value in VALUES - {0}:
            both = np.logical_and(found == value, wanted == value).sum()
            assert 2 * both / ((found == value).sum() + (wanted == value).sum()) > 0.75

    def test_the_report_of_the_training_has_the_same_label_maps(
        self, trained: JobFolder, dataset: Path, tmp_path: Path
    ) -> None:
        """What was judged is what a user of the model gets."""
        (name, *_) = load_package(trained.model).training["val_cases"]
        job = JobFolder(tmp_path / "job")
        image = str(dataset / "images" / f"{name}.nii.gz")
        job.create(ApplyConfig(model=str(trained.model), inputs=[image], output_dir=str(tmp_path), device="cpu"))
        run_job(job.path)
        judged = read_label_map(trained.report / "predictions" / f"{name}.seg.nrrd")
        again = read_label_map(tmp_path / f"{name}.seg.nrrd")
        assert np.array_equal(sitk.GetArrayViewFromImage(judged), sitk.GetArrayViewFromImage(again))

    @pytest.mark.parametrize("output_format", FORMATS)
    def test_formats_and_mirroring(self, trained: JobFolder, dataset: Path, tmp_path: Path, output_format: str) -> None:
        job = JobFolder(tmp_path / "job")
        config = ApplyConfig(
            model=str(trained.path), inputs=[str(dataset / "images" / "case_1.nii.gz")], output_dir=str(tmp_path),
            output_format=output_format, tta=output_format == "mha", device="cpu",  # type: ignore[arg-type]
        )  # fmt: skip
        job.create(config)
        run_job(job.path)
        image = sitk.ReadImage(str(dataset / "images" / "case_1.nii.gz"))
        labels = sitk.ReadImage(str(tmp_path / f"case_1.{output_format}"))
        assert Geometry.of(labels).disagreements(Geometry.of(image)) == []
        assert set(np.unique(sitk.GetArrayViewFromImage(labels)).tolist()) == VALUES


class TestEvaluating:
    def test_the_applied_label_maps(self, applied: Path, dataset: Path, tmp_path: Path) -> None:
        job = JobFolder(tmp_path / "job")
        out = tmp_path / "report"
        job.create(EvaluateConfig(predictions=str(applied), labels=str(dataset), output_dir=str(out)))
        run_job(job.path)
        metrics = json.loads((out / "metrics.json").read_text())
        assert sorted(metrics["cases"]) == ["case_0", "case_3"]
        assert metrics["overall"]["mean_dice"] > 0.75
        assert (job.status().state, job.status().kind) == ("finished", "evaluate")


class TestCommandLine:
    def command(self, *arguments: str | Path, code: int = 0) -> str:
        """What the command prints; it must end with this exit code and without a traceback."""
        result = subprocess.run(
            [sys.executable, "-m", "MedSegTrainerLib", *map(str, arguments)],
            cwd=ROOT, env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONIOENCODING": "utf-8"},
            capture_output=True, check=False, timeout=900,
        )  # fmt: skip
        text = (result.stdout + result.stderr).decode(errors="replace")
        assert "Traceback" not in text
        assert result.returncode == code, text
        return text

    def test_train_apply_evaluate_status(self, dataset: Path, tmp_path: Path) -> None:
        job, out = tmp_path / "job", tmp_path / "out"
        settings = (
            "patch_size=[8,16,16]", "base_channels=4", "samples_per_volume=2", "mixed_precision=false",
            "channels_last=false",
        )  # fmt: skip
        self.command(
            "train", dataset, "-o", job, "--epochs", "2", "--device", "cpu", "--fold", "1", "--folds", "3",
            *(part for setting in settings for part in ("--set", setting)),
        )  # fmt: skip
        assert load_package(job).plan.epochs == 2
        self.command("apply", job, dataset / "images" / "case_2.nii.gz", "-o", out, "--device", "cpu")
        assert (out / "case_2.seg.nrrd").exists()
        assert "Dice" in self.command("evaluate", out, dataset, "-o", tmp_path / "report")
        assert (tmp_path / "report" / "report.html").exists()
        told = self.command("status", job)
        assert "finished" in told and "2 of 2" in told
        assert "already holds a trained job" in self.command("train", dataset, "-o", job, code=1)
