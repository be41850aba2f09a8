"""The training loop. It only sequences: data, schedule, checkpoint and validation decide for themselves."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from MedSegTrainerLib.checkpoint import TrainingState, save_checkpoint
from MedSegTrainerLib.config import TrainConfig
from MedSegTrainerLib.data.augment import apply_augmentation, draw_augmentation, source_size
from MedSegTrainerLib.data.cache import CachedCase
from MedSegTrainerLib.data.patches import cut_batch, draw_patch, epoch_order
from MedSegTrainerLib.errors import JobError, TrainingError
from MedSegTrainerLib.events import Best, Emit, Epoch, Progress, Validated
from MedSegTrainerLib.held_out import HeldOut, HeldOutDice
from MedSegTrainerLib.job import STOP_NOW, JobFolder, JobOwner
from MedSegTrainerLib.optim import rate_at
from MedSegTrainerLib.package import ModelPackage, save_package
from MedSegTrainerLib.plan import Plan
from MedSegTrainerLib.step import Batch, Learner

LOOK_SECONDS = 2.0
REPORT_SECONDS = 8.0  # kept free of a budget for the final report, besides three validations


@dataclass(kw_only=True)
class Training:
    """What a training works with. ``deadline`` is a ``time.time()`` to be done by, None without a budget."""

    plan: Plan
    config: TrainConfig
    folder: JobFolder
    owner: JobOwner
    emit: Emit
    device: torch.device
    train_cases: Sequence[CachedCase]
    held_out: HeldOut
    learner: Learner
    state: TrainingState
    deadline: float | None
    started: float = field(default_factory=time.time)
    first_step: int = 0
    last_look: float = 0.0
    last_save: float = field(default_factory=time.time)
    validation_seconds: float = 0.0


def fit(training: Training) -> str | None:
    """Trains to the end, or until asked to stop; the best model is in the job folder at every moment.

    Returns how it was stopped (``keep-best`` or ``now``), or None. Raises TrainingError where the loss
    is not a number.
    """
    state = training.state
    earlier, training.first_step = state.seconds, state.step
    while state.step < state.total_steps and not _is_stale(training):
        stopped = _run_epoch(training)
        state.seconds = earlier + time.time() - training.started
        if stopped == STOP_NOW:
            return stopped
        if stopped or _is_validation_due(training):
            _validate(training)
        if stopped:
            return stopped
        finished = state.step >= state.total_steps or _is_stale(training)
        if finished or time.time() - training.last_save >= training.config.trainer.checkpoint_seconds:
            save_checkpoint(training.folder.checkpoint_file, training.learner, state)
            training.last_save = time.time()
    return None


def _run_epoch(training: Training) -> str | None:
    """Steps up to the end of the epoch or the training; returns how it was asked to stop."""
    plan, state, learner = training.plan, training.state, training.learner
    accumulate = training.config.trainer.gradient_accumulation_steps
    batches = _batches(training, state.epoch)
    losses: list[torch.Tensor] = []
    norms: list[torch.Tensor] = []
    started = time.time()
    rate = 0.0
    while len(losses) < plan.steps_per_epoch and state.step < state.total_steps:
        rate = _rate(training)
        loss, norm = learner.step((next(batches) for _ in range(accumulate)), accumulate, rate)
        losses.append(loss)
        norms.append(norm)
        state.step += 1
        if time.time() - training.last_look > LOOK_SECONDS:
            _keep_to_deadline(training)
            stopped = _look_around(training)
            if stopped:
                return stopped
    state.epoch += 1
    seconds = time.time() - started
    mean_loss = float(torch.stack(losses).mean())
    if not np.isfinite(mean_loss):
        raise TrainingError(
            f"The loss is not a number any more (epoch {state.epoch}, learning rate {rate:.2g}). The best model so "
            f"far is kept. Train again with a tenth of the rate: --set learning_rate={rate / 10:.2g}"
        )
    training.emit(
        Epoch(
            epoch=state.epoch,
            epochs=_epochs(training),
            step=state.step,
            train_loss=mean_loss,
            learning_rate=rate,
            gradient_norm=float(torch.stack(norms).mean()),
            seconds=round(seconds, 3),
            eta_seconds=_seconds_left(training),
        )
    )
    training.owner.update(epoch=state.epoch, epochs=_epochs(training), progress=state.step / state.total_steps)
    return None


def _batches(training: Training, epoch: int) -> Iterator[Batch]:
    """Augmented batches of an epoch; each follows from the seed, the epoch and its place in it alone."""
    plan, config = training.plan, training.config
    cases = training.train_cases
    largest = np.max([case.label.shape for case in cases], axis=0)
    size = plan.patch_size
    if config.data.augmentation:
        size = source_size(plan, (int(largest[0]), int(largest[1]), int(largest[2])))
    order = epoch_order(config.data.seed, epoch, len(cases), plan.samples_per_volume)
    count = 0
    while True:
        generator = np.random.default_rng((config.data.seed, 2, epoch, count))
        chosen = [int(order[(count * plan.batch_size + i) % len(order)]) for i in range(plan.batch_size)]
        oversampling = config.data.foreground_oversampling
        draws = [draw_patch(generator, i, cases[i], plan.patch_size, oversampling) for i in chosen]
        images, labels = cut_batch(cases, draws, size, training.device)
        if config.data.augmentation:
            draw = draw_augmentation(generator, plan.batch_size, plan, config.data.augmentation_strength)
            images, labels = apply_augmentation(images, labels, draw, plan)
        count += 1
        yield images, labels


def _validate(training: Training) -> None:
    """Judges the averaged weights on the held-out volumes and keeps them where they are the best so far."""
    state, learner = training.state, training.learner
    started = time.time()
    if not training.held_out.cases:
        _save_model(training, None)
        return
    judged = training.held_out.judge(learner.average.weights)
    training.validation_seconds = time.time() - started
    minutes = round((state.seconds + training.validation_seconds) / 60, 3)
    training.emit(
        Validated(
            epoch=state.epoch,
            minutes=minutes,
            mean_dice=judged.mean,
            dice=judged.per_class,
            per_case=judged.per_case,
            zero_classes=list(judged.zero_classes),
        )
    )
    trainer = training.config.trainer
    if judged.mean > state.best_dice + trainer.min_delta:
        state.stale_epochs = 0
    else:
        state.stale_epochs += training.plan.validation_interval
    if judged.mean > state.best_dice:
        state.best_dice, state.best_epoch = judged.mean, state.epoch
        _save_model(training, judged)
        training.emit(Best(epoch=state.epoch, mean_dice=judged.mean))
        training.owner.update(best=judged.mean)


def _save_model(training: Training, judged: HeldOutDice | None) -> None:
    how = {
        "epoch": training.state.epoch,
        "steps": training.state.step,
        "train_cases": [case.name for case in training.train_cases],
        "val_cases": [case.name for case in training.held_out.cases],
    }
    metrics = {} if judged is None else {"val_dice": judged.mean, "val_dice_per_class": judged.per_class}
    weights = training.learner.average.weights
    save_package(
        ModelPackage(plan=training.plan, weights=weights, training=how, metrics=metrics), training.folder.model
    )


def _look_around(training: Training) -> str | None:
    """Reports progress, looks for a request to stop, and ends where another process took over."""
    state = training.state
    training.last_look = time.time()
    if training.owner.lost:
        raise JobError(f"Another process has taken over {training.folder.path}. This one ends; nothing is lost.")
    eta = _seconds_left(training)
    training.emit(Progress(done=state.step, total=state.total_steps, eta_seconds=eta))
    training.owner.update(
        state="running",
        epoch=state.epoch,
        epochs=_epochs(training),
        progress=state.step / state.total_steps,
        eta_seconds=eta,
    )
    return training.folder.stop_requested()


def _rate(training: Training) -> float:
    plan, state = training.plan, training.state
    return rate_at(
        state.step,
        steps=state.total_steps,
        warmup_steps=round(plan.warmup_epochs * plan.steps_per_epoch),
        peak=plan.learning_rate,
        schedule=plan.lr_schedule,
        eta_min=min(training.config.trainer.eta_min, plan.learning_rate),
    )


def _is_validation_due(training: Training) -> bool:
    state = training.state
    return state.epoch % training.plan.validation_interval == 0 or state.step >= state.total_steps


def _is_stale(training: Training) -> bool:
    trainer = training.config.trainer
    return trainer.early_stopping and training.state.stale_epochs >= trainer.patience


def _keep_to_deadline(training: Training) -> None:
    """With a time budget, the number of steps follows the speed seen so far."""
    if training.deadline is None:
        return
    state = training.state
    left = training.deadline - time.time() - REPORT_SECONDS - 3 * training.validation_seconds
    possible = state.step + max(0, int(left / _step_seconds(training)))
    state.total_steps = max(state.step, min(possible, state.total_steps * 2))


def _step_seconds(training: Training) -> float:
    """Mean seconds of a step since this process began, its share of the validations included."""
    return (time.time() - training.started) / max(1, training.state.step - training.first_step)


def _epochs(training: Training) -> int:
    return -(-training.state.total_steps // training.plan.steps_per_epoch)


def _seconds_left(training: Training) -> float:
    if training.deadline is not None:
        return max(0.0, round(training.deadline - time.time(), 1))
    return round((training.state.total_steps - training.state.step) * _step_seconds(training), 1)
