"""A folder with good files of every kind that the program writes and reads, to be spoiled one at a time."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.cli.main import main

TINY = (
    "--device", "cpu", "--set", "base_channels=4", "--set", "patch_size=[8,8,8]", "--set", "samples_per_volume=1",
    "--set", "mixed_precision=false", "--set", "channels_last=false",
)  # fmt: skip
WORKFLOW = {
    "workflow": "Test",
    "nodes": [
        {"type": "MedicalSegmentationLoader", "name": "loader", "config": {"test_split": "1", "val_split": "0"}},
        {"type": "BatchPredictor", "name": "predictor", "config": {"model": "job"}},
        {"type": "MetricsCalculator", "name": "metrics", "config": {"metrics": '["dice"]'}},
    ],
}
SETTINGS = {"trainer": {"epochs": 3, "gamma": 0.5}, "data": {"spacing": [2.5, 1.1, 0.9]}, "loss": {"alpha": [0.2, 0.8]}}


def command(words: str) -> int:
    """The exit code of a command, run in this process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main(words.split("|"))
    finally:
        signal.signal(signal.SIGTERM, before)
    return int(ended.value.code or 0)


def make_root(root: Path) -> None:
    """A data set, a job that was trained on it, two evaluations of it, and documents that name them."""
    generator = np.random.default_rng(5)
    for folder in ("images", "labels"):
        (root / "data" / folder).mkdir(parents=True)
    for index in range(4):
        label = np.zeros((9, 12, 14), np.uint8)
        label[2:7, 3:9, 2 + index : 11] = 1
        for folder, array in (
            ("images", (label * 90 + generator.normal(0, 9, label.shape)).astype(np.float32)),
            ("labels", label),
        ):
            image = sitk.GetImageFromArray(array)
            image.SetSpacing((0.9, 1.1, 2.5))
            sitk.WriteImage(image, str(root / "data" / folder / f"case_{index}.nii.gz"))
    assert command("|".join(["train", f"{root}/data", "-o", f"{root}/job", "--epochs", "1", *TINY])) == 0
    for name in ("report", "other"):
        assert command(f"evaluate|{root}/data/labels|{root}/data/labels|-o|{root}/{name}") == 0
    (root / "settings.json").write_text(json.dumps(SETTINGS), encoding="utf-8")
    nodes = json.loads(json.dumps(WORKFLOW).replace('"job"', json.dumps(str(root / "job"))))
    (root / "workflow.json").write_text(json.dumps(nodes), encoding="utf-8")
