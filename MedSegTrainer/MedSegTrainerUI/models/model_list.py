"""The models to choose from: those of the jobs, newest first, and those that were used lately."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import qt
from slicer.i18n import tr as _

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.description import model_name
from MedSegTrainerUI.models.model_card import ModelCard, model_stamp, read_card, when

SETTING = "MedSegTrainer/RecentModels"  # JSON in one text: lists come back from QSettings in several forms
REMEMBERED = 10


@dataclass(frozen=True, kw_only=True)
class ModelEntry:
    """A model that can be chosen; ``path`` is a job folder, a model folder or a zip."""

    path: str
    title: str


def recent_models() -> list[str]:
    """Paths, the newest first; they need not exist any more."""
    try:
        paths = json.loads(qt.QSettings().value(SETTING) or "[]")
    except (TypeError, ValueError):
        return []
    return [path for path in paths if isinstance(path, str)] if isinstance(paths, list) else []


def remember_model(path: str) -> None:
    kept = [path, *(other for other in recent_models() if other != path)][:REMEMBERED]
    qt.QSettings().setValue(SETTING, json.dumps(kept))


def forget_model(path: str) -> None:
    qt.QSettings().setValue(SETTING, json.dumps([other for other in recent_models() if other != path]))


class ModelList:
    """Entries for jobs and paths; a model's description is read again only when it has changed."""

    def __init__(self) -> None:
        self._cards: dict[str, tuple[object, ModelCard | None]] = {}

    def entries(self, jobs: Sequence[JobFolder], chosen: str = "") -> list[ModelEntry]:
        """jobs: job folders, newest first. chosen: a path that is listed even where it cannot be read."""
        paths = [str(folder.path) for folder in jobs if (folder.model / "model.json").exists()]
        paths += [path for path in recent_models() if path not in paths]
        if chosen and chosen not in paths:
            paths.append(chosen)
        entries = []
        for path in paths:
            card = self.card(path)
            if card is not None:
                entries.append(ModelEntry(path=path, title=model_title(card)))
            elif path == chosen:
                entries.append(ModelEntry(path=path, title=_("{name} (no model)").format(name=Path(path).name)))
        return entries

    def card(self, path: str) -> ModelCard | None:
        """None where there is no model that can be read."""
        stamp = model_stamp(Path(path))
        cached = self._cards.get(path)
        if cached is None or cached[0] != stamp:
            try:
                card = read_card(Path(path)) if stamp else None
            except ModelError:
                card = None
            cached = stamp, card
            self._cards[path] = cached
        return cached[1]


def model_title(card: ModelCard) -> str:
    """``liver-tumor, today 14:02, Dice 0.87``: what a chooser shows of a model."""
    parts = [model_name(card.path), when(card.made)]
    if card.mean_dice is not None:
        parts.append(_("Dice {dice:.2f}").format(dice=card.mean_dice))
    return ", ".join(parts)
