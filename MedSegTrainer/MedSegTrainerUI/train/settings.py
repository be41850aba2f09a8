"""The settings of a training as a form needs them: kinds, limits and words of each, and the configuration.

Everything follows from the dataclasses of ``MedSegTrainerLib.config``. Changed settings are kept as a flat mapping,
``{"loss.loss_type": "dice"}``. The job's own process checks what settings say together.
"""

from __future__ import annotations

import math
import types
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from slicer.i18n import tr as _
from slicer.i18n import translate

from MedSegTrainerLib.config import DataConfig, TrainConfig
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.files.json_input import parse_json

BY_THE_PANEL = {
    "data.data_dir",
    "data.image_names",
    "data.label_name",
    "trainer.budget",
    "start.model",
    "start.rename",
    "start.adapt",
}
SCHEDULE = {
    "epochs",
    "lr_schedule",
    "step_size",
    "gamma",
    "T_max",
    "eta_min",
    "power",
    "factor",
    "lr_patience",
    "warmup_epochs",
    "warmup_type",
}
AUGMENTATION = {"augmentation", "augmentation_strength", "mixup", "cutmix", "flip_axes"}
CHECKPOINTS = {
    "checkpoint_dir",
    "checkpoint_seconds",
    "save_frequency",
    "keep_checkpoints",
    "save_best_only",
    "tensorboard",
}
GROUPS = ("Network", "Loss", "Optimizer", "Schedule", "Augmentation", "Strategies", "Data", "Checkpoints")
YES, NO, NONE = "yes", "no", "none"
BOOLEANS = {"true": True, "yes": True, "on": True, "false": False, "no": False, "off": False}
UNTIL_STOP = {"trainer.lr_schedule": "plateau", "trainer.validation_interval": 5}  # no end is known to plan towards
UNTIL_STOP_BUDGET = "1000h"
CONTEXT = "MedSegTrainerLib.config"  # of the translations of labels and helps, whose texts are in that file


def group_label(group: str) -> str:
    """One of GROUPS in the user's language."""
    labels = {
        "Network": _("Network"),
        "Loss": _("Loss"),
        "Optimizer": _("Optimizer"),
        "Schedule": _("Schedule"),
        "Augmentation": _("Augmentation"),
        "Strategies": _("Strategies"),
        "Data": _("Data"),
        "Checkpoints": _("Checkpoints"),
    }
    return labels[group]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """``help_text``: as the library has it; ``choices``: fixed values it can have (words, 'auto'); ``types``: of bool,
    int, float and str those it may be.

    ``items``: what a list of it holds (a type, or the words that are possible); None where it is no list.
    """

    key: str
    default: object
    help_text: str
    minimum: float | None
    maximum: float | None
    choices: tuple[object, ...]
    types: frozenset[type]
    items: type | tuple[object, ...] | None
    optional: bool

    @property
    def label(self) -> str:
        return translate(CONTEXT, self.key.partition(".")[2].replace("_", " ").capitalize())

    @property
    def help(self) -> str:
        return translate(CONTEXT, self.help_text)

    @property
    def group(self) -> str:
        section, _dot, name = self.key.partition(".")
        if section == "data":
            return "Augmentation" if name in AUGMENTATION else "Data"
        if section == "trainer":
            return "Schedule" if name in SCHEDULE else "Checkpoints" if name in CHECKPOINTS else "Strategies"
        return "Strategies" if section == "start" else section.capitalize()

    @property
    def options(self) -> tuple[str, ...]:
        """Every value, where they can be counted: then a menu shows them. Else empty."""
        if self.items is not None or self.types - {bool}:
            return ()
        return self._choice_texts()

    @property
    def range(self) -> str:
        """What may be entered, in words."""
        parts = []
        if self.types & {int, float}:
            parts.append(_("a whole number{limits}") if float not in self.types else _("a number{limits}"))
        if self.items in (int, float):
            parts.append(_("several numbers{limits}, with commas between"))
        elif self.items is str:
            parts.append(_("names, with commas between"))
        elif isinstance(self.items, tuple):
            parts.append(_("several of {words}, with commas between").format(words=", ".join(map(str, self.items))))
        if str in self.types:
            parts.append(_("text"))
        texts = [part.format(limits=self._limits()) for part in parts]
        texts_of_choices = self._choice_texts()
        return _(" or ").join([*texts, ", ".join(texts_of_choices)] if texts_of_choices else texts)

    def _choice_texts(self) -> tuple[str, ...]:
        flags = (YES, NO) if bool in self.types else ()
        return (*map(str, self.choices), *flags, *((NONE,) if self.optional else ()))

    def _limits(self) -> str:
        if self.minimum is not None and self.maximum is not None:
            return _(" from {low} to {high}").format(low=_limit(self.minimum), high=_limit(self.maximum))
        if self.minimum is not None:
            return _(" of at least {low}").format(low=_limit(self.minimum))
        return ""


def _limit(number: float) -> str:
    return str(number) if isinstance(number, int) else f"{number:.7g}"


@cache
def all_settings() -> dict[str, Setting]:
    """By key, without those that the panel itself sets: data, and how long."""
    settings = {}
    for section, cls in get_type_hints(TrainConfig).items():
        if not is_dataclass(cls):  # what all jobs have beside their sections
            continue
        hints = get_type_hints(cls)
        for item in fields(cls):
            key = f"{section}.{item.name}"
            if key not in BY_THE_PANEL:
                settings[key] = _setting(key, item, hints[item.name])
    return settings


