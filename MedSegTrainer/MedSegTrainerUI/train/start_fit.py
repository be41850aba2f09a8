"""What of a model a training on the classes and volumes of the table would keep, in names and in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from slicer.i18n import tr as _

from MedSegTrainerUI.models.model_card import ModelCard
from MedSegTrainerUI.scene.case_rows import CaseRow
from MedSegTrainerUI.scene.segment_classes import same_name

NAMES_SHOWN = 8
Was = Mapping[str, Sequence[str]]  # a class to the classes of the model that it was


def origins(card: ModelCard, classes: Sequence[str], renamed: Was) -> dict[str, list[str]]:
    """The classes of the model that each class was: that of the same name, and those the user has named."""
    known = [item.name for item in card.classes]
    return {
        name: [old for old in known if same_name(old) == same_name(name) or old in renamed.get(name, ())]
        for name in classes
    }


def rename_entries(card: ModelCard, classes: Sequence[str], renamed: Was) -> list[str]:
    """``old=new`` for each class of the model that goes on under another name, alone or beside its own."""
    pairs = [(old, name) for name, olds in origins(card, classes, renamed).items() for old in olds]
    other = {old for old, name in pairs if old != name}
    return [f"{old}={name}" for old, name in pairs if old in other]


@dataclass(frozen=True, kw_only=True)
class StartFit:
    """``told``: what is kept, new and dropped. ``misfits``: sentences on what does not fit, unless it is adapted."""

    told: str
    misfits: tuple[str, ...]


def start_fit(card: ModelCard, rows: Sequence[CaseRow], classes: Sequence[str], renamed: Was) -> StartFit:
    """For the cases to train on and the names of their classes."""
    found = origins(card, classes, renamed)
    used = {old for olds in found.values() for old in olds}
    kept = [_kept(name, olds) for name, olds in found.items() if olds]
    lists = (
        (_("Kept: {names}."), kept),
        (_("New: {names}."), [name for name, olds in found.items() if not olds]),
        (_("Dropped: {names}."), [item.name for item in card.classes if item.name not in used]),
    )
    told = [text.format(names=_some(names)) for text, names in lists if names]
    if _channel_count(card, rows) > len(card.channels):
        text = _("The model knows {names}; further volumes are new to it.")
        told.append(text.format(names=", ".join(card.channels)))
    return StartFit(told=" ".join(told), misfits=(*_channels(card, rows), *_dimensions(card, rows)))


def _kept(name: str, olds: Sequence[str]) -> str:
    return name if list(olds) == [name] else _("{name} (was {olds})").format(name=name, olds=" + ".join(olds))


def _some(names: Sequence[str]) -> str:
    shown = ", ".join(names[:NAMES_SHOWN])
    more = len(names) - NAMES_SHOWN
    return _("{names} and {n} more").format(names=shown, n=more) if more > 0 else shown


def _channel_count(card: ModelCard, rows: Sequence[CaseRow]) -> int:
    return len(rows[0].volumes or rows[0].images) if rows else len(card.channels)


def _channels(card: ModelCard, rows: Sequence[CaseRow]) -> list[str]:
    count = _channel_count(card, rows)
    if count >= len(card.channels):
        return []
    text = _("The model takes {wanted} volumes a case ({names}), and the cases have {count}.")
    return [text.format(wanted=len(card.channels), names=", ".join(card.channels), count=count)]


def _dimensions(card: ModelCard, rows: Sequence[CaseRow]) -> list[str]:
    """Cases in files are not looked at: the training does."""
    depths = [min(row.volumes[0].GetImageData().GetDimensions()) for row in rows if row.volumes]
    if card.dims == 3 and depths and max(depths) == 1:
        return [_("The model is one for volumes, and the cases are single slices.")]
    if card.image_size is not None and depths and min(depths) > 1:
        return [_("The model is one for single images, and the cases are volumes.")]
    return []
