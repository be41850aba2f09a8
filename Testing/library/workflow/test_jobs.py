"""Which jobs a workflow is, on which cases, and in what order they run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from MedSegTrainerLib import atomic
from MedSegTrainerLib.config.job_settings import ApplyConfig, EvaluateConfig
from MedSegTrainerLib.config.settings import DataConfig, TrainConfig
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.data.layouts.find import find_cases
from MedSegTrainerLib.data.splits.split import split_cases
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.workflow.document import Workflow
from MedSegTrainerLib.workflow.jobs import cases_of, jobs_of, run_jobs
from MedSegTrainerLib.workflow.nodes import MetricsConfig, PredictorConfig, VisualizerConfig


def dataset(root: Path, count: int) -> Dataset:
    """Only names matter here: the files are empty."""
    for index in range(count):
        for path in (root / "images" / f"{index:02}.nrrd", root / "labels" / f"{index:02}.nrrd"):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
    return find_cases(root)


@pytest.fixture
def small(tmp_path: Path) -> Dataset:
    return dataset(tmp_path / "data", 6)


@pytest.fixture
def tested(small: Dataset) -> Workflow:
    return Workflow(
        title="Test",
        data=DataConfig(data_dir=str(small.root), test_split=1, val_split=0),
        predictor=PredictorConfig(model="/models/a", device="cpu", output_format="npy", apply_tta=True),
        metrics=MetricsConfig(metrics=["dice"], surface_tolerance_mm=2.5, per_case=False),
        visualizer=VisualizerConfig(overlay_alpha=0.25),
    )


class TestCases:
    def test_a_share_of_one_is_all(self, small: Dataset) -> None:
        cases, description = cases_of(small, DataConfig(test_split=1, val_split=0), "test_loader")
        assert (len(cases), description) == (6, f"all 6 cases of {small.root}")

    def test_those_that_a_training_keeps_aside(self, tmp_path: Path) -> None:
        many = dataset(tmp_path / "many", 30)
        data = DataConfig(test_split=0.2, seed=5)
        split = split_cases([case.name for case in many.cases], data)
        for part, names in (("test_loader", split.test), ("val_loader", split.val), ("train_loader", split.train)):
            assert tuple(case.name for case in cases_of(many, data, part)[0]) == names

    def test_those_that_a_training_validates_on_where_it_keeps_none_aside(self, small: Dataset) -> None:
        split = split_cases([case.name for case in small.cases], DataConfig())
        cases, description = cases_of(small, DataConfig(), "test_loader")
        assert split.test == () and tuple(case.name for case in cases) == split.val
        assert description == f"the 1 validation cases of {small.root}"

    def test_none(self, small: Dataset) -> None:
        with pytest.raises(UsageError, match="Set the loader's test_split to 1"):
            cases_of(small, DataConfig(val_split=0, test_split=0), "test_loader")


class TestJobs:
    def test_training_is_the_job_of_the_train_command(self, tmp_path: Path) -> None:
        train = TrainConfig(data=DataConfig(data_dir="/data"))
        jobs = jobs_of(Workflow(title="", data=train.data, train=train), tmp_path / "out")
        assert [(step.folder, step.config) for step in jobs.steps] == [(JobFolder(tmp_path / "out"), train)]
        assert jobs.results == (("Model", tmp_path / "out" / "model"),)

    def test_testing(self, tmp_path: Path, small: Dataset, tested: Workflow) -> None:
        out = (tmp_path / "out").resolve()
        apply, evaluate = (step.config for step in jobs_of(tested, tmp_path / "out").steps)
        names = [f"{index:02}" for index in range(6)]
        assert apply == ApplyConfig(
            model="/models/a",
            cases={name: [str((small.root / "images" / f"{name}.nrrd").resolve())] for name in names},
            output_dir=str(out / "predictions"), output_format="npy", tta=True, device="cpu",
        )  # fmt: skip
        assert evaluate == EvaluateConfig(
            predictions=str(out / "predictions"),
            references={name: str((small.root / "labels" / f"{name}.nrrd").resolve()) for name in names},
            images={name: str((small.root / "images" / f"{name}.nrrd").resolve()) for name in names},
            model="/models/a", output_dir=str(out / "report"), metrics=["dice"], per_case=False,
            surface_tolerance_mm=2.5, pictures_dir=str(out / "pictures"), overlay_alpha=0.25,
        )  # fmt: skip

    def test_one_after_the_other_with_the_model_that_was_trained(self, tmp_path: Path, tested: Workflow) -> None:
        train = TrainConfig(data=replace(tested.data, test_split=0.15, val_split=0.15))
        both = replace(tested, data=train.data, train=train, predictor=PredictorConfig())
        steps = jobs_of(both, tmp_path).steps
        assert [step.folder.path.name for step in steps] == ["train", "apply", "evaluate"]
        assert isinstance(steps[1].config, ApplyConfig)
        assert steps[1].config.model == str(tmp_path.resolve() / "train")

    def test_nothing_to_measure_is_nothing_to_evaluate(self, tmp_path: Path, tested: Workflow) -> None:
        alone = replace(tested, metrics=None, visualizer=None)
        assert [step.folder.path.name for step in jobs_of(alone, tmp_path).steps] == ["apply"]

    def test_folders_of_their_own(self, tmp_path: Path, tested: Workflow) -> None:
        far = tmp_path / "far"
        predictor = replace(tested.predictor or PredictorConfig(), output_dir=str(far))
        jobs = jobs_of(replace(tested, predictor=predictor, visualizer=VisualizerConfig(output_dir="a")), tmp_path)
        results = dict(jobs.results)
        assert (results["Label maps"], results["Pictures"]) == (far, tmp_path.resolve() / "a")

    @pytest.mark.parametrize("name", ["predictions", "pictures"])
    def test_links_lead_nowhere_else(self, tmp_path: Path, tested: Workflow, name: str) -> None:
        out = tmp_path / "out"
        (tmp_path / "away").mkdir()
        out.mkdir()
        try:
            (out / name).symlink_to(tmp_path / "away", target_is_directory=True)
        except OSError:
            pytest.skip("this user may not make links")
        with pytest.raises(UsageError, match="outside of"):
            jobs_of(tested, out)

    def test_nor_does_what_is_removed_afterwards(self, tmp_path: Path, tested: Workflow) -> None:
        (tmp_path / "away").mkdir()
        (tmp_path / "out").mkdir()
        try:
            (tmp_path / "out" / "apply").symlink_to(tmp_path / "away", target_is_directory=True)
        except OSError:
            pytest.skip("this user may not make links")
        unsaved = replace(tested, predictor=PredictorConfig(model="/models/a", save_predictions=False))
        with pytest.raises(UsageError, match="outside of"):
            jobs_of(unsaved, tmp_path / "out")


class FakeRun:
    """Does a job by writing that it is over; the ``stopped``-th was stopped by somebody."""

    def __init__(self, stopped: int | None = None) -> None:
        self.stopped, self.done = stopped, list[str]()

    def __call__(self, folder: JobFolder) -> None:
        self.done.append(folder.path.name)
        state = "stopped" if len(self.done) == self.stopped else "finished"
        atomic.write_json(folder.status_file, {"state": state})
        if folder.path.name == "apply":
            output = Path(folder.read_document()["config"]["output_dir"])
            output.mkdir(parents=True)
            (output / "00.npy").touch()


class TestRunning:
    def test_in_order(self, tmp_path: Path, tested: Workflow) -> None:
        run = FakeRun()
        assert run_jobs(jobs_of(tested, tmp_path), run)
        assert run.done == ["apply", "evaluate"]
        assert (tmp_path / "predictions" / "00.npy").exists()

    def test_ends_where_one_is_stopped(self, tmp_path: Path, tested: Workflow) -> None:
        run = FakeRun(stopped=1)
        assert not run_jobs(jobs_of(tested, tmp_path), run)
        assert run.done == ["apply"]
        assert not (tmp_path / "evaluate").exists()

    def test_label_maps_that_nobody_keeps(self, tmp_path: Path, tested: Workflow) -> None:
        theirs = tmp_path / "predictions"
        theirs.mkdir()
        (theirs / "by hand.nrrd").touch()
        predictor = replace(tested.predictor or PredictorConfig(), save_predictions=False)
        jobs = jobs_of(replace(tested, predictor=predictor), tmp_path)
        assert run_jobs(jobs, FakeRun())
        assert list(tmp_path.rglob("00.npy")) == []
        assert (theirs / "by hand.nrrd").exists()
        assert "Label maps" not in dict(jobs.results)
