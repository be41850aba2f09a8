"""What users get wrong: each ends in one readable message and the right exit code, and nothing is lost or left over."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.cli import main
from MedSegTrainerLib.config import ApplyConfig, EvaluateConfig
from MedSegTrainerLib.geometry import Geometry
from MedSegTrainerLib.job import JobFolder, Status
from MedSegTrainerLib.validation import parse_config

CASES = 4
SIZE = (14, 12, 9)  # x, y, z
TINY = ["--device", "cpu", "--set", "base_channels=4", "--set", "patch_size=[8,8,8]", "--set", "samples_per_volume=1"]
NEVER = ("Traceback", "Error:", "[Errno", "None", "NoneType", "should not happen")


@dataclass(frozen=True)
class Place:
    """A user's folder: a data set in ``data`` and a trained job in ``trained``, for a row to spoil."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def trained(self) -> Path:
        return self.root / "trained"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def image(self, index: int = 1) -> Path:
        return self.data / "images" / f"case_{index}.nii.gz"

    def label(self, index: int = 1) -> Path:
        return self.data / "labels" / f"case_{index}.nii.gz"

    def text(self, name: str, content: Any) -> Path:
        """A file with this text, or with this value as JSON."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def change(self, path: Path, change: Callable[[np.ndarray], np.ndarray], **geometry: Any) -> None:
        """Writes an image again, its voxels and its geometry changed."""
        image = sitk.ReadImage(str(path))
        grid = {**asdict(Geometry.of(image)), **geometry}
        array = change(sitk.GetArrayFromImage(image))
        grid["size"] = array.shape[::-1]
        sitk.WriteImage(Geometry(**grid).place(array), str(path))


# --- How a row is run ---

Words = list[str | Path]


@dataclass(frozen=True)
class Row:
    """``spoil`` makes the mistake and returns the command line; ``says`` is what the message must hold.

    ``fails``: the job folder, relative to the place, that then says ``failed``. ``writes``: other new files.
    """

    name: str
    spoil: Callable[[Place], Words]
    says: tuple[str, ...]
    code: int = 1
    fails: str = ""
    writes: tuple[str, ...] = ()


def command(words: Words) -> int:
    """The exit code of a command, run in this process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
    finally:
        signal.signal(signal.SIGTERM, before)
    return int(ended.value.code or 0)


def snapshot(root: Path) -> dict[str, bytes | None]:
    """Content of every file below a folder, None for folders."""
    return {str(p.relative_to(root)): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}


def check_nothing_lost(place: Place, before: dict[str, bytes | None], row: Row) -> None:
    """What was there is as it was, outside of the failed job; what is new was expected; nothing is half-written."""
    after = snapshot(place.root)

    def may_change(path: str) -> bool:
        return bool(row.fails) and (path.startswith(row.fails) or row.fails.startswith(path + os.sep))

    assert {path for path in before if not may_change(path) and after.get(path, 0) != before[path]} == set()
    assert {path for path in after if path not in before and not may_change(path)} == set(row.writes)
    assert [path for path in after if ".tmp-" in path or path.endswith("lock")] == []


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small oblique cases with two structures, and a job that was trained on them."""
    place = Place(tmp_path_factory.mktemp("good"))
    generator = np.random.default_rng(3)
    direction = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
    grid = Geometry(size=SIZE, spacing=(0.9, 1.1, 2.5), origin=(-20.0, 5.0, 40.0), direction=direction)
    for path in (place.image(), place.label()):
        path.parent.mkdir(parents=True)
    for index in range(CASES):
        label = np.zeros(grid.size_zyx, np.uint8)
        label[2:7, 3:9, 2 + index : 11] = 1
        label[4:6, 5:8, 6:9] = 2
        signal_of = 100 * label + 10 * generator.standard_normal(label.shape)
        sitk.WriteImage(grid.place(signal_of.astype(np.float32)), str(place.image(index)))
        sitk.WriteImage(grid.place(label), str(place.label(index)))
    place.text("data/dataset.json", {"labels": {"0": "background", "1": "liver", "2": "tumor"}})
    assert command(["train", place.data, "-o", place.trained, "--epochs", "1", *TINY]) == 0
    shutil.rmtree(place.trained / "cache")
    return place.root


@pytest.fixture
def place(good: Path, tmp_path: Path) -> Place:
    shutil.copytree(good, tmp_path / "user")
    return Place(tmp_path / "user")


def check(row: Row, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    words = row.spoil(place)
    before = snapshot(place.root)
    capsys.readouterr()
    code = command(words)
    shown = capsys.readouterr()
    everything = shown.out + shown.err
    assert code == row.code, everything
    assert [said for said in row.says if said not in shown.err] == [], shown.err
    assert [wrong for wrong in NEVER if wrong in everything] == [], everything
    if row.fails:
        status = JobFolder(place.root / row.fails).status()
        assert status.state == "failed"
        assert status.message in shown.err
        assert "Traceback" not in (place.root / row.fails / "log.txt").read_text() if words[0] != "run" else True
    check_nothing_lost(place, before, row)


def by_name(row: Row) -> str:
    return row.name


# --- The data ---


def plan(place: Place, *options: str | Path) -> Words:
    return ["plan", place.data, "--epochs", "1", *options]


def changed(path: Callable[[Place], Path], change: Callable[[np.ndarray], Any], **geometry: Any) -> Any:
    """A row's mistake: one image or label map written again in another way."""

    def spoil(place: Place) -> Words:
        place.change(path(place), change, **geometry)
        return plan(place)

    return spoil


