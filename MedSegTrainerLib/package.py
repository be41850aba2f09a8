"""The model package: ``model.json`` and ``weights.safetensors`` in a folder or a zip, and ``card.md`` for people.

It rebuilds the network alone, and opening it runs no code: JSON and safetensors hold data only. An ensemble is a
package whose ``members`` are models of the same classes, each with a plan and a file of weights of its own.
"""

from __future__ import annotations

import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.likeness import combine
from MedSegTrainerLib.models import build_network
from MedSegTrainerLib.plan import Plan

SCHEMA_VERSION = 1
DESCRIPTION, WEIGHTS, CARD = "model.json", "weights.safetensors", "card.md"
LARGEST = {DESCRIPTION: 64 << 20, WEIGHTS: 8 << 30}  # bytes; no model comes near them, a zip bomb does
WEIGHTS_NAME = re.compile(r"weights(_[0-9]{1,3})?\.safetensors")  # of a member: a file of the package, no path


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A trained model. ``training`` tells how it was made, ``metrics`` how good it was on held-out cases.

    data: what its training images were like, as ``likeness.describe`` gives it. curves: a point for each validation.
    postprocessing: what clean-up of label maps helps each class (``cleaning.to_json``), with figures.
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
    with _opened(path) as read:
        document = _parsed(read(DESCRIPTION), path)
        try:
            entries = document.get("members") or [{**document, "weights": WEIGHTS}]
            members = [_member(entry, read, path) for entry in entries]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise _damaged(path, error) from None
    _refuse_other_classes(members, str(path))
    return members


def read_description(path: Path) -> dict[str, Any]:
    """What ``model.json`` holds of a package in a folder, a zip or a job; raises ModelError."""
    with _opened(path) as read:
        return _parsed(read(DESCRIPTION), path)


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
    from MedSegTrainerLib.card import card_page  # which reads packages itself

    atomic.write_json(folder / DESCRIPTION, document)
    atomic.write_bytes(folder / CARD, card_page(members, document).encode())


def _parsed(text: bytes, path: Path) -> dict[str, Any]:
    try:
        document: dict[str, Any] = json.loads(text)
        version = document["schema_version"]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _damaged(path, error) from None
    if version != SCHEMA_VERSION:
        raise ModelError(f"{path} has model format {version}; this version reads {SCHEMA_VERSION}. Update one.")
    return document


def _damaged(path: Path, error: Exception) -> ModelError:
    return ModelError(f"{path} is no model of this program: {DESCRIPTION} is damaged ({error}).")


def _member(entry: Mapping[str, Any], read: Callable[[str], bytes], path: Path) -> ModelPackage:
    name = entry["weights"]
    if not WEIGHTS_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is no name of weights")
    plan = Plan.from_json(entry["plan"])
    try:
        tensors = safetensors.torch.load(read(name))
    except SafetensorError as error:
        raise ModelError(f"{path}: {name} is damaged ({error}). Copy the model again.") from None
    return ModelPackage(
        plan=plan, weights=tensors, training=entry.get("training", {}), metrics=entry.get("metrics", {}),
        data=entry.get("data", {}), curves=entry.get("curves", []), postprocessing=entry.get("postprocessing", []),
    )  # fmt: skip


def _refuse_other_classes(members: Sequence[ModelPackage], where: str) -> None:
    known = [(item.value, item.name) for item in members[0].plan.classes]
    for member in members[1:]:
        if [(item.value, item.name) for item in member.plan.classes] != known:
            raise ModelError(f"{where}: the models of an ensemble must have the same classes, and these differ.")


@contextmanager
def _opened(path: Path) -> Iterator[Callable[[str], bytes]]:
    """What reads a member of the package by its name. Of a zip only in memory: nothing is unpacked, whatever the
    paths in it say."""
    if not path.is_file():
        folder = _folder_of(path)
        yield lambda name: _read_file(folder / name, path)
        return
    try:
        with zipfile.ZipFile(path) as archive:
            members = {PurePosixPath(info.filename).name: info for info in archive.infolist() if not info.is_dir()}
            if not {DESCRIPTION, WEIGHTS} <= members.keys():
                raise ModelError(f"{path} is no model: the zip lacks {DESCRIPTION} or {WEIGHTS}.")

            def read(name: str) -> bytes:
                if name not in members:
                    raise ModelError(f"{path} is no whole model: the zip lacks {name}.")
                if members[name].file_size > LARGEST.get(name, LARGEST[WEIGHTS]):
                    raise ModelError(f"{path}: {name} claims {members[name].file_size} bytes. It is not opened.")
                return archive.read(members[name])

            yield read
    except (zipfile.BadZipFile, zlib.error, RuntimeError, EOFError, ValueError, OSError) as error:  # damaged or locked
        raise ModelError(
            f"{path} is no model: it cannot be read as a zip file ({error}). Give a model folder, its zip or a job."
        ) from None


def _read_file(file: Path, path: Path) -> bytes:
    if not file.is_file():
        raise ModelError(f"{path} is no whole model: {file.name} is missing. Copy the model again.")
    return file.read_bytes()


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
