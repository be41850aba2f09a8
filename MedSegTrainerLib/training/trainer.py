"""The training loop. It only sequences: data, schedule, checkpoint and validation decide for themselves."""

from __future__ import annotations

from contextlib import suppress

import torch

from MedSegTrainerLib import atomic
from MedSegTrainerLib.data.samples.batches import epoch_batches
from MedSegTrainerLib.errors import JobError, StorageError, TrainingError
from MedSegTrainerLib.events import Epoch, Progress, Recovered, Warned
from MedSegTrainerLib.hardware.memory import free_memory, is_out_of_memory, smaller
from MedSegTrainerLib.job import STOP_NOW
from MedSegTrainerLib.training.checkpoint import save_checkpoint
from MedSegTrainerLib.training.lr_schedule import rate_at
from MedSegTrainerLib.training.model_selection import advise, keep_checkpoint, validate
from MedSegTrainerLib.training.nan_recovery import NotANumberError, go_back
from MedSegTrainerLib.training.session import Training

RANK_SEEDS = 1_000_003  # more than there are epochs


def fit(training: Training) -> str | None:
    """Trains to the end, or until asked to stop; the best model is in the job folder at every moment.

    Returns how it was stopped (``keep-best`` or ``now``), or None. Raises TrainingError where the loss
    is not a number again and again, where not even a single patch fits into memory, and where one of several ranks is
    gone. Every rank comes to the same end.
    """
    try:
        stopped = _run_epochs(training)
    except BaseException:
        with suppress(StorageError):  # what ended the training is told
            training.writer.wait()
        raise
    training.writer.wait()
    return stopped


def _run_epochs(training: Training) -> str | None:
    earlier = training.state.seconds
    training.budget.begin(training.state.step)
    while not training.is_over:
        is_full = False
        try:
            stopped = _run_epoch(training)
        except NotANumberError:
            _recover(training)
            continue
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            is_full = True  # dealt with below: the error holds the memory as long as it is handled
        if is_full:
            _go_on_smaller(training)
            continue
        training.state.seconds = earlier + training.budget.seconds_trained
        if stopped == STOP_NOW:
            return stopped
        if stopped or _is_validation_due(training):
            validate(training)
        if stopped:
            return stopped
        keep_checkpoint(training)
        if training.ranks.is_first:
            _save_from_time_to_time(training)
            training.dashboard.refresh()
    return None


def _run_epoch(training: Training) -> str | None:
    """Steps up to the end of the epoch or the training; returns how it was asked to stop.

    Raises NotANumberError where the loss or the weights are no numbers any more.
    """
    plan, state, learner = training.plan, training.state, training.learner
    accumulate = training.batches_per_step
    # dropout: the same after a resume, and not the same on two ranks
    torch.manual_seed(training.config.data.seed + state.epoch + RANK_SEEDS * training.ranks.rank)
    learner.loss.ramp = state.step / state.total_steps
    batches = epoch_batches(
        training.train_cases, plan, training.config.data, training.device, state.epoch, training.ranks
    )
    losses: list[torch.Tensor] = []
    norms: list[torch.Tensor] = []
    started = training.budget.clock()
    rate = 0.0
    while len(losses) < plan.steps_per_epoch and state.step < state.total_steps:
        rate = _rate(training)
        loss, norm = learner.step((next(batches) for _ in range(accumulate)), accumulate, rate)
        losses.append(loss)
        norms.append(norm)
        state.step += 1
        if state.step >= training.next_look:
            if training.ranks.any(not torch.isfinite(loss)):
                raise NotANumberError
            stopped = _look_around(training)
            if stopped:
                return stopped
    state.epoch += 1
    mean_loss = torch.stack(losses).mean()
    training.ranks.all_reduce([mean_loss])
    if not torch.isfinite(mean_loss) or not learner.is_finite():
        raise NotANumberError
    _tell_epoch(training, float(mean_loss), rate, float(torch.stack(norms).mean()), training.budget.clock() - started)
    return None


def _tell_epoch(training: Training, loss: float, rate: float, norm: float, seconds: float) -> None:
    state = training.state
    training.newest = {"train_loss": loss, "learning_rate": rate, "gradient_norm": norm}
    if not training.ranks.is_first:
        return
    event = Epoch(
        epoch=state.epoch,
        epochs=training.epochs,
        step=state.step,
        train_loss=loss,
        learning_rate=rate,
        gradient_norm=norm,
        seconds=round(seconds, 3),
        eta_seconds=training.eta_seconds,
    )
    training.emit(event)
    training.dashboard.epoch(event)
    training.owner.update(epoch=state.epoch, epochs=training.epochs, progress=state.step / state.total_steps)


