"""Suggestions of a trained model: from the command line on tilted volumes, and from Python on real ones."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.api import suggest, train
from MedSegTrainerLib.job import JobFolder


def test_the_command(trained: JobFolder, dataset: Path, tmp_path: Path) -> None:
    drawn = tmp_path / "drawn.json"
    drawn.write_text('{"case_1": {"axis": "x", "slices": [12, 13]}}', encoding="utf-8")
    words = ["suggest", trained.path, dataset / "images", "-o", tmp_path / "out", "--device", "cpu", "--drawn", drawn]
    words += ["--count", "12", "--seed", "4", "--ranking", "class-stratified"]
    done = subprocess.run(
        [sys.executable, "-m", "MedSegTrainerLib", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "out" / "suggestions.json").read_text(encoding="utf-8"))
    assert len(document["suggestions"]) == 12
    for item in document["suggestions"]:
        assert f"{item['case']}, slice {item['slice']} along {item['axis']}: {item['text']}" in done.stdout
        assert item["axis"] == ("x" if item["case"] == "case_1" else "z")  # slices of 2 mm are the thickest
    assert {item["case"] for item in document["suggestions"]} == {f"case_{index}" for index in range(6)}
    assert f"12 suggestions are in {tmp_path / 'out'}" in done.stdout


def test_wrong_words(trained: JobFolder, dataset: Path, tmp_path: Path) -> None:
    for words, message in (
        (["--ranking", "entropi"], "ranking = 'entropi'"),
        (["--slice-axis", "w"], "slice_axis = 'w'"),
        (["--drawn", str(tmp_path / "none.json")], "none.json does not exist"),
        (["--count", "0"], "count = 0: must be at least 1"),
    ):
        call = [sys.executable, "-m", "MedSegTrainerLib", "suggest", str(trained.path), str(dataset / "images")]
        done = subprocess.run([*call, "-o", str(tmp_path / "o"), *words], capture_output=True, text=True, check=False)
        assert done.returncode == 2 and message in done.stderr, done.stderr


def test_real_volumes(shared_data: Path, tmp_path: Path) -> None:
    """A hippocampus: after a short training the model is unsure where it is, not elsewhere in the volume."""
    source = shared_data / "hippocampus"
    names = sorted(path.name for path in (source / "imagesTr").glob("*.nii.gz"))[:6]
    cases = [
        {"name": name.partition(".")[0], "images": [str(source / "imagesTr" / name)], "part": "train",
         "label": str(source / "labelsTr" / name)}
        for name in names[:3]
    ]  # fmt: skip
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cases.json").write_text(json.dumps({"cases": cases}), encoding="utf-8")
    train(
        tmp_path / "data", tmp_path / "job", epochs=12, patch_size=[24, 32, 32], batch_size=4, base_channels=8,
        samples_per_volume=12, val_split=0, test_split=0, device="cpu", learning_rate=0.005, tensorboard=False,
    )  # fmt: skip
    images = [source / "imagesTr" / name for name in names[3:]]
    document = suggest(tmp_path / "job", images, tmp_path / "out", count=6, slice_axis="y", device="cpu")
    assert {item["axis"] for item in document["suggestions"]} == {"y"}
    near = 0
    for item in document["suggestions"]:
        label = sitk.ReadImage(str(source / "labelsTr" / f"{item['case']}.nii.gz"))
        x, y, z = item["center_ras"]
        index = np.array(label.TransformPhysicalPointToIndex((-x, -y, z)))
        assert index[1] == item["slice"]  # these files have the patient's axes
        there = np.argwhere(sitk.GetArrayFromImage(label) > 0)[:, ::-1]
        near += int(np.abs(there - index).max(axis=1).min() <= 4)
    assert near >= 5
