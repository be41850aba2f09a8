"""What the label values of an evaluation without a model mean: files that name their segments agree by name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from MedSegTrainerLib.classes import LabelClass, classes_from_values
from MedSegTrainerLib.data.layouts.class_names import choose_values
from MedSegTrainerLib.errors import some
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.imaging.seg_nrrd import Segment
from MedSegTrainerLib.imaging.segment_headers import read_header

Named = Mapping[str, Sequence[Segment]]  # the segments of each case's file; [] where it names none


def named_classes(
    pairs: Sequence[Pair], label_names: Mapping[int, str] | None = None
) -> tuple[list[LabelClass], list[str]]:
    """The segments that the files name, in the order of the values that stand for them, and notes on them.

    label_names: of values that no file names.

    A name has one value everywhere, that which most files give it. Colours are those of the first file that names it,
    predictions before references. [] where no file names any.
    """
    predicted = {pair.name: read_header(pair.prediction) for pair in pairs}
    expected = {pair.name: read_header(pair.reference) for pair in pairs}
    all_segments = [one for side in (predicted, expected) for segments in side.values() for one in segments]
    first_seen: dict[str, LabelClass] = {}
    votes: dict[str, Counter[int]] = {}
    for one in all_segments:
        first_seen.setdefault(_key(one), one.item)
        votes.setdefault(_key(one), Counter())[one.item.value] += 1
    values = choose_values(votes, {})
    classes = [replace(first_seen[key], value=value) for key, value in values.items()]
    taken = {told for item in classes for told in (item.value, item.name)}
    others = {value: name for value, name in (label_names or {}).items() if not taken & {value, name}}
    classes = sorted([*classes, *classes_from_values(list(others), others)], key=lambda item: item.value)
    names = {key: item.name for key, item in first_seen.items()}
    notes = [*_one_sided(predicted, expected, names), *_by_value(predicted, expected, votes, names)]
    return classes, notes


def _one_sided(predicted: Named, expected: Named, names: Mapping[str, str]) -> list[str]:
    """Where both sides name their segments, but not all of them alike."""
    sides = [{_key(one) for segments in side.values() for one in segments} for side in (predicted, expected)]
    if not all(sides):
        return []
    alone = [[f"'{names[key]}'" for key in names if key in own - other] for own, other in (sides, sides[::-1])]
    phrases = [
        f"only {side} name {some(keys)}"
        for side, keys in zip(("predictions", "references"), alone, strict=True)
        if keys
    ]
    if not phrases:
        return []
    return [
        f"Segments are compared by their names, and {' and '.join(phrases)}. Where two names mean the same structure, "
        "give it the same name on both sides."
    ]


def _by_value(
    predicted: Named, expected: Named, votes: Mapping[str, Counter[int]], names: Mapping[str, str]
) -> list[str]:
    """Where some files do not name their segments, so that they are compared by value, and values differ by file."""
    plain = [case for case in predicted if bool(predicted[case]) != bool(expected[case])]
    differing = [key for key, count in votes.items() if len(count) > 1]
    if not plain or not differing:
        return []
    seen = " and ".join(str(value) for value in sorted(votes[differing[0]]))
    return [
        f"The label maps of {some(plain)} have names on one side only and are compared by value, but "
        f"'{names[differing[0]]}' has different values in the files ({seen}). Check that the values are right there."
    ]


def _key(one: Segment) -> str:
    return one.item.name.casefold()