def _save_from_time_to_time(training: Training) -> None:
    clock = training.budget.clock
    if training.is_over or clock() - training.last_save >= training.config.trainer.checkpoint_seconds:
        training.writer.save(training.folder.checkpoint_file, training.learner, training.state)
        training.last_save = clock()


def _recover(training: Training) -> None:
    """Back to the last good state; raises TrainingError after too many attempts."""
    rate = _rate(training)
    training.writer.wait()
    training.ranks.wait()  # for what the first one has written
    training.learner, training.state = go_back(
        training.folder.checkpoint_file,
        training.plan,
        training.config,
        training.device,
        training.state,
        rate,
        training.ranks,
    )
    state = training.state
    training.budget.go_back_to(state.step)
    training.next_look = state.step
    training.ranks.wait()  # all have read it
    if not training.ranks.is_first:
        return
    save_checkpoint(training.folder.checkpoint_file, training.learner, state)
    now = _rate(training)
    training.emit(
        Recovered(
            epoch=state.epoch,
            step=state.step,
            learning_rate=now,
            gradient_clip=state.clip or 0.0,
            attempt=state.recoveries,
            message=f"The loss was not a number at learning rate {rate:.2g}. Training goes on from epoch {state.epoch} "
            f"with {now:.2g} and gradients clipped at {state.clip:g} (attempt {state.recoveries}).",
        )
    )
    training.dashboard.back_to(state.epoch)
    advise(training)


def _go_on_smaller(training: Training) -> None:
    """The same weights with a step that needs less memory; the epoch begins anew. Raises TrainingError."""
    free_memory(training.device)
    plan = smaller(training.plan, is_trained=True) if training.ranks.count == 1 else None
    if plan is None:
        raise TrainingError(
            f"The memory of {training.device} ran out in a step with a batch of {training.plan.batch_size}, and "
            "nothing can be made smaller. The best model so far is kept. Close other programs, use a smaller network "
            "or patch, or --device cpu."
        )
    training.emit(
        Warned(
            message=f"Memory ran out. Training goes on with {plan.batch_parts} x {plan.batch_size} patches of "
            f"{' x '.join(map(str, plan.patch_size))} voxels a step."
        )
    )
    training.plan = training.learner.plan = plan
    training.held_out.follow(plan)
    atomic.write_json(training.folder.plan_file, plan.to_json())


def _look_around(training: Training) -> str | None:
    """How long it will be, and whether somebody wants it to stop: as the first rank sees it."""
    state, ranks = training.state, training.ranks
    state.total_steps = training.budget.total_steps(state.step, state.total_steps)
    stopped = None
    if ranks.is_first:
        _tell_progress(training)
        stopped = training.folder.stop_requested()
    pause = training.budget.steps_to_next_look(state.step)
    state.total_steps, pause, stopped = ranks.broadcast((state.total_steps, pause, stopped))
    training.next_look = state.step + pause
    return stopped


def _tell_progress(training: Training) -> None:
    """Raises JobError where another process took over."""
    state, eta = training.state, training.eta_seconds
    if training.owner.lost:
        raise JobError(f"Another process has taken over {training.folder.path}. This one ends; nothing is lost.")
    training.emit(Progress(done=state.step, total=state.total_steps, eta_seconds=eta))
    training.owner.update(
        state="running",
        epoch=state.epoch,
        epochs=training.epochs,
        progress=state.step / state.total_steps,
        eta_seconds=eta,
    )


def _rate(training: Training) -> float:
    plan, state = training.plan, training.state
    return state.rate_scale * rate_at(
        state.step,
        steps=state.total_steps,
        warmup_steps=round(plan.warmup_epochs * plan.steps_per_epoch),
        peak=plan.learning_rate,
        trainer=training.config.trainer,
        schedule=plan.lr_schedule,
        steps_per_epoch=plan.steps_per_epoch,
        reductions=state.reductions,
    )


def _is_validation_due(training: Training) -> bool:
    state = training.state
    return state.epoch % training.plan.validation_interval == 0 or state.step >= state.total_steps
