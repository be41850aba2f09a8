"""Checkpoints: a training goes on as if it had never been interrupted, or says why it cannot."""

from __future__ import annotations

import os
import pickle
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.samples.mixup_cutmix import Batch
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.training.checkpoint import (
    TrainingState,
    keep_newest,
    load_checkpoint,
    numbered,
    refuse_unfit_folder,
    save_checkpoint,
)
from MedSegTrainerLib.training.learner import Learner

STATE = TrainingState(
    total_steps=90, epoch=4, step=17, seconds=12.5, best=0.75, improved=0.7, improved_epoch=3, best_kept=0.6,
    val_epochs=[2, 4], val_losses=[0.5, 0.4], reductions=1, rate_scale=0.1, clip=1.0, recoveries=1, recovered_epoch=2,
)  # fmt: skip


def learner(plan: Plan, seed: int) -> Learner:
    torch.manual_seed(seed)
    return Learner(plan, TrainConfig(), torch.device("cpu"))


def batch(plan: Plan, seed: int) -> Batch:
    images = torch.randn((2, 1, *plan.patch_size), generator=torch.Generator().manual_seed(seed))
    return images, (images[:, 0] > 0.5).to(torch.int16)


def trained(plan: Plan) -> Learner:
    one = learner(plan, 1)
    for step in range(2):
        one.step([batch(plan, step)], 1, 1e-2)
    return one


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "checkpoints" / "last.pt"


class TestRoundTrip:
    def test_state_comes_back(self, tiny_plan: Plan, path: Path) -> None:
        save_checkpoint(path, trained(tiny_plan), STATE)
        assert load_checkpoint(path, learner(tiny_plan, 2)) == STATE

    @pytest.mark.parametrize("channels_last", [False, True])
    @pytest.mark.parametrize("optimizer", ["Adam", "AdamW", "SGD"])
    def test_the_next_steps_are_bit_for_bit_those_of_an_uninterrupted_training(
        self, tiny_plan: Plan, path: Path, channels_last: bool, optimizer: str
    ) -> None:
        plan = replace(tiny_plan, channels_last=channels_last, optimizer_type=optimizer)
        uninterrupted = trained(plan)
        save_checkpoint(path, uninterrupted, STATE)
        resumed = learner(plan, 2)
        load_checkpoint(path, resumed)
        for step in range(3):
            for one in (uninterrupted, resumed):
                one.step([batch(plan, 10 + step)], 1, 5e-3)
        expected = {
            **uninterrupted.network.state_dict(),
            **{f"average.{n}": w for n, w in uninterrupted.average.weights.items()},
        }
        actual = {**resumed.network.state_dict(), **{f"average.{n}": w for n, w in resumed.average.weights.items()}}
        assert expected.keys() == actual.keys()
        assert [name for name, value in expected.items() if not torch.equal(value, actual[name])] == []

    def test_only_the_checkpoint_is_left_in_the_folder(self, tiny_plan: Plan, path: Path) -> None:
        for _ in range(2):
            save_checkpoint(path, trained(tiny_plan), STATE)
        assert list(path.parent.iterdir()) == [path]


class TestNumbered:
    def test_the_newest_are_kept(self, tiny_plan: Plan, tmp_path: Path) -> None:
        one = trained(tiny_plan)
        for epoch in (5, 10, 15, 1000):
            state = replace(STATE, epoch=epoch)
            path = numbered(tmp_path / "deep" / "folder", state)
            save_checkpoint(path, one, state)
            keep_newest(path, 2, tmp_path / "checkpoints" / "numbered.json")
        files = sorted(path.name for path in (tmp_path / "deep" / "folder").iterdir())
        assert files == ["epoch_0015.pt", "epoch_1000.pt"]
        state = load_checkpoint(tmp_path / "deep" / "folder" / "epoch_0015.pt", learner(tiny_plan, 2))
        assert state.epoch == 15

    def test_nothing_is_removed_that_the_job_did_not_write(self, tmp_path: Path) -> None:
        folder, record = tmp_path / "folder", tmp_path / "numbered.json"
        folder.mkdir()
        for name in ("epoch_0001.pt", "epoch_0002.pt", "epoch_0003.pt"):
            (folder / name).write_text("of another training")
        for epoch in range(2, 6):
            path = folder / f"epoch_{epoch:04d}.pt"
            path.write_text("mine")
            keep_newest(path, 2, record)
            if epoch == 2:
                path.write_text("of another training again")
                os.utime(path, ns=(1, 1))
        assert sorted(path.name for path in folder.iterdir()) == [f"epoch_000{n}.pt" for n in (1, 2, 4, 5)]

    @pytest.mark.parametrize(
        "content", ["[", "[1]", '{"../outside.pt": 5, "epoch_0001.pt": "5"}', '{"../outside.pt": 5}']
    )
    def test_a_record_of_others(self, tmp_path: Path, content: str) -> None:
        folder, record, outside = tmp_path / "folder", tmp_path / "numbered.json", tmp_path / "outside.pt"
        folder.mkdir()
        record.write_text(content)
        outside.touch()
        os.utime(outside, ns=(5, 5))
        for path in (folder / "epoch_0001.pt", folder / "epoch_10000.pt", folder / "epoch_9999.pt"):
            path.touch()
            keep_newest(path, 1, record)
        assert outside.exists() and [path.name for path in folder.iterdir()] == ["epoch_10000.pt"]

    def test_a_folder_that_is_not_of_this_job(self, tmp_path: Path) -> None:
        job, outside = JobFolder(tmp_path / "job"), tmp_path / "outside"
        job.checkpoint_file.parent.mkdir(parents=True)
        outside.mkdir()
        (job.path / "link").symlink_to(outside, target_is_directory=True)
        for name in ("checkpoints", "checkpoints/unet", str(outside)):
            refuse_unfit_folder(job, name)
        with pytest.raises(TrainingError, match="a link leads it out of the job folder"):
            refuse_unfit_folder(job, "link")
        (outside / "epoch_0001.pt").touch()
        with pytest.raises(TrainingError, match=r"checkpoints of another training \(epoch_0001\.pt\)"):
            refuse_unfit_folder(job, str(outside))
        job.checkpoint_file.touch()  # resumed: they are its own
        refuse_unfit_folder(job, str(outside))


