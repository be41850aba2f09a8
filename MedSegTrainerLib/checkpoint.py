"""Everything a training needs to go on exactly where it was, in one file that is replaced at once."""

from __future__ import annotations

import io
import pickle
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import TrainingError
from MedSegTrainerLib.step import Learner


@dataclass(kw_only=True)
class TrainingState:
    """Where a training is. ``total_steps`` can change while a time budget is kept.

    Random draws follow from the seed and the step, so no generator needs to be stored.
    """

    total_steps: int
    epoch: int = 0
    step: int = 0
    best_dice: float = -1.0
    best_epoch: int = 0
    stale_epochs: int = 0
    seconds: float = 0.0


def save_checkpoint(path: Path, learner: Learner, state: TrainingState) -> None:
    """Weights, optimizer, average and state; raises StorageError."""
    content = {
        "state": asdict(state),
        "network": learner.network.state_dict(),
        "optimizer": learner.optimizer.state_dict(),
        "average": learner.average.weights,
        "average_steps": learner.average.steps,
        "scaler": learner.precision.scaler.state_dict(),
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    with atomic.storage_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(path, buffer.getvalue())


def load_checkpoint(path: Path, learner: Learner) -> TrainingState:
    """Puts a checkpoint back into the learner; raises TrainingError where it does not fit."""
    try:
        content: dict[str, Any] = torch.load(path, map_location=learner.device, weights_only=True)
        learner.network.load_state_dict(content["network"])
        learner.optimizer.load_state_dict(content["optimizer"])
        for name, value in learner.average.weights.items():
            value.copy_(content["average"][name])
        learner.average.steps = content["average_steps"]
        learner.precision.scaler.load_state_dict(content["scaler"])
        return TrainingState(**content["state"])
    except (RuntimeError, KeyError, TypeError, ValueError, EOFError, OSError, pickle.UnpicklingError) as error:
        told = str(error).partition("\n")[0] or "the file ends too early"
        raise TrainingError(
            f"{path} cannot be resumed from: {told}. Start the training anew in another folder."
        ) from None
