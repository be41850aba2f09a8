"""The training jobs of folds: made once, moved to another device without a change, planned as the first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import read_plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.folds import CrossValidation


@pytest.fixture
def cross_validation(tmp_path: Path) -> CrossValidation:
    folds = [{"train": ["b", "c", "d"], "val": ["a"]}, {"train": ["a", "c"], "val": ["b", "d"]}]
    train = TrainConfig()
    train = replace(train, trainer=replace(train.trainer, budget="5m"))
    folder, dataset = JobFolder(tmp_path / "cv"), Dataset(root=tmp_path, layout="", cases=())
    return CrossValidation(folder=folder, dataset=dataset, folds=folds, train=train, halved=False)


class TestJob:
    def test_a_job_that_was_begun_changes_its_device_alone(self, cross_validation: CrossValidation) -> None:
        job = cross_validation.make_job(1, "cuda:1")
        first = job.read_document()
        job.checkpoint_file.parent.mkdir()
        job.checkpoint_file.touch()
        assert cross_validation.make_job(1, "auto") == job and job.checkpoint_file.exists()
        first["config"]["trainer"]["device"] = "auto"
        assert job.read_document() == first
        assert first["config"]["data"]["fold"] == 1 and first["config"]["trainer"]["budget"] == "5m"

    def test_a_later_one_gets_the_plan_of_the_first_and_keeps_one_that_it_has(
        self, cross_validation: CrossValidation, tiny_plan: Plan
    ) -> None:
        first = replace(tiny_plan, steps_per_epoch=30)
        cross_validation.make_job(0, "cpu").plan_file.write_text(json.dumps(first.to_json()))
        job = cross_validation.make_job(1, "cpu")
        assert read_plan(job.plan_file) == replace(first, steps_per_epoch=20)
        job.plan_file.write_text("{}")  # changed while it trained
        cross_validation.make_job(1, "cpu")
        assert job.plan_file.read_text() == "{}"
        job.plan_file.unlink()  # killed before it was written
        cross_validation.make_job(1, "cpu")
        assert json.loads(job.plan_file.read_text())["steps_per_epoch"] == 20

    @pytest.mark.parametrize("content", ["null", "{}", '{"steps_per_epoch": "30"}', "["])
    def test_a_damaged_plan_of_the_first(self, cross_validation: CrossValidation, content: str) -> None:
        cross_validation.make_job(0, "cpu").plan_file.write_text(content)
        with pytest.raises(JobError, match=r"plan\.json is (damaged|not valid JSON)"):
            cross_validation.make_job(1, "cpu")

    def test_another_job_in_its_place_is_refused(self, cross_validation: CrossValidation) -> None:
        cross_validation.job(0).create(EvaluateConfig())
        with pytest.raises(JobError, match="no training"):
            cross_validation.make_job(0, "cpu")

    def test_a_fold_is_judged_when_all_its_cases_are(self, cross_validation: CrossValidation) -> None:
        job = cross_validation.make_job(1, "cpu")
        job.status_file.write_text('{"state": "finished"}')
        for path in (job.model / "model.json", job.report / "metrics.json", job.report / "predictions" / "b.seg.nrrd"):
            path.parent.mkdir(exist_ok=True)
            path.touch()
        assert cross_validation.predictions(1) == {}
        (job.report / "predictions" / "d.seg.nrrd").touch()
        assert list(cross_validation.predictions(1)) == ["b", "d"]
