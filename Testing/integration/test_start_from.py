"""A training that begins as a trained model: never worse than it, with other classes and channels, and resumed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
import torch

from MedSegTrainerLib.api import train
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import ConfigError, JobError, ModelError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.package import load_package, read_card, save_ensemble

NAMES = {"liver": 2, "cyst": 5}
SHORT = ("epochs=1", "samples_per_volume=2", "tensorboard=false")


def named_dataset(source: Path, root: Path, values: dict[int, int], names: Sequence[str], channels: int = 1) -> Path:
    """The cases of a data set in nnU-Net's layout, with other label values and as many channels; the second is noise.

    A name without a value is that of the lowest slices, where nothing else is.
    """
    for folder in ("imagesTr", "labelsTr"):
        (root / folder).mkdir(parents=True)
    for image_file in sorted((source / "images").iterdir()):
        image, label = (sitk.ReadImage(str(source / kind / image_file.name)) for kind in ("images", "labels"))
        array = sitk.GetArrayFromImage(label)
        values_now = np.vectorize(lambda value: values.get(value, 0))(array).astype(np.uint8)
        if len(names) > len(set(values.values())):
            values_now[:2][values_now[:2] == 0] = len(names)
        changed = sitk.GetImageFromArray(values_now)
        changed.CopyInformation(label)
        name = image_file.name.removesuffix(".nii.gz")
        sitk.WriteImage(changed, str(root / "labelsTr" / image_file.name))
        sitk.WriteImage(image, str(root / "imagesTr" / f"{name}_0000.nii.gz"))
        if channels == 2:
            noise = np.random.default_rng(7).normal(0, 1, array.shape).astype(np.float32)
            second = sitk.GetImageFromArray(noise)
            second.CopyInformation(image)
            sitk.WriteImage(second, str(root / "imagesTr" / f"{name}_0001.nii.gz"))
    document = {
        "channel_names": {str(index): name for index, name in enumerate(("CT", "noise")[:channels])},
        "labels": {"background": 0, **{name: value for value, name in enumerate(names, 1)}},
        "numTraining": 6,
        "file_ending": ".nii.gz",
    }
    (root / "dataset.json").write_text(json.dumps(document))
    return root


@pytest.fixture(scope="module")
def named(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return named_dataset(dataset, tmp_path_factory.mktemp("named"), {2: 1, 5: 2}, ("liver", "cyst"))


@pytest.fixture(scope="module")
def model(named: Path, config_for: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> JobFolder:
    """A model of liver and cyst."""
    folder = JobFolder(tmp_path_factory.mktemp("jobs") / "organs")
    folder.create(config_for(f"data.data_dir={named}", "epochs=3", "samples_per_volume=12"))
    run_job(folder.path)
    return folder


@pytest.fixture
def begun(
    named: Path, model: JobFolder, config_for: Callable[..., TrainConfig], tmp_path: Path
) -> Callable[..., JobFolder]:
    """A finished training that begins as the model."""

    def make(*settings: str, data: Path = named) -> JobFolder:
        folder = JobFolder(tmp_path / "begun")
        network = [setting for setting in settings if setting.startswith(("data.data_dir", "base_channels"))]
        config = config_for(f"data.data_dir={data}", f"start.model={model.path}", *SHORT, *network, *settings)
        folder.create(config)
        run_job(folder.path)
        return folder

    return make


def events(folder: JobFolder, kind: str) -> list[dict[str, Any]]:
    lines = folder.events_file.read_text().splitlines()
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def best_of(folder: JobFolder) -> dict[str, Any]:
    """The validation whose weights the model has."""
    best = events(folder, "best")[-1]["epoch"]
    return next(event for event in events(folder, "validated") if event["epoch"] == best)


def changed_weights(folder: JobFolder, before: dict[str, torch.Tensor]) -> set[str]:
    """Names of the weights with which a training goes on that are others than these, or have another shape."""
    now = torch.load(folder.checkpoint_file, weights_only=True)["network"]
    return {name for name, value in now.items() if not torch.equal(value, before[name])}


class TestHeldLayers:
    """Only instance norm, so that no weight is a count of what was seen."""

    def test_only_the_last_layers_learn(self, model: JobFolder, begun: Callable[..., JobFolder]) -> None:
        weights = load_package(model.model).weights
        layers = {name for name in weights if name.startswith("heads.")}
        assert changed_weights(begun("start.frozen_share=1"), weights) == layers

    def test_the_first_layer_learns_new_channels(
        self, dataset: Path, model: JobFolder, begun: Callable[..., JobFolder], tmp_path: Path
    ) -> None:
        both = named_dataset(dataset, tmp_path / "both", {2: 1, 5: 2}, ("liver", "cyst"), channels=2)
        weights = load_package(model.model).weights
        changed = changed_weights(begun("start.frozen_share=1", data=both), weights)
        body = {"encoder.0.0.body.0.weight", "encoder.0.0.shortcut.0.weight"}  # those that see channels
        assert changed == body | {name for name in weights if name.startswith("heads.")}

    def test_all_learn_where_nothing_is_held(self, model: JobFolder, begun: Callable[..., JobFolder]) -> None:
        weights = load_package(model.model).weights
        assert changed_weights(begun(), weights) == weights.keys()


class TestNeverWorse:
    def test_the_model_as_it_came_is_the_first_point_and_stays_until_something_beats_it(
        self, model: JobFolder, begun: Callable[..., JobFolder]
    ) -> None:
        folder = begun("learning_rate=5")  # which destroys it
        first, *later = events(folder, "validated")
        assert first["epoch"] == 0
        assert first["per_case"] == best_of(model)["per_case"]
        assert all(event["mean_dice"] < first["mean_dice"] for event in later) and later
        kept, before = load_package(folder.path), load_package(model.path)
        assert kept.training["epoch"] == 0 and kept.training["steps"] == 0
        assert all(torch.equal(kept.weights[name], value) for name, value in before.weights.items())
        assert kept.curves[0]["epoch"] == 0
        assert "no epoch of this training was better" in read_card(folder.path)
        assert any("No epoch of this training was better" in event["message"] for event in events(folder, "warned"))

    def test_what_is_better_takes_its_place(self, begun: Callable[..., JobFolder]) -> None:
        folder = begun("epochs=3", "samples_per_volume=12")
        scores = [event["mean_dice"] for event in events(folder, "validated")]
        assert max(scores) > scores[0]
        assert load_package(folder.path).training["epoch"] == int(np.argmax(scores))


class TestClasses:
    def test_a_new_class_leaves_the_scores_of_the_others(
        self, dataset: Path, model: JobFolder, begun: Callable[..., JobFolder], tmp_path: Path
    ) -> None:
        data = named_dataset(dataset, tmp_path / "more", {2: 2, 5: 1}, ("cyst", "liver", "table"))
        folder = begun(data=data)
        first = events(folder, "validated")[0]["dice"]
        assert {name: first[name] for name in ("cyst", "liver")} == pytest.approx(best_of(model)["dice"], abs=1e-3)
        assert first["table"] > 0  # it was looked for in the maps that the model makes
        reasons = json.loads(folder.plan_file.read_text())["reasons"]
        assert reasons["start_classes"].startswith("kept: cyst, liver; new: table")

    def test_a_dropped_class_goes(self, dataset: Path, begun: Callable[..., JobFolder], tmp_path: Path) -> None:
        folder = begun(data=named_dataset(dataset, tmp_path / "fewer", {2: 1, 5: 0}, ("liver",)))
        assert load_package(folder.path).plan.class_names == ("liver",)
        assert events(folder, "validated")[0]["mean_dice"] > 0.8
        assert json.loads(folder.plan_file.read_text())["reasons"]["start_classes"] == "kept: liver; dropped: cyst"

    def test_renamed_and_in_another_order(
        self, dataset: Path, model: JobFolder, begun: Callable[..., JobFolder], tmp_path: Path
    ) -> None:
        data = named_dataset(dataset, tmp_path / "renamed", {2: 2, 5: 1}, ("Zyste", "Leber"))
        folder = begun('start.rename=["liver=Leber", "cyst=Zyste"]', data=data)
        before, first = best_of(model)["dice"], events(folder, "validated")[0]["dice"]
        assert first == pytest.approx({"Zyste": before["cyst"], "Leber": before["liver"]})

    def test_two_that_become_one_are_as_good_as_both_together(
        self, dataset: Path, model: JobFolder, begun: Callable[..., JobFolder], tmp_path: Path
    ) -> None:
        """The row is compared with the exact sum of both on real activations, those of the held-out cases."""
        data = named_dataset(dataset, tmp_path / "joined", {2: 1, 5: 1}, ("organ",))
        folder = begun('start.rename=["liver=organ", "cyst=organ"]', data=data)
        assert events(folder, "validated")[0]["dice"]["organ"] >= best_of(model)["dice"]["liver"] - 0.02

    def test_one_that_becomes_two(self, dataset: Path, begun: Callable[..., JobFolder], tmp_path: Path) -> None:
        data = named_dataset(dataset, tmp_path / "divided", {2: 1, 5: 2}, ("left", "right"))
        folder = begun('start.rename=["liver=left", "liver=right"]', "epochs=2", data=data)
        assert load_package(folder.path).plan.class_names == ("left", "right")


class TestChannels:
    def test_a_new_one_changes_nothing_at_first(
        self, dataset: Path, model: JobFolder, begun: Callable[..., JobFolder], tmp_path: Path
    ) -> None:
        data = named_dataset(dataset, tmp_path / "two", {2: 1, 5: 2}, ("liver", "cyst"), channels=2)
        folder = begun(data=data)
        assert events(folder, "validated")[0]["dice"] == pytest.approx(best_of(model)["dice"], abs=1e-6)

    def test_one_that_is_missing_is_refused_or_adapted(
        self, dataset: Path, named: Path, config_for: Callable[..., TrainConfig], tmp_path: Path
    ) -> None:
        data = named_dataset(dataset, tmp_path / "two", {2: 1, 5: 2}, ("liver", "cyst"), channels=2)
        settings = [f"data.data_dir={data}", *SHORT]
        two = JobFolder(tmp_path / "of two")
        two.create(config_for(*settings))
        run_job(two.path)
        one = JobFolder(tmp_path / "of one")
        one.create(config_for(f"data.data_dir={named}", f"start.model={two.path}", *SHORT))
        with pytest.raises(ConfigError, match=r"needs the channel noise, and the data have CT.*--adapt"):
            run_job(one.path)
        assert not one.plan_file.exists() and not one.model.exists()
        one.create(config_for(f"data.data_dir={named}", f"start.model={two.path}", "start.adapt=true", *SHORT))
        run_job(one.path)
        assert json.loads(one.plan_file.read_text())["reasons"]["start_channels"] == "kept: CT; dropped: noise"


def test_a_resume_needs_the_model_no_more(
    named: Path, model: JobFolder, config_for: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    """Killed before its first checkpoint, of which nothing is left then but plan, cases and the copy of the model."""
    copy = shutil.copytree(model.path, tmp_path / "copy")
    whole = JobFolder(tmp_path / "whole")
    whole.create(config_for(f"data.data_dir={named}", f"start.model={copy}", "epochs=2", "samples_per_volume=2"))
    run_job(whole.path)
    killed = JobFolder(shutil.copytree(whole.path, tmp_path / "killed"))
    for part in (killed.path / "checkpoints", killed.model, killed.report):
        shutil.rmtree(part)
    for part in (killed.events_file, killed.status_file):
        part.unlink()
    shutil.rmtree(copy)
    run_job(killed.path)
    one, other = load_package(whole.path), load_package(killed.path)
    assert one.training == other.training and one.training["lineage"]
    assert one.metrics["start"] == other.metrics["start"] and one.metrics["best"] == other.metrics["best"]
    assert all(torch.equal(other.weights[name], value) for name, value in one.weights.items())
    run_job(killed.path)  # its report once more, from its last checkpoint
    assert events(killed, "resumed")


class TestCases:
    def test_those_that_it_held_out_still_are(self, model: JobFolder, begun: Callable[..., JobFolder]) -> None:
        """Without them chance would hold out three others."""
        folder = begun("data.fold=none", "val_split=0.5")
        used = json.loads(folder.used_cases_file.read_text())
        before = load_package(model.path).training
        assert (used["train"], used["val"]) == (before["train_cases"], before["val_cases"])
        assert "2 of 6 cases validate, as they were held out when the model to begin with was trained" in used["reason"]

    def test_those_that_trained_it_are_not_held_out(
        self, named: Path, model: JobFolder, begun: Callable[..., JobFolder], tmp_path: Path
    ) -> None:
        """Without those that it held out, a new one is."""
        data = Path(shutil.copytree(named, tmp_path / "fewer"))
        first, second = load_package(model.path).training["val_cases"]
        (data / "imagesTr" / f"{first}_0000.nii.gz").unlink()
        (data / "labelsTr" / f"{first}.nii.gz").unlink()
        image = sitk.ReadImage(str(data / "imagesTr" / f"{second}_0000.nii.gz"))
        (data / "imagesTr" / f"{second}_0000.nii.gz").unlink()
        (data / "labelsTr" / f"{second}.nii.gz").rename(data / "labelsTr" / "new.nii.gz")
        sitk.WriteImage(image + 1, str(data / "imagesTr" / "new_0000.nii.gz"))
        used = json.loads(begun("data.fold=none", "val_split=0.5", data=data).used_cases_file.read_text())
        assert used["val"] == ["new"] and "none of the 4 that trained the model" in used["reason"]

    def test_before_and_after_are_of_the_same_cases(self, model: JobFolder, begun: Callable[..., JobFolder]) -> None:
        folder = begun("data.fold=none", "learning_rate=1e-3")
        metrics, came = load_package(folder.path).metrics, events(folder, "validated")[0]
        assert came["epoch"] == 0 and metrics["start"]["val_dice"] == came["mean_dice"]
        assert metrics["start"]["dice"] == came["dice"]
        assert metrics["best"] == {
            "val_dice": metrics["val_dice"], "dice": metrics["val_dice_per_class"], "cases": metrics["start"]["cases"]
        }  # fmt: skip
        assert metrics["start"]["cases"] == load_package(model.path).training["val_cases"]
        [told] = events(folder, "compared")
        change = f"{metrics['val_dice']:.2f}, was {came['mean_dice']:.2f}"
        assert (told["start"], told["best"]) == (metrics["start"], metrics["best"]) and change in told["message"]
        assert f"Trained. Dice {change}; " in events(folder, "finished")[0]["message"]
        assert change in (folder.report / "report.html").read_text()

    def test_a_fold_that_holds_them_out_is_told_everywhere(
        self, model: JobFolder, begun: Callable[..., JobFolder]
    ) -> None:
        folder = begun("fold=1")
        messages = [event["message"] for event in events(folder, "warned")]
        assert any("2 of the held-out cases trained the model" in message for message in messages)
        assert "though they trained the model before" in (folder.report / "report.html").read_text()

    def test_the_card_tells_the_models_before(self, model: JobFolder, begun: Callable[..., JobFolder]) -> None:
        folder = begun()
        again = train_again(folder)
        card = read_card(again.path)
        assert "Began as    begun, of " in card and "organs, of " in card
        assert "trained on 4 cases: case_" in card
        cases = load_package(again.path).training["cases"]
        assert {case["part"] for case in cases.values()} == {"train", "val"}
        assert all(len(case["label"]) == 64 and len(case["images"]) == 1 for case in cases.values())


def train_again(before: JobFolder) -> JobFolder:
    document = before.read_document()
    folder = JobFolder(before.path.parent / "again")
    config = document["config"]
    config["start"]["model"] = str(before.path)
    folder.path.mkdir()
    folder.job_file.write_text(json.dumps(document))
    run_job(folder.path)
    return folder


class TestWhatIsNoModelToBeginWith:
    def test_an_ensemble(self, model: JobFolder, named: Path, tmp_path: Path) -> None:
        package = load_package(model.path)
        save_ensemble([package, package], tmp_path / "both", training={}, metrics={})
        with pytest.raises(ModelError, match=r"ensemble of 2 models.*Take one fold of it"):
            train(named, tmp_path / "job", start_from=tmp_path / "both", epochs=1)

    def test_a_job_without_a_model(self, named: Path, tmp_path: Path) -> None:
        JobFolder(tmp_path / "empty").create(TrainConfig())
        with pytest.raises(ModelError, match="has no model yet"):
            train(named, tmp_path / "job", start_from=tmp_path / "empty", epochs=1)

    def test_another_network_and_wrong_names_at_once(self, model: JobFolder, named: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError) as caught:
            train(named, tmp_path / "job", start_from=model.path, rename=["lever=liver"], base_channels=12, epochs=1)
        text = str(caught.value)
        assert "no class 'lever'. Did you mean 'liver'?" in text
        assert "network.base_channels = 12: organs has base_channels 8" in text

    def test_adapting_to_another_width_keeps_no_layer(self, model: JobFolder, named: Path, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="no layer of organs"):
            train(named, tmp_path / "job", start_from=model.path, adapt=True, base_channels=12, epochs=1)


def test_from_the_command_line_with_a_zip(
    named: Path, model: JobFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = shutil.make_archive(str(tmp_path / "model"), "zip", model.model)
    with pytest.raises(SystemExit) as ended:
        main(["plan", str(named), "--start-from", archive, "--epochs", "1"])
    assert ended.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert (
        "start_from model.zip all weights are kept" in shown and "start_classes liver, cyst kept: liver, cyst" in shown
    )


def test_a_model_that_moved_is_told(named: Path, tmp_path: Path) -> None:
    with pytest.raises((ModelError, JobError), match="does not exist"):
        train(named, tmp_path / "job", start_from=tmp_path / "nowhere", epochs=1)
