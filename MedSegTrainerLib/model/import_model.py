"""A model of another program becomes a model package of this one: JSON and safetensors in a new folder."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import ModelError, UsageError
from MedSegTrainerLib.files.regular_file import refuse_no_file
from MedSegTrainerLib.model.any_description import read_description
from MedSegTrainerLib.model.auto3dseg import load_auto3dseg
from MedSegTrainerLib.model.description import LARGEST, WEIGHTS
from MedSegTrainerLib.model.package import ModelPackage, load_members, save_ensemble, save_package

CHECKPOINTS = (".pt", ".pth")


def import_model(source: Path, output: Path) -> Sequence[ModelPackage]:
    """Writes the model in a folder, a zip or a ``model.pt`` as a new folder, several folds as an ensemble, and returns
    its members.

    Raises UsageError where the folder is there, and ModelError where the model cannot be used; nothing is left then.
    """
    if output.exists():
        raise UsageError(f"{output} is there already and stays as it is. Choose another name.")
    members, training, metrics = _read(source)
    with atomic.storage_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=output.parent) as folder, atomic.storage_errors(output):
        made = Path(folder) / output.name
        if len(members) == 1:
            save_package(members[0], made)
        else:
            save_ensemble(members, made, training=training, metrics=metrics)
        made.replace(output)
    return members


def _read(source: Path) -> tuple[Sequence[ModelPackage], Mapping[str, Any], Mapping[str, Any]]:
    """The members of a model, and ``training`` and ``metrics`` of all of them together."""
    if source.suffix.lower() in CHECKPOINTS:
        refuse_no_file(source, ModelError)
        size = source.stat().st_size
        if size > LARGEST[WEIGHTS]:
            raise ModelError(f"{source} claims {size} bytes. It is not opened.")
        try:
            with source.open("rb") as stream:
                plan, weights, training = load_auto3dseg(stream, size)
        except ModelError as error:
            raise ModelError(f"{source} is a model that cannot be used here: {str(error).rstrip('.')}.") from None
        return [ModelPackage(plan=plan, weights=weights, training=training)], training, {}
    members, document = load_members(source), read_description(source)
    return members, document.get("training", {}), document.get("metrics", {})
