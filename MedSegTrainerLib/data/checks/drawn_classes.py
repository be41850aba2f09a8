"""Classes that nobody looked for in some cases: in how many each was drawn, and cases that contradict themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from MedSegTrainerLib.classes import LabelClass, class_names, classes_from_values
from MedSegTrainerLib.data.checks.case_scan import CaseScan, Examined
from MedSegTrainerLib.errors import some
from MedSegTrainerLib.findings import Finding


def drawn_classes(examined: Examined) -> Iterator[Finding]:
    """A note for each class that was not drawn everywhere, an error where it was drawn nowhere; warnings for cases in
    which no class was drawn, and for voxels of classes that were not."""
    if all(scan.drawn is None for scan in examined.scans):
        return
    names = class_names(examined.values(), examined.names)
    for item in classes_from_values([*examined.values(), *names], names):
        known = examined.knowing(item.value)
        if item.value == examined.ignore_label or len(known) == len(examined.scans):
            continue
        if not known:
            yield Finding(
                severity="error",
                kind="class that was drawn nowhere",
                message=f"No case lists '{item.name}' among its drawn classes: nothing can be learned of it.",
                remedy="List it in the cases in which somebody drew it or saw that it is not there, or take it out of "
                "the names.",
            )
            continue
        yield Finding(
            severity="note",
            kind="class not drawn in all cases",
            message=f"{item.name}: {drawn_text(len(known), len(examined.scans))}.",
            remedy="Nothing to do: in the others a voxel without class may be it, and counts neither for it nor "
            "against it.",
        )
    yield from _nothing_drawn(examined)
    yield from _contradicted(examined)


def undrawn_classes(classes: Sequence[LabelClass], training: Sequence[CaseScan]) -> Iterator[Finding]:
    """An error for each class that nobody looked for in any of the training cases."""
    for item in classes:
        if not any(scan.knows(item.name) for scan in training):
            yield Finding(
                severity="error",
                kind="class that was drawn in no training case",
                message=f"'{item.name}' was drawn in none of the {len(training)} training cases: nothing can be "
                "learned of it.",
                remedy="Draw it in one of them, divide the cases by their classes (--set split_by=stratified), or name "
                "training cases in a --split-file.",
            )


def drawn_text(known: int, cases: int) -> str:
    return f"drawn in {known} of {cases} cases"


def _nothing_drawn(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        if scan.drawn == ():
            yield Finding(
                case=scan.name,
                severity="warning",
                kind="case in which nothing was drawn",
                message="no class was drawn in it: it teaches nothing, and nothing is judged by it.",
                remedy="List the classes that were drawn, or remove the case.",
            )


def _contradicted(examined: Examined) -> Iterator[Finding]:
    for scan in examined.scans:
        values = sorted(value for value in scan.voxels if value and not scan.knows(examined.name_of(value)))
        if values:
            listed = some([f"'{examined.name_of(value)}'" for value in values])
            yield Finding(
                case=scan.name,
                severity="warning",
                kind="voxels of a class that was not drawn",
                message=f"its label map has voxels of {listed}, not among the classes that were drawn in it.",
                remedy="They train as what they are, other voxels may be the same. List the class if all of it was "
                "drawn.",
            )
