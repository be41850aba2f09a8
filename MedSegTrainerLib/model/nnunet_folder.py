"""A trained model as nnU-Net leaves it, in a folder or a zip: where its files lie and what it says of itself.

``DatasetNNN_X/TRAINER__PLANS__CONFIGURATION/{plans.json, dataset.json, fold_K/checkpoint_final.pth}``; each fold is a
member of an ensemble. Only JSON is read here, and nothing is unpacked to disk; ``postprocessing.pkl`` is never opened.
Only the standard library is imported, so that Slicer's Python can say what a model is.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any, TypeVar

from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.files.json_input import parse_json
from MedSegTrainerLib.files.regular_file import refuse_no_file
from MedSegTrainerLib.model.checkpoint_file import told_texts
from MedSegTrainerLib.model.description import DESCRIPTION, LARGEST, NOT_READ, SCHEMA_VERSION, WEIGHTS, DescriptionError
from MedSegTrainerLib.model.nnunet_plans import configuration_names, is_own_trainer, plan_entries
from MedSegTrainerLib.model.nnunet_summary import joined_metrics, summary_metrics

JOB = "job.json"  # of this program
PLANS, DATASET, SUMMARY = "plans.json", "dataset.json", "validation/summary.json"
CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")  # the first that any fold has
FOLD = re.compile(r"fold_(\d{1,3}|all)")
PLACES = (PLANS, f"*/{PLANS}", f"Dataset*/*/{PLANS}")  # below what is given
MOST_FOLDS, MOST_NAMED = 100, 5
UNSUSPECTED, MOST_PACKED = 64 << 20, 100  # bytes in a zip, and times that weights can be packed
LARGEST_CHECKPOINT = LARGEST[WEIGHTS]
Files = Mapping[str, Any]
Result = TypeVar("Result")


@dataclass(frozen=True, kw_only=True)
class NnunetFolder:
    """path: as it was given. place: the model within it, by its name. files: name within the model, such as
    ``fold_0/checkpoint_final.pth``, to a path, or to the member of the zip."""

    path: Path
    place: PurePosixPath
    files: Files

    @contextmanager
    def opened(self, name: str, largest: int) -> Iterator[tuple[IO[bytes], int]]:
        """A file of the model as a stream, with its number of bytes; raises DescriptionError."""
        if name not in self.files:
            raise refused(self.path, f"{name} is missing. Copy the whole folder")
        where = self.files[name]
        if isinstance(where, Path):
            refuse_no_file(where, ModelError)
            size = where.stat().st_size
        else:
            size = where.file_size
        if size > largest or (not isinstance(where, Path) and size > UNSUSPECTED + MOST_PACKED * where.compress_size):
            raise refused(self.path, f"{name} claims {size} bytes. It is not opened")
        if isinstance(where, Path):
            with where.open("rb") as stream:
                yield stream, size
            return
        with _archive(self.path) as archive, archive.open(where) as stream:
            yield stream, size

    def json(self, name: str) -> Any:
        """The value of a file of JSON; raises DescriptionError."""
        with self.opened(name, LARGEST[DESCRIPTION]) as (stream, size):
            text = stream.read(size)
        try:
            return parse_json(text, name, ModelError)
        except ModelError as error:
            raise refused(self.path, str(error).rstrip(".")) from None

    @property
    def file(self) -> Path:
        """The file that tells when the model was written: the first checkpoint, or the zip."""
        first = self.files[next(iter(self.folds.values()), PLANS)]
        return first if isinstance(first, Path) else self.path

    @property
    def folds(self) -> dict[str, str]:
        """Name of each fold to its checkpoint: those that end in a number, else ``fold_all``, as nnU-Net takes them."""
        for checkpoint in CHECKPOINTS:
            found = {
                name.split("/")[0]: name
                for name in self.files
                if name.endswith(f"/{checkpoint}") and FOLD.fullmatch(name.split("/")[0]) and name.count("/") == 1
            }
            numbered = sorted(
                (fold for fold in found if fold != "fold_all"), key=lambda fold: int(fold[len("fold_") :])
            )
            if found:
                return {fold: found[fold] for fold in numbered or found}
        return {}


def find_nnunet(path: Path) -> NnunetFolder | None:
    """The nnU-Net model in a folder (of the model, of its data set, or of one of its folds) or a zip; None where there
    is none. Raises DescriptionError where there are several, or a zip cannot be read."""
    if path.is_file():
        return _in_zip(path)
    if not path.is_dir() or any((path / name).exists() for name in (DESCRIPTION, JOB)):
        return None
    one = FOLD.fullmatch(path.name) is not None and (path.parent / PLANS).is_file()
    roots = [path.parent] if one else _roots(path)
    root = _single({PurePosixPath(*root.relative_to(path.parent).parts): root for root in roots}, path)
    if root is None:
        return None
    folds = [path] if one else [folder for folder in root.iterdir() if FOLD.fullmatch(folder.name)]
    names = [PLANS, DATASET, *(f"{fold.name}/{name}" for fold in folds for name in (*CHECKPOINTS, SUMMARY))]
    files = {name: root / name for name in names if (root / name).exists()}
    return NnunetFolder(path=path, place=PurePosixPath(root.resolve().parent.name, root.name), files=files)


def describe_nnunet(folder: NnunetFolder) -> dict[str, Any]:
    """What ``model.json`` would hold of it, as far as JSON tells; raises DescriptionError.

    The axes that may be mirrored stand in the checkpoint alone; here they are all.
    """
    trainer, configuration = identity(folder)
    plans, dataset = (_object(folder, name) for name in (PLANS, DATASET))
    entries, problems = plan_entries(plans, dataset, configuration, trainer)
    if not folder.folds:
        problems.append(f"no fold_0, fold_1, ... has a {' or '.join(CHECKPOINTS)}.")
    if len(folder.folds) > MOST_FOLDS:
        problems.append(f"it has {len(folder.folds)} folds, and {MOST_FOLDS} are most.")
    if problems:
        raise refused(folder.path, "; ".join(problem.rstrip(".") for problem in problems))
    about = {
        "from": "nnU-Net",
        "dataset": str(plans.get("dataset_name", folder.place.parent.name)),
        "trainer": trainer,
        "plans": str(plans.get("plans_name", "")),
        "configuration": configuration,
    }
    if isinstance(dataset.get("numTraining"), int):
        about["cases"] = dataset["numTraining"]
    if not is_own_trainer(trainer):
        about["differences"] = (
            f"{trainer} is no trainer of nnU-Net itself. Its weights fit the network of the plans; if it changed what "
            "has no weights, such as the activation, results are wrong here. Compare one with nnU-Net's own"
        )
    members = [_member(folder, fold, entries, about) for fold in folder.folds]
    document = {"schema_version": SCHEMA_VERSION, **members[0]}
    del document["weights"]
    if len(members) == 1:
        return document
    together = {
        "training": {"imported": {**about, "fold": ", ".join(folder.folds)}},
        "metrics": joined_metrics([member["metrics"] for member in members]),
    }
    return {**document, **together, "members": members}


def _member(folder: NnunetFolder, fold: str, plan: dict[str, Any], about: dict[str, Any]) -> dict[str, Any]:
    """What ``model.json`` would hold of a fold."""
    return {
        "weights": folder.folds[fold],
        "plan": plan,
        "training": {"imported": {**about, "fold": fold}},
        "metrics": _metrics(folder, fold, [item["name"] for item in plan["classes"]]),
        "data": {},
        "curves": [],
        "postprocessing": [],
    }


def identity(folder: NnunetFolder) -> tuple[str, str]:
    """Trainer and configuration, by the name of the folder, else by the first checkpoint; raises DescriptionError."""
    parts = folder.place.name.split("__")
    if len(parts) == 3 and parts[2] in configuration_names(_object(folder, PLANS)):
        return parts[0], parts[2]
    if not folder.folds:
        raise refused(folder.path, f"no fold_0, fold_1, ... has a {' or '.join(CHECKPOINTS)}")
    name = next(iter(folder.folds.values()))
    keys = ("trainer_name", "configuration")
    told = read_checkpoint(folder, name, lambda stream, size: told_texts(stream, size, keys))
    if len(told) < len(keys):
        raise refused(folder.path, f"{name} names no trainer and configuration")
    return told["trainer_name"], told["configuration"]


def read_checkpoint(folder: NnunetFolder, name: str, work: Callable[[IO[bytes], int], Result]) -> Result:
    """What ``work`` makes of the stream and the size of a checkpoint; its ModelErrors begin with the file."""
    with folder.opened(name, LARGEST_CHECKPOINT) as (stream, size):
        try:
            return work(stream, size)
        except ModelError as error:
            raise refused(folder.path, f"{name}: {str(error).rstrip('.')}") from None


def refused(path: Path, reason: str) -> DescriptionError:
    return DescriptionError("foreign", f"{path} is an nnU-Net model that cannot be used here: {reason}.", reason)


def _object(folder: NnunetFolder, name: str) -> dict[str, Any]:
    value = folder.json(name)
    if not isinstance(value, dict):
        raise refused(folder.path, f"{name} is no object")
    return value


def _metrics(folder: NnunetFolder, fold: str, names: list[str]) -> dict[str, Any]:
    """How good a fold was on the cases that it held out; {} where nobody says."""
    name = f"{fold}/{SUMMARY}"
    if name not in folder.files or fold == "fold_all":  # which validates on what trained it
        return {}
    with folder.opened(name, LARGEST[DESCRIPTION]) as (stream, size):
        return summary_metrics(stream.read(size), names)


def _roots(path: Path) -> list[Path]:
    """Folders of nnU-Net models in a folder, at the first depth that has any."""
    for place in PLACES:
        found = sorted(file.parent for file in path.glob(place) if any(map(_is_fold, file.parent.iterdir())))
        if found:
            return found
    return []


def _is_fold(folder: Path) -> bool:
    return FOLD.fullmatch(folder.name) is not None and folder.is_dir()


def _in_zip(path: Path) -> NnunetFolder | None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {PurePosixPath(info.filename): info for info in archive.infolist() if not info.is_dir()}
    except NOT_READ:
        return None
    members = {name: info for name, info in members.items() if not name.is_absolute() and ".." not in name.parts}
    folds = {name.parent.parent for name in members if name.name in CHECKPOINTS and FOLD.fullmatch(name.parent.name)}
    roots = {name.parent: name.parent for name in members if name.name == PLANS and name.parent in folds}
    root = _single(roots, path)
    if root is None or any(name.name == DESCRIPTION for name in members):
        return None
    files = {name.relative_to(root).as_posix(): info for name, info in members.items() if name.is_relative_to(root)}
    return NnunetFolder(path=path, place=root if root.name else PurePosixPath(path.stem), files=files)


def _single(roots: Mapping[PurePosixPath, Result], path: Path) -> Result | None:
    if len(roots) > 1:
        named = ", ".join(str(root) for root in sorted(roots)[:MOST_NAMED])
        how = "Unpack it, and give the folder of one" if path.is_file() else "Give its folder"
        raise refused(path, f"it holds {len(roots)} models ({named}), and one is needed. {how}")
    return next(iter(roots.values()), None)


@contextmanager
def _archive(path: Path) -> Iterator[zipfile.ZipFile]:
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive
    except DescriptionError:
        raise
    except NOT_READ as error:
        raise refused(path, f"it cannot be read as a zip file ({error})") from None
