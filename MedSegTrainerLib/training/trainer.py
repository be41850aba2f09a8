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
from MedSegTrainerLib.training.session import TrainingSession

RANK_SEEDS = 1_000_003  # more than there are epochs


def fit(session: TrainingSession) -> str | None:
    """Trains to the end, or until asked to stop; the best model is in the job folder at every moment.

    Returns how it was stopped (``keep-best`` or ``now``), or None. Raises TrainingError where the loss
    is not a number again and again, where not even a single patch fits into memory, and where one of several ranks is
    gone. Every rank comes to the same end.
    """
    try:
        if session.begin_as is not None and session.state.step == 0:
            validate(session)  # a model that came trained stays the best until something beats it
        stopped = _run_epochs(session)
    except BaseException:
        with suppress(StorageError):  # what ended the training is raised
            session.writer.wait()
        raise
    session.writer.wait()
    return stopped


def _run_epochs(session: TrainingSession) -> str | None:
    earlier = session.state.seconds
    session.budget.begin(session.state.step)
    while not session.is_over:
        is_full = False
        try:
            stopped = _run_epoch(session)
        except NotANumberError:
            _recover(session)
            continue
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            is_full = True  # dealt with below: the error holds the memory as long as it is handled
        if is_full:
            _go_on_smaller(session)
            continue
        session.state.seconds = earlier + session.budget.seconds_trained
        if stopped == STOP_NOW:
            return stopped
        if stopped or _is_validation_due(session):
            validate(session)
        if stopped:
            return stopped
        keep_checkpoint(session)
        if session.ranks.is_first:
            _save_from_time_to_time(session)
            session.dashboard.refresh()
    return None


def _run_epoch(session: TrainingSession) -> str | None:
    """Steps up to the end of the epoch or the training; returns how it was asked to stop.

    Raises NotANumberError where the loss or the weights are no numbers any more.
    """
    plan, state, learner = session.plan, session.state, session.learner
    accumulate = session.batches_per_step
    # dropout: the same after a resume, and not the same on two ranks
    torch.manual_seed(session.config.data.seed + state.epoch + RANK_SEEDS * session.ranks.rank)
    learner.loss.ramp = state.step / state.total_steps
    batches = epoch_batches(session.train_cases, plan, session.config.data, session.device, state.epoch, session.ranks)
    losses: list[torch.Tensor] = []
    norms: list[torch.Tensor] = []
    started = session.budget.clock()
    rate = 0.0
    while len(losses) < plan.steps_per_epoch and state.step < state.total_steps:
        rate = _rate(session)
        learner.hold(session.learning)
        loss, norm = learner.step((next(batches) for _ in range(accumulate)), accumulate, rate)
        losses.append(loss)
        norms.append(norm)
        state.step += 1
        if state.step >= session.next_look:
            if session.ranks.any(not torch.isfinite(loss)):
                raise NotANumberError
            stopped = _check_progress(session)
            if stopped:
                return stopped
    state.epoch += 1
    mean_loss = torch.stack(losses).mean()
    session.ranks.all_reduce([mean_loss])
    if not torch.isfinite(mean_loss) or not learner.is_finite():
        raise NotANumberError
    _emit_epoch(session, float(mean_loss), rate, float(torch.stack(norms).mean()), session.budget.clock() - started)
    return None


def _emit_epoch(session: TrainingSession, loss: float, rate: float, norm: float, seconds: float) -> None:
    state = session.state
    session.newest = {"train_loss": loss, "learning_rate": rate, "gradient_norm": norm}
    if not session.ranks.is_first:
        return
    event = Epoch(
        epoch=state.epoch,
        epochs=session.epochs,
        step=state.step,
        train_loss=loss,
        learning_rate=rate,
        gradient_norm=norm,
        seconds=round(seconds, 3),
        eta_seconds=session.eta_seconds,
    )
    session.emit(event)
    session.dashboard.epoch(event)
    session.owner.update(epoch=state.epoch, epochs=session.epochs, progress=state.step / state.total_steps)


