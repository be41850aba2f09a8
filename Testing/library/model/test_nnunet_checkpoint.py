"""A checkpoint's numbers come through without NumPy, and a stand-in is never more than a number."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.checkpoint_file import told_texts
from MedSegTrainerLib.model.nnunet_checkpoint import checkpoint_of, loaded


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def read(path: Path) -> dict[str, Any]:
    with path.open("rb") as stream, loaded(stream, path.stat().st_size) as content:
        return {name: value.clone() if isinstance(value, torch.Tensor) else value for name, value in content.items()}


def test_numbers_of_numpy_are_plain_numbers(tmp_path: Path) -> None:
    numbers = {
        "double": np.float64(0.1), "single": np.float32(0.1), "half": np.float16(0.1), "whole": np.int64(-(2**40)),
        "truth": np.bool_(True), "big end": np.array(0.1, ">f8")[()], "list": [np.float64(1), 2.0],
    }  # fmt: skip
    found = read(saved(numbers, tmp_path / "c.pth"))
    assert found["double"] == 0.1
    assert found["single"] == float(np.float32(0.1))
    assert found["half"] == float(np.float16(0.1))
    assert found["whole"] == -(2**40)
    assert found["truth"] is True
    assert found["big end"] == 0.1
    assert found["list"] == [1.0, 2.0]
    assert {type(value) for value in found.values()} == {float, int, bool, list}


@pytest.mark.parametrize("value", [np.str_("text"), np.complex128(1j), np.datetime64("2020-01-01"), np.void(b"abcd")])
def test_what_is_no_number_is_nothing(value: object, tmp_path: Path) -> None:
    assert read(saved({"value": value}, tmp_path / "c.pth")) == {"value": None}


def test_tensors_are_the_same_from_a_file_and_from_a_stream(tmp_path: Path) -> None:
    path = saved({"a": torch.arange(5.0), "b": torch.ones(2, 3)[:, 1:]}, tmp_path / "c.pth")
    content = path.read_bytes()
    with loaded(io.BytesIO(content), len(content)) as of_stream:
        assert torch.equal(of_stream["a"], torch.arange(5.0))
        assert of_stream["b"].shape == (2, 2)
    assert torch.equal(read(path)["a"], torch.arange(5.0))


def test_it_can_be_read_from_a_zip(tmp_path: Path) -> None:
    path = saved({"a": torch.arange(5.0)}, tmp_path / "c.pth")
    with zipfile.ZipFile(tmp_path / "z.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "c.pth")
    size = path.stat().st_size
    with (
        zipfile.ZipFile(tmp_path / "z.zip") as archive,
        archive.open("c.pth") as stream,
        loaded(stream, size) as content,
    ):
        assert torch.equal(content["a"], torch.arange(5.0))


def test_the_parts_of_nnunet(tmp_path: Path) -> None:
    content = {
        "network_weights": {"module.a": torch.ones(1)}, "trainer_name": "nnUNetTrainer", "current_epoch": 1000,
        "init_args": {"configuration": "2d"}, "inference_allowed_mirroring_axes": (0, 1),
    }  # fmt: skip
    found = checkpoint_of(read(saved(content, tmp_path / "c.pth")))
    assert (found.trainer, found.configuration, found.epochs) == ("nnUNetTrainer", "2d", 1000)
    assert found.mirror_axes == (0, 1)
    assert checkpoint_of({**content, "inference_allowed_mirroring_axes": None, "current_epoch": "x"}).epochs is None


@pytest.mark.parametrize("axes", [(0, 0), "xy", (3,), {"a": 1}, 5, [[0]], torch.ones(3)])
def test_odd_axes_are_refused(axes: Any) -> None:
    content = {"network_weights": {}, "trainer_name": "a", "init_args": {"configuration": "2d"}}
    with pytest.raises(ModelError, match="inference_allowed_mirroring_axes"):
        checkpoint_of({**content, "inference_allowed_mirroring_axes": axes})


def test_texts_are_told_without_reading_it_as_weights(tmp_path: Path) -> None:
    """Also where a text was said before, so that the pickle only refers to it."""
    name = "2d"
    content = {"plans": {name: {"configuration": name}}, "trainer_name": "nnUNetTrainer", "other": name}
    path = saved(content, tmp_path / "c.pth")
    with path.open("rb") as stream:
        told = told_texts(stream, path.stat().st_size, ("configuration", "trainer_name", "missing"))
    assert told == {"configuration": "2d", "trainer_name": "nnUNetTrainer"}
