"""References with a file for each class, in ``cases.json`` or the folders of cases, paired by names of cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from MedSegTrainerLib.config.settings import DataConfig
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.layouts.case_list import FILE, case_list, lists_masks
from MedSegTrainerLib.data.layouts.mask_folders import mask_folders
from MedSegTrainerLib.errors import DataError, some
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.events import Emit, Warned
from MedSegTrainerLib.imaging.label_source import LabelSource
from MedSegTrainerLib.imaging.read import case_name, image_files


def masked_pairs(predictions: Path, labels: Path, emit: Emit) -> list[Pair]:
    """Predictions with the cases in a folder of references, of its cases.json or in a folder for each; [] where none of
    these has masks.

    References without a prediction are told. Raises DataError for predictions without a case, and two of one name.
    """
    listed = any(lists_masks(folder / FILE) for folder in (labels, labels / "data"))
    dataset = case_list(labels) if listed else mask_folders(labels, DataConfig()) if labels.is_dir() else None
    if dataset is None:
        return []
    if not predictions.is_dir():
        raise DataError(f"{predictions} is not a folder. Give the folder that holds the label maps.")
    by_name = {case.name: case for case in dataset.cases}
    files = image_files(predictions)
    names = [case_name(path) for path in files]
    wrong = sorted({name for name in names if name not in by_name or names.count(name) > 1})
    if wrong or not files:
        raise DataError(
            f"The label maps in {predictions} and the cases of {labels} do not belong together one by one: "
            f"{some(wrong) or 'there is no label map'}. Each needs the name of a case, once."
        )
    left = sorted(by_name.keys() - set(names))
    if left:
        emit(Warned(message=f"References without a prediction were left out: {some(left)}."))
    numbers = {} if listed else {name: value for value, name in dataset.label_names.items()}
    return [
        _pair(by_name[name], path, dataset.ignore_label, numbers)
        for name, path in sorted(zip(names, files, strict=True))
    ]


def _pair(case: Case, prediction: Path, ignored: int | None, numbers: Mapping[str, int]) -> Pair:
    """numbers: of classes of which a case may lack the mask."""
    return Pair(
        name=case.name,
        prediction=prediction,
        reference=case.label,
        image=case.images[0],
        drawn=case.drawn,
        labels=replace(case.labels, ignored_value=ignored, numbers=numbers) if case.masks else None,
    )


def with_masks(pairs: Sequence[Pair], masks: Mapping[str, Mapping[str, str]]) -> list[Pair]:
    """The pairs of a list with the files of each class where their cases have them."""

    def form(pair: Pair) -> Pair:
        files = {name: Path(file) for name, file in masks.get(pair.name, {}).items()}
        return replace(pair, labels=LabelSource(path=pair.reference, masks=files)) if files else pair

    return [form(pair) for pair in pairs]
