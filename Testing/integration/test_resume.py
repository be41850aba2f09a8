"""A training killed again and again ends with the bits of one that nobody disturbed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.description import DESCRIPTION, WEIGHTS
from MedSegTrainerLib.model.package import load_package

EPOCHS, STEPS = 6, 8
SETTINGS = (f"epochs={EPOCHS}", "samples_per_volume=4", "base_channels=6")
DYING_RUN = Path(__file__).with_name("dying_run.py")
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 600  # seconds; only a training that hangs takes so long


def start(folder: JobFolder, *place: str) -> subprocess.Popen[bytes]:
    """A process of its own that works on the job; with a place, one that dies there."""
    command = (
        [str(DYING_RUN), str(folder.path), *place] if place else ["-m", "MedSegTrainerLib", "run", str(folder.path)]
    )
    threads = {"OMP_NUM_THREADS": "1"}  # sums over other numbers of threads differ in the last bit
    return subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env={**os.environ, **threads, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(process: subprocess.Popen[bytes]) -> int:
    """Waits for the end; the exit code. What the process complained about is shown by a test that fails."""
    _, complaints = process.communicate(timeout=PATIENCE)
    print(complaints.decode(errors="replace"))
    return process.returncode


def events(folder: JobFolder, kind: str) -> list[dict[str, Any]]:
    if not folder.events_file.exists():
        return []
    lines = folder.events_file.read_bytes().split(b"\n")[:-1]
    return [event for event in map(json.loads, lines) if event["kind"] == kind]


def leftovers(folder: JobFolder) -> list[Path]:
    return sorted(folder.path.rglob(".tmp-*"))


def kill_when(process: subprocess.Popen[bytes], reached: Callable[[], bool]) -> None:
    """Kills the process from outside as soon as ``reached`` says so; fails if it ends before."""
    while not reached():
        assert process.poll() is None, "the training ended before it could be killed"
        time.sleep(0.002)
    process.kill()
    process.wait()
    assert process.stderr is not None
    process.stderr.close()


class Reader:
    """Reads the job folder all the time, as a user interface does, and notes whatever it cannot read."""

    def __init__(self, folder: JobFolder) -> None:
        self.folder, self.complaints, self.reads, self.models = folder, [], 0, 0
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Reader:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _read(self) -> None:
        while not self._over.wait(0.03):
            try:
                self._look()
            except Exception as error:  # whatever it is, it is what the test is about
                self.complaints.append(repr(error))

    def _look(self) -> None:
        if self.folder.status_file.exists():
            assert json.loads(self.folder.status_file.read_bytes())["kind"] == "train"
        numbers = [event["seq"] for event in events(self.folder, "epoch")]
        assert numbers == sorted(set(numbers))
        if (self.folder.model / DESCRIPTION).exists():
            load_package(self.folder.model).build()
            self.models += 1
        self.reads += 1


@dataclass(frozen=True, kw_only=True)
class Story:
    """An undisturbed training, one that was killed at many places, and what was seen at each."""

    quiet: JobFolder
    killed: JobFolder
    seen: dict[str, Any]
    reader: Reader


@pytest.fixture(scope="module")
def story(config_for: Callable[..., TrainConfig], tmp_path_factory: pytest.TempPathFactory) -> Story:
    root = tmp_path_factory.mktemp("resume")
    quiet, killed = JobFolder(root / "quiet"), JobFolder(root / "killed")
    for folder in (quiet, killed):
        folder.create(config_for(*SETTINGS))
    seen: dict[str, Any] = {}
    with Reader(killed) as reader:
        _kill_again_and_again(killed, seen)
        seen["last exit code"] = finish(start(killed))
    seen["quiet exit code"] = finish(start(quiet))
    return Story(quiet=quiet, killed=killed, seen=seen, reader=reader)


def _kill_again_and_again(folder: JobFolder, seen: dict[str, Any]) -> None:
    """``seen`` gets what shows that each process died where it should."""
    finish(start(folder, "half a package", "1"))
    seen["half a package"] = (sorted(path.name for path in folder.model.iterdir()), folder.checkpoint_file.exists())
    kill_when(start(folder), folder.checkpoint_file.exists)
    seen["after the first checkpoint"] = torch.load(folder.checkpoint_file, weights_only=True)["state"]["epoch"]
    if sys.platform != "win32":
        before, bytes_before = set(leftovers(folder)), folder.checkpoint_file.read_bytes()
        finish(start(folder, "torn checkpoint", "1"))
        seen["torn checkpoint"] = [path.stat().st_size for path in leftovers(folder) if path not in before]
        seen["torn checkpoint left the old one"] = folder.checkpoint_file.read_bytes() == bytes_before
    before = set(leftovers(folder))
    finish(start(folder, "unmoved checkpoint", "2"))
    seen["unmoved checkpoint"] = [path.stat().st_size for path in leftovers(folder) if path not in before]
    seen["size of a checkpoint"] = folder.checkpoint_file.stat().st_size
    finish(start(folder, "middle of an epoch", "1"))
    seen["middle of an epoch"] = events(folder, "progress")[-1]["done"]


class TestTheKills:
    """Each came where it should have; else the tests below would prove less than they say."""

    def test_between_weights_and_description(self, story: Story) -> None:
        names, has_checkpoint = story.seen["half a package"]
        assert WEIGHTS in names and DESCRIPTION not in names
        assert not has_checkpoint

    def test_after_the_first_checkpoint(self, story: Story) -> None:
        assert 1 <= story.seen["after the first checkpoint"] < EPOCHS - 2

    @pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot end a process in the middle of a write")
    def test_in_the_middle_of_writing_a_checkpoint(self, story: Story) -> None:
        assert story.seen["torn checkpoint"] == [1000]
        assert story.seen["torn checkpoint left the old one"]

    def test_before_a_whole_checkpoint_was_moved_into_place(self, story: Story) -> None:
        (size,) = story.seen["unmoved checkpoint"]
        assert size == story.seen["size of a checkpoint"]

    def test_in_the_middle_of_an_epoch(self, story: Story) -> None:
        assert story.seen["middle of an epoch"] % STEPS == 1
        assert story.seen["middle of an epoch"] < EPOCHS * STEPS

    def test_each_process_said_where_it_went_on(self, story: Story) -> None:
        assert len(events(story.killed, "started")) == (6 if sys.platform != "win32" else 5)
        resumed = [event["epoch"] for event in events(story.killed, "resumed")]
        assert resumed == sorted(resumed) and resumed[0] == story.seen["after the first checkpoint"] < resumed[-1]


class TestTheEnd:
    def test_both_trainings_finished(self, story: Story) -> None:
        assert (story.seen["last exit code"], story.seen["quiet exit code"]) == (0, 0)
        for folder in (story.killed, story.quiet):
            assert folder.status().state == "finished"

    def test_the_weights_are_the_same_bytes(self, story: Story) -> None:
        assert (story.killed.model / WEIGHTS).read_bytes() == (story.quiet.model / WEIGHTS).read_bytes()

    def test_the_description_is_the_same(self, story: Story) -> None:
        found, wanted = (json.loads((f.model / DESCRIPTION).read_bytes()) for f in (story.killed, story.quiet))
        for document in (found, wanted):
            del document["plan"]["reasons"]  # they tell measured times
            for point in document["curves"]:
                del point["minutes"]
        assert found == wanted

    def test_the_checkpoints_are_the_same_bits(self, story: Story) -> None:
        found, wanted = (torch.load(f.checkpoint_file, weights_only=True) for f in (story.killed, story.quiet))
        for content in (found, wanted):
            del content["state"]["seconds"]
        assert found["state"]["step"] == EPOCHS * STEPS
        assert differences(found, wanted) == []

    def test_the_curve_is_the_same(self, story: Story) -> None:
        """The last word on an epoch counts."""
        curves = []
        for folder in (story.killed, story.quiet):
            losses = {event["epoch"]: event["train_loss"] for event in events(folder, "epoch")}
            dice = {event["epoch"]: event["per_case"] for event in events(folder, "validated")}
            curves.append((losses, dice))
        assert sorted(curves[1][0]) == list(range(1, EPOCHS + 1))
        assert curves[0] == curves[1]

    def test_the_killed_training_really_trained(self, story: Story) -> None:
        losses = [event["train_loss"] for event in events(story.quiet, "epoch")]
        assert losses[-1] < losses[0]


class TestTheReader:
    def test_could_read_everything_at_all_times(self, story: Story) -> None:
        assert story.reader.complaints == []
        assert story.reader.reads > 20
        assert story.reader.models > 5

    def test_events_are_numbered_without_a_gap(self, story: Story) -> None:
        numbers = [json.loads(line)["seq"] for line in story.killed.events_file.read_bytes().splitlines()]
        assert numbers == list(range(1, len(numbers) + 1))


def differences(found: Any, wanted: Any, path: str = "") -> list[str]:
    """Paths of the tensors and values that are not bit for bit the same."""
    if isinstance(wanted, torch.Tensor):
        same = found.dtype == wanted.dtype and torch.equal(found, wanted)
        return [] if same else [path]
    if isinstance(wanted, dict):
        if found.keys() != wanted.keys():
            return [f"{path}: keys"]
        return [line for key in wanted for line in differences(found[key], wanted[key], f"{path}.{key}")]
    if isinstance(wanted, list):
        pairs = zip(found, wanted, strict=True)
        return [line for i, pair in enumerate(pairs) for line in differences(*pair, f"{path}[{i}]")]
    return [] if found == wanted else [path]
