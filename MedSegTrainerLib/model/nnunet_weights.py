"""The weights of an nnU-Net model as this program's networks have them, fold by fold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import IO, Any

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.errors import ModelError
from MedSegTrainerLib.model.nnunet_checkpoint import checkpoint_of, loaded
from MedSegTrainerLib.model.nnunet_folder import NnunetFolder, describe_nnunet, read_checkpoint, refused
from MedSegTrainerLib.model.nnunet_tensors import from_nnunet


@dataclass(frozen=True, kw_only=True)
class Fold:
    """A member of the ensemble. training, metrics: as ``model.json`` would have them. weights: by our names."""

    plan: Plan
    weights: dict[str, torch.Tensor]
    training: dict[str, Any]
    metrics: dict[str, Any]


def load_folds(folder: NnunetFolder) -> list[Fold]:
    """All folds of a model; raises ModelError with the reason where it cannot be used.

    As in nnU-Net, the axes that may be mirrored are those of the first fold.
    """
    document = describe_nnunet(folder)
    try:
        plan = parse_plan(document["plan"])
    except ModelError as error:
        raise refused(folder.path, str(error).rstrip(".")) from None
    entries = document.get("members", [document])
    folds = [
        read_checkpoint(folder, name, partial(_fold, entry=entry, plan=plan))
        for name, entry in zip(folder.folds.values(), entries, strict=True)
    ]
    return [replace(fold, plan=folds[0].plan) for fold in folds]


def _fold(stream: IO[bytes], size: int, entry: Mapping[str, Any], plan: Plan) -> Fold:
    imported = entry["training"]["imported"]
    with loaded(stream, size) as content:
        checkpoint = checkpoint_of(content)
        found, told = (checkpoint.trainer, checkpoint.configuration), (imported["trainer"], imported["configuration"])
        if found != told:
            raise ModelError(f"it is of {' and '.join(found)}, and the model is said to be of {' and '.join(told)}")
        if any(axis >= plan.dims for axis in checkpoint.mirror_axes):
            raise ModelError(f"it may be mirrored along axes {list(checkpoint.mirror_axes)}, and has {plan.dims}")
        mapped = from_nnunet(checkpoint.weights, plan.architecture, plan.network)
        weights = {name: value.clone() for name, value in mapped.items()}  # the file is gone after this block
    axes = tuple(sorted(axis + 3 - plan.dims for axis in checkpoint.mirror_axes))
    about = imported if checkpoint.epochs is None else {**imported, "epochs": checkpoint.epochs}
    return Fold(
        plan=replace(plan, flip_axes=axes),
        weights=weights,
        training={**entry["training"], "imported": about},
        metrics=dict(entry["metrics"]),
    )
