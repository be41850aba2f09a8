"""Which mirrorings test-time augmentation averages."""

from __future__ import annotations

from typing import Any

import pytest

from MedSegTrainerLib.apply_job import mirror_axes
from MedSegTrainerLib.config import ApplyConfig


@pytest.mark.parametrize(
    "settings, trained, axes",
    [
        ({}, (0, 1, 2), ()),
        ({"tta_transforms": ["flip_x"]}, (0, 1, 2), ()),
        ({"tta": True}, (0, 2), (0, 2)),
        ({"tta": True}, (), ()),
        ({"tta": True, "tta_transforms": ["flip_x"]}, (0, 1, 2), (2,)),
        ({"tta": True, "tta_transforms": ["flip_y", "flip_z", "flip_y"]}, (0, 1, 2), (0, 1)),
        ({"tta": True, "tta_transforms": []}, (0, 1, 2), ()),
    ],
)
def test_axes(settings: dict[str, Any], trained: tuple[int, ...], axes: tuple[int, ...]) -> None:
    assert mirror_axes(ApplyConfig(**settings), trained) == (axes, None)


def test_a_mirroring_that_the_model_never_saw_is_left_out_in_words() -> None:
    """As along x, where labels come in left and right."""
    config = ApplyConfig(tta=True, tta_transforms=["flip_x", "flip_y"])
    axes, warning = mirror_axes(config, (0, 1))
    assert axes == (1,)
    assert warning == "Left out: flip_x. The model was trained without mirroring along it."
