"""Label arrays of classes that overlap: a bit for each class, so that a voxel has any number of them.

Bit k - 1 of a voxel (int32) is set where class k is; 0 is background, -1 a voxel that nobody labelled.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

MOST_CLASSES = 30  # of 32 bits one is the sign
IGNORED = -1


def class_bit(value: int) -> int:
    return 1 << (value - 1)


def has_class(labels: np.ndarray, value: int) -> np.ndarray:
    """Where the class with this number is, of any shape; not where nobody labelled."""
    mask: np.ndarray = (labels > 0) & ((labels & class_bit(value)) != 0)
    return mask


def where_class(labels: np.ndarray, value: int, overlapping: bool) -> np.ndarray:
    """Where a class is, in bits or, where classes do not overlap, in label values."""
    return has_class(labels, value) if overlapping else labels == value


def classes_of(bits: int) -> tuple[int, ...]:
    """Numbers of the classes of a voxel, in rising order; () for background."""
    return tuple(value for value in range(1, MOST_CLASSES + 1) if bits & class_bit(value)) if bits > 0 else ()


def combination_counts(labels: np.ndarray) -> dict[int, int]:
    """Voxels of each combination of classes, background (0) too, but not those that nobody labelled."""
    values, counts = np.unique(labels, return_counts=True)
    return {int(bits): int(count) for bits, count in zip(values, counts, strict=True) if bits != IGNORED}


def class_counts(combinations: dict[int, int]) -> dict[int, int]:
    """Voxels of each class that occurs, and under 0 of the background; a voxel counts for each class that it has."""
    counts: dict[int, int] = {}
    for bits, voxels in combinations.items():
        for value in classes_of(bits) or (0,):
            counts[value] = counts.get(value, 0) + voxels
    return dict(sorted(counts.items()))


def only_classes(labels: np.ndarray, values: Sequence[int]) -> np.ndarray:
    """The labels without the bits of other classes."""
    kept = sum(class_bit(value) for value in set(values))
    return np.where(labels > 0, labels & kept, labels).astype(labels.dtype, copy=False)


def to_bits(masks: Sequence[np.ndarray]) -> np.ndarray:
    """int32 bits of boolean arrays, those of class 1 first."""
    bits = np.zeros(masks[0].shape, np.int32)
    for value, mask in enumerate(masks, start=1):
        bits[mask] |= class_bit(value)
    return bits
