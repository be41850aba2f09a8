"""The numbers that classes get in nnU-Net's label maps: from 1 on without a gap, ``ignore`` the highest.

Where classes overlap a number stands for a combination of them, a class is a region (a list of numbers), and
``regions_class_order`` says which number nnU-Net writes for each region in its results, one over the other: outer
regions come first, so that inner ones stay visible.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.checks.label_values import as_class
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import class_bit, classes_of

BACKGROUND, IGNORE = "background", "ignore"


@dataclass(frozen=True, kw_only=True)
class Numbering:
    """labels: as ``dataset.json`` has them, without ``ignore``. order: ``regions_class_order``, () where no class is a
    region of several numbers. numbers: label value, or ``class_bits``, to number. ignored: the number of voxels that
    nobody labelled."""

    labels: dict[str, int | list[int]]
    order: tuple[int, ...]
    numbers: dict[int, int]
    ignored: int


def numbering(classes: Sequence[LabelClass], combinations: Mapping[int, int], *, overlapping: bool) -> Numbering:
    """Numbers of classes; ``combinations``: where they overlap, ``class_bits`` with their voxels. Raises DataError for
    a class with a name that nnU-Net gives a meaning."""
    for item in classes:
        if item.name in (BACKGROUND, IGNORE):
            raise DataError(f"A class is named '{item.name}', which nnU-Net takes for something else. Rename it.")
    if overlapping:
        return _of_regions(classes, combinations)
    numbers = {item.value: number for number, item in enumerate(classes, start=1)}
    labels: dict[str, int | list[int]] = {BACKGROUND: 0, **{item.name: numbers[item.value] for item in classes}}
    return Numbering(labels=labels, order=(), numbers=numbers, ignored=len(classes) + 1)


def renumbered(
    values: np.ndarray, numbers: Numbering, classes: Sequence[LabelClass], ignore_label: int | None, *, all_drawn: bool
) -> np.ndarray:
    """The numbers of label values or ``class_bits``, of any shape, in the smallest unsigned type.

    all_drawn: whether all classes were looked for. Where not, a voxel without label may be of another class, and is
    ``ignored``.
    """
    if not numbers.order:
        values = as_class(values, [item.value for item in classes], ignore_label)
    result = np.zeros(values.shape, np.uint8 if numbers.ignored < 256 else np.uint16)
    for value in np.unique(values).tolist():
        if value == ignore_label or (value == 0 and not all_drawn):
            result[values == value] = numbers.ignored
        elif value != 0:
            result[values == value] = numbers.numbers[value]
    return result


def _of_regions(classes: Sequence[LabelClass], combinations: Mapping[int, int]) -> Numbering:
    size = {
        item.value: sum(n for bits, n in combinations.items() if item.value in classes_of(bits)) for item in classes
    }
    ordered = sorted(classes, key=lambda item: (-size[item.value], item.value))
    absent = {class_bit(item.value): 0 for item in ordered if not size[item.value]}
    present = sorted({**combinations, **absent}, key=lambda bits: (len(classes_of(bits)), classes_of(bits)))
    numbers = {bits: number for number, bits in enumerate(present, start=1)}
    labels: dict[str, int | list[int]] = {BACKGROUND: 0}
    order = []
    for place, item in enumerate(ordered, start=1):
        own = [bits for bits in present if item.value in classes_of(bits)]
        labels[item.name] = numbers[own[0]] if len(own) == 1 else [numbers[bits] for bits in own]
        inner = {other.value for other in ordered[place:]}
        order.append(numbers[min(own, key=lambda bits: (len(inner & {*classes_of(bits)}), -combinations.get(bits, 0)))])
    is_region = any(isinstance(value, list) for value in labels.values())
    return Numbering(labels=labels, order=tuple(order) if is_region else (), numbers=numbers, ignored=len(present) + 1)
