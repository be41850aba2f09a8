"""What a model is and how good it is, read from its ``model.json`` without PyTorch, and shown in a few lines."""

from __future__ import annotations

import html
import math
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slicer.i18n import tr as _

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.any_description import read_description, written_file
from MedSegTrainerLib.model.description import SCHEMA_VERSION, DescriptionError

NANOSECONDS = 1e9
CLASSES_SHOWN = 12
LOW_DICE = 0.7
PARTS = ("train_cases", "val_cases", "test_cases")


@dataclass(frozen=True, kw_only=True)
class Ancestor:
    """A model that another began as. made: the day, as YYYY-MM-DD; cases: how many trained it."""

    name: str
    made: str
    cases: int
    dice: float | None


@dataclass(frozen=True, kw_only=True)
class ModelCard:
    """A model in facts.

    dims: 2 or 3. members: of an ensemble, how many; else 0. channels: names of the images it takes, in order.
    spacing: mm (z, y, x). image_size: pixels (y, x) that 2D images are resized to, or None. mirrors: whether it was
    trained with mirror images. trained, held_out: numbers of cases. imported: the program that made it, '' where that
    is this one. dice: class to mean Dice, None where not known; ``mean_dice`` over them. made: seconds since 1970.
    lineage: the models that it began as, the nearest first. cases: names of all that it was trained or measured on.
    minutes: how long it trained, None where nobody knows.
    """

    path: Path
    classes: tuple[LabelClass, ...]
    dims: int
    members: int
    channels: tuple[str, ...]
    spacing: tuple[float, float, float]
    image_size: tuple[int, int] | None
    mirrors: bool
    trained: int
    held_out: int
    dice: Mapping[str, float | None]
    mean_dice: float | None
    made: float
    lineage: tuple[Ancestor, ...]
    cases: tuple[str, ...]
    minutes: float | None
    imported: str


def read_card(path: Path) -> ModelCard:
    """The card of a model folder, its zip, or the job that made it; raises ModelError where there is no model."""
    stamp = model_stamp(path)
    try:
        return _card(path, read_description(path), stamp[0] / NANOSECONDS if stamp else 0.0)
    except DescriptionError as error:
        raise ModelError(_reason(path, error)) from None
    except OSError as error:
        raise ModelError(_unreachable(path, error.strerror or error)) from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(_damaged(path)) from None


def _reason(path: Path, error: DescriptionError) -> str:
    """What the library found wrong, in the language of the user."""
    if error.problem == "gone":
        return _("The model {path} is not there any more. Choose another one, or train it again.").format(path=path)
    if error.problem == "untrained":
        return _("The job {name} has made no model yet. Train it first.").format(name=path.name)
    if error.problem == "foreign":
        text = _("{path} is an nnU-Net model that cannot be used here: {reason}.")
        return text.format(path=path, reason=error.detail)
    if error.problem == "no_model":
        text = _(
            "{path} holds no model. Choose a folder with model.json and weights.safetensors, a model folder of "
            "nnU-Net, or the zip file of one."
        )
        return text.format(path=path)
    if error.problem == "zip_without_model":
        return _("{path} is a zip file without a model. Choose the zip of a model folder.").format(path=path)
    if error.problem == "no_zip":
        text = _("{path} is no model: it is not a zip file, or a damaged one. Choose a model folder or its zip.")
        return text.format(path=path)
    if error.problem == "unreachable":
        return _unreachable(path, error.detail)
    if error.problem == "version":
        text = _("{path} has model format {found}, and this version reads {known}. Update MedSegTrainer.")
        return text.format(path=path, found=error.detail, known=SCHEMA_VERSION)
    return _damaged(path)


def _unreachable(path: Path, reason: object) -> str:
    return _("{path} cannot be read: {reason}. Choose a model that can be reached.").format(path=path, reason=reason)


def _damaged(path: Path) -> str:
    text = _("{path} is no model of MedSegTrainer: its description is damaged. Choose another one.")
    return text.format(path=path)