def with_files(*files: tuple[str, Any], remove: tuple[str, ...] = ()) -> Any:
    """A row's mistake: files of the place that are written or removed."""

    def spoil(place: Place) -> Words:
        for name in remove:
            path = place.root / name
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        for name, content in files:
            place.text(name, content)
        return plan(place)

    return spoil


def truncated(place: Place) -> Words:
    content = place.image().read_bytes()
    place.image().write_bytes(content[: len(content) // 2])
    return plan(place)


def empty_folder(place: Place) -> Words:
    (place.root / "empty").mkdir()
    return ["plan", place.root / "empty"]


def all_labels_empty(place: Place) -> Words:
    for index in range(CASES):
        place.change(place.label(index), np.zeros_like)
    return plan(place)


def not_a_number(place: Place) -> Words:
    """In NRRD, because ITK reads NaN in NIfTI as 0."""
    image = sitk.ReadImage(str(place.image()))
    image[3, 2, 1] = float("nan")
    place.image().unlink()
    sitk.WriteImage(image, str(place.image().with_name("case_1.nrrd")))
    return plan(place)


def two_wrong_cases(place: Place) -> Words:
    not_a_number(place)
    place.change(place.label(2), lambda a: a + np.float32(0.25))
    return plan(place)


def outside(place: Place) -> Words:
    shutil.copy(place.image(), place.root / "case_9.nii.gz")
    entry = {"image": "../case_9.nii.gz", "label": "labels/case_1.nii.gz"}
    place.text("data/dataset.json", {"training": [entry], "labels": {"1": "liver", "2": "tumor"}})
    return plan(place)


def same(array: np.ndarray) -> np.ndarray:
    return array


DATA = [
    Row("no data folder", lambda p: ["plan", p.root / "nowhere"], ("nowhere does not exist", "Give the folder"), 2),
    Row("a file as data folder", lambda p: ["plan", p.image()], ("case_1.nii.gz is a file", "Give the folder"), 2),
    Row("an empty folder", empty_folder, ("No labelled images found in", "empty", "Expected one of")),
    Row("an image without label", with_files(remove=("data/labels/case_1.nii.gz",)), ("case_1", "no label", "add")),
    Row("a label without image", with_files(remove=("data/images/case_2.nii.gz",)), ("case_2", "no image", "add")),
    Row("sizes differ", changed(Place.label, lambda a: a[1:]), ("case_1", "size", "(14, 12, 8)", "Resample")),
    Row("spacings differ", changed(Place.label, same, spacing=(0.9, 1.1, 2.9)), ("case_1", "spacing", "2.9) mm")),
    Row("origins differ", changed(Place.label, same, origin=(-20.0, 5.0, 44.0)), ("case_1", "origin", "44", "Resample")),
    Row(
        "directions differ",
        changed(Place.image, same, direction=(1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0)),
        ("case_1", "direction", "0.96", "Resample"),
    ),
    Row("text for an image", with_files(("data/images/case_1.nii.gz", "hello")), ("case_1.nii.gz cannot be read",)),
    Row("a truncated image", truncated, ("images/case_1.nii.gz is damaged", "Copy")),
    Row("labels that are no whole numbers", changed(Place.label, lambda a: a * np.float32(0.3)), ("case_1", "whole")),
    Row("NaN in an image", not_a_number, ("case_1.nrrd: 1 of 1512 voxels are NaN", "Replace them")),
    Row("nothing is labelled", all_labels_empty, ("No label map has a labelled voxel", "Check")),
    Row(
        "a label value without a name",
        changed(Place.label, lambda a: np.where(a == 2, 7, a).astype(np.uint8)),
        ("[7]", "case_1", "dataset.json", "Add them"),
    ),
    Row("dataset.json is not JSON", with_files(("data/dataset.json", "{")), ("dataset.json", "line 1", "Correct it")),
    Row(
        "dataset.json names labels by a list",
        with_files(("data/dataset.json", {"labels": ["background", "liver"]})),
        ("dataset.json", "'labels'", "background"),
    ),
    Row("dataset.json leads out of the folder", outside, ("'../case_9.nii.gz' lies outside", "Use paths inside")),
    Row(
        "dataset.json lists a missing file",
        with_files(("data/dataset.json", {"training": [{"image": "images/x.nrrd", "label": "labels/case_1.nii.gz"}]})),
        ("x.nrrd", "not there", "Add the files"),
    ),
    Row("two images of one name", with_files(("data/images/case_1.nrrd", "")), ("case_1.nrrd", "same", "Keep one")),
    Row("several wrong cases at once", two_wrong_cases, ("2 problems", "case_1.nrrd: 1 of", "case_2", "whole numbers")),
    Row(
        "wrong data for a real training",
        lambda p: ["train", *two_wrong_cases(p)[1:], "-o", p.root / "job"],
        ("2 problems", "case_1.nrrd: 1 of", "case_2", "whole numbers"),
        fails="job",
    ),
]


@pytest.mark.parametrize("row", DATA, ids=by_name)
def test_data(row: Row, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    check(row, place, capsys)


# --- The settings ---


def options(*words: str) -> Any:
    return lambda place: plan(place, *words)


def with_config(content: Any, *words: str) -> Any:
    """A row's mistake: what the file given by --config holds."""
    return lambda place: plan(place, "--config", place.text("config.json", content), *words)


def with_split(content: Any, *words: str) -> Any:
    return lambda place: plan(place, "--split-file", place.text("split.json", content), *words)


def binary_config(place: Place) -> Words:
    return plan(place, "--config", place.image())


def no_split_file(place: Place) -> Words:
    return plan(place, "--split-file", place.root / "split.json")


SEVERAL = {"trainer": {"epoch": 3}, "data": {"batch_size": 0, "cache": "cloud"}, "loss": {"smooth": "much"}}
SETTINGS = [
    Row("an unknown setting", with_config({"trainer": {"epoch": 3}}), ("trainer.epoch", "Did you mean 'epochs'"), 2),
    Row("a wrong type", with_config({"trainer": {"patience": "long"}}), ("trainer.patience", "'long'", "integer"), 2),
    Row("a section that is none", with_config({"data": [1]}), ("data", "[1]", "object"), 2),
    Row("a split file that is a number", with_config({"data": {"split_file": 5}}), ("data.split_file", "5"), 2),
    Row("an infinite number", options("--set", "learning_rate=inf"), ("optimizer.learning_rate", "inf", "finite"), 2),
    Row(
        "several wrong settings at once",
        with_config(SEVERAL),
        ("trainer.epoch", "data.cache", "cloud", "loss.smooth", "much"),
        2,
    ),
    Row("several limits at once", options("--val-split", "3", "--fold", "-1"), ("val_split = 3", "fold = -1"), 2),
    Row("no configuration file", lambda p: plan(p, "--config", p.root / "c.json"), ("c.json cannot be read", "Check"), 2),
    Row("a configuration that is not JSON", with_config("{'a': 1}"), ("config.json", "line 1 column 2", "Correct"), 2),
    Row("a configuration that is no text", binary_config, ("case_1.nii.gz", "no text file", "Give"), 2),
    Row("a configuration that is a list", with_config([1]), ("config.json", "object"), 2),
    Row("a budget in words", lambda p: ["plan", p.data, "--budget", "soon"], ("budget", "'soon'", "20m"), 2),
    Row("no time at all", lambda p: ["plan", p.data, "--budget", "0m"], ("budget", "'0m'", "20m"), 2),
    Row("budget and epochs", options("--budget", "20m"), ("--budget", "--epochs", "Give one"), 2),
    Row("a device that is none", options("--device", "gpu"), ("'gpu'", "cuda:0"), 2),
    Row("an assignment without value", options("--set", "epochs"), ("--set epochs", "key=value"), 2),
    Row("an unknown assignment", options("--set", "learning_rat=1"), ("learning_rat", "'learning_rate'"), 2),
    Row("a number of epochs in words", lambda p: ["plan", p.data, "--epochs", "many"], ("--epochs", "integer", "for help"), 2),
    Row("a fold out of range", options("--fold", "5"), ("data.fold = 5", "0 to 4"), 2),
    Row("too few cases for the folds", options("--fold", "0", "--folds", "9"), ("4 cases", "9 folds", "at most 4"), 2),
    Row("no split file", no_split_file, ("split.json does not exist", "Check"), 2),
    Row("a split file that is not JSON", with_split("train: 1"), ("split.json", "line 1"), 2),
    Row("a split of unknown cases", with_split({"train": ["case_1", "case_8"]}), ("split.json", "case_8")),
    Row("a split that overlaps", with_split({"train": ["case_1"], "val": ["case_1"]}), ("case_1", "'train'", "Keep")),
    Row("a split without training", with_split({"train": [], "val": ["case_1"]}), ("split.json", "no case to train")),
    Row("a fold that the split lacks", with_split([{"train": ["case_1"]}], "--fold", "3"), ("1 folds", "fold 3"), 2),
    Row("too many class weights", options("--set", "class_weights=[1,2,3,4,5]", *TINY), ("class_weights", "3"), 2),
]


@pytest.mark.parametrize("row", SETTINGS, ids=by_name)
def test_settings(row: Row, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    check(row, place, capsys)


# --- Job folders ---


def train(place: Place, output: Path, *words: str) -> Words:
    return ["train", place.data, "-o", output, "--epochs", "1", *words]


def running(words: Callable[[Place], Words]) -> Any:
    """A row's mistake: another process, this one, is at work on the trained job."""

    def spoil(place: Place) -> Words:
        now = Status(state="running", kind="train", host=socket.gethostname(), pid=os.getpid(), heartbeat=time.time())
        place.text("trained/status.json", asdict(now))
        return words(place)

    return spoil


def resume_an_apply(place: Place) -> Words:
    JobFolder(place.out / "job").create(parse_config(ApplyConfig, {"model": "m", "inputs": ["i"], "output_dir": "o"}))
    return ["train", "--resume", "-o", place.out / "job"]


def resume_without_data(place: Place) -> Words:
    shutil.rmtree(place.data)
    document = json.loads((place.trained / "job.json").read_text())
    document["config"]["data"]["data_dir"] = str(place.data)
    place.text("trained/job.json", document)
    return ["train", "--resume", "-o", place.trained]


def resume_and_more(place: Place) -> Words:
    return ["train", place.data, "--resume", "-o", place.trained]


def a_broken_job(place: Place) -> Words:
    return ["run", place.text("broken/job.json", {"kind": "trian", "config": {}, "x": 1}).parent]


JOBS = [
    Row("no data", lambda p: ["train", "-o", p.root / "job"], ("train DATA -o JOB",), 2),
    Row("the output is a file", lambda p: train(p, p.image()), ("case_1.nii.gz is a file", "new folder")),
    Row("the output lies in a file", lambda p: train(p, p.image() / "job"), ("case_1.nii.gz", "Choose another folder")),
    Row("the output is not empty", lambda p: train(p, p.data), ("data is not empty", "Choose a new folder")),
    Row("the output is trained", lambda p: train(p, p.trained), ("trained already holds", "--resume")),
    Row("the output is being worked on", running(lambda p: train(p, p.trained)), (str(os.getpid()), "stop")),
    Row("resuming what runs", running(lambda p: ["train", "--resume", "-o", p.trained]), ("trained is still running",)),
    Row("resuming nothing", lambda p: ["train", "--resume", "-o", p.data], ("data is not a job", "job.json", "Check")),
    Row("resuming with data", resume_and_more, ("--resume", "-o JOB alone"), 2),
    Row("resuming what cannot be", resume_an_apply, ("job is no training job", "start the others again"), 2),
    Row("resuming without the data", resume_without_data, ("data does not exist", "Give"), fails="trained"),
    Row("a broken job", a_broken_job, ("2 problems", "'trian'", "Did you mean 'train'", "x: unknown"), 2, "broken"),
    Row("the status of no job", lambda p: ["status", p.data], ("data is not a job folder", "Check the path")),
    Row("stopping no job", lambda p: ["stop", p.root / "nowhere"], ("nowhere is not a job folder", "Check the path")),
    Row("stopping what does not run", lambda p: ["stop", p.trained], ("Nothing to stop", "trained", "finished")),
]


@pytest.mark.parametrize("row", JOBS, ids=by_name)
def test_jobs(row: Row, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    check(row, place, capsys)


# --- Applying and evaluating ---


def apply(place: Place, *inputs: Path, model: Path | None = None, **settings: Any) -> Words:
    """What 'apply' does, but without a process of its own, which takes seconds."""
    values = {"inputs": [str(path) for path in inputs or (place.image(),)], "output_dir": str(place.out)}
    values |= {"model": str(model or place.trained), "device": "cpu", **settings}
    JobFolder(place.out / "job").create(parse_config(ApplyConfig, values))
    return ["run", place.out / "job"]


def apply_itself(place: Place, *inputs: Path, model: Path | None = None) -> Words:
    return ["apply", model or place.trained, *inputs, "-o", place.out, "--device", "cpu"]


def with_model(name: str, change: Callable[[bytes], bytes]) -> Any:
    """A row's mistake: a file of the model that holds something else."""

    def spoil(place: Place) -> Words:
        path = place.trained / "model" / name
        path.write_bytes(change(path.read_bytes()))
        return apply(place)

    return spoil


def described(change: Callable[[dict[str, Any]], Any]) -> Any:
    """A row's mistake: a ``model.json`` that says something else."""

    def rewrite(content: bytes) -> bytes:
        document = json.loads(content)
        change(document)
        return json.dumps(document).encode()

    return with_model("model.json", rewrite)


def a_zip_of_other_things(place: Place) -> Words:
    with zipfile.ZipFile(place.root / "model.zip", "w") as archive:
        archive.writestr("notes.txt", "nothing")
    return apply(place, model=place.root / "model.zip")


def a_damaged_zip(place: Place) -> Words:
    with zipfile.ZipFile(place.root / "model.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in ("model.json", "weights.safetensors"):
            archive.write(place.trained / "model" / name, name)
    content = bytearray((place.root / "model.zip").read_bytes())
    content[len(content) // 2 : len(content) // 2 + 64] = bytes(64)
    (place.root / "model.zip").write_bytes(content)
    return apply(place, model=place.root / "model.zip")


def one_unreadable(place: Place) -> Words:
    place.text("data/images/case_1.nii.gz", "hello")
    return apply_itself(place, place.data / "images")


def more_channels(place: Place) -> Words:
    image = sitk.ReadImage(str(place.image()))
    path = place.root / "two.nrrd"
    sitk.WriteImage(sitk.Compose(image, image), str(path))
    return apply(place, path)


def two_of_one_name(place: Place) -> Words:
    (place.root / "more").mkdir()
    shutil.copy(place.image(), place.root / "more")
    return apply(place, place.image(), place.root / "more")


def over_labels_by_hand(place: Place) -> Words:
    return apply(place, place.data / "images", output_dir=str(place.data / "labels"), output_format="nii.gz")


def over_the_images(place: Place) -> Words:
    return ["apply", place.trained, place.data / "images", "-o", place.data / "images", "--format", "nii.gz"]


def into_a_training(place: Place) -> Words:
    place.trained.rename(place.root / "job")
    return ["apply", place.root / "job", place.image(), "-o", place.root]


LABEL_MAPS = tuple(f"out/case_{index}.seg.nrrd" for index in (0, 2, 3))
APPLY = [
    Row("no model", lambda p: apply_itself(p, p.image(), model=p.root / "m"), ("m does not exist", "Check"), 2),
    Row("no image", lambda p: apply_itself(p, p.root / "x.nii.gz"), ("x.nii.gz does not exist", "Check"), 2),
    Row("an unknown format", lambda p: [*apply_itself(p, p.image()), "--format", "png"], ("'png'", "'nii.gz'"), 2),
    Row("too much overlap", lambda p: [*apply_itself(p, p.image()), "--overlap", "1"], ("overlap = 1", "most 0.9"), 2),
    Row("a folder for a model", lambda p: apply(p, model=p.data), ("data holds no model", "model.json"), fails="out/job"),
    Row("an image for a model", lambda p: apply(p, model=p.image()), ("case_1.nii.gz is no model",), fails="out/job"),
    Row("a zip of other things", a_zip_of_other_things, ("model.zip is no model", "lacks model.json"), fails="out/job"),
    Row("a damaged zip", a_damaged_zip, ("model.zip", "Give a model folder"), fails="out/job"),
    Row(
        "a description that is no JSON",
        with_model("model.json", lambda content: content[:100]),
        ("trained is no model", "model.json is damaged"),
        fails="out/job",
    ),
    Row(
        "damaged weights",
        with_model("weights.safetensors", lambda content: content[:-50]),
        ("trained: weights.safetensors is damaged", "Copy the model again"),
        fails="out/job",
    ),
    Row(
        "a model of the future",
        described(lambda document: document.update(schema_version=9)),
        ("trained has model format 9", "this version reads 1", "Update"),
        fails="out/job",
    ),
    Row(
        "a network of the future",
        described(lambda document: document["plan"].update(architecture="Oracle")),
        ("'Oracle' is no known network", "PlannedUNet"),
        fails="out/job",
    ),
    Row(
        "another network than the weights",
        described(lambda document: document["plan"]["network"].update(features=[8, 8])),
        ("PlannedUNet",),
        fails="out/job",
    ),
    Row(
        "a description without its network",
        described(lambda document: document["plan"].update(network={})),
        ("PlannedUNet", "does not fit"),
        fails="out/job",
    ),
    Row("too many channels", more_channels, ("two.nrrd", "2 channels", "needs 1"), fails="out/job"),
    Row("a folder without images", lambda p: apply(p, p.trained), ("trained holds no image files",), 2, "out/job"),
    Row("two inputs of one name", two_of_one_name, ("named case_1", "more", "output folder"), 2, "out/job"),
    Row("results over labels", over_labels_by_hand, ("4 of 4", "labels", "Choose another"), 2, "out/job"),
    Row("results over the images", over_the_images, ("4 of 4", "images", "Choose another"), 2, "data/images/job"),
    Row("results into a training", into_a_training, ("job already holds a trained job", "Choose another folder")),
    Row(
        "an unreadable image among good ones",
        one_unreadable,
        ("1 of 4 images were not segmented", "case_1.nii.gz cannot be read", "Replace"),
        fails="out/job",
        writes=LABEL_MAPS,
    ),
]


@pytest.mark.parametrize("row", APPLY, ids=by_name)
def test_apply(row: Row, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    check(row, place, capsys)


def evaluate(place: Place, predictions: Path, labels: Path | None = None) -> Words:
    """What 'evaluate' does, but without a process of its own."""
    values = {"predictions": predictions, "labels": labels or place.data, "output_dir": place.out}
    config = parse_config(EvaluateConfig, {name: str(path) for name, path in values.items()})
    JobFolder(place.out / "job").create(config)
    return ["run", place.out / "job"]


def other_names(place: Place) -> Words:
    shutil.copy(place.label(), place.text("found/x", "").with_name("patient.nii.gz"))
    return evaluate(place, place.root / "found")


def another_grid(place: Place) -> Words:
    place.text("found/x", "")
    shutil.copy(place.label(), place.root / "found")
    place.change(place.root / "found" / "case_1.nii.gz", lambda array: array[:, 1:])
    return ["evaluate", place.root / "found", place.data, "-o", place.out]


EVALUATE = [
    Row("no folder", lambda p: ["evaluate", p.root / "x", p.data, "-o", p.out], ("x does not exist", "Check"), 2),
    Row("nothing in common", other_names, ("No prediction in", "found", "patient", "case_0", "names"), fails="out/job"),
    Row("no label maps", lambda p: evaluate(p, p.trained), ("trained has no label maps", "Check"), fails="out/job"),
    Row("images for labels", lambda p: evaluate(p, p.data / "images"), ("case_0", "whole numbers"), fails="out/job"),
    Row("different grids", another_grid, ("case_1", "different grids", "size", "Resample"), fails="out/job"),
]


@pytest.mark.parametrize("row", EVALUATE, ids=by_name)
def test_evaluate(row: Row, place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    check(row, place, capsys)


# --- The disk ---

needs_a_limit = pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size, which stands for a disk")
LIMITED = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]), int(sys.argv[1])))
from MedSegTrainerLib.cli import main
main(sys.argv[2:])
"""
WRITING = """
import resource, sys
from pathlib import Path
import numpy as np, SimpleITK as sitk
from MedSegTrainerLib.data.label_maps import write_label_map
from MedSegTrainerLib.errors import StorageError
resource.setrlimit(resource.RLIMIT_FSIZE, (8192, 8192))
noise = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 3, (40, 50, 60)).astype(np.uint8))
try:
    write_label_map(noise, Path(sys.argv[1]), [])
except StorageError as error:
    print(error)
"""


def child(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script, *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)


def without_room(place: Place, kilobytes: int, words: Words, says: tuple[str, ...], fails: str) -> None:
    before = snapshot(place.root)
    ended = child(LIMITED, kilobytes * 1024, *words)
    everything = ended.stdout + ended.stderr
    assert ended.returncode == 1, everything
    assert [said for said in ("Cannot write", "choose another folder", *says) if said not in ended.stderr] == [], everything
    assert [wrong for wrong in NEVER if wrong in everything] == [], everything
    assert JobFolder(place.root / fails).status().state == "failed"
    check_nothing_lost(place, before, Row("", lambda p: [], (), fails=fails))


@needs_a_limit
@pytest.mark.parametrize(("kilobytes", "what"), [(5, "cache"), (12, "weights.safetensors")])
def test_full_disk_while_training(place: Place, kilobytes: int, what: str) -> None:
    job = place.root / "job"
    without_room(place, kilobytes, ["train", place.data, "-o", job, "--epochs", "1", *TINY], (what, "full"), "job")
    assert not (job / "model" / "model.json").exists()


@needs_a_limit
def test_full_disk_while_applying(place: Place) -> None:
    model = place.trained / "model" / "model.json"
    document = json.loads(model.read_text())
    document["plan"]["classes"][0]["terminology"] = "x" * 9000  # a header that is too large for the disk
    model.write_text(json.dumps(document))
    without_room(place, 8, apply_itself(place, place.image()), ("case_1.seg.nrrd", "disk"), "out/job")


@needs_a_limit
@pytest.mark.parametrize("suffix", ["seg.nrrd", "nii.gz", "mha"])
def test_label_map_is_whole_or_not_there(tmp_path: Path, suffix: str) -> None:
    ended = child(WRITING, tmp_path / f"case.{suffix}")
    assert f"case.{suffix}" in ended.stdout, ended.stderr
    assert "disk has room" in ended.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_output_that_may_not_be_written(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.root.chmod(0o555)
    try:
        row = Row("", lambda p: train(p, p.root / "job"), ("job", "not allowed", "Choose another folder"))
        check(row, place, capsys)
    finally:
        place.root.chmod(0o755)
