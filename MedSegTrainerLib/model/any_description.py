"""What a model says of itself, whether this program made it or nnU-Net did; standard library only."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from MedSegTrainerLib.model.description import DESCRIPTION, open_package, parse_description
from MedSegTrainerLib.model.nnunet_folder import describe_nnunet, find_nnunet


def read_description(path: Path) -> dict[str, Any]:
    """What ``model.json`` holds of a package in a folder, a zip or a job, or would hold of an nnU-Net model.

    Raises DescriptionError, and OSError where a file in a folder cannot be read.
    """
    folder = find_nnunet(path)
    if folder is not None:
        return describe_nnunet(folder)
    with open_package(path) as opened:
        return parse_description(opened, path)


def written_file(path: Path) -> Path | None:
    """The file that tells when a model was written; None where there is no model. Raises OSError."""
    for file in (path / "model" / DESCRIPTION, path / DESCRIPTION, path):
        if file.is_file():
            return file
    folder = find_nnunet(path)
    return None if folder is None else folder.file
