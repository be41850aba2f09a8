"""What somebody sees who watches a training: the same numbers everywhere, and a prediction where the patient is."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.imaging.geometry import Geometry, resample
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.imaging.seg_nrrd import read_header
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.training.tensorboard import tag_of

PATIENCE = 300  # seconds; only a training that hangs takes so long


def events(folder: JobFolder, kind: str) -> list[dict[str, Any]]:
    return [event for event in EventReader(folder.events_file).read(limit=10**6) if event["kind"] == kind]


def scalars(folder: JobFolder) -> dict[str, list[tuple[int, float]]]:
    reader = EventAccumulator(str(folder.tensorboard)).Reload()
    return {tag: [(e.step, e.value) for e in reader.Scalars(tag)] for tag in reader.Tags()["scalars"]}


def test_tensorboard_shows_the_numbers_of_the_events(trained: JobFolder) -> None:
    shown = scalars(trained)
    for event in events(trained, "validated"):
        known = {key: value for key, value in event["metrics"].items() if key.startswith("val_") and value is not None}
        assert {"val_loss", "val_dice", "val_iou", "val_accuracy", "val_recall"} <= known.keys()
        for metric, value in known.items():
            assert dict(shown[tag_of(metric)])[event["epoch"]] == pytest.approx(value, rel=1e-5)
    for event in events(trained, "epoch"):
        assert dict(shown["loss/train"])[event["epoch"]] == pytest.approx(event["train_loss"], rel=1e-5)
        assert dict(shown["gradient_norm"])[event["epoch"]] == pytest.approx(event["gradient_norm"], rel=1e-5)


def test_the_metrics_hold_all_that_can_be_monitored(trained: JobFolder) -> None:
    event = events(trained, "validated")[-1]
    assert event["metrics"]["val_dice"] == event["mean_dice"]
    assert {"train_loss", "learning_rate", "gradient_norm"} <= event["metrics"].keys()


def test_gradients_and_pictures_are_in_tensorboard(trained: JobFolder) -> None:
    reader = EventAccumulator(str(trained.tensorboard)).Reload()
    assert len(reader.Tags()["histograms"]) > 5
    case = json.loads((trained.previews / "latest.json").read_text())["case"]
    assert reader.Tags()["images"] == [f"prediction/{case}"]


def test_the_preview_lies_on_the_patient(trained: JobFolder, dataset: Path) -> None:
    told = json.loads((trained.previews / "latest.json").read_text())
    assert told["epoch"] == 3
    path = trained.previews / "latest.seg.nrrd"
    preview = sitk.ReadImage(str(path))
    assert {segment.item.value for segment in read_header(path)} == {2, 5}
    reference = read_label_map(dataset / "labels" / f"{told['case']}.nii.gz")
    shown = resample(sitk.Cast(preview, sitk.sitkInt32), Geometry.of(reference), is_label=True)
    here, there = (sitk.GetArrayFromImage(image) == 2 for image in (shown, reference))
    assert 2 * np.count_nonzero(here & there) / (here.sum() + there.sum()) > 0.6


def test_the_curves_are_drawn(trained: JobFolder) -> None:
    assert imread(trained.curves_file).shape[:2] == (800, 1100)
    assert "validation loss" in (trained.report / "report.html").read_text(encoding="utf-8")


def test_a_resumed_training_has_one_curve(config_for: Callable[..., TrainConfig], tmp_path: Path) -> None:
    """As if it had been killed in its last epoch, with the newest checkpoint of the first."""
    folder = JobFolder(tmp_path / "job")
    folder.create(config_for("epochs=3", "samples_per_volume=2", "base_channels=4", "save_frequency=1"))
    run_job(folder.path)
    numbered = sorted(path for path in folder.checkpoint_file.parent.iterdir() if path != folder.checkpoint_file)
    shutil.copy(numbered[0], folder.checkpoint_file)
    run_job(folder.path)
    assert [event["epoch"] for event in events(folder, "epoch")] == [1, 2, 3, 2, 3]
    shown = scalars(folder)
    for tag in ("loss/train", "loss/validation", "dice/mean"):
        assert [epoch for epoch, _ in shown[tag]] == [1, 2, 3]


def test_the_preview_is_of_the_case_that_was_asked_for(config_for: Callable[..., TrainConfig], tmp_path: Path) -> None:
    """Asked for while the training runs; what cannot be read and what is no held-out case does not disturb it."""
    folder = JobFolder(tmp_path / "job")
    expected = folder.create(config_for("epochs=500", "samples_per_volume=2", "base_channels=4", "tensorboard=false"))
    process = folder.start(expect=expected)

    def preview() -> dict[str, Any]:
        path = folder.previews / "latest.json"
        return json.loads(path.read_text()) if path.exists() else {}

    def wait(condition: Callable[[], Any]) -> None:
        until = time.monotonic() + PATIENCE
        while not condition():
            assert process.poll() is None and time.monotonic() < until, folder.log_file.read_text(encoding="utf-8")
            time.sleep(0.05)

    try:
        wait(preview)
        first, (newest, *_rest) = preview()["case"], events(folder, "validated")
        (other,) = newest["per_case"].keys() - {first}
        for content in ("{", '{"case": "nobody"}'):
            folder.preview_case_file.write_text(content)
            seen = len(events(folder, "validated"))
            wait(lambda seen=seen: len(events(folder, "validated")) > seen + 1)
        assert preview()["case"] == first
        folder.request_preview(other)
        asked = len(events(folder, "validated"))
        wait(lambda: len(events(folder, "validated")) > asked + 1)
    finally:
        folder.request_stop()
        process.wait(PATIENCE)
    assert preview()["case"] == other and preview()["epoch"] > asked
    (message,) = [event["message"] for event in events(folder, "warned") if "case.json" in event["message"]]
    assert "'nobody'" in message and first in message and other in message
    assert folder.status().state == "stopped" and (folder.report / "report.html").exists()
