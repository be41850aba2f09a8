"""Checkpoints written beside training are those of the moment when they were asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import StorageError
from MedSegTrainerLib.training.checkpoint import CheckpointWriter, TrainingState, load_checkpoint, save_checkpoint
from MedSegTrainerLib.training.learner import Learner


class Later(Executor):
    """A thread that gets nothing done until it is told to."""

    def __init__(self) -> None:
        self.left: list[tuple[Future[Any], Callable[[], Any]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.left.append((Future(), partial(fn, *args, **kwargs)))
        return self.left[-1][0]

    def work(self) -> None:
        for future, call in self.left:
            future.set_result(call())
        self.left.clear()


def learner(plan: Plan) -> Learner:
    torch.manual_seed(3)
    one = Learner(plan, TrainConfig(), torch.device("cpu"))
    step(one)
    return one


def step(one: Learner) -> None:
    images = torch.randn((2, 1, *one.plan.patch_size), generator=torch.Generator().manual_seed(1))
    one.step([(images, (images[:, 0] > 0.5).to(torch.int16))], 1, 1e-2)


def state(epoch: int = 1) -> TrainingState:
    return TrainingState(total_steps=9, epoch=epoch, step=2 * epoch, val_epochs=[1], val_losses=[0.5])


@contextmanager
def room(size: int) -> Iterator[None]:
    """No file grows beyond so many bytes, as on a full disk."""
    import resource  # not on Windows

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_the_file_is_the_one_that_training_waits_for(tiny_plan: Plan, tmp_path: Path) -> None:
    one, writer = learner(tiny_plan), CheckpointWriter()
    writer.save(tmp_path / "deep" / "last.pt", one, state())
    writer.wait()
    save_checkpoint(tmp_path / "plain" / "last.pt", one, state())
    assert (tmp_path / "deep" / "last.pt").read_bytes() == (tmp_path / "plain" / "last.pt").read_bytes()
    assert len(list((tmp_path / "deep").iterdir())) == 1


def test_what_training_does_in_the_meantime_is_not_in_it(tiny_plan: Plan, tmp_path: Path) -> None:
    one, thread, now = learner(tiny_plan), Later(), state()
    save_checkpoint(tmp_path / "wanted.pt", one, now)
    writer = CheckpointWriter(thread)
    writer.save(tmp_path / "last.pt", one, now)
    step(one)
    now.step, now.val_losses = 99, [*now.val_losses, 0.4]
    assert not (tmp_path / "last.pt").exists()
    thread.work()
    assert (tmp_path / "last.pt").read_bytes() == (tmp_path / "wanted.pt").read_bytes()
    assert load_checkpoint(tmp_path / "last.pt", learner(tiny_plan)) == state()


def test_one_after_the_other(tiny_plan: Plan, tmp_path: Path) -> None:
    one, writer = learner(tiny_plan), CheckpointWriter()
    for epoch in range(1, 4):
        writer.save(tmp_path / "last.pt", one, state(epoch))
        writer.keep_numbered(tmp_path / "numbered", one, state(epoch), most=2, record=tmp_path / "r.json")
    writer.wait()
    assert load_checkpoint(tmp_path / "last.pt", one).epoch == 3
    assert sorted(path.name for path in (tmp_path / "numbered").iterdir()) == ["epoch_0002.pt", "epoch_0003.pt"]


def test_a_failure_is_told_once_and_by_the_next_call(tiny_plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    one, writer = learner(tiny_plan), CheckpointWriter()
    writer.save(tmp_path / "file" / "last.pt", one, state())
    with pytest.raises(StorageError, match=r"last\.pt: a file is where a folder should be"):
        writer.save(tmp_path / "last.pt", one, state())
    writer.save(tmp_path / "last.pt", one, replace(state(), epoch=7))
    writer.wait()
    writer.wait()
    assert load_checkpoint(tmp_path / "last.pt", one).epoch == 7


@pytest.mark.skipif(sys.platform == "win32", reason="the limit of a file's size stands for a disk")
@pytest.mark.parametrize("size", [0, 1000, 20_000])
def test_a_full_disk(tiny_plan: Plan, tmp_path: Path, size: int) -> None:
    one, writer = learner(tiny_plan), CheckpointWriter()
    save_checkpoint(tmp_path / "last.pt", one, state())
    before = (tmp_path / "last.pt").read_bytes()
    assert len(before) > size
    writer.save(tmp_path / "last.pt", one, state(2)) if size else None
    writer.wait()
    with room(size):
        writer.save(tmp_path / "last.pt", one, state(3))
        with pytest.raises(StorageError, match=r"last\.pt: the disk .* is full"):
            writer.wait()
    epoch = load_checkpoint(tmp_path / "last.pt", one).epoch
    assert epoch == (2 if size else 1)
    assert [path.name for path in tmp_path.iterdir()] == ["last.pt"]
