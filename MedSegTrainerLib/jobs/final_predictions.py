"""The best model on the files of held-out cases: their label maps, how far looks agree, and which clean-up helps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import SimpleITK as sitk

from MedSegTrainerLib.data.case_labels import read_labels_onto
from MedSegTrainerLib.data.checks.label_values import as_class
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.evaluation.file_pairs import Pair, case_pair
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import labelled_parts
from MedSegTrainerLib.imaging.read import read_channels
from MedSegTrainerLib.inference.postprocess_search import CleaningStudy, cleaned_up
from MedSegTrainerLib.inference.predictor import Predictor
from MedSegTrainerLib.inference.probability_maps import Prediction
from MedSegTrainerLib.inference.result_files import read_result, write_result
from MedSegTrainerLib.model.postprocessing import Cleaning

MOST_STUDIED = 10  # validation cases that are predicted for the sake of the clean-up alone


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Held-out cases as files, what was done to each class of them, and by the name of the case how far looks at it
    agreed on each class (``inference.agreement``)."""

    pairs: list[Pair]
    cleanings: list[Cleaning]
    agreements: dict[str, list[float | None]]


def predict_files(
    predictor: Predictor,
    cases: Sequence[Case],
    studied: Sequence[Case],
    folder: Path,
    count: Callable[[], None],
    *,
    is_late: Callable[[], bool] = lambda: False,
) -> HeldOut:
    """Writes the label maps of ``cases`` into the folder, cleaned up as it helps.

    studied: the validation cases that the clean-up is chosen with. Where they are not ``cases``, the first few are
    predicted too, until it is late. count: called after each of ``cases``.
    """
    plan, search = predictor.plan, CleaningStudy(predictor.plan.classes, overlapping=predictor.plan.overlapping)
    names = {case.name for case in studied}
    pairs, agreements = [], {}
    for case in cases:
        prediction = _predict(predictor, case, search if case.name in names else None, with_agreement=True)
        agreements[case.name] = prediction.agreement or []
        output = folder / f"{case.name}.seg.nrrd"
        write_result(prediction.labels, output, plan)
        pairs.append(case_pair(case, output, plan.ignore_label))
        count()
    others = names.isdisjoint(case.name for case in cases)
    for case in studied[:MOST_STUDIED] if others else []:
        if is_late():
            break
        _predict(predictor, case, search)
    cleanings = search.choose()
    if any(item.does_something for item in cleanings):
        for pair in pairs:
            labels = cleaned_up(read_result(pair.prediction, plan), cleanings, overlapping=plan.overlapping)
            write_result(labels, pair.prediction, plan)
    return HeldOut(pairs=pairs, cleanings=cleanings, agreements=agreements)


def _predict(
    predictor: Predictor, case: Case, search: CleaningStudy | None, *, with_agreement: bool = False
) -> Prediction:
    """What the model predicts of a case, whose label map goes into the study where there is one."""
    channels = read_channels(case.images)
    prediction = predictor.segment(predictor.prepare(channels), with_agreement=with_agreement)
    labels = prediction.labels
    if search is not None:
        reference = read_labels_onto(case, channels[0], predictor.plan.ignore_label)
        predicted, expected = sitk.GetArrayFromImage(labels), sitk.GetArrayFromImage(reference)
        ignored = predictor.plan.ignore_label
        known = None if ignored is None else expected != ignored
        _, expected = labelled_parts(predicted, expected, ignored)
        expected = as_class(expected, [item.value for item in predictor.plan.classes])
        search.add(predicted, expected, Geometry.of(labels).spacing_zyx, case.drawn, known)
    return prediction
