"""Folds as jobs of their own: stopped and gone on with, judged together, applied and exported as one model."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.api import apply
from MedSegTrainerLib.config.job_settings import CrossValidateConfig
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.export.formats import export
from MedSegTrainerLib.export.tracing import TOLERANCE, Logits, example
from MedSegTrainerLib.job import STOP_KEEP_BEST, JobFolder
from MedSegTrainerLib.jobs.folds import prepare
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.package import load_members, load_package

TINY = ("epochs=1", "samples_per_volume=4", "tensorboard=false", "base_channels=2")


@pytest.fixture(scope="module")
def study(config_for: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """Two folds that share six cases; somebody trained the first one before."""
    folder = JobFolder(tmp_path_factory.mktemp("study") / "cv")
    folder.create(CrossValidateConfig(train=config_for(*TINY, "folds=2")))
    run_job(folder.path)
    return folder


class TestFolds:
    def test_every_case_is_judged_by_the_model_that_did_not_train_on_it(self, study: JobFolder) -> None:
        folds = json.loads((study.path / "splits.json").read_text())
        assert sorted(name for fold in folds for name in fold["val"]) == [f"case_{index}" for index in range(6)]
        document = json.loads((study.report / "metrics.json").read_text())
        for index, fold in enumerate(folds):
            assert not set(fold["train"]) & set(fold["val"])
            for name in fold["val"]:
                prediction = Path(document["files"][name]["prediction"])
                assert prediction.is_relative_to(study.folds / str(index))
        assert set(document["cases"]) == {f"case_{index}" for index in range(6)}

    def test_each_is_a_finished_job_of_its_own(self, study: JobFolder) -> None:
        for index in range(2):
            job = JobFolder(study.folds / str(index))
            assert job.status().state == "finished" and job.read_document()["kind"] == "train"
            assert (job.report / "report.html").exists()
        plans = [load_package(study.folds / str(index)).plan for index in range(2)]
        assert (plans[0].patch_size, plans[0].network) == (plans[1].patch_size, plans[1].network)

    def test_a_finished_fold_is_not_done_again(self, study: JobFolder) -> None:
        before = [(study.folds / str(index) / "events.jsonl").read_bytes() for index in range(2)]
        run_job(study.path)
        assert [(study.folds / str(index) / "events.jsonl").read_bytes() for index in range(2)] == before

    def test_another_one_does_not_start_over_it(self, study: JobFolder, config_for: Callable[..., TrainConfig]) -> None:
        with pytest.raises(JobError, match="already holds"):
            study.create(CrossValidateConfig(train=config_for(*TINY)))


class TestEnsemble:
    def test_it_is_one_model_that_says_how_good_it_is(self, study: JobFolder) -> None:
        assert len(load_members(study.path)) == 2
        document = json.loads((study.model / "model.json").read_text())
        assert document["metrics"]["words"].startswith("6 cases, each held out once: Dice")
        assert document["data"]["cases"] == 3 and len(document["training"]["train_cases"]) == 6

    def test_it_is_applied_like_any_other_and_an_odd_image_is_told(
        self, study: JobFolder, dataset: Path, tmp_path: Path
    ) -> None:
        """The same image, said to have voxels of three times the size."""
        image = sitk.ReadImage(str(dataset / "images" / "case_0.nii.gz"))
        sitk.WriteImage(image, str(tmp_path / "usual.nii.gz"))
        image.SetSpacing([3 * mm for mm in image.GetSpacing()])
        sitk.WriteImage(image, str(tmp_path / "odd.nii.gz"))
        files = apply(study.path, [tmp_path / "usual.nii.gz", tmp_path / "odd.nii.gz"], tmp_path / "out", device="cpu")
        for file in files:
            found = sitk.ReadImage(str(file))
            assert found.GetSize() == image.GetSize()
            assert set(np.unique(sitk.GetArrayViewFromImage(found)).tolist()) <= {0, 2, 5}
        events = EventReader(tmp_path / "out" / "job" / "events.jsonl").read()
        warned = [event["message"] for event in events if event["kind"] == "warned"]
        assert [words for words in warned if words.startswith("odd is unlike the training images: it has voxels of")]
        assert not [words for words in warned if words.startswith("usual")]


def ask_in_the_first_fold(study: JobFolder, how: str) -> None:
    """Asks the study to stop once its first fold trains."""

    def ask() -> None:
        while JobFolder(study.folds / "0").status().epoch < 1:
            time.sleep(0.05)
        study.request_stop(how)

    threading.Thread(target=ask, daemon=True).start()


def test_a_request_to_stop_is_handed_on_and_the_rest_is_done_later(
    config_for: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    study = JobFolder(tmp_path / "cv")
    study.create(CrossValidateConfig(train=config_for(*TINY, "folds=2", "epochs=400", "validation_interval=400")))
    ask_in_the_first_fold(study, STOP_KEEP_BEST)
    outcome = run_job(study.path)
    first, second = (JobFolder(study.folds / str(index)) for index in range(2))
    assert outcome.stopped == STOP_KEEP_BEST and study.status().state == "stopped"
    assert first.status().state == "stopped" and not second.job_file.exists()
    assert len(load_members(study.path)) == 1  # what there is can be used
    assert "1 of 2 folds done" in outcome.message


def test_two_folds_train_at_the_same_time_with_half_of_the_cores_each(
    config_for: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """Neither ends before the other one has begun to train: each is stopped when both do."""
    study = JobFolder(tmp_path / "cv")
    train = config_for(*TINY, "folds=3", "epochs=4000", "validation_interval=4000")
    study.create(CrossValidateConfig(train=train, devices=2))
    folds = [JobFolder(study.folds / str(index)) for index in range(3)]

    def ask() -> None:
        while min(fold.status().epoch for fold in folds[:2]) < 1 and study.status().state != "failed":
            time.sleep(0.05)
        study.request_stop(STOP_KEEP_BEST)

    threading.Thread(target=ask, daemon=True).start()
    outcome = run_job(study.path)
    assert "Stopped with 2 of 3 folds done" in outcome.message and len(load_members(study.path)) == 2
    assert [fold.status().state for fold in folds] == ["stopped", "stopped", "created"]
    plans = [json.loads(fold.plan_file.read_text()) for fold in folds[:2]]
    assert plans[0] == plans[1]
    share = max(1, torch.get_num_threads() // 2)
    assert plans[0]["reasons"]["device"] == f"CPU with {share} thread{'s' * (share > 1)}"
    assert 3000 in [event.get("total") for event in EventReader(study.events_file).read()]  # parts of all three folds


def test_a_single_case_is_cut_into_halves(config_for: Callable[..., TrainConfig], tmp_path: Path) -> None:
    """The cut itself; the trainings are like any other."""
    source = Path(config_for().data.data_dir)
    for name in ("images", "labels"):
        (tmp_path / "one" / name).mkdir(parents=True)
        (tmp_path / "one" / name / "case_0.nii.gz").write_bytes((source / name / "case_0.nii.gz").read_bytes())
    settings = config_for(*TINY)
    train = replace(settings, data=replace(settings.data, data_dir=str(tmp_path / "one")))
    folder = JobFolder(tmp_path / "cv")
    folder.create(CrossValidateConfig(train=train))
    study = prepare(train, folder, [].append)
    assert study.halved and study.train.data.ignore_label == 6
    assert [fold["val"] for fold in study.folds] == [["case_0 half 2"], ["case_0 half 1"]]
    assert prepare(train, folder, [].append) == study  # as after a resume


def test_an_exported_program_comes_back(trained: JobFolder, tmp_path: Path) -> None:
    package = load_package(trained.path)
    made = export(trained.path, tmp_path / "m.pt2", "torch-export")
    assert made.difference <= TOLERANCE
    found = torch.export.load(made.path).module()(example(package, seed=9))
    assert torch.allclose(found, Logits(package)(example(package, seed=9)), atol=TOLERANCE)


def test_onnx_runs_in_its_runtime(trained: JobFolder, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    package = load_package(trained.path)
    made = export(trained.path, tmp_path / "m.onnx", "onnx")
    session = runtime.InferenceSession(str(made.path), providers=["CPUExecutionProvider"])
    image = example(package, batch=1, grown=True, seed=4)
    (logits,) = session.run(None, {"image": image.numpy()})
    with torch.no_grad():
        assert torch.allclose(torch.from_numpy(logits), Logits(package)(image), atol=TOLERANCE)
