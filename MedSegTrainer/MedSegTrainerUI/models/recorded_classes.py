"""The classes of a model in the record of a job, so that results keep names and colours when the model is gone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from MedSegTrainerLib.classes import LabelClass


def classes_record(classes: Sequence[LabelClass]) -> list[dict[str, Any]]:
    """As JSON."""
    return [asdict(item) for item in classes]


def recorded_classes(record: Mapping[str, Any]) -> list[LabelClass]:
    """The classes in the record of a job, which has them as ``classes``."""
    return [LabelClass(**{**item, "color": tuple(item["color"])}) for item in record["classes"]]
