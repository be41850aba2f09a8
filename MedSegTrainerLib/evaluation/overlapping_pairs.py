"""References in other forms than a label map, and classes that overlap: which there are, and how files name them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass, default_color
from MedSegTrainerLib.data.layouts.dataset_json import label_names, label_regions, read_description
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.evaluation.file_pairs import IMAGE_FOLDER_OF, Pair
from MedSegTrainerLib.imaging.class_bits import MOST_CLASSES
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.grid_remedies import Volume, difference
from MedSegTrainerLib.imaging.label_components import component_count, component_name
from MedSegTrainerLib.imaging.label_maps import read_label_pair
from MedSegTrainerLib.imaging.label_source import (
    LabelSource,
    number_of,
    overlapping_pairs,
    read_pair,
)
from MedSegTrainerLib.imaging.segment_headers import read_header

Sources = tuple[LabelSource, LabelSource]  # of the prediction and of the reference


@dataclass(frozen=True, kw_only=True)
class ComparedClasses:
    """The classes of an evaluation, numbered from 1 on, and whether they overlap in any of its files."""

    classes: list[LabelClass]
    overlapping: bool


def with_forms(pairs: Sequence[Pair]) -> list[Pair]:
    """The pairs with the regions of the dataset.json beside their references, and with its names where a reference has
    a channel for each class."""

    @cache
    def described(folder: Path) -> tuple[dict[str, tuple[int, ...]], dict[int, str]]:
        root = folder.parent if folder.name in IMAGE_FOLDER_OF else folder
        description = read_description(root)
        return label_regions(description, root), label_names(description, root)

    def form(pair: Pair) -> Pair:
        if pair.labels is not None:
            return pair
        regions, names = described(pair.reference.parent)
        channels = component_count(pair.reference) if names and not regions else 1
        if not regions and (channels == 1 or read_header(pair.reference)):
            return pair
        numbers = {name: number for number, name in names.items()}
        return replace(pair, labels=LabelSource(path=pair.reference, numbers=numbers, regions=regions))

    return [form(pair) for pair in pairs]


def compared_classes(pairs: Sequence[Pair]) -> ComparedClasses | None:
    """None where all files are label maps, whose values and segments say what there is.

    Names and order are those of the references' regions, masks or channels, else of the predictions' segments, else of
    the references' segments; what has no name is 'label 1' and so on, by its place among the channels of a file. Raises
    DataError for more classes than can overlap.
    """
    forms = [pair.labels for pair in pairs if pair.labels is not None and not pair.labels.is_plain]
    layered = [path for pair in pairs for path in (pair.prediction, pair.reference) if component_count(path) > 1]
    if not forms and not layered:
        return None
    named = [pair.labels for pair in pairs if pair.labels and (not pair.labels.is_plain or pair.reference in layered)]
    classes = _classes(pairs, named, layered)
    overlapping = any(overlapping_pairs(source) for pair in pairs for source in sources_of(pair, classes, None))
    if not overlapping and not forms and all(read_header(path) for path in layered):
        return None
    if overlapping and len(classes) > MOST_CLASSES:
        raise DataError(f"{len(classes)} classes overlap, and at most {MOST_CLASSES} can be compared so.")
    return ComparedClasses(classes=classes, overlapping=overlapping)


def sources_of(pair: Pair, classes: Sequence[LabelClass], ignored: int | None, *, overlapping: bool = True) -> Sources:
    """The labels of both sides by these classes; ignored: the value of voxels that nobody labelled, in references that
    name none of their own.

    A label map without names, regions or channels has the number of a class where that is alone.
    """
    numbers = {item.name: item.value for item in classes}
    given = pair.labels or LabelSource(path=pair.reference)
    own = ignored if given.ignored_value is None else given.ignored_value
    image = given.image or pair.image
    reference = replace(
        given, path=pair.reference, numbers=numbers, overlapping=overlapping, ignored_value=own,
        image=image or pair.prediction,
    )  # fmt: skip
    prediction = LabelSource(
        path=pair.prediction, numbers=numbers, overlapping=overlapping, image=image or pair.reference
    )
    return prediction, reference


def unlabelled_value(pair: Pair, ignored: int | None, *, overlapping: bool) -> int | None:
    """The value, in the reference as it is read, of voxels that nobody labelled. ignored: the same in its file."""
    if pair.labels is None and not overlapping:
        return ignored
    return sources_of(pair, (), ignored, overlapping=overlapping)[1].unlabelled


def read_sides(
    pair: Pair, classes: Sequence[LabelClass], ignored: int | None, *, overlapping: bool
) -> tuple[sitk.Image, sitk.Image]:
    """The labels of prediction and reference on one grid; raises DataError where they lie on different ones.

    ignored: as of ``sources_of``; what it is in what is read tells ``unlabelled_value``.
    """
    if overlapping or pair.labels is not None:
        prediction, reference = read_pair(*sources_of(pair, classes, ignored, overlapping=overlapping))
    else:
        value_of = {item.name: item.value for item in classes}
        prediction, reference = read_label_pair(pair.prediction, pair.reference, value_of)
    sides = (("reference", pair.reference, reference), ("prediction", pair.prediction, prediction))
    problems = difference(*(Volume(name=name, path=path, grid=Geometry.of(item)) for name, path, item in sides))
    if problems:
        raise DataError(
            f"{pair.name}: {' '.join(problems)} Or are they of different cases? {pair.prediction}, {pair.reference}"
        )
    return prediction, reference


def forms_json(
    pairs: Sequence[Pair], classes: Sequence[LabelClass], ignored: int | None, *, overlapping: bool
) -> Mapping[str, object]:
    """Case to ``LabelSource.to_json`` of both sides, of those that are not label maps; for the report."""
    return {
        pair.name: [one.to_json() for one in sources_of(pair, classes, ignored, overlapping=overlapping)]
        for pair in pairs
        if overlapping or pair.labels is not None
    }


def _classes(pairs: Sequence[Pair], forms: Sequence[LabelSource], layered: Sequence[Path]) -> list[LabelClass]:
    names = dict.fromkeys(name for form in forms for name in (*form.regions, *form.numbers, *form.masks))
    looks: dict[str, LabelClass] = {}
    files = [pair.prediction for pair in pairs] + [pair.reference for pair in pairs]
    for one in (one for path in files for one in read_header(path)):
        looks.setdefault(one.item.name.casefold(), one.item)
        if number_of(one.item.name, dict.fromkeys(names, 0)) is None:
            names[one.item.name] = None
    channels = max((component_count(path) for path in layered if not read_header(path)), default=0)
    names |= {component_name(number, {}): None for number in range(len(names) + 1, channels + 1)}
    return [
        replace(looks[name.casefold()], name=name, value=number)
        if name.casefold() in looks
        else LabelClass(value=number, name=name, color=default_color(number - 1))
        for number, name in enumerate(names, start=1)
    ]