def model_stamp(path: Path) -> tuple[int, int] | None:
    """When the model was written (nanoseconds since 1970) and how many bytes; None where there is none any more."""
    try:
        file = written_file(path)
        about = file.stat() if file is not None else None
    except (OSError, ModelError):
        return None
    return None if about is None else (about.st_mtime_ns, about.st_size)


def card_html(card: ModelCard) -> str:
    """The card as rich text: the classes in their colours with their Dice, how good, what it was trained on."""
    first = card.classes[:CLASSES_SHOWN]
    entries = [_class_html(item, card.dice.get(item.name)) for item in first]
    if len(card.classes) > len(first):
        entries.append(_("and {n} more").format(n=len(card.classes) - len(first)))
    about = (_quality(card), _training(card), _lineage(card))
    lines = [" &nbsp; ".join(entries), *map(html.escape, about)]
    return "<br>".join([lines[0], *(f"<small>{line}</small>" for line in lines[1:] if line)])


def card_tooltip(card: ModelCard) -> str:
    """Everything of the card as plain text: all classes, the channels, the voxels, where it is."""
    dice = {name: f"  {value:.2f}" for name, value in card.dice.items() if value is not None}
    z, y, x = card.spacing
    return "\n".join(
        [
            _("Classes and their Dice:"),
            *(f"  {item.name}{dice.get(item.name, '')}" for item in card.classes),
            _("Channels: {names}").format(names=", ".join(card.channels)),
            _("It sees voxels of {x:.3g} x {y:.3g} x {z:.3g} mm.").format(x=x, y=y, z=z),
            _("Folder or file: {path}").format(path=card.path),
        ]
    )


def when(seconds: float) -> str:
    """``today 14:02``, ``yesterday 09:30`` or ``2026-03-01``."""
    there, now = time.localtime(seconds), time.localtime()
    midnight = time.mktime((now.tm_year, now.tm_mon, now.tm_mday, 0, 0, 0, 0, 0, -1))
    if seconds >= midnight:
        return _("today {time}").format(time=time.strftime("%H:%M", there))
    if seconds >= midnight - 24 * 3600:
        return _("yesterday {time}").format(time=time.strftime("%H:%M", there))
    return time.strftime("%Y-%m-%d", there)


def _card(path: Path, document: dict[str, Any], made: float) -> ModelCard:
    plan, training, metrics = document["plan"], document.get("training", {}), document.get("metrics", {})
    order = {"x": "xzy", "y": "yzx"}.get(plan.get("slice_axis", "z"), "zyx")  # of a 2D model that sees other slices
    imported = training.get("imported", {})
    if plan.get("preparation"):  # of another program, with axes of its own
        order = "".join("zyx"[axis] for axis in plan["preparation"]["transpose"])
    z, y, x = (float(plan["spacing"][order.index(axis)]) for axis in "zyx")
    size = plan.get("image_size")
    classes = tuple(
        LabelClass(
            value=int(item["value"]),
            name=str(item["name"]),
            color=_color(item["color"]),
            terminology=str(item.get("terminology") or ""),
        )
        for item in plan["classes"]
    )
    dice, mean, held_out = _dice(training, metrics)
    return ModelCard(
        path=path,
        classes=classes,
        dims=int(plan["dims"]),
        members=len(document.get("members", [])),
        channels=tuple(str(name) for name in plan["channel_names"]),
        spacing=(z, y, x),
        image_size=(int(size[0]), int(size[1])) if size else None,
        mirrors=bool(plan.get("flip_axes")),
        trained=int(imported.get("cases", 0)) if imported else len(training.get("train_cases", [])),
        held_out=held_out,
        dice=dice,
        mean_dice=mean,
        made=made,
        lineage=tuple(_ancestor(entry) for entry in reversed(training.get("lineage", []))),
        cases=tuple(str(name) for part in PARTS for name in training.get(part, [])),
        minutes=_minutes(document.get("curves", [])),
        imported=str(imported.get("from", "")),
    )


