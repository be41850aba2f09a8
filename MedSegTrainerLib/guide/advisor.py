"""Tells what the curves of a training say and what to change: the training guide's advice, while it trains and after.

Pure functions of what ``events.jsonl`` holds, so that a resumed job needs no memory of its own. The standard library
only, for Slicer's Python.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from MedSegTrainerLib.events import Advised
from MedSegTrainerLib.guide.remedies import REMEDIES, Remedy, TrainingFacts
from MedSegTrainerLib.guide.symptoms import SYMPTOMS, CurvePoint, Curves


@dataclass(frozen=True, kw_only=True)
class Advice:
    """A finding, a key of ``FINDINGS``, with what was seen and what to change."""

    finding: str
    message: str
    remedies: tuple[Remedy, ...]

    def to_json(self) -> dict[str, Any]:
        """As the event and the report have it: the message begins with the headline."""
        message = f"{FINDINGS[self.finding]}. {self.message}"
        return {"finding": self.finding, "message": message, "remedies": [asdict(remedy) for remedy in self.remedies]}


FINDINGS = {
    "unstable": "The training is unstable",
    "not_learning": "The model is not learning",
    "labels": "The labels may not fit the images",
    "overfitting": "The model learns its training cases by heart (overfitting)",
    "underfitting": "The network is too small for the task (underfitting)",
    "plateau": "The training is stuck (poor convergence)",
    "unfinished": "The training was too short",
    "only_background": "The model finds nothing but background",
    "class_at_zero": "A structure is not found at all",
    "healthy": "The training went well",
}
_LAST = {"plateau", "unfinished", "healthy"}  # reported only where nothing else is
_HIDES: dict[str, set[str]] = {
    "unstable": set(FINDINGS),
    "not_learning": set(FINDINGS),
    "labels": {"overfitting", "only_background", *_LAST},  # wrong labels can only be learned by heart
    "underfitting": {"only_background", *_LAST},
    **dict.fromkeys(("overfitting", "only_background", "class_at_zero", *_LAST), _LAST),
}


def history_from_events(events: Iterable[Mapping[str, Any]]) -> list[CurvePoint]:
    """One point an epoch from the events of a job, of every version; the last word on an epoch counts."""
    points: dict[int, CurvePoint] = {}
    recoveries = 0
    for event in events:
        if event["kind"] in ("resumed", "recovered"):
            recoveries += event["kind"] == "recovered"
            points = {epoch: point for epoch, point in points.items() if epoch <= event["epoch"]}
        elif event["kind"] == "epoch":
            names = ("epoch", "epochs", "train_loss", "learning_rate", "gradient_norm")
            points[event["epoch"]] = CurvePoint(**{name: event[name] for name in names}, recoveries=recoveries)
        elif event["kind"] == "validated" and event["epoch"] in points:
            metrics = event.get("metrics", {})
            points[event["epoch"]] = replace(
                points[event["epoch"]],
                val_dice=event["mean_dice"],
                dice=event["dice"],
                val_loss=metrics.get("val_loss"),
                foreground=metrics.get("val_foreground"),
            )
    if recoveries and points:
        newest = max(points)
        points[newest] = replace(points[newest], recoveries=recoveries)
    return [points[epoch] for epoch in sorted(points)]


def news(events: Sequence[Mapping[str, Any]], facts: TrainingFacts, *, ended: bool = False) -> list[Advised]:
    """What the events of a job, all up to now, say and have not reported before; ``ended``: no epoch will follow."""
    history = history_from_events(events)
    reported = {event["finding"] for event in events if event["kind"] == "advised"}
    return [
        Advised(epoch=history[-1].epoch, **advice.to_json())
        for advice in advise(history, facts, ended=ended)
        if advice.finding not in reported
    ]


def advise(history: Sequence[CurvePoint], facts: TrainingFacts, *, ended: bool = False) -> list[Advice]:
    """What the curves say, the most important first; nothing as long as all may still become well.

    A finding hides what follows from it: nothing else is reported of an unstable training. ``ended``: no epoch will
    follow, so patience is over, and a good training is named as one.
    """
    if not history:
        return []
    curves = Curves(history, facts, ended)
    advised: dict[str, str] = {}
    for name, symptom in SYMPTOMS.items():
        hidden = any(name in _HIDES[earlier] for earlier in advised)
        message = None if hidden else symptom(curves)
        if message:
            advised[name] = message
    facts = replace(facts, epochs=history[-1].epochs)
    return [
        Advice(finding=name, message=message, remedies=tuple(REMEDIES[name](facts)))
        for name, message in advised.items()
    ]
