from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from typer.testing import CliRunner

from MedSegTrainerLib.cli.main import app
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.jobs.self_test import (
    PACKAGES,
    Machine,
    broken_packages,
    device_text,
    run_self_test,
    see_machine,
    train_one_step,
)

ROOT = Path(__file__).resolve().parents[3]
CPU = {"name": "cpu", "description": "CPU with 1 threads", "memory_bytes": None}
NO_GPU = Machine(devices=[CPU], why_no_gpu="No GPU that PyTorch can use was found.")
CUDA = torch.device("cuda")


def works(device: torch.device) -> tuple[float, str]:
    return 0.7, "bfloat16"


def fails(device: torch.device) -> tuple[float, str]:
    raise RuntimeError("CUDA error: no kernel image is available for execution on the device\nmore of it")


class TestRun:
    def test_a_real_step_on_the_cpu(self) -> None:
        seen = run_self_test("cpu")
        assert seen.ok, seen.message
        assert (seen.device, seen.asked) == ("cpu", "cpu")
        assert seen.loss is not None
        assert 0 < seen.loss < 10
        assert (seen.torch, seen.warnings) == (torch.__version__, [])
        assert seen.devices[-1]["name"] == "cpu"

    def test_a_fall_to_the_cpu_is_told_with_its_reason(self) -> None:
        if torch.cuda.is_available():
            pytest.skip("there is a GPU here")
        seen = run_self_test("auto", machine=NO_GPU, step=works)
        assert seen.ok
        assert seen.warnings == [
            "No GPU that PyTorch can use was found. Training runs on the CPU, which is much slower."
        ]

    def test_a_gpu_that_was_asked_for_and_is_not_there(self) -> None:
        seen = run_self_test("cuda:77", machine=NO_GPU, step=works)
        assert (seen.ok, seen.device) == (True, "cpu")
        assert "'cuda:77' was asked for" in seen.warnings[0]

    def test_nothing_works(self) -> None:
        seen = run_self_test("cpu", machine=NO_GPU, step=fails)
        assert not seen.ok
        assert seen.message.startswith("Training does not work on the CPU device: CUDA error: no kernel image")
        assert "more of it" not in seen.message

    def test_no_device(self) -> None:
        with pytest.raises(UsageError, match="'graphics' is no device"):
            run_self_test("graphics", machine=NO_GPU, step=works)


class TestStep:
    def test_moves_the_weights(self) -> None:
        loss, precision = train_one_step(torch.device("cpu"))
        assert loss > 0
        assert precision == "bfloat16"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("The NVIDIA driver on your system is too old (found version 11040)", "Install the newest driver"),
        ("CUDA error: no kernel image is available for execution", "holds no code for"),
        ("CUDA out of memory. Tried to allocate 20 MiB", "used up by other programs"),
        ("cuDNN error: CUDNN_STATUS_NOT_INITIALIZED", "cuDNN library"),
        ("Found no NVIDIA driver on your system.", "No NVIDIA GPU was found"),
        ("CUDA error: an illegal instruction", "Training does not work on the GPU: CUDA error: an illegal"),
    ],
)
def test_what_cuda_says_becomes_words(message: str, text: str) -> None:
    assert text in device_text(RuntimeError(message), CUDA)
    assert "{" not in device_text(RuntimeError(message), CUDA)


def test_the_cpu_is_the_last_device() -> None:
    seen = see_machine()
    assert seen.devices[-1]["name"] == "cpu"
    assert bool(seen.why_no_gpu) == (len(seen.devices) == 1)


class TestPackages:
    def test_all_are_there(self) -> None:
        assert broken_packages() == []

    def test_are_those_of_the_project(self) -> None:
        text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
        block = re.search(r"^dependencies = \[(.*?)^\]", text, re.DOTALL | re.MULTILINE)
        assert block is not None
        names = set(re.findall(r'^\s*"([A-Za-z0-9]+)', block[1], re.MULTILINE))
        assert {"PIL" if name == "pillow" else name for name in names} == set(PACKAGES)

    def test_a_missing_one_is_named(self) -> None:
        module = sys.modules.get("einops")
        sys.modules["einops"] = None  # type: ignore[assignment]  # how Python itself marks what cannot be imported
        try:
            seen = run_self_test("cpu", machine=NO_GPU, step=works)
        finally:
            sys.modules.pop("einops")
            if module is not None:
                sys.modules["einops"] = module
        assert (seen.ok, seen.message) == (False, "This Python lacks einops.")


def test_command_writes_what_it_saw(tmp_path: Path) -> None:
    ended = CliRunner().invoke(app, ["self-test", "--device", "cpu", "--json", str(tmp_path / "seen.json")])
    assert ended.exit_code == 0, ended.output
    seen: dict[str, Any] = json.loads((tmp_path / "seen.json").read_text(encoding="utf-8"))
    assert seen["ok"]
    assert seen["message"] in ended.output
