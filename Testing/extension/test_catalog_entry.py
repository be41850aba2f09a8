"""What the Extensions Index asks of its entry and of the first CMake file; its own check reads them the same way."""

from __future__ import annotations

import json
import re
from typing import Any

import package
import pytest
from PIL import Image

ROOT = package.ROOT
ENTRY = ROOT / "Resources" / "MedSegTrainer.json"
FIELDS = {
    "$schema",
    "category",
    "scm_url",
    "scm_revision",
    "scm_type",
    "build_dependencies",
    "build_subdirectory",
    "enabled",
    "tier",
}  # fmt: skip  of the schema 1.0.1
RAW = "https://raw.githubusercontent.com/MedSegTrainer/SlicerMedSegTrainer/main/"


@pytest.fixture
def entry() -> dict[str, Any]:
    return json.loads(ENTRY.read_text(encoding="utf-8"))


@pytest.fixture
def cmake() -> str:
    return (ROOT / "CMakeLists.txt").read_text(encoding="utf-8")


def setting(cmake: str, name: str) -> str:
    return re.search(rf'set\s*\({name}\s*"([^"]+)"[ ]*\)', cmake)[1]


class TestEntry:
    def test_has_the_fields_of_its_schema(self, entry: dict[str, Any]) -> None:
        assert entry["$schema"].endswith("/Schemas/slicer-extension-catalog-entry-schema-v1.0.1.json#")
        assert set(entry) <= FIELDS
        assert {"category", "scm_url", "scm_revision", "build_dependencies", "build_subdirectory", "tier"} <= set(entry)

    def test_has_the_values_that_the_index_accepts(self, entry: dict[str, Any]) -> None:
        assert entry["category"] == "Segmentation"
        assert entry["scm_revision"] == "main" and entry["build_subdirectory"] == "." and entry["tier"] == 1
        assert re.fullmatch(r"https://github\.com/[\w-]+/Slicer\w+", entry["scm_url"])

    def test_pytorch_is_no_dependency(self, entry: dict[str, Any], cmake: str) -> None:
        assert entry["build_dependencies"] == []
        assert setting(cmake, "EXTENSION_DEPENDS") == "NA"

    def test_lines_end_in_one_character(self) -> None:
        assert b"\r" not in ENTRY.read_bytes()

    def test_is_named_like_the_extension(self, cmake: str) -> None:
        assert re.search(r"project\s*\(\s*([^\s\)]+)", cmake)[1] == ENTRY.stem
        assert not ENTRY.stem.startswith("Slicer")


class TestMetadata:
    def test_home_and_category_are_those_of_the_entry(self, entry: dict[str, Any], cmake: str) -> None:
        assert setting(cmake, "EXTENSION_HOMEPAGE") == entry["scm_url"]
        assert setting(cmake, "EXTENSION_CATEGORY") == entry["category"]

    def test_the_icon_is_a_png_of_the_repository(self, cmake: str) -> None:
        url = setting(cmake, "EXTENSION_ICONURL")
        assert url.startswith(RAW)
        with Image.open(ROOT / url.removeprefix(RAW)) as icon:
            assert icon.format == "PNG" and icon.size == (128, 128)

    def test_the_screenshots_lie_in_the_repository(self, cmake: str) -> None:
        urls = re.findall(r'set\s*\(EXTENSION_SCREENSHOTURLS\s*"([^"]+)"\)', cmake)[0].split()
        assert urls
        for url in urls:
            assert url.startswith(RAW) and url.endswith(".png")
            assert (ROOT / url.removeprefix(RAW)).is_file(), f"{url} is not there yet: make the screenshots"

    def test_licence_and_readme_exist(self, cmake: str) -> None:
        for name in ("EXTENSION_LICENSE_FILE", "EXTENSION_README_FILE"):
            path = setting(cmake, name).replace("${CMAKE_CURRENT_SOURCE_DIR}", str(ROOT))
            assert (ROOT / path).is_file()

    def test_contributors_and_description_are_given(self, cmake: str) -> None:
        assert setting(cmake, "EXTENSION_CONTRIBUTORS") and len(setting(cmake, "EXTENSION_DESCRIPTION").split()) > 10


@pytest.mark.parametrize("name", ["SamplePhantoms", "SampleHippocampus"])
def test_thumbnails_have_the_size_that_sample_data_shows(name: str) -> None:
    with Image.open(ROOT / "MedSegTrainer" / "Resources" / "Icons" / f"{name}.png") as picture:
        assert picture.format == "PNG" and picture.size == (260, 280)
