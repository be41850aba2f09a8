"""Whether the classes of a data set overlap, and the numbers they are given where they do.

Only label files that can hold overlap are looked at: regions of several values, a mask or a channel for each class,
segments in layers. Where nothing overlaps in any case, classes exclude each other as ever.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import combinations
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.config.settings import Auto
from MedSegTrainerLib.data.dataset import Case, Dataset
from MedSegTrainerLib.data.layouts.dataset_json import (
    FILE,
    ignored_value,
    label_regions,
    read_description,
    refuse_regions,
)
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.imaging.class_bits import IGNORED, MOST_CLASSES
from MedSegTrainerLib.imaging.label_components import component_count, component_name
from MedSegTrainerLib.imaging.label_maps import read_label_map
from MedSegTrainerLib.imaging.label_source import Pair, number_of, overlapping_pairs
from MedSegTrainerLib.imaging.segment_headers import read_header

THREADS = 4


@dataclass(frozen=True, kw_only=True)
class _Forms:
    """channels: the most of a label file with a channel for each class. layered: cases with segments in layers."""

    channels: int = 1
    layered: Sequence[Case] = ()
    channelled: Sequence[Case] = ()
    masked: Sequence[Case] = ()
    regions: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def cases(self) -> list[Case]:
        return [*self.layered, *self.channelled, *self.masked]


def with_regions(dataset: Dataset, root: Path) -> Dataset:
    """With the regions of the dataset.json in a folder, where it has some."""
    description = read_description(root)
    regions = label_regions(description, root)
    if not regions:
        return dataset
    ignored = ignored_value(description)
    return replace(
        dataset,
        cases=tuple(replace(case, regions=regions) for case in dataset.cases),
        ignore_label=dataset.ignore_label if ignored is None else ignored,
    )


def with_overlap(dataset: Dataset, wanted: bool | Auto) -> Dataset:
    """The data set with classes that overlap, or exclude each other, as the data say or as it is wanted.

    Where they overlap classes are numbered from 1 on; there, and where masks, regions or channels become a label map,
    voxels that nobody labelled are -1. Raises DataError where classes overlap and must not, and where too many do.
    """
    forms = _forms_of(dataset)
    if not (forms.cases or forms.regions) and wanted is not True:
        return replace(dataset, overlapping=False)
    if wanted is False and _shared_values(forms.regions):
        refuse_regions(forms.regions, dataset.root / FILE)
    names = _names(dataset, forms, all_values=wanted is True)
    numbered = _numbered(dataset, forms, {name: number for number, name in enumerate(names, start=1)})
    shared = {} if wanted is False else _shared(numbered, forms)
    overlapping = wanted is True or bool(shared)
    values = {name: value for value, name in dataset.label_names.items()}
    if not overlapping and forms.masked and not forms.channelled and not forms.regions and values.keys() >= set(names):
        numbered = _numbered(dataset, forms, {name: values[name] for name in names})  # those that the list gives
    if not overlapping and not (forms.regions or forms.channelled or forms.masked):
        return replace(dataset, overlapping=False, overlap="segments lie in layers, and none overlap")
    if overlapping and len(names) > MOST_CLASSES:
        raise DataError(
            f"{dataset.root}: {len(names)} classes, of which some overlap ({next(iter(shared.values()), 'as set')}): "
            f"at most {MOST_CLASSES} can be trained so. Leave some out, or make them one label map."
        )
    reason = "set by the configuration" if wanted is True else some(list(shared.values()))
    return replace(
        numbered,
        cases=tuple(replace(case, overlapping=overlapping) for case in numbered.cases),
        overlapping=overlapping,
        overlap=reason or "no classes overlap in any case",
    )


def _forms_of(dataset: Dataset) -> _Forms:
    masked = [case for case in dataset.cases if case.masks]
    regions = next((case.regions for case in dataset.cases if case.regions), {})
    plain = [case for case in dataset.cases if not case.masks]
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        counts = list(pool.map(lambda case: component_count(case.label), plain))
    several = [case for case, count in zip(plain, counts, strict=True) if count > 1]
    layered = [case for case in several if read_header(case.label)]
    channelled = [case for case in several if case not in layered]
    most = max((count for case, count in zip(plain, counts, strict=True) if case in channelled), default=1)
    return _Forms(channels=most, layered=layered, channelled=channelled, masked=masked, regions=regions)


def _names(dataset: Dataset, forms: _Forms, *, all_values: bool) -> list[str]:
    """Names of the classes in the order of their numbers."""
    if forms.regions:
        return list(forms.regions)
    listed = [name for value, name in sorted(dataset.label_names.items()) if value != dataset.ignore_label]
    names = dict.fromkeys(listed)
    if not listed and (forms.channelled or all_values):
        values = range(1, forms.channels + 1) if forms.channelled else _values(dataset)
        names |= dict.fromkeys(component_name(value, dataset.label_names) for value in values)
    elif len(listed) < forms.channels:
        names |= dict.fromkeys(component_name(n, {}) for n in range(len(listed) + 1, forms.channels + 1))
    for case in forms.masked:
        names |= {name: None for name in case.masks if number_of(name, dict.fromkeys(names, 0)) is None}
    return list(names)


def _numbered(dataset: Dataset, forms: _Forms, numbers: Mapping[str, int]) -> Dataset:
    """With these numbers of the classes in all cases, whatever form their labels have."""
    value_of = {name: value for value, name in dataset.label_names.items()}
    if forms.channelled or not (dataset.label_names or forms.regions):
        value_of = {name: value_of.get(name, _own_value(name, number)) for name, number in numbers.items()}
    regions = forms.regions or {name: (value_of.get(name, number),) for name, number in numbers.items()}
    ignored = dataset.ignore_label
    cases = [
        replace(case, segment_values=numbers, regions={} if case.masks else regions, ignored_value=ignored)
        for case in dataset.cases
    ]
    looks = {name: replace(look, value=numbers[name]) for name, look in dataset.looks.items() if name in numbers}
    return replace(
        dataset,
        cases=tuple(cases),
        label_names={number: name for name, number in numbers.items()},
        ignore_label=None if ignored is None else IGNORED,
        looks=looks,
    )


def _own_value(name: str, number: int) -> int:
    """The value in the name of a class that nobody named, such as 'label 205'."""
    value = name.removeprefix("label ")
    return int(value) if value != name and value.lstrip("-").isdecimal() else number


def _values(dataset: Dataset) -> list[int]:
    """Values that stand in the label maps, without background and what nobody labelled."""

    def read(case: Case) -> set[int]:
        try:
            return {int(value) for value in np.unique(sitk.GetArrayFromImage(read_label_map(case.label)))}
        except DataError:  # checking the cases says what is wrong
            return set()

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        return sorted(set().union(*pool.map(read, dataset.cases)) - {0, dataset.ignore_label})


def _shared(dataset: Dataset, forms: _Forms) -> dict[Pair, str]:
    """Pairs of classes that overlap, with a text each; the most voxels first."""
    if forms.regions:
        return _shared_values(forms.regions)
    names = {case.name for case in forms.cases}

    def read(case: Case) -> dict[Pair, int]:
        try:
            return overlapping_pairs(case.labels)
        except DataError:  # checking the cases says what is wrong
            return {}

    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        found = list(pool.map(read, [case for case in dataset.cases if case.name in names]))
    voxels: dict[Pair, int] = {}
    for pair, count in (item for one in found for item in one.items()):
        voxels[pair] = voxels.get(pair, 0) + count
    having = {pair: sum(pair in one for one in found) for pair in voxels}
    return {
        pair: f"'{pair[0]}' and '{pair[1]}' share {count} voxels in {having[pair]} of {len(dataset.cases)} cases"
        for pair, count in sorted(voxels.items(), key=lambda item: -item[1])
    }


def _shared_values(regions: Mapping[str, tuple[int, ...]]) -> dict[Pair, str]:
    """Regions that have values in common, with a text each."""
    return {
        (one, other): f"'{one}' and '{other}' share the value{'s' if len(both) > 1 else ''} "
        f"{', '.join(map(str, sorted(both)))} in {FILE}"
        for one, other in combinations(regions, 2)
        if (both := set(regions[one]) & set(regions[other]))
    }
