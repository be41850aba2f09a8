"""The resolved plan: every decision a training needs, none of them ``auto`` any more, as plain data."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config import LossConfig
from MedSegTrainerLib.data.normalize import Normalization
from MedSegTrainerLib.errors import ModelError


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Spatial values are (z, y, x); spacing in mm. ``reasons`` maps the name of a choice to why it was made.

    In 2D ``patch_size[0]`` is 1. ``flip_axes`` are array axes: 0 is z, 1 is y, 2 is x.
    """

    dims: int
    spacing: tuple[float, float, float]
    patch_size: tuple[int, int, int]
    batch_size: int
    samples_per_volume: int
    normalization: tuple[Normalization, ...]
    channel_names: tuple[str, ...]
    classes: tuple[LabelClass, ...]
    flip_axes: tuple[int, ...]
    architecture: str
    network: dict[str, Any]
    loss: LossConfig
    optimizer_type: str
    learning_rate: float
    weight_decay: float
    lr_schedule: str
    warmup_epochs: float
    gradient_clip: float | None
    ema_decay: float | None
    mixed_precision: bool
    channels_last: bool
    steps_per_epoch: int
    epochs: int
    validation_interval: int
    cache: str
    reasons: dict[str, str]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(item.name for item in self.classes)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Plan:
        """The plan written by ``to_json``; raises ModelError where entries are missing or unknown."""
        names = {item.name for item in fields(cls)}
        if names != values.keys():
            wrong = sorted(names ^ values.keys())
            raise ModelError(f"The plan does not fit this version: {', '.join(wrong)} missing or unknown.")
        return cls(
            **{
                **values,
                "spacing": tuple(values["spacing"]),
                "patch_size": tuple(values["patch_size"]),
                "normalization": tuple(Normalization(**item) for item in values["normalization"]),
                "channel_names": tuple(values["channel_names"]),
                "classes": tuple(LabelClass(**{**item, "color": tuple(item["color"])}) for item in values["classes"]),
                "flip_axes": tuple(values["flip_axes"]),
                "loss": LossConfig(**values["loss"]),
            }
        )
