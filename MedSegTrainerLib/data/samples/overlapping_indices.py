"""Prepared labels of classes that overlap: the combinations of a plan, each with a number of its own."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import chain

import numpy as np

from MedSegTrainerLib.config.plan import LabelCode, Plan
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.class_bits import classes_of

IGNORE = -1


def overlap_codes(
    combinations: Collection[tuple[int, ...]], classes: int, unknown_sets: Sequence[tuple[int, ...]] = ()
) -> tuple[LabelCode, ...]:
    """The codes of a plan: combinations of at least two classes, and for each set of classes that nobody looked for in
    some case every combination of the others. All are indices of classes, from 1 on."""
    single = [(), *((index,) for index in range(1, classes + 1))]
    codes = [LabelCode(present=present) for present in sorted(combinations)]
    for unknown in unknown_sets:
        known = {tuple(index for index in present if index not in unknown) for present in chain(single, combinations)}
        codes += [LabelCode(present=present, unknown=unknown) for present in sorted(known)]
    return tuple(codes)


def overlapping_indices(bits: np.ndarray, plan: Plan, unknown: tuple[int, ...] = ()) -> np.ndarray:
    """``class_bits`` as numbers of prepared labels, int16 or uint8: 0 background, 1 the first class alone, beyond the
    classes those of ``label_codes``, -1 where nobody labelled.

    unknown: indices of the classes that nobody looked for in the case. Raises DataError for combinations of classes
    that the plan does not know.
    """
    number_of = {LabelCode(present=(index,)): index for index in range(1, len(plan.classes) + 1)}
    number_of |= {LabelCode(): 0, **{code: n for n, code in enumerate(plan.label_codes, start=len(plan.classes) + 1)}}
    present, inverse = np.unique(bits, return_inverse=True)
    numbers = []
    for value in present.tolist():
        classes = tuple(index for index in classes_of(value) if index not in unknown)
        code = LabelCode(present=classes, unknown=unknown)
        if value != IGNORE and code not in number_of:
            names = " and ".join(f"'{plan.class_names[index - 1]}'" for index in classes)
            raise DataError(
                f"A voxel has {names} at once, which this training was not planned for. Put the labels back as they "
                "were, or begin a new training in another folder."
            )
        numbers.append(IGNORE if value == IGNORE else number_of[code])
    fits = len(plan.classes) + len(plan.label_codes) < 256 and plan.ignore_label is None
    table = np.array(numbers, np.uint8 if fits else np.int16)
    indices: np.ndarray = table[inverse].reshape(bits.shape)
    return indices
