"""What cleans up a label map, done to each class by itself: where classes overlap none can stand in another's way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from MedSegTrainerLib.imaging.class_bits import class_bit, has_class


def each_class(bits: np.ndarray, values: Sequence[int], change: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """``class_bits`` after ``change`` of each class, a label array that has its value and 0; a new array."""
    result = np.zeros_like(bits)
    for value in values:
        changed = change(class_array(bits, value))
        result[changed == value] |= class_bit(value)
    return result


def class_array(bits: np.ndarray, value: int) -> np.ndarray:
    """A label array with the value where the class is, and 0."""
    return np.where(has_class(bits, value), np.uint8(value), np.uint8(0))
