"""One value for each class name over all cases of a data set, where the files name their segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.dataset import Dataset
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.imaging.dicom_labels import is_label_object
from MedSegTrainerLib.imaging.seg_nrrd import Segment
from MedSegTrainerLib.imaging.segment_headers import read_header


def join_names(dataset: Dataset) -> Dataset:
    """The data set with one value for each segment name, where its label maps name their segments.

    The value is that which most cases give the name; names that the data set's own list has keep the list's values. Of
    DICOM, which often has more structures than classes, the segments that such a list names are taken alone.
    Raises DataError where values differ and some label maps have no names, and where the list names none of DICOM.
    """
    headers = {case.name: read_header(case.label) for case in dataset.cases if not case.masks}
    listed = {name.casefold(): value for value, name in dataset.label_names.items()}
    chosen = {case.name for case in dataset.cases if listed and not case.masks and is_label_object(case.label)}
    headers |= _listed_alone({name: headers[name] for name in chosen}, dataset)
    all_segments = [segment for segments in headers.values() for segment in segments]
    looks: dict[str, LabelClass] = {}
    votes: dict[str, Counter[int]] = {}
    for segment in all_segments:
        looks.setdefault(segment.item.name.casefold(), segment.item)
        votes.setdefault(segment.item.name.casefold(), Counter())[segment.item.value] += 1
    if not all_segments or (listed and not listed.keys() & votes.keys()):
        return dataset  # the list knows better what the values mean, as where all segments are named Segment_1
    value_of = choose_values(votes, listed)
    plain = sorted(name for name, segments in headers.items() if not segments and name not in chosen)
    differing = sorted(name for name, count in votes.items() if set(count) != {value_of[name]})
    if plain and differing:
        raise DataError(
            f"'{looks[differing[0]].name}' has different values in the cases, and {len(plain)} label maps do not name "
            f"their segments ({some(plain)}). Save all of them as .seg.nrrd, or give the class one value everywhere."
        )
    values_of_list = {name: value for value, name in dataset.label_names.items()}
    names = dataset.label_names or {value_of[key]: item.name for key, item in looks.items()}
    look_of = {
        value: replace(looks[key], value=value, name=names[value])
        for key, value in value_of.items()
        if key in looks and value in names
    }
    return replace(
        dataset,
        cases=tuple(
            replace(case, segment_values=values_of_list)
            if case.name in chosen
            else replace(case, segment_values=_case_values(headers.get(case.name, ()), value_of))
            for case in dataset.cases
        ),
        label_names=names,
        looks={**{item.name: item for item in look_of.values()}, **dataset.looks},
    )


def _listed_alone(headers: Mapping[str, Sequence[Segment]], dataset: Dataset) -> dict[str, list[Segment]]:
    """The segments that the data set's list names; raises DataError where it names none of any case."""
    names = list(dataset.label_names.values())
    listed = {name.casefold() for name in names}
    found = {
        case: [one for one in segments if one.item.name.casefold() in listed] for case, segments in headers.items()
    }
    if any(headers.values()) and not any(found.values()):
        theirs = list(dict.fromkeys(one.item.name for segments in headers.values() for one in segments))
        raise DataError(
            f"{dataset.root}: the DICOM segmentations name none of the classes {some(names)}. They name {some(theirs)}."
            " Give the classes in dataset.json these names."
        )
    return found


def choose_values(votes: Mapping[str, Counter[int]], listed: Mapping[str, int]) -> dict[str, int]:
    """A value for each name: the listed one, else the most frequent, the smallest of several; the next free where that
    is taken."""
    chosen = dict(listed)
    for name in sorted(votes, key=lambda name: (-max(votes[name].values()), min(votes[name]), name)):
        if name in chosen:
            continue
        by_votes = sorted(votes[name], key=lambda value: (-votes[name][value], value))
        taken = set(chosen.values())
        free = next(value for value in range(1, len(taken) + 2) if value not in taken)
        chosen[name] = next((value for value in by_votes if value not in taken), free)
    return chosen


def _case_values(segments: Sequence[Segment], value_of: Mapping[str, int]) -> dict[str, int]:
    return {one.item.name: value_of[one.item.name.casefold()] for one in segments}