class TestDamage:
    def test_no_advice_to_open_it_without_a_safeguard(self, tiny_plan: Plan, path: Path) -> None:
        path.parent.mkdir()
        torch.save({"state": Path("x"), "network": print}, path)
        with pytest.raises(TrainingError, match="could run code") as caught:
            load_checkpoint(path, learner(tiny_plan, 2))
        assert "weights_only" not in str(caught.value) and "trust" not in str(caught.value)

    @pytest.mark.parametrize(
        "state",
        [{"total_steps": "x"}, {"total_steps": 9, "step": None}, {"total_steps": 9, "val_losses": ["a"]}, {}, []],
    )
    def test_a_state_of_other_types(self, tiny_plan: Plan, path: Path, state: object) -> None:
        save_checkpoint(path, trained(tiny_plan), STATE)
        torch.save({**torch.load(path, weights_only=True), "state": state}, path)
        with pytest.raises(TrainingError, match="is damaged"):
            load_checkpoint(path, learner(tiny_plan, 2))

    @pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.999])
    def test_a_file_cut_short(self, tiny_plan: Plan, path: Path, share: float) -> None:
        save_checkpoint(path, trained(tiny_plan), STATE)
        content = path.read_bytes()
        path.write_bytes(content[: int(share * len(content))])
        with pytest.raises(TrainingError, match=r"last\.pt cannot be resumed from.*another folder"):
            load_checkpoint(path, learner(tiny_plan, 2))

    @pytest.mark.parametrize("content", [b"not a checkpoint", b"\0" * 5000, pickle.dumps({"state": {}}, protocol=2)])
    def test_another_file(self, tiny_plan: Plan, path: Path, content: bytes) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        with pytest.raises(TrainingError, match="cannot be resumed from"):
            load_checkpoint(path, learner(tiny_plan, 2))

    def test_of_another_network(self, tiny_plan: Plan, path: Path) -> None:
        save_checkpoint(path, trained(tiny_plan), STATE)
        wider = replace(tiny_plan, network={**tiny_plan.network, "features": [4, 7]})
        with pytest.raises(TrainingError, match="cannot be resumed from"):
            load_checkpoint(path, learner(wider, 2))

    @pytest.mark.parametrize("missing", ["state", "network", "optimizer", "average", "average_steps", "scaler"])
    def test_a_part_is_missing(self, tiny_plan: Plan, path: Path, missing: str) -> None:
        save_checkpoint(path, trained(tiny_plan), STATE)
        content = torch.load(path, weights_only=True)
        del content[missing]
        torch.save(content, path)
        with pytest.raises(TrainingError, match=missing):
            load_checkpoint(path, learner(tiny_plan, 2))


class Intruder:
    """What a pickle can do to whoever opens it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, int]]:
        return os.mkdir, (str(self.path), 0o755)


def test_code_in_a_checkpoint_is_not_run(tiny_plan: Plan, path: Path, tmp_path: Path) -> None:
    path.parent.mkdir()
    torch.save({"state": Intruder(tmp_path / "broken in")}, path)
    with pytest.raises(TrainingError, match="cannot be resumed from"):
        load_checkpoint(path, learner(tiny_plan, 2))
    assert not (tmp_path / "broken in").exists()