def _minutes(curves: Sequence[Mapping[str, Any]]) -> float | None:
    """Those of the last point of the curves."""
    known = [minutes for point in curves if (minutes := _number(point.get("minutes"))) is not None]
    return known[-1] if known else None


def _ancestor(entry: Mapping[str, Any]) -> Ancestor:
    trained = [case for case in entry["cases"].values() if case["part"] == "train"]
    return Ancestor(
        name=str(entry["name"]), made=str(entry["when"]), cases=len(trained), dice=_number(entry.get("dice"))
    )


def _color(parts: Iterable[float]) -> tuple[int, int, int]:
    red, green, blue = (int(part) for part in parts)
    return red, green, blue


def _dice(training: Mapping[str, Any], metrics: Mapping[str, Any]) -> tuple[dict[str, float | None], float | None, int]:
    """Dice of each class, their mean, and on how many cases: those kept for the end where there were any."""
    summary = metrics.get("summary")
    if summary:
        dice = {name: _number(item["dice"]["mean"]) for name, item in summary.items()}
        cases = metrics.get("test_cases") if metrics.get("measured_on", "test") == "test" else None
        count = len(cases or training.get("val_cases", []))
    else:
        dice = {name: _number(value) for name, value in (metrics.get("val_dice_per_class") or {}).items()}
        count = len(training.get("val_cases", []))
    known = [value for value in dice.values() if value is not None]
    return dice, sum(known) / len(known) if known else None, count


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, (int, float)) and math.isfinite(value) else None


def _class_html(item: LabelClass, dice: float | None) -> str:
    red, green, blue = item.color
    dice_text = "" if dice is None else f" {dice:.2f}"
    name = html.escape(item.name).replace(" ", "&nbsp;")
    return f'<span style="color:#{red:02x}{green:02x}{blue:02x}">&#9632;</span>&nbsp;<b>{name}</b>{dice_text}'


def _quality(card: ModelCard) -> str:
    if card.mean_dice is None and card.imported:
        return _("How good it is was not told by {program}. Check its results.").format(program=card.imported)
    if card.mean_dice is None:
        return _("How good it is was not measured: all volumes were trained on. Check its results.")
    text = _("Mean Dice {dice:.2f} on {n} volumes it was not trained on.").format(dice=card.mean_dice, n=card.held_out)
    if card.held_out == 1:
        text = _("Mean Dice {dice:.2f} on one volume it was not trained on.").format(dice=card.mean_dice)
    return text + (" " + _("Check its results with care.") if card.mean_dice < LOW_DICE else "")


def _training(card: ModelCard) -> str:
    z, y, x = card.spacing
    names = ", ".join(name for name in card.channels if not name.startswith("channel "))
    trained = _("Trained {when} on {n} volumes").format(when=when(card.made), n=card.trained)
    if card.imported:
        text = _("Trained with {program} on {n} volumes") if card.trained else _("Trained with {program}")
        trained = text.format(program=card.imported, n=card.trained)
    parts = [trained + (f" ({names})" if names else "")]
    if card.image_size is not None:
        parts.append(_("images of {x} x {y} pixels").format(y=card.image_size[0], x=card.image_size[1]))
    else:
        parts.append(_("{x:.3g} x {y:.3g} x {z:.3g} mm").format(x=x, y=y, z=z))
    return ", ".join(parts) + "."


def _lineage(card: ModelCard) -> str:
    """``Started from a (2026-03-01, 40 volumes), that from b (...).``; '' where it began from nothing."""
    if not card.lineage:
        return ""
    return _("Started from {models}.").format(models=_(", that from ").join(map(_ancestor_text, card.lineage)))


def _ancestor_text(one: Ancestor) -> str:
    parts = [one.made]
    if one.cases:
        parts.append(_("1 volume") if one.cases == 1 else _("{n} volumes").format(n=one.cases))
    if one.dice is not None:
        parts.append(_("Dice {dice:.2f}").format(dice=one.dice))
    return f"{one.name} ({', '.join(parts)})"
