"""Predictions and references that both lie as BIDS derivatives, paired by subject, session and run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from MedSegTrainerLib.data.layouts.bids import LabelFile, label_files
from MedSegTrainerLib.data.layouts.bids_images import channels_of
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.events import Emit, Warned


def bids_pairs(predictions: Path, labels: Path, emit: Emit) -> list[Pair]:
    """The label maps of the same cases; [] where one of the folders has none of BIDS.

    ``labels`` may hold the predictions as one of its derivatives. References without a prediction are told. Raises
    DataError for predictions without a reference, and where a case has several label maps on one side.
    """
    predicted = _by_case(predictions, list(label_files(predictions)))
    found = [label for label in label_files(labels) if not label.path.is_relative_to(predictions)]
    references = _by_case(labels, found) if predicted else {}
    if not predicted or not references:
        return []
    orphans = sorted(predicted.keys() - references.keys())
    if orphans:
        raise DataError(f"No reference in {labels} for {some(orphans)}. Add the references, or remove the predictions.")
    left = sorted(references.keys() - predicted.keys())
    if left:
        emit(Warned(message=f"References without a prediction were left out: {some(left)}."))
    return [
        Pair(
            name=case,
            prediction=prediction.path,
            reference=references[case].path,
            image=_image(references[case], labels),
        )
        for case, prediction in sorted(predicted.items())
    ]


def _by_case(root: Path, labels: Sequence[LabelFile]) -> Mapping[str, LabelFile]:
    by_case: dict[str, LabelFile] = {}
    for label in labels:
        other = by_case.setdefault(label.case, label)
        if other is not label:
            raise DataError(
                f"{root} has several label maps of {label.case}: {other.path.relative_to(root)} and "
                f"{label.path.relative_to(root)}. Give a folder with one of each, as {root / 'derivatives'}/NAME."
            )
    return by_case


def _image(label: LabelFile, root: Path) -> Path | None:
    """An image to draw pictures on, where the references lie in one data set with it."""
    return next(iter(channels_of(label.path, label.name, root, ()).values()), None)