def _save_from_time_to_time(session: TrainingSession) -> None:
    clock = session.budget.clock
    if session.is_over or clock() - session.last_save >= session.config.trainer.checkpoint_seconds:
        session.writer.save(session.folder.checkpoint_file, session.learner, session.state)
        session.last_save = clock()


def _recover(session: TrainingSession) -> None:
    """Back to the last good state; raises TrainingError after too many attempts."""
    rate = _rate(session)
    session.writer.wait()
    session.ranks.wait()  # for what the first one has written
    session.learner, session.state = go_back(
        session.folder.checkpoint_file,
        session.plan,
        session.config,
        session.device,
        session.state,
        rate,
        session.ranks,
        session.begin_as,
    )
    state = session.state
    session.budget.go_back_to(state.step)
    session.next_look = state.step
    session.ranks.wait()  # all have read it
    if not session.ranks.is_first:
        return
    save_checkpoint(session.folder.checkpoint_file, session.learner, state)
    now = _rate(session)
    session.emit(
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
    session.dashboard.back_to(state.epoch)
    advise(session)


def _go_on_smaller(session: TrainingSession) -> None:
    """The same weights with a step that needs less memory; the epoch begins anew. Raises TrainingError."""
    free_memory(session.device)
    plan = smaller(session.plan, is_trained=True) if session.ranks.count == 1 else None
    if plan is None:
        raise TrainingError(
            f"The memory of {session.device} ran out in a step with a batch of {session.plan.batch_size}, and "
            "nothing can be made smaller. The best model so far is kept. Close other programs, use a smaller network "
            "or patch, or --device cpu."
        )
    session.emit(
        Warned(
            message=f"Memory ran out. Training goes on with {plan.batch_parts} x {plan.batch_size} patches of "
            f"{' x '.join(map(str, plan.patch_size))} voxels a step."
        )
    )
    session.plan = session.learner.plan = plan
    session.validator.follow(plan)
    atomic.write_json(session.folder.plan_file, plan.to_json())


def _check_progress(session: TrainingSession) -> str | None:
    """How long it will be, and whether somebody wants it to stop: as the first rank sees it."""
    state, ranks = session.state, session.ranks
    state.total_steps = session.budget.total_steps(state.step, state.total_steps)
    stopped = None
    if ranks.is_first:
        _emit_progress(session)
        stopped = session.folder.stop_requested()
    pause = session.budget.steps_to_next_look(state.step, state.total_steps)
    state.total_steps, pause, stopped = ranks.broadcast((state.total_steps, pause, stopped))
    session.next_look = state.step + pause
    return stopped


def _emit_progress(session: TrainingSession) -> None:
    """Raises JobError where another process took over."""
    state, eta = session.state, session.eta_seconds
    if session.owner.lost:
        raise JobError(f"Another process has taken over {session.folder.path}. This one ends; nothing is lost.")
    session.emit(Progress(done=state.step, total=state.total_steps, eta_seconds=eta))
    session.owner.update(
        state="running",
        epoch=state.epoch,
        epochs=session.epochs,
        progress=state.step / state.total_steps,
        eta_seconds=eta,
    )


def _rate(session: TrainingSession) -> float:
    plan, state = session.plan, session.state
    return state.rate_scale * rate_at(
        state.step,
        steps=state.total_steps,
        warmup_steps=round(plan.warmup_epochs * plan.steps_per_epoch),
        peak=plan.learning_rate,
        trainer=session.config.trainer,
        schedule=plan.lr_schedule,
        steps_per_epoch=plan.steps_per_epoch,
        reductions=state.reductions,
    )


def _is_validation_due(session: TrainingSession) -> bool:
    state = session.state
    return state.epoch % session.plan.validation_interval == 0 or state.step >= state.total_steps
