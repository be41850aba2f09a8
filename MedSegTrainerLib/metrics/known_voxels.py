"""Predictions of classes that nobody looked for in the reference: no label there says that they are wrong."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from MedSegTrainerLib.imaging.class_bits import class_bit


def without_unknown(
    prediction: np.ndarray, reference: np.ndarray, unknown: Collection[int], *, overlapping: bool = False
) -> np.ndarray:
    """The predicted labels, 0 where one of ``unknown`` was predicted at a voxel without class in the reference.

    It is neither right nor wrong there, and right in what is known: that no other class was predicted. unknown: label
    values of the classes that nobody looked for. overlapping: labels are ``class_bits``, of which those of the unknown
    classes are taken out everywhere.
    """
    if not unknown:
        return prediction
    if overlapping:
        return prediction & ~np.int32(sum(class_bit(value) for value in unknown))
    result: np.ndarray = np.where((reference == 0) & np.isin(prediction, list(unknown)), 0, prediction)
    return result.astype(prediction.dtype, copy=False)
