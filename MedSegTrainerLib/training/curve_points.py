"""The curves of a training as its events tell them: one point an epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from MedSegTrainerLib.config.logged_metrics import LOGGED_METRICS, MEAN_DICE
from MedSegTrainerLib.events import EventReader

FROM_EPOCH = tuple(name for name, metric in LOGGED_METRICS.items() if metric.of_epoch)
FROM_METRICS = tuple(name for name, metric in LOGGED_METRICS.items() if not metric.of_epoch and name != MEAN_DICE)

CurvePoint = dict[str, Any]


class CurvePoints:
    """Follows the events of a job; reads at each call only what is new."""

    def __init__(self, events_file: Path) -> None:
        self.reader = EventReader(events_file)
        self._points: dict[int, CurvePoint] = {}

    def read(self) -> list[CurvePoint]:
        """All points so far, by epoch; the last word on an epoch counts.

        Each has ``epoch`` and what is known of ``FROM_EPOCH`` (after an epoch) and of minutes, mean_dice, dice (class
        to value) and ``FROM_METRICS`` (after a validation); a value can be None.
        """
        while events := self.reader.read():
            for event in events:
                self._follow(event)
        return [self._points[epoch] for epoch in sorted(self._points)]

    def _follow(self, event: Mapping[str, Any]) -> None:
        kind = event["kind"]
        if kind in ("resumed", "recovered"):  # later epochs were lost and will come again, or never
            self._points = {epoch: point for epoch, point in self._points.items() if epoch <= event["epoch"]}
        elif kind == "epoch":
            self._at(event["epoch"]).update({key: event[key] for key in FROM_EPOCH})
        elif kind == "validated":
            metrics = event.get("metrics", {})
            metrics_of_curves = {key: metrics[key] for key in FROM_METRICS if key in metrics}
            self._at(event["epoch"]).update(
                {key: event[key] for key in ("minutes", "mean_dice", "dice")}, **metrics_of_curves
            )

    def _at(self, epoch: int) -> CurvePoint:
        return self._points.setdefault(epoch, {"epoch": epoch})
