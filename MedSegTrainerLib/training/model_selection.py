"""Scores a training on its validation cases: the curve, the best model, numbered checkpoints, the plateau schedule."""

from __future__ import annotations

from typing import Any

from MedSegTrainerLib.events import Best, EventReader, Validated
from MedSegTrainerLib.guide.advisor import news
from MedSegTrainerLib.guide.remedies import facts_of
from MedSegTrainerLib.model.before_after import figures
from MedSegTrainerLib.model.package import ModelPackage, save_package
from MedSegTrainerLib.training.early_stopping import note_improvement
from MedSegTrainerLib.training.lr_schedule import plateau_patience, plateau_reductions
from MedSegTrainerLib.training.session import TrainingSession
from MedSegTrainerLib.training.validation import ValidationScores


def validate(session: TrainingSession) -> None:
    """Scores the averaged weights, emits the result, and keeps them where they are the best so far."""
    with session.budget.validating():
        session.ranks.broadcast_tensors(list(session.learner.average.weights.values()))  # statistics of norms differ
        session.validator.show(session.ranks.first_does(session.folder.preview_requested))
        scores = session.validator.score(session.learner.average.weights) if session.validator.cases else None
    metrics: dict[str, float | None] = {**session.newest, **(scores.metrics if scores else {})}
    if scores is not None:
        _emit_scores(session, scores, metrics)
        if session.begin_as is not None and session.state.step == 0:
            session.came_as = _figures(session, scores)
    _follow_plateau(session, metrics)
    _save_if_best(session, scores, metrics)
    if session.ranks.is_first:
        advise(session)


def advise(session: TrainingSession) -> None:
    """Emits the advice that is new; what was given before stands in the events too."""
    events = EventReader(session.folder.events_file).read(limit=10**9)
    for advice in news(events, facts_of(session.config, session.plan, len(session.train_cases))):
        session.emit(advice)


def keep_checkpoint(session: TrainingSession) -> None:
    """What ``save_frequency`` and ``save_best_only`` ask for beside the checkpoint that a resume needs.

    ``best.pt`` where the monitored metric is better than at the one before, or else a checkpoint by number.
    """
    trainer, state = session.config.trainer, session.state
    folder = session.folder.path / trainer.checkpoint_dir
    if state.epoch % (trainer.save_frequency or 1) or not session.ranks.is_first:
        return
    if trainer.save_best_only:
        validated_now = state.val_epochs[-1:] == [state.epoch]
        if validated_now and (state.best_kept is None or session.monitor.is_better(state.best, state.best_kept)):
            state.best_kept = state.best
            session.writer.save(folder / "best.pt", session.learner, state)
    elif trainer.save_frequency:
        record = session.folder.numbered_file
        session.writer.keep_numbered(folder, session.learner, state, trainer.keep_checkpoints, record)


def _emit_scores(session: TrainingSession, scores: ValidationScores, metrics: dict[str, float | None]) -> None:
    if not session.ranks.is_first:
        return
    event = Validated(
        epoch=session.state.epoch,
        minutes=round((session.state.seconds + session.budget.validation_seconds) / 60, 3),
        mean_dice=scores.mean,
        dice=scores.per_class,
        per_case=scores.per_case,
        zero_classes=list(scores.zero_classes),
        metrics=metrics,
    )
    session.emit(event)
    session.dashboard.validated(event, scores.preview, session.learner.network)


def _follow_plateau(session: TrainingSession, metrics: dict[str, float | None]) -> None:
    """The schedule 'plateau' looks at the validation loss, or without held-out cases at that of the training."""
    state = session.state
    losses = [metrics.get("val_loss"), metrics.get("train_loss")]
    loss = next((loss for loss in losses if loss is not None), None)
    if loss is None:
        return  # stopped within the first epoch of this process
    state.val_epochs.append(state.epoch)
    state.val_losses.append(loss)
    if session.plan.lr_schedule == "plateau":
        patience = plateau_patience(session.config.trainer)
        state.reductions = plateau_reductions(state.val_losses, state.val_epochs, patience)


def _save_if_best(session: TrainingSession, scores: ValidationScores | None, metrics: dict[str, float | None]) -> None:
    """Keeps the model where the monitored metric is the best so far, or is not known at all."""
    state, monitor = session.state, session.monitor
    value = monitor.value(metrics)
    note_improvement(monitor, value, state)
    if value is not None and not monitor.is_better(value, state.best):
        return
    if value is None and state.best is not None:
        return
    state.best = value
    if not session.ranks.is_first:
        return
    _save_model(session, scores, value)
    if scores is not None:
        session.emit(Best(epoch=state.epoch, mean_dice=scores.mean, monitor=monitor.name, value=value))
        session.owner.update(best=scores.mean)


def _save_model(session: TrainingSession, scores: ValidationScores | None, value: float | None) -> None:
    details = {
        "epoch": session.state.epoch,
        "steps": session.state.step,
        "train_cases": [case.name for case in session.train_cases],
        "val_cases": [case.name for case in session.validator.cases],
        **session.history,
    }
    metrics: dict[str, Any] = (
        {} if scores is None else {"val_dice": scores.mean, "val_dice_per_class": scores.per_class}
    )
    if scores is not None and session.came_as:
        metrics |= {"start": session.came_as, "best": _figures(session, scores)}
    if value is not None:
        metrics |= {"monitor": session.monitor.name, "monitored": value}
    weights = session.learner.average.weights
    save_package(
        ModelPackage(plan=session.plan, weights=weights, training=details, metrics=metrics, data=session.data),
        session.folder.model,
    )


def _figures(session: TrainingSession, scores: ValidationScores) -> dict[str, Any]:
    return figures(scores.mean, scores.per_class, [case.name for case in session.validator.cases])
