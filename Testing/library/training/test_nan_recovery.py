"""Back to the last good state after a loss that was not a number."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.training.checkpoint import TrainingState, load_checkpoint, save_checkpoint
from MedSegTrainerLib.training.learner import Learner
from MedSegTrainerLib.training.nan_recovery import go_back

CPU = torch.device("cpu")
CONFIG = TrainConfig()


def learner(plan: Plan, seed: int = 7) -> Learner:
    torch.manual_seed(seed)
    return Learner(plan, CONFIG, CPU)


def beginning(plan: Plan) -> Learner:
    return learner(plan, CONFIG.data.seed)


def same_weights(one: Learner, other: Learner) -> bool:
    pairs = zip(one.network.parameters(), other.network.parameters(), strict=True)
    return all(torch.equal(a, b) for a, b in pairs)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return tmp_path / "last.pt"


class TestWhereTo:
    def test_to_the_checkpoint(self, tiny_plan: Plan, checkpoint: Path) -> None:
        good = learner(tiny_plan)
        save_checkpoint(checkpoint, good, TrainingState(total_steps=60, epoch=4, step=8, best=0.6))
        broken = TrainingState(total_steps=60, epoch=6, step=11, best=0.7)
        after, state = go_back(checkpoint, tiny_plan, CONFIG, CPU, broken, 1e-2)
        assert same_weights(after, good)
        assert (state.epoch, state.step, state.best) == (4, 8, 0.7)  # the better model is in its folder already

    def test_to_the_beginning_without_one(self, tiny_plan: Plan, checkpoint: Path) -> None:
        broken = TrainingState(total_steps=60, epoch=1, step=2)
        after, state = go_back(checkpoint, tiny_plan, CONFIG, CPU, broken, 1e-2)
        assert same_weights(after, beginning(tiny_plan))
        assert (state.epoch, state.step, state.total_steps) == (0, 0, 60)

    def test_to_the_beginning_where_the_checkpoint_led_to_the_same_end(self, tiny_plan: Plan, checkpoint: Path) -> None:
        save_checkpoint(checkpoint, learner(tiny_plan), TrainingState(total_steps=60, epoch=4, step=8))
        broken = TrainingState(total_steps=60, epoch=4, step=9)
        first, state = go_back(checkpoint, tiny_plan, CONFIG, CPU, broken, 1e-2)
        save_checkpoint(checkpoint, first, state)
        second, again = go_back(checkpoint, tiny_plan, CONFIG, CPU, state, 1e-3)
        assert state.epoch == 4 and again.epoch == 0
        assert same_weights(second, beginning(tiny_plan))


class TestWhatChanges:
    @pytest.mark.parametrize(("planned", "clip"), [(12.0, 1.0), (None, 1.0), (0.2, 0.2)])
    def test_a_tenth_of_the_rate_and_clipping(
        self, tiny_plan: Plan, checkpoint: Path, planned: float | None, clip: float
    ) -> None:
        plan = replace(tiny_plan, gradient_clip=planned)
        broken = TrainingState(total_steps=60)
        for attempt in (1, 2, 3):
            one, broken = go_back(checkpoint, plan, CONFIG, CPU, broken, 1e-2)
            assert broken.recoveries == attempt
            assert broken.rate_scale == pytest.approx(0.1**attempt)
            assert broken.clip == one.clip == clip

    def test_it_is_remembered_by_the_checkpoint(self, tiny_plan: Plan, checkpoint: Path) -> None:
        one, state = go_back(checkpoint, tiny_plan, CONFIG, CPU, TrainingState(total_steps=60), 1e-2)
        save_checkpoint(checkpoint, one, state)
        assert load_checkpoint(checkpoint, learner(tiny_plan)) == state

    def test_the_fourth_time_is_the_end(self, tiny_plan: Plan, checkpoint: Path) -> None:
        broken = TrainingState(total_steps=60, recoveries=3)
        with pytest.raises(TrainingError, match=r"not a number, for the 4\. time: at learning rate 2e-05.*best model"):
            go_back(checkpoint, tiny_plan, CONFIG, CPU, broken, 2e-5)
