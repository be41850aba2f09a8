"""Judges a training on its held-out volumes: the curve, the best model, numbered checkpoints, the plateau schedule."""

from __future__ import annotations

from typing import Any

from MedSegTrainerLib.events import Best, EventReader, Validated
from MedSegTrainerLib.guide.advisor import news
from MedSegTrainerLib.guide.remedies import facts_of
from MedSegTrainerLib.model.package import ModelPackage, save_package
from MedSegTrainerLib.training.early_stopping import note_improvement
from MedSegTrainerLib.training.lr_schedule import plateau_patience, plateau_reductions
from MedSegTrainerLib.training.session import Training
from MedSegTrainerLib.training.validation import HeldOutScores


def validate(training: Training) -> None:
    """Judges the averaged weights, tells the result, and keeps them where they are the best so far."""
    with training.budget.validating():
        training.ranks.broadcast_tensors(list(training.learner.average.weights.values()))  # statistics of norms differ
        training.held_out.show(training.ranks.first_does(training.folder.preview_requested))
        scores = training.held_out.judge(training.learner.average.weights) if training.held_out.cases else None
    metrics: dict[str, float | None] = {**training.newest, **(scores.metrics if scores else {})}
    if scores is not None:
        _tell(training, scores, metrics)
    _follow_plateau(training, metrics)
    _remember(training, scores, metrics)
    if training.ranks.is_first:
        advise(training)


def advise(training: Training) -> None:
    """Tells what is new in the curves; what was said before stands in the events too."""
    events = EventReader(training.folder.events_file).read(limit=10**9)
    for advice in news(events, facts_of(training.config, training.plan, len(training.train_cases))):
        training.emit(advice)


def keep_checkpoint(training: Training) -> None:
    """What ``save_frequency`` and ``save_best_only`` ask for beside the checkpoint that a resume needs.

    ``best.pt`` where the monitored metric is better than at the one before, or else a checkpoint by number.
    """
    trainer, state = training.config.trainer, training.state
    folder = training.folder.path / trainer.checkpoint_dir
    if state.epoch % (trainer.save_frequency or 1) or not training.ranks.is_first:
        return
    if trainer.save_best_only:
        judged_now = state.val_epochs[-1:] == [state.epoch]
        if judged_now and (state.best_kept is None or training.monitor.is_better(state.best, state.best_kept)):
            state.best_kept = state.best
            training.writer.save(folder / "best.pt", training.learner, state)
    elif trainer.save_frequency:
        record = training.folder.numbered_file
        training.writer.keep_numbered(folder, training.learner, state, trainer.keep_checkpoints, record)


def _tell(training: Training, scores: HeldOutScores, metrics: dict[str, float | None]) -> None:
    if not training.ranks.is_first:
        return
    event = Validated(
        epoch=training.state.epoch,
        minutes=round((training.state.seconds + training.budget.validation_seconds) / 60, 3),
        mean_dice=scores.mean,
        dice=scores.per_class,
        per_case=scores.per_case,
        zero_classes=list(scores.zero_classes),
        metrics=metrics,
    )
    training.emit(event)
    training.dashboard.validated(event, scores.preview, training.learner.network)


def _follow_plateau(training: Training, metrics: dict[str, float | None]) -> None:
    """The schedule 'plateau' looks at the validation loss, or without held-out cases at that of the training."""
    state = training.state
    losses = [metrics.get("val_loss"), metrics.get("train_loss")]
    loss = next((loss for loss in losses if loss is not None), None)
    if loss is None:
        return  # stopped within the first epoch of this process
    state.val_epochs.append(state.epoch)
    state.val_losses.append(loss)
    if training.plan.lr_schedule == "plateau":
        patience = plateau_patience(training.config.trainer)
        state.reductions = plateau_reductions(state.val_losses, state.val_epochs, patience)


def _remember(training: Training, scores: HeldOutScores | None, metrics: dict[str, float | None]) -> None:
    """Keeps the model where the monitored metric is the best so far, or is not known at all."""
    state, monitor = training.state, training.monitor
    value = monitor.value(metrics)
    note_improvement(monitor, value, state)
    if value is not None and not monitor.is_better(value, state.best):
        return
    if value is None and state.best is not None:
        return
    state.best = value
    if not training.ranks.is_first:
        return
    _save_model(training, scores, value)
    if scores is not None:
        training.emit(Best(epoch=state.epoch, mean_dice=scores.mean, monitor=monitor.name, value=value))
        training.owner.update(best=scores.mean)


def _save_model(training: Training, scores: HeldOutScores | None, value: float | None) -> None:
    how = {
        "epoch": training.state.epoch,
        "steps": training.state.step,
        "train_cases": [case.name for case in training.train_cases],
        "val_cases": [case.name for case in training.held_out.cases],
    }
    metrics: dict[str, Any] = (
        {} if scores is None else {"val_dice": scores.mean, "val_dice_per_class": scores.per_class}
    )
    if value is not None:
        metrics |= {"monitor": training.monitor.name, "monitored": value}
    weights = training.learner.average.weights
    save_package(
        ModelPackage(plan=training.plan, weights=weights, training=how, metrics=metrics, data=training.data),
        training.folder.model,
    )
