"""A model of another program becomes a model package of this one: JSON and safetensors in a new folder."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from MedSegTrainerLib import atomic
from MedSegTrainerLib.errors import UsageError
from MedSegTrainerLib.model.any_description import read_description
from MedSegTrainerLib.model.package import ModelPackage, load_members, save_ensemble, save_package


def import_model(source: Path, output: Path) -> Sequence[ModelPackage]:
    """Writes the model in a folder or zip as a new folder, several folds as an ensemble, and returns its members.

    Raises UsageError where the folder is there, and ModelError where the model cannot be used; nothing is left then.
    """
    if output.exists():
        raise UsageError(f"{output} is there already and stays as it is. Choose another name.")
    members = load_members(source)
    document = read_description(source)
    with atomic.storage_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".tmp-", dir=output.parent) as folder, atomic.storage_errors(output):
        made = Path(folder) / output.name
        if len(members) == 1:
            save_package(members[0], made)
        else:
            save_ensemble(members, made, training=document.get("training", {}), metrics=document.get("metrics", {}))
        made.replace(output)
    return members
