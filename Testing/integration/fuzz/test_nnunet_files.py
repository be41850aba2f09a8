"""Whatever the files of an nnU-Net model hold, plans, labels, scores or weights, it is a model or words."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hostile import mutated, runs, texts
from hypothesis import given
from hypothesis import strategies as st

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.any_description import read_description
from MedSegTrainerLib.model.package import load_members

FAST, SLOW = 40, 400
LONGEST = 10.0  # seconds of processor time
SUMMARY = {
    "foreground_mean": {"Dice": 0.8},
    "mean": {"1": {"Dice": 0.9}, "2": {"Dice": 0.7}},
    "metric_per_case": [
        {"metrics": {"1": {"Dice": 0.9}, "2": {"Dice": 0.7}}, "reference_file": f"/gt/case_{number}.nii.gz"}
        for number in range(2)
    ],
}
FILES = ("plans.json", "dataset.json", "fold_0/validation/summary.json")
CHECKPOINT = "fold_0/checkpoint_final.pth"


@pytest.fixture(scope="module")
def folder(write_nnunet: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = write_nnunet(tmp_path_factory.mktemp("nnunet"))
    (made / "fold_0" / "validation").mkdir()
    (made / FILES[2]).write_text(json.dumps(SUMMARY))
    return made


def is_model_or_words(folder: Path) -> None:
    begin = time.process_time()
    for read in (read_description, load_members):
        try:
            read(folder)
        except ModelError as error:
            text = str(error)
            assert text and len(text) < 5000, text[:200]
            assert "Traceback" not in text
    assert time.process_time() - begin < LONGEST


def try_file(folder: Path, name: str, count: int) -> None:
    good = (folder / name).read_bytes()

    @runs(count)
    @given(texts(json.loads(good)))
    def one(content: bytes) -> None:
        (folder / name).write_bytes(content)
        is_model_or_words(folder)

    try:
        one()
    finally:
        (folder / name).write_bytes(good)


def try_checkpoint(folder: Path, count: int) -> None:
    """What else its values are, and then some bytes of the file."""
    good = (folder / CHECKPOINT).read_bytes()
    content: dict[str, Any] = torch.load(folder / CHECKPOINT, weights_only=False)
    told = {key: value for key, value in content.items() if key not in ("network_weights", "optimizer_state")}
    told["init_args"] = {key: value for key, value in told["init_args"].items() if key != "device"}
    told["logging"], told["_best_ema"], told["inference_allowed_mirroring_axes"] = {}, 0.5, [0, 1, 2]

    @runs(count)
    @given(mutated(told), st.integers(0, len(good) - 1), st.binary(max_size=6))
    def one(values: Any, place: int, noise: bytes) -> None:
        changed = {"network_weights": content["network_weights"], **values} if isinstance(values, dict) else values
        torch.save(changed, folder / CHECKPOINT)
        is_model_or_words(folder)
        (folder / CHECKPOINT).write_bytes(good[:place] + noise + good[place + len(noise) :])
        is_model_or_words(folder)

    try:
        one()
    finally:
        (folder / CHECKPOINT).write_bytes(good)


@pytest.mark.parametrize("name", FILES)
def test_files(folder: Path, name: str) -> None:
    try_file(folder, name, FAST)


def test_the_checkpoint(folder: Path) -> None:
    try_checkpoint(folder, FAST // 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", FILES)
def test_files_often(folder: Path, name: str) -> None:
    try_file(folder, name, SLOW)


@pytest.mark.slow
def test_the_checkpoint_often(folder: Path) -> None:
    try_checkpoint(folder, SLOW // 4)


FOUND: dict[str, list[dict[str, Any]]] = {  # each raised something else than words once
    "plans.json": [{"image_reader_writer": []}, {"label_manager": {}}],
}


@pytest.mark.parametrize(("name", "change"), [(name, change) for name, changes in FOUND.items() for change in changes])
def test_what_was_found(folder: Path, name: str, change: dict[str, Any]) -> None:
    good = (folder / name).read_text()
    (folder / name).write_text(json.dumps({**json.loads(good), **change}))
    with pytest.raises(ModelError, match="cannot be used here"):
        load_members(folder)
    (folder / name).write_text(good)
