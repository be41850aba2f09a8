"""A loss that is not a number: back to the last good state, with a smaller rate and clipped gradients.

Training guide, "Issue 1: Loss is NaN": a tenth of the learning rate, and gradient clipping at 1.0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.hardware.distributed import ALONE, Ranks
from MedSegTrainerLib.training.checkpoint import TrainingState, load_checkpoint
from MedSegTrainerLib.training.learner import Learner

MOST_RECOVERIES = 3
RATE_FACTOR = 0.1
CLIP = 1.0


class NotANumberError(Exception):
    """The loss, or the weights themselves, are infinite or not a number."""


def go_back(
    checkpoint: Path,
    plan: Plan,
    config: TrainConfig,
    device: torch.device,
    broken: TrainingState,
    rate: float,
    ranks: Ranks = ALONE,
    begin_as: Mapping[str, torch.Tensor] | None = None,
) -> tuple[Learner, TrainingState]:
    """A learner in the last good state, and that state with what has changed.

    The last good state is the checkpoint; where that led to the same end twice, or there is none, it is the
    beginning. ``rate`` is the learning rate at which it happened. Raises TrainingError after three attempts.
    """
    if broken.recoveries >= MOST_RECOVERIES:
        raise TrainingError(
            f"The loss is not a number, for the {MOST_RECOVERIES + 1}. time: at learning rate {rate:.2g}, which was "
            f"already lowered {MOST_RECOVERIES} times, and with gradients clipped at {CLIP:g}. The best model so far "
            "is kept. Look for extreme intensities in the images, and try other settings: "
            "--set mixed_precision=false, --set loss_type=dice, --set normalization_type=percentile."
        )
    torch.manual_seed(config.data.seed)
    learner = Learner(plan, config, device, ranks, begin_as)
    state = TrainingState(total_steps=broken.total_steps)
    if checkpoint.exists():
        saved = load_checkpoint(checkpoint, learner)
        if saved.recovered_epoch != saved.epoch:
            state = saved
        else:
            torch.manual_seed(config.data.seed)
            learner = Learner(plan, config, device, ranks, begin_as)
    clip = plan.gradient_clip if broken.clip is None else broken.clip
    state = replace(
        state,
        best=broken.best,
        rate_scale=broken.rate_scale * RATE_FACTOR,
        clip=CLIP if clip is None else min(clip, CLIP),
        recoveries=broken.recoveries + 1,
        recovered_epoch=state.epoch,
    )
    learner.clip = state.clip
    return learner, state
