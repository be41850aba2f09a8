"""Predictions of classes that nobody looked for in the reference: no label there says that they are wrong."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np


def without_unknown(prediction: np.ndarray, reference: np.ndarray, unknown: Collection[int]) -> np.ndarray:
    """The predicted labels, 0 where one of ``unknown`` was predicted at a voxel without class in the reference.

    It is neither right nor wrong there, and right in what is known: that no other class was predicted. unknown: label
    values of the classes that nobody looked for.
    """
    if not unknown:
        return prediction
    result: np.ndarray = np.where((reference == 0) & np.isin(prediction, list(unknown)), 0, prediction)
    return result.astype(prediction.dtype, copy=False)
