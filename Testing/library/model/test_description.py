"""What is wrong with a model that cannot be read has a name, for a program that says it in another language."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest

from MedSegTrainerLib.model.any_description import read_description
from MedSegTrainerLib.model.description import DESCRIPTION, WEIGHTS, DescriptionError, model_name


def problem(path: Path) -> str:
    with pytest.raises(DescriptionError) as caught:
        read_description(path)
    return caught.value.problem


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / DESCRIPTION).write_text(json.dumps({"schema_version": 1, "plan": {}}))
    (folder / WEIGHTS).write_bytes(b"")
    return folder


def test_a_folder_and_its_zip_are_read(model: Path, tmp_path: Path) -> None:
    archive = tmp_path / "model.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        for name in (DESCRIPTION, WEIGHTS):
            packed.write(model / name, f"inside/{name}")
    assert read_description(model) == read_description(archive) == {"schema_version": 1, "plan": {}}


def test_folders(model: Path, tmp_path: Path) -> None:
    assert problem(tmp_path / "gone") == "gone"
    assert problem(tmp_path / "model" / WEIGHTS) == "no_zip"
    (model / WEIGHTS).unlink()
    assert problem(model) == "no_model"
    (model / "job.json").write_text("{}")
    assert problem(model) == "untrained"


def test_zips(tmp_path: Path) -> None:
    archive = tmp_path / "other.zip"
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("readme.txt", "no model")
    assert problem(archive) == "zip_without_model"
    archive.write_bytes(archive.read_bytes()[:-10])
    assert problem(archive) == "no_zip"


@pytest.mark.parametrize(
    ("document", "name"),
    [("{", "damaged"), ('{"schema_version": 1, "plan": 3}', "damaged"), ('{"schema_version": 9}', "version")],
)
def test_descriptions(model: Path, document: str, name: str) -> None:
    (model / DESCRIPTION).write_text(document)
    assert problem(model) == name


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("jobs/liver/model", "liver"), ("jobs/liver", "liver"), ("liver v1.2.zip", "liver v1.2"),
        ("Dataset004_Organs/nnUNetTrainer__nnUNetPlans__2d", "Dataset004_Organs, 2d"),
    ],
)  # fmt: skip
def test_a_model_is_called_as_people_named_it(path: str, name: str) -> None:
    assert model_name(Path("/somewhere") / path) == name
