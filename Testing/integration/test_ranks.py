"""One training in several processes: the same weights as in one, and what happens when one of them is killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch

from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.package import load_package

EPOCHS = 3
SETTINGS = (
    f"epochs={EPOCHS}", "samples_per_volume=4", "base_channels=4", "batch_size=4", "optimizer_type=SGD",
    "learning_rate=0.02", "tensorboard=false",
)  # fmt: skip
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 300  # seconds; only a training that hangs takes so long


def start(folder: JobFolder, *words: str) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, *words, "-m", "MedSegTrainerLib", "run", str(folder.path)]
    with folder.log_file.open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)


def events(folder: JobFolder, kind: str) -> list[dict[str, Any]]:
    lines = folder.events_file.read_bytes().split(b"\n")[:-1] if folder.events_file.exists() else []
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def rank_process(job: subprocess.Popen[bytes], rank: int) -> psutil.Process:
    """The process of a rank among the descendants of the one that was started."""
    for process in psutil.Process(job.pid).children(recursive=True):
        if process.environ().get("RANK") == str(rank):
            return process
    msg = f"rank {rank} is not among the processes"
    raise AssertionError(msg)


@dataclass(frozen=True, kw_only=True)
class Story:
    """The same training in one process, in three, and in three of which one was killed, gone on with in two that
    meet as those of two machines do."""

    alone: JobFolder
    three: JobFolder
    killed: JobFolder
    exit_code: int
    state: str
    message: str
    exit_codes_of_the_rest: list[int]


@pytest.fixture(scope="module")
def story(config_for: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("ranks")
    alone, three, killed = (JobFolder(root / name) for name in ("alone", "three", "killed"))
    for folder, devices in ((alone, 1), (three, 3), (killed, 3)):
        folder.create(config_for(*SETTINGS, f"devices={devices}"))
    for folder in (alone, three):
        assert start(folder).wait(PATIENCE) == 0, folder.log_file.read_text(encoding="utf-8")
    first = start(killed)
    while not killed.checkpoint_file.exists():
        assert first.poll() is None, killed.log_file.read_text(encoding="utf-8")
        time.sleep(0.01)
    rank_process(first, 2).kill()
    exit_code = first.wait(PATIENCE)
    status = killed.status()
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    torchrun = ("-m", "torch.distributed.run", "--nnodes", "2", "--master-addr", "127.0.0.1", "--master-port", port)
    rest = [start(killed, *torchrun, "--node-rank", rank) for rank in ("0", "1")]
    return Story(
        alone=alone, three=three, killed=killed, exit_code=exit_code, state=status.state, message=status.message,
        exit_codes_of_the_rest=[process.wait(PATIENCE) for process in rest],
    )  # fmt: skip


def weights(folder: JobFolder) -> dict[str, torch.Tensor]:
    return torch.load(folder.checkpoint_file, weights_only=True)["network"]  # type: ignore[no-any-return]


def test_three_processes_give_the_weights_of_one_with_the_same_batch(story: Story) -> None:
    found, wanted = weights(story.three), weights(story.alone)
    losses = [event["train_loss"] for event in events(story.alone, "epoch")]
    assert losses[-1] < losses[0] - 0.1  # they did learn
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def test_their_curves_are_those_of_one(story: Story) -> None:
    for kind, names in (("epoch", ("train_loss", "learning_rate", "gradient_norm")), ("validated", ("mean_dice",))):
        found, wanted = events(story.three, kind), events(story.alone, kind)
        assert len(found) == len(wanted) == EPOCHS
        for name in names:
            assert [event[name] for event in found] == pytest.approx([event[name] for event in wanted], rel=1e-3)


def test_all_cases_are_judged_and_one_process_tells(story: Story) -> None:
    for found, wanted in zip(events(story.three, "validated"), events(story.alone, "validated"), strict=True):
        assert list(found["per_case"]) == list(wanted["per_case"])
    assert len(events(story.three, "started")) == len(events(story.three, "finished")) == 1
    numbers = [json.loads(line)["seq"] for line in story.three.events_file.read_bytes().splitlines()]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_killed_process_ends_the_job_with_words(story: Story) -> None:
    assert story.exit_code != 0 and story.state == "failed"
    assert "Another of the 3 processes" in story.message and "--resume" in story.message


def test_it_goes_on_in_another_number_of_processes(story: Story) -> None:
    assert story.exit_codes_of_the_rest == [0, 0] and story.killed.status().state == "finished"
    (resumed,) = events(story.killed, "resumed")
    assert 1 <= resumed["epoch"] < EPOCHS
    for name, value in weights(story.alone).items():
        torch.testing.assert_close(weights(story.killed)[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows knows no SIGTERM")
def test_a_scheduler_that_ends_the_launcher_keeps_the_best_model(
    config_for: Callable[..., TrainConfig], tmp_path: Path
) -> None:
    folder = JobFolder(tmp_path / "ended")
    folder.create(config_for(*SETTINGS, "epochs=2000", "devices=2"))
    job = start(folder)
    while not events(folder, "best"):
        assert job.poll() is None, folder.log_file.read_text(encoding="utf-8")
        time.sleep(0.02)
    job.send_signal(signal.SIGTERM)
    assert job.wait(PATIENCE) == 0
    assert folder.status().state == "stopped"
    load_package(folder.model).build()


def test_more_processes_than_patches_are_refused(config_for: Callable[..., TrainConfig], tmp_path: Path) -> None:
    folder = JobFolder(tmp_path / "many")
    folder.create(config_for("batch_size=2", "devices=3", "epochs=1"))
    assert start(folder).wait(PATIENCE) != 0
    assert folder.status().state == "failed"
    assert "data.batch_size = 2 is that of all 3 devices together" in folder.status().message
