"""The model package: ``model.json`` and ``weights.safetensors`` in a folder or a zip, and ``card.md`` for people.

It rebuilds the network alone, and opening it runs no code: JSON and safetensors hold data only. An ensemble is a
package whose ``members`` are models of the same classes, each with a plan and a file of weights of its own.
"""

from __future__ import annotations

import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import IO, Any

import safetensors.torch
import torch
from torch import nn

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.files.json_input import parse_json
from MedSegTrainerLib.model.data_profile import combine, refuse_malformed
from MedSegTrainerLib.model.postprocessing import from_json
from MedSegTrainerLib.model.weights_file import load_weights
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.state_shapes import state_shapes

SCHEMA_VERSION = 1
DESCRIPTION, WEIGHTS, CARD = "model.json", "weights.safetensors", "card.md"
LARGEST = {DESCRIPTION: 64 << 20, WEIGHTS: 8 << 30}  # bytes; no model comes near them, a zip bomb does
MOST_MEMBERS, MOST_PROBLEMS = 100, 20
JSON_NAMES: dict[type, str] = {dict: "an object", list: "a list", int: "a whole number", str: "a text"}
HEAD, TOLD = {"schema_version": int, "made_by": str}, {
    "plan": dict, "training": dict, "metrics": dict, "data": dict, "curves": list, "postprocessing": list,
}  # fmt: skip
NOT_READ = (  # of a zip that is damaged or locked, whatever it is compressed with
    zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, RuntimeError, EOFError, ValueError, OSError,
)  # fmt: skip
WEIGHTS_NAME = re.compile(r"weights(_[0-9]{1,3})?\.safetensors")  # of a member: a file of the package, no path


