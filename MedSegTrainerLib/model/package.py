"""The model package: ``model.json`` and ``weights.safetensors`` in a folder or a zip, and ``card.md`` for people.

It rebuilds the network alone, and opening it runs no code: JSON and safetensors hold data only. An ensemble is a
package whose ``members`` are models of the same classes, each with a plan and a file of weights of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from torch import nn

from MedSegTrainerLib import __version__, atomic
from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.any_description import read_description
from MedSegTrainerLib.model.card import card_page, card_text
from MedSegTrainerLib.model.data_profile import combine, refuse_malformed
from MedSegTrainerLib.model.description import (
    CARD,
    DESCRIPTION,
    ENTRIES,
    SCHEMA_VERSION,
    WEIGHTS,
    Opened,
    damaged,
    open_package,
    parse_description,
)
from MedSegTrainerLib.model.likely_dice import joined_points, refuse_misfits
from MedSegTrainerLib.model.nnunet_folder import find_nnunet
from MedSegTrainerLib.model.nnunet_weights import load_folds
from MedSegTrainerLib.model.postprocessing import from_json
from MedSegTrainerLib.model.weights_file import load_weights
from MedSegTrainerLib.networks import build_network
from MedSegTrainerLib.networks.state_shapes import state_shapes

MOST_MEMBERS = 100
WEIGHTS_NAME = re.compile(r"weights(_[0-9]{1,3})?\.safetensors")  # of a member: a file of the package, no path


@dataclass(frozen=True, kw_only=True)
class ModelPackage:
    """A trained model. ``training`` tells how it was made, ``metrics`` how good it was on held-out cases.

    data: what its training images were like, as ``data_profile.describe`` gives it.
    curves: a point for each validation.
    postprocessing: what clean-up of label maps helps each class (``postprocessing.to_json``), with figures.
    likely_dice: how far looks at held-out cases agreed, and their Dice (``likely_dice.to_json``); {} of older models.
    """

    plan: Plan
    weights: Mapping[str, torch.Tensor]
    training: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    curves: list[dict[str, Any]] = field(default_factory=list)
    postprocessing: list[dict[str, Any]] = field(default_factory=list)
    likely_dice: dict[str, Any] = field(default_factory=dict)

    def build(self) -> nn.Module:
        """The network with its weights, in evaluation mode; raises ModelError where they do not fit."""
        network = build_network(self.plan.architecture, self.plan.network)
        try:
            network.load_state_dict(dict(self.weights))
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise ModelError(f"The weights do not fit the network {self.plan.architecture}: {reason}") from None
        return network.eval()


def save_package(package: ModelPackage, folder: Path) -> None:
    """Writes weights, then description, each at once: the folder is a complete package at every moment."""
    _write_weights(package, folder, WEIGHTS)
    save_description(package, folder)


def save_description(package: ModelPackage, folder: Path) -> None:
    """Writes ``model.json`` and the card alone, for new metrics of the same weights."""
    _write_description([package], describe_package(package), folder)


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
    combined = replace(
        members[0],
        training=dict(training),
        metrics=dict(metrics),
        data=data,
        curves=[],
        postprocessing=[],
        likely_dice=joined_points([member.likely_dice for member in members]),
    )
    listed = [{"weights": name, **_entries(member)} for member, name in zip(members, names, strict=True)]
    _write_description(members, {**_head(), **_entries(combined), "members": listed}, folder)


def load_package(path: Path) -> ModelPackage:
    """One model from its folder, its zip, or the job folder that made it; raises ModelError, also for an ensemble."""
    members = load_members(path)
    if len(members) > 1:
        raise ModelError(f"{path} is an ensemble of {len(members)} models, and one model is needed. Take one of them.")
    return members[0]


def load_members(path: Path) -> list[ModelPackage]:
    """The models of an ensemble, from its folder, its zip or its job, or the folds of an nnU-Net model; a single model
    is a list of one.

    Raises ModelError.
    """
    nnunet = find_nnunet(path)
    if nnunet is not None:
        return [ModelPackage(**vars(fold)) for fold in load_folds(nnunet)]
    with open_package(path) as opened:
        document = parse_description(opened, path)
        entries = document.get("members") or [{**document, "weights": WEIGHTS}]
        names = [entry["weights"] for entry in entries]
        if len(entries) > MOST_MEMBERS or len(set(names)) < len(names):
            raise damaged(
                path, f"it has {len(entries)} members; each needs a file of its own, and {MOST_MEMBERS} are most"
            )
        members = [_member(entry, opened, path) for entry in entries]
    _refuse_other_classes(members, str(path))
    return members


def read_card(path: Path) -> str:
    """The card of a model in a folder, a zip or a job; raises ModelError."""
    members, document = load_members(path), read_description(path)
    try:
        return card_text([member.plan for member in members], document)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(
            f"{path}: what model.json tells of training and metrics is damaged ({error}). Copy the model again."
        ) from None


def describe_package(package: ModelPackage) -> dict[str, Any]:
    """The content of ``model.json`` for one model."""
    return {**_head(), **_entries(package)}


def _head() -> dict[str, Any]:
    return {"schema_version": SCHEMA_VERSION, "made_by": f"MedSegTrainer {__version__}"}


def _entries(package: ModelPackage) -> dict[str, Any]:
    return {
        "plan": package.plan.to_json(),
        "training": package.training,
        "metrics": package.metrics,
        "data": package.data,
        "curves": package.curves,
        "postprocessing": package.postprocessing,
        **({"likely_dice": package.likely_dice} if package.likely_dice else {}),
    }


def _write_weights(package: ModelPackage, folder: Path, name: str) -> None:
    weights = {key: value.detach().to("cpu").contiguous() for key, value in package.weights.items()}
    with atomic.storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    atomic.write_bytes(folder / name, safetensors.torch.save(weights))


def _write_description(members: Sequence[ModelPackage], document: Mapping[str, Any], folder: Path) -> None:
    atomic.write_json(folder / DESCRIPTION, document)
    atomic.write_bytes(folder / CARD, card_page([member.plan for member in members], document).encode())


def _member(entry: Mapping[str, Any], opened: Opened, path: Path) -> ModelPackage:
    name = entry["weights"]
    if not WEIGHTS_NAME.fullmatch(name):
        raise damaged(path, f"{name!r} is no name of weights")
    attributes = {key: entry[key] for key in ENTRIES if key in entry and key != "plan"}
    try:
        plan = parse_plan(entry["plan"])
        refuse_malformed(attributes.get("data", {}), len(plan.normalization))
        cleaned = {item.value for item in from_json(attributes.get("postprocessing", []))}
        if cleaned - {item.value for item in plan.classes}:
            raise ModelError("postprocessing cleans classes that the plan does not have")
        refuse_misfits(attributes.get("likely_dice", {}), [item.value for item in plan.classes])
        shapes = state_shapes(plan.architecture, plan.network)
    except ModelError as error:
        raise damaged(path, str(error)) from None
    with opened(name) as (stream, size):
        try:
            weights = load_weights(stream, size, shapes)
        except ModelError as error:
            raise ModelError(
                f"{path}: {name} is damaged, or of another network than {plan.architecture}: {error}. Copy the model "
                "again."
            ) from None
    return ModelPackage(plan=plan, weights=weights, **attributes)


def _refuse_other_classes(members: Sequence[ModelPackage], where: str) -> None:
    expected = [(item.value, item.name) for item in members[0].plan.classes]
    for member in members[1:]:
        if member.plan.overlapping != members[0].plan.overlapping:
            raise ModelError(f"{where}: classes of some models of the ensemble overlap, those of others do not.")
        if [(item.value, item.name) for item in member.plan.classes] != expected:
            raise ModelError(f"{where}: the models of an ensemble must have the same classes, and these differ.")
