"""CITATION.cff: complete, and of one mind with the library and the extension's own files."""

from __future__ import annotations

import json
from typing import Any

import package
import pytest

import MedSegTrainerLib

yaml = pytest.importorskip("yaml", reason="PyYAML is in the extra 'test'")

REQUIRED = {"cff-version", "message", "title", "authors"}
KNOWN = REQUIRED | {"type", "abstract", "version", "license", "repository-code", "keywords"}  # of the format's 1.2.0


@pytest.fixture
def citation() -> dict[str, Any]:
    return yaml.safe_load((package.ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_has_the_fields_of_its_format(citation: dict[str, Any]) -> None:
    assert set(citation) >= REQUIRED and set(citation) <= KNOWN
    assert citation["cff-version"] == "1.2.0" and citation["type"] == "software"
    assert all(set(author) == {"name"} and author["name"] for author in citation["authors"])
    assert all(isinstance(value, str) and value for value in (citation["message"], citation["title"]))
    assert len(set(citation["keywords"])) == len(citation["keywords"]) > 0


def test_has_the_version_of_the_library(citation: dict[str, Any]) -> None:
    assert citation["version"] == MedSegTrainerLib.__version__


def test_names_the_repository_and_licence_that_the_others_name(citation: dict[str, Any]) -> None:
    entry = json.loads((package.ROOT / "Resources" / "MedSegTrainer.json").read_text(encoding="utf-8"))
    assert citation["repository-code"] == entry["scm_url"]
    assert f'license = "{citation["license"]}"' in (package.ROOT / "pyproject.toml").read_text(encoding="utf-8")
