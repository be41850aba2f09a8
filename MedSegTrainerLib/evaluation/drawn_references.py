"""Which classes somebody looked for in which reference: as ``drawn.json``, ``cases.json`` or another file says."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from MedSegTrainerLib.classes import LabelClass, unknown_classes
from MedSegTrainerLib.data.layouts.case_list import FILE as CASE_LIST
from MedSegTrainerLib.data.layouts.drawn_classes import FILE, listed_drawn, read_drawn
from MedSegTrainerLib.errors import DataError, UsageError, did_you_mean, some
from MedSegTrainerLib.evaluation.described_labels import places_beside
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.imaging.read import case_name

Drawn = Mapping[str, tuple[str, ...]]


def drawn_beside(labels: Path) -> Drawn:
    """Case to the classes that were drawn in it, of a folder of references or a data set; {} where no file says it."""
    for folder in places_beside(labels):
        drawn = {**listed_drawn(folder / CASE_LIST), **read_drawn(folder / FILE)}
        if drawn:
            return drawn
    return {}


def drawn_in_file(path: Path, pairs: Sequence[Pair]) -> Drawn:
    """The same of a file that somebody named; raises UsageError where there is none, DataError for other cases."""
    if not path.is_file():
        raise UsageError(f"{path} does not exist. Check the path.")
    drawn = read_drawn(path)
    if not any(_own(pair, drawn) is not None for pair in pairs):
        names = [pair.name for pair in pairs]
        raise DataError(
            f"{path} names none of the evaluated cases, such as {names[0]}.{did_you_mean(names[0], drawn)} Names of "
            "cases are those of their files without the suffix."
        )
    return drawn


def with_drawn(pairs: Sequence[Pair], drawn: Drawn, class_names: Collection[str]) -> list[Pair]:
    """The pairs with what was drawn in them. class_names: of all that there are; raises DataError for others."""
    told = [replace(pair, drawn=_own(pair, drawn)) for pair in pairs]
    for pair in told:
        unknown = next((name for name in pair.drawn or () if name not in class_names), None)
        if unknown is not None:
            near = did_you_mean(unknown, class_names) or (
                " Nothing names the classes: give the --model, or a dataset.json beside the references."
            )
            raise DataError(f"'{unknown}' is said to be drawn in {pair.name}, and no class has this name.{near}")
    return told


def unknown_values(pair: Pair, classes: Sequence[LabelClass]) -> tuple[int, ...]:
    """Values of the classes that nobody looked for in the reference."""
    return tuple(classes[index - 1].value for index in unknown_classes([item.name for item in classes], pair.drawn))


def drawn_notes(not_drawn: Mapping[str, Sequence[int]], names: Mapping[int, str], cases: int) -> Iterator[str]:
    """A sentence for the reader where there are such classes. not_drawn: case to values of classes; names: of values;
    cases: how many there are."""
    missing = {name: sum(value in values for values in not_drawn.values()) for value, name in names.items()}
    listed = [f"{name} in {cases - count} of {cases} cases" for name, count in missing.items() if count]
    if listed:
        yield f"Classes count in the cases in which somebody looked for them: {some(listed)}."


def _own(pair: Pair, drawn: Drawn) -> tuple[str, ...] | None:
    return drawn.get(pair.name, drawn.get(case_name(pair.reference)))