def _setting(key: str, item: Field[Any], hint: object) -> Setting:
    default = item.default if item.default_factory is MISSING else item.default_factory()
    choices: list[object] = []
    kinds: set[type] = set()
    items: type | tuple[object, ...] | None = None
    optional = False
    for part in _parts(hint):
        if get_origin(part) is Literal:
            choices += [word for word in get_args(part) if word not in choices]
        elif get_origin(part) is list:
            inner = get_args(part)[0]
            items = get_args(inner) if get_origin(inner) is Literal else inner
        elif part is type(None):
            optional = True
        else:
            kinds.add(part)
    return Setting(
        key=key,
        default=default,
        help_text=item.metadata["help"],
        minimum=item.metadata["minimum"],
        maximum=item.metadata["maximum"],
        choices=tuple(choices),
        types=frozenset(kinds),
        items=items,
        optional=optional,
    )


def _parts(hint: object) -> Iterator[Any]:
    if get_origin(hint) in (Union, types.UnionType):
        for part in get_args(hint):
            yield from _parts(part)
    else:
        yield hint


def show_value(value: object) -> str:
    """A value as it is written in the form."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return YES if value else NO
    if isinstance(value, (list, tuple)):
        return ", ".join(show_value(part) for part in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


def parse_value(setting: Setting, value: object) -> Any:
    """The value in JSON or in a text as people write it; raises UsageError with what is possible."""
    for parse in (_word, _flag, _number, _list, _text):
        is_parsed, result = parse(setting, value.strip() if isinstance(value, str) else value)
        if is_parsed:
            return result
    raise UsageError(
        _("{label}: '{value}' is not possible. Possible is {range}.").format(
            label=setting.label, value=show_value(value), range=setting.range
        )
    )


Parsed = tuple[bool, Any]
NOTHING: Parsed = (False, None)


def _word(setting: Setting, value: object) -> Parsed:
    if setting.optional and (value is None or (isinstance(value, str) and value.lower() in (NONE, "null"))):
        return True, None
    if isinstance(value, bool):
        return NOTHING
    return next(((True, word) for word in setting.choices if str(word).lower() == str(value).lower()), NOTHING)


def _flag(setting: Setting, value: object) -> Parsed:
    if bool not in setting.types:
        return NOTHING
    known = value if isinstance(value, bool) else BOOLEANS.get(str(value).lower())
    return NOTHING if known is None else (True, known)


def _number(setting: Setting, value: object) -> Parsed:
    if not setting.types & {int, float}:
        return NOTHING
    number = _as_number(value, whole=float not in setting.types)
    return NOTHING if number is None or not _is_within(setting, number) else (True, number)


def _list(setting: Setting, value: object) -> Parsed:
    if setting.items is None:
        return NOTHING
    parts = value
    if isinstance(value, str):
        parts = [part.strip(" '\"") for part in value.strip("[]()").split(",") if part.strip()]
    if not isinstance(parts, (list, tuple)):
        return NOTHING
    if setting.items in (int, float):
        parts = [_as_number(part, whole=setting.items is int) for part in parts]
        right = bool(parts) and all(part is not None and _is_within(setting, part) for part in parts)
    elif setting.items is str:
        right = all(isinstance(part, str) for part in parts)
    else:
        right = isinstance(setting.items, tuple) and all(part in setting.items for part in parts)
    return (True, list(parts)) if right else NOTHING


def _text(setting: Setting, value: object) -> Parsed:
    return (True, value) if str in setting.types and isinstance(value, str) else NOTHING


def _as_number(value: object, *, whole: bool) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    if not math.isfinite(number) or (whole and number != int(number)):
        return None
    return int(number) if whole else number


def _is_within(setting: Setting, number: float) -> bool:
    low, high = setting.minimum, setting.maximum
    return (low is None or number >= low) and (high is None or number <= high)


def full_key(name: str) -> str | None:
    """The key that a name stands for which may leave out its section, as in --set; None where it is not one setting."""
    matches = [key for key in all_settings() if f".{key}".endswith(f".{name}")]
    return matches[0] if len(matches) == 1 else None


def read_changes(text: str) -> dict[str, Any]:
    """Changed settings as the parameter node keeps them; what this version does not know is left out."""
    try:
        values = parse_json(text or "{}", "settings")
    except UsageError:
        return {}
    changes = {}
    for key, value in values.items() if isinstance(values, dict) else ():
        setting = all_settings().get(key)
        try:
            if setting is not None:
                changes[key] = parse_value(setting, value)
        except UsageError:
            continue
    return only_changes(changes)


def only_changes(values: Mapping[str, Any]) -> dict[str, Any]:
    """Without those that have their default, in the order of the settings."""
    return {key: values[key] for key, item in all_settings().items() if key in values and values[key] != item.default}


def training_config(
    changes: Mapping[str, Any],
    minutes: int,
    data_dir: Path,
    device: str = "auto",
    start: Mapping[str, Any] | None = None,
) -> TrainConfig:
    """The configuration of a training on a folder; ``minutes`` 0: until somebody stops it. Changes go before device.

    start: settings that say what it starts from.
    """
    values: dict[str, Any] = {"trainer.device": device, **({} if minutes else UNTIL_STOP), **changes, **(start or {})}
    values["data.data_dir"] = str(data_dir)
    values["trainer.budget"] = f"{minutes}m" if minutes else UNTIL_STOP_BUDGET
    sections = by_section(values)
    classes = get_type_hints(TrainConfig)
    return TrainConfig(**{section: classes[section](**given) for section, given in sections.items()})


def data_config(changes: Mapping[str, Any]) -> DataConfig:
    """The settings of the data alone, as a training would have them."""
    return DataConfig(**by_section(changes).get("data", {}))


def by_section(values: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Settings by their keys as the sections of a job."""
    sections: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        section, _dot, name = key.partition(".")
        sections.setdefault(section, {})[name] = value
    return sections
