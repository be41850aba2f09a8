"""What of the references is labelled, where it is not all: as ``cases.json`` beside them or the settings say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.data.layouts.case_entry import box_of, read_case_entry
from MedSegTrainerLib.data.layouts.case_list import FILE
from MedSegTrainerLib.data.layouts.dataset_json import read_object
from MedSegTrainerLib.evaluation.file_pairs import IMAGE_FOLDER_OF, Pair
from MedSegTrainerLib.imaging.label_source import LabelSource
from MedSegTrainerLib.imaging.partly_labelled import LabelledPart
from MedSegTrainerLib.imaging.read import case_name

Parts = Mapping[str, LabelledPart]


def with_labelled_parts(pairs: Sequence[Pair], config: EvaluateConfig) -> list[Pair]:
    """The pairs with what is labelled in their references; raises DataError for a ``cases.json`` that is none."""
    beside = _listed(Path(config.labels)) if config.labels else {}
    told = {**beside, **_configured(config)}
    usual = LabelledPart(slices="" if config.labelled_slices == "none" else config.labelled_slices)

    def one(pair: Pair) -> Pair:
        part = told.get(pair.name, told.get(case_name(pair.reference), usual))
        return pair if part.is_all else replace(pair, labels=replace(_source(pair), part=part))

    return [one(pair) for pair in pairs]


def _source(pair: Pair) -> LabelSource:
    return pair.labels or LabelSource(path=pair.reference)


def _configured(config: EvaluateConfig) -> Parts:
    boxes = {name: box_of(box, f"labelled_boxes: that of {name}") for name, box in config.labelled_boxes.items()}
    return {
        name: LabelledPart(slices=config.labelled.get(name, ""), box=boxes.get(name))
        for name in {*config.labelled, *boxes}
    }


def _listed(labels: Path) -> Parts:
    for folder in [labels, labels.parent] if labels.name in IMAGE_FOLDER_OF else [labels]:
        entries = read_object(folder / FILE).get("cases")
        if isinstance(entries, list):
            cases = [case for entry in entries if (case := read_case_entry(entry, folder / FILE)) is not None]
            return {case.name: case.labels.part for case in cases if case.is_sparse or case.labelled_slices}
    return {}
