"""The loss functions: for each what builds it, what it needs, and which settings are its own.

A new loss is an entry here and a file with its builder; the settings that it names are declared in ``settings.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Sum = Literal["overlap", "log_p", "focal", "surface"]


@dataclass(frozen=True, kw_only=True)
class LossTerm:
    """A loss function, or a term of 'combined'.

    builder: "module:function" of a ``LossConfig``, the number of classes with the background, and a device; it returns
    a function of ``ClassSums`` that gives a number for each sample (B,), smaller where the prediction is better.
    needs: which sums it looks at, beside those that are always there; 'surface' only where it is ramped.

    weight: the setting of its weight in 'combined', '' where it is no term of it. class_weights: the setting that gives
    each class a weight in it, '' where it takes none. is_ramped: whether it comes in over the first half of a training
    (``segmentation_loss.ramped_weights``), and at full resolution alone.
    """

    builder: str
    needs: tuple[Sum, ...] = ()
    weight: str = ""
    class_weights: str = ""
    is_ramped: bool = False


LOSS_TERMS: dict[str, LossTerm] = {
    "dice": LossTerm(builder="MedSegTrainerLib.losses.terms:build_dice", needs=("overlap",), weight="dice_weight"),
    "cross_entropy": LossTerm(
        builder="MedSegTrainerLib.losses.terms:build_cross_entropy",
        needs=("log_p",),
        weight="ce_weight",
        class_weights="class_weights",
    ),
    "focal": LossTerm(
        builder="MedSegTrainerLib.losses.terms:build_focal",
        needs=("focal",),
        weight="focal_weight",
        class_weights="alpha",
    ),
    "boundary": LossTerm(
        builder="MedSegTrainerLib.losses.terms:build_boundary",
        needs=("surface",),
        weight="boundary_weight",
        is_ramped=True,
    ),
}