Opened = Callable[[str], AbstractContextManager[tuple[IO[bytes], int]]]


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A trained model. ``training`` tells how it was made, ``metrics`` how good it was on held-out cases.

    data: what its training images were like, as ``data_profile.describe`` gives it.
    curves: a point for each validation.
    postprocessing: what clean-up of label maps helps each class (``postprocessing.to_json``), with figures.
    """

    plan: Plan
    weights: Mapping[str, torch.Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)
    postprocessing: list[dict[str, Any]] = field(default_factory=list)

    def build(self) -> nn.Module:
        """The network with its weights, in evaluation mode; raises ModelError where they do not fit."""
        network = build_network(self.plan.architecture, self.plan.network)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            told = str(error).splitlines()[-1].strip()
            raise ModelError(f"The weights do not fit the network {self.plan.architecture}: {told}") from None
        return network.eval()


def save_package(package: ModelPackage, folder: Path) -> None:
    """Writes weights, then description, each at once: the folder is a complete package at every moment."""
    _write_weights(package, folder, WEIGHTS)
    save_description(package, folder)


def save_description(package: ModelPackage, folder: Path) -> None:
    """Writes ``model.json`` and the card alone, for new metrics of the same weights."""
    _write_description([package], {**_head(), **_told(package)}, folder)


def save_ensemble(
    members: Sequence[ModelPackage], folder: Path, *, training: Mapping[str, Any], metrics: Mapping[str, Any]
) -> None:
    """Writes models of the same classes as one package; ``training`` and ``metrics`` are those of them together.

    Who reads no ensembles sees the plan of the first. Raises ModelError where the classes differ.
    """
    _refuse_other_classes(members, str(folder))
    names = [WEIGHTS, *(f"weights_{index}.safetensors" for index in range(1, len(members)))]
    for member, name in zip(members, names, strict=True):
        _write_weights(member, folder, name)
    data = combine([member.data for member in members])
    together = replace(
        members[0], training=dict(training), metrics=dict(metrics), data=data, curves=[], postprocessing=[]
    )
    listed = [{"weights": name, **_told(member)} for member, name in zip(members, names, strict=True)]
    _write_description(members, {**_head(), **_told(together), "members": listed}, folder)


def load_package(path: Path) -> ModelPackage:
    """One model from its folder, its zip, or the job folder that made it; raises ModelError, also for an ensemble."""
    members = load_members(path)
    if len(members) > 1:
        raise ModelError(f"{path} is an ensemble of {len(members)} models, and one model is needed. Take one of them.")
    return members[0]


def load_members(path: Path) -> list[ModelPackage]:
    """The models of an ensemble, from its folder, its zip or its job; a single model is a list of one.

    Raises ModelError.
    """
    with _opened(path) as opened:
        document = _parsed(opened, path)
        entries = document.get("members") or [{**document, "weights": WEIGHTS}]
        names = [entry["weights"] for entry in entries]
        if len(entries) > MOST_MEMBERS or len(set(names)) < len(names):
            raise _damaged(
                path, f"it has {len(entries)} members; each needs a file of its own, and {MOST_MEMBERS} are most"
            )
        members = [_member(entry, opened, path) for entry in entries]
    _refuse_other_classes(members, str(path))
    return members


def read_description(path: Path) -> dict[str, Any]:
    """What ``model.json`` holds of a package in a folder, a zip or a job; raises ModelError."""
    with _opened(path) as opened:
        return _parsed(opened, path)


def _head() -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "made_by": f"MedSegTrainer {__version__}"}


def _told(package: ModelPackage) -> dict[str, Any]:
    return {
        "plan": package.plan.to_json(), "training": package.training, "metrics": package.metrics,
        "data": package.data, "curves": package.curves, "postprocessing": package.postprocessing,
    }  # fmt: skip


def _write_weights(package: ModelPackage, folder: Path, name: str) -> None:
    weights = {key: value.detach().to("cpu").contiguous() for key, value in package.weights.items()}
    with atomic.storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(folder / name, safetensors.torch.save(weights))


def _write_description(members: Sequence[ModelPackage], document: Mapping[str, Any], folder: Path) -> None:
    from MedSegTrainerLib.model.card import card_page  # which reads packages itself

    atomic.write_json(folder / DESCRIPTION, document)
    atomic.write_bytes(folder / CARD, card_page(members, document).encode())


def _parsed(opened: Opened, path: Path) -> dict[str, Any]:
    with opened(DESCRIPTION) as (stream, size):
        text = stream.read(size)
    try:
        document = parse_json(text, DESCRIPTION, ModelError)
    except ModelError as error:
        raise _damaged(path, str(error)) from None
    if not isinstance(document, dict) or "schema_version" not in document:
        raise _damaged(path, "it has no schema_version")
    if document["schema_version"] != SCHEMA_VERSION:
        version = document["schema_version"]
        raise ModelError(f"{path} has model format {version!r}; this version reads {SCHEMA_VERSION}. Update one.")
    problems = [*_entry_problems(document, {**HEAD, **TOLD, "members": list})]
    for member in document["members"] if isinstance(document.get("members"), list) else []:
        problems += _entry_problems(member, {"weights": str, **TOLD})
    if problems:
        raise _damaged(path, "; ".join(problems[:MOST_PROBLEMS]))
    return document


def _entry_problems(entry: Any, types: Mapping[str, type]) -> list[str]:
    """What is missing, unknown or of another kind; optional are all but plan and weights."""
    if not isinstance(entry, dict):
        return [f"{entry!r:.40} is no object"]
    missing = [f"{name} is missing" for name in ("plan", "weights") if name in types and name not in entry]
    unknown = [f"{name!r:.60} is unknown, as of a later version" for name in entry.keys() - types.keys()]
    wrong = [
        f"{name} must be {JSON_NAMES[types[name]]}"
        for name in entry
        if not isinstance(entry[name], types.get(name, object))
    ]
    return missing + unknown + wrong


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(
        f"{path} is no model of this program: {DESCRIPTION} is damaged, or of a later version: {reason}\n"
        "Copy the model again, or update MedSegTrainer."
    )


def _member(entry: Mapping[str, Any], opened: Opened, path: Path) -> ModelPackage:
    name = entry["weights"]
    if not WEIGHTS_NAME.fullmatch(name):
        raise _damaged(path, f"{name!r} is no name of weights")
    told = {key: entry[key] for key in TOLD if key in entry and key != "plan"}
    try:
        plan = parse_plan(entry["plan"])
        refuse_malformed(told.get("data", {}), len(plan.normalization))
        cleaned = {item.value for item in from_json(told.get("postprocessing", []))}
        if cleaned - {item.value for item in plan.classes}:
            raise ModelError("postprocessing cleans classes that the plan does not have")
        shapes = state_shapes(plan.architecture, plan.network)
    except ModelError as error:
        raise _damaged(path, str(error)) from None
    with opened(name) as (stream, size):
        try:
            weights = load_weights(stream, size, shapes)
        except ModelError as error:
            raise ModelError(
                f"{path}: {name} is damaged, or of another network than {plan.architecture}: {error}. Copy the model "
                "again."
            ) from None
    return ModelPackage(plan=plan, weights=weights, **told)


def _refuse_other_classes(members: Sequence[ModelPackage], where: str) -> None:
    known = [(item.value, item.name) for item in members[0].plan.classes]
    for member in members[1:]:
        if [(item.value, item.name) for item in member.plan.classes] != known:
            raise ModelError(f"{where}: the models of an ensemble must have the same classes, and these differ.")


@contextmanager
def _opened(path: Path) -> Iterator[Opened]:
    """What opens a member of the package by its name, as a stream and its number of bytes. Of a zip nothing is unpacked
    to disk, whatever the paths in it say."""
    if not path.is_file():
        folder = _folder_of(path)
        yield lambda name: _open_file(folder / name, path)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = {PurePosixPath(info.filename).name: info for info in archive.infolist() if not info.is_dir()}
            if not {DESCRIPTION, WEIGHTS} <= members.keys():
                raise ModelError(f"{path} is no model: the zip lacks {DESCRIPTION} or {WEIGHTS}.")

            @contextmanager
            def open_member(name: str) -> Iterator[tuple[IO[bytes], int]]:
                if name not in members:
                    raise ModelError(f"{path} is no whole model: the zip lacks {name}.")
                _refuse_large(path, name, members[name].file_size)
                with archive.open(members[name]) as stream:
                    yield stream, members[name].file_size

            yield open_member
    except NOT_READ as error:
        raise ModelError(
            f"{path} is no model: it cannot be read as a zip file ({error}). Give a model folder, its zip or a job."
        ) from None


@contextmanager
def _open_file(file: Path, path: Path) -> Iterator[tuple[IO[bytes], int]]:
    if not file.is_file():
        raise ModelError(f"{path} is no whole model: {file.name} is missing. Copy the model again.")
    size = file.stat().st_size
    _refuse_large(path, file.name, size)
    with file.open("rb") as stream:
        yield stream, size


def _refuse_large(path: Path, name: str, size: int) -> None:
    if size > LARGEST.get(name, LARGEST[WEIGHTS]):
        raise ModelError(f"{path}: {name} claims {size} bytes. It is not opened.")


def _folder_of(path: Path) -> Path:
    if not path.exists():
        raise ModelError(f"The model {path} does not exist. Check the path.")
    folder = path / "model" if (path / "model" / DESCRIPTION).exists() else path
    if not (folder / DESCRIPTION).exists() or not (folder / WEIGHTS).exists():
        hint = "The job has no model yet; train it first." if (path / "job.json").exists() else (
            f"A model is a folder (or zip) with {DESCRIPTION} and {WEIGHTS}, or a job folder."
        )  # fmt: skip
        raise ModelError(f"{path} holds no model. {hint}")
    return folder
