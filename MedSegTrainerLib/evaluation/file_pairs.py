"""Which files belong together: a prediction, its reference and the image that a picture needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.data.case_labels import label_form
from MedSegTrainerLib.data.dataset import Case
from MedSegTrainerLib.data.layouts.name_pairs import IMAGE_WORD, LABEL_WORD, pair_by_name
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.events import Emit, Warned
from MedSegTrainerLib.imaging.label_source import LabelSource
from MedSegTrainerLib.imaging.read import IMAGE_SUFFIXES, case_name, image_files

IMAGE_FOLDER_OF = {"labels": "images", "masks": "images", "labelsTr": "imagesTr", "labelsTs": "imagesTs"}
FIRST_CHANNEL = "_0000"  # nnU-Net: CASE_0000 is the first channel of CASE
UNCERTAINTY_FOLDER = "uncertainty"  # where ``apply`` puts its maps
UNCERTAINTY_ENDINGS = ("_entropy", "_uncertainty", "_spread")
NAMES_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Pair:
    """The files of one case; ``image`` is only needed for pictures, ``uncertainty`` is a map of how unsure one was.

    labels: what the numbers in the reference mean, where it is no label map with one value a class. drawn: names of
    the classes that somebody looked for in the reference, None for all.
    """

    name: str
    prediction: Path
    reference: Path
    image: Path | None
    uncertainty: Path | None = None
    drawn: tuple[str, ...] | None = None
    labels: LabelSource | None = None


def case_pair(case: Case, prediction: Path, ignored: int | None) -> Pair:
    """A case of a data set with its prediction. ignored: value of voxels that nobody labelled."""
    return Pair(
        name=case.name,
        prediction=prediction,
        reference=case.label,
        image=case.images[0],
        drawn=case.drawn,
        labels=label_form(case, ignored),
    )


def pair_folders(predictions: Path, labels: Path, emit: Emit | None = None) -> list[Pair]:
    """Predictions and references with the same ``case_name``, in the order of their names.

    ``labels`` holds the references, or is a data set folder with ``labels``, ``masks``, ``labelsTr`` or
    ``labelsTs`` in it; images are looked for beside those. References without a prediction are not an error:
    ``emit`` gets one Warned about them. Raises DataError for a folder without label maps, for a prediction
    without a reference, and for two files of the same case.
    """
    predicted = _label_files([predictions])
    folders = [labels / name for name in IMAGE_FOLDER_OF if (labels / name).is_dir()] or [labels]
    label_files = _label_files(folders)
    references = _under_predicted(predicted, label_files)
    orphans = sorted(set(predicted) - set(references))
    if len(orphans) == len(predicted):
        raise DataError(
            f"No prediction in {predictions} has a reference in {labels}: there are {_some(orphans)} and "
            f"{_some(sorted(references))}. Files belong together when their names are equal up to the suffix."
        )
    if orphans:
        raise DataError(
            f"No reference in {labels} for {_some(orphans)}. Add the references, or remove the predictions."
        )
    images = {name: path for folder in folders for name, path in _images_beside(folder).items()}
    if references != label_files:
        images |= {name: paths[0] for name, paths in label_files.items() if IMAGE_WORD.search(name)}
    unpredicted = sorted(set(references) - set(predicted))
    if unpredicted and emit is not None:
        emit(Warned(message=f"References without a prediction were left out: {_some(unpredicted)}."))
    return [
        Pair(name=name, prediction=_only(predicted[name]), reference=_only(references[name]), image=images.get(name))
        for name in sorted(predicted)
    ]


def listed_pairs(config: EvaluateConfig) -> list[Pair]:
    """The cases that the configuration lists; raises DataError where one has no prediction."""
    predicted: dict[str, list[Path]] = {}
    folder = Path(config.predictions)
    for path in sorted(folder.iterdir()) if folder.is_dir() else []:
        predicted.setdefault(case_name(path), []).append(path)
    missing = sorted(set(config.references) - set(predicted))
    if missing:
        raise DataError(f"{config.predictions} has no prediction of {_some(missing)}. Apply the model to all cases.")
    return [
        Pair(
            name=name,
            prediction=_only(predicted[name]),
            reference=Path(reference),
            image=Path(config.images[name]) if name in config.images else None,
        )
        for name, reference in sorted(config.references.items())
    ]


def with_uncertainty(pairs: Sequence[Pair], predictions: Path, folder: str, emit: Emit | None = None) -> list[Pair]:
    """The pairs with their maps of uncertainty: files named as the case, or as the case with ``_entropy`` and the like.

    folder: where they are; '' takes those that ``apply`` left beside the predictions, if any. ``emit`` gets one Warned
    about cases without. Raises DataError for a folder that was given and has none at all.
    """
    map_folder = Path(folder) if folder else predictions / UNCERTAINTY_FOLDER
    if not folder and not map_folder.is_dir():
        return list(pairs)
    files = {case_name(path): path for path in _image_files(map_folder)}
    maps = {pair.name: _map_of(pair.name, files) for pair in pairs}
    missing = [name for name, path in maps.items() if path is None]
    if folder and len(missing) == len(pairs):
        raise DataError(
            f"{folder} has no map of uncertainty for {_some(missing)}. Maps are named as their cases, such as "
            f"{missing[0]}.nii.gz or {missing[0]}{UNCERTAINTY_ENDINGS[0]}.nii.gz."
        )
    if missing and emit is not None:
        emit(Warned(message=f"Cases without a map of uncertainty: {_some(missing)}."))
    return [replace(pair, uncertainty=maps[pair.name]) for pair in pairs]


def _under_predicted(
    predicted: Mapping[str, list[Path]], label_files: Mapping[str, list[Path]]
) -> dict[str, list[Path]]:
    """References under the names of the predictions where they share a part only: image_0001 and mask_0001, or
    CASE_0000, the result of CASE's first channel, and CASE.

    Images that lie beside such masks are left out.
    """
    references = dict(label_files)
    masks = {name: paths for name, paths in label_files.items() if not IMAGE_WORD.search(name)}
    if masks and not masks.keys() & predicted.keys() and all(LABEL_WORD.search(name) for name in masks):
        names, masks = pair_by_name({name: name for name in predicted}, masks)
        references = {names.get(key, key): paths for key, paths in masks.items()}
    for name in sorted(references.keys() - predicted.keys()):
        if name + FIRST_CHANNEL in predicted.keys() - references.keys():
            references[name + FIRST_CHANNEL] = references.pop(name)
    return references


def _map_of(name: str, files: dict[str, Path]) -> Path | None:
    return next((files[name + ending] for ending in (*UNCERTAINTY_ENDINGS, "") if name + ending in files), None)


def _label_files(folders: Sequence[Path]) -> dict[str, list[Path]]:
    files: dict[str, list[Path]] = {}
    for folder in folders:
        for path in _image_files(folder):
            files.setdefault(case_name(path), []).append(path)
    if not files:
        raise DataError(f"{folders[0]} has no label maps ({', '.join(IMAGE_SUFFIXES)}). Check the path of the folder.")
    return files


def _image_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder. Give the folder that holds the label maps.")
    return image_files(folder)


def _images_beside(labels: Path) -> dict[str, Path]:
    names = [IMAGE_FOLDER_OF[labels.name]] if labels.name in IMAGE_FOLDER_OF else sorted(set(IMAGE_FOLDER_OF.values()))
    folders = [labels.parent / name for name in names if (labels.parent / name).is_dir()]
    files = [path for folder in folders for path in _image_files(folder)]
    plain = {case_name(path): path for path in files}
    channels = {name.removesuffix(FIRST_CHANNEL): path for name, path in plain.items() if name.endswith(FIRST_CHANNEL)}
    return {**channels, **plain}


def _only(paths: list[Path]) -> Path:
    if len(paths) > 1:
        raise DataError(
            f"{len(paths)} files belong to the same case: {', '.join(str(path) for path in paths)}. Keep one of them."
        )
    return paths[0]


def _some(names: Sequence[str]) -> str:
    """The first few names, and how many more there are."""
    listed = ", ".join(names[:NAMES_SHOWN])
    return listed if len(names) <= NAMES_SHOWN else f"{listed} and {len(names) - NAMES_SHOWN} more"
