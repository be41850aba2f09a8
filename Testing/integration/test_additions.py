"""A network, a loss, a metric, a logged metric, a file format and a kind of job, each added by an entry and a file.

They are those of Resources/docs/CONTRIBUTING.md, taken from the page; nothing else of the library knows them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from markdown_pages import CONTRIBUTING, ROOT, Block
from matplotlib.image import imread

CLASSES = {"label 2", "label 5"}
RUN = Path(__file__).with_name("run_with_additions.py")
NEW_FILE = re.compile(r"`([\w/]+\.py)`, a new file:")
ENTRY = re.compile(r"At the end of `(\w+)` in `([\w/]+\.py)`:")
MOST_FILES = 2  # of one addition
NAMES = ("tversky", "TwoLevels", "miss_rate", "raw", "count")  # of entries
ADDITIONS = ("A loss", "A network", "A metric", "A logged metric", "A file format of results", "A kind of job")


def add(library: Path, blocks: Iterable[Block]) -> list[str]:
    """Does to a copy of the library what the page says; which files it touched."""
    touched = []
    for block in blocks:
        if new := NEW_FILE.fullmatch(block.before):
            path = library / new[1]
            path.touch(exist_ok=False)
            path.write_text(block.text, encoding="utf-8")
        else:
            registry, name = ENTRY.fullmatch(block.before).groups()  # type: ignore[union-attr]  # nothing else is said
            path = library / name
            text = path.read_text(encoding="utf-8")
            end = text.index("\n}", text.index(f"\n{registry}: dict"))
            path.write_text(f"{text[:end]}\n{block.text.rstrip()}{text[end:]}", encoding="utf-8")
        touched.append(path.relative_to(library).as_posix())
    return touched


def blocks_of(title: str) -> list[Block]:
    """The Python under a heading of the page."""
    lines = CONTRIBUTING.text.splitlines()
    first = lines.index(f"### {title}") + 1
    last = next(number for number, line in enumerate(lines[first:], first) if re.match("##+ ", line))
    return [block for block in CONTRIBUTING.blocks("python") if first < block.line <= last]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    return copy_library(tmp_path)


def copy_library(folder: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    return Path(shutil.copytree(ROOT / "MedSegTrainerLib", folder / "MedSegTrainerLib", ignore=ignored))


def test_the_page_has_no_other_code() -> None:
    assert [block for title in ADDITIONS for block in blocks_of(title)] == CONTRIBUTING.blocks("python")


@pytest.mark.parametrize("title", ADDITIONS)
def test_an_addition_touches_few_files(title: str, copied: Path) -> None:
    before = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    touched = add(copied, blocks_of(title))
    after = {path: path.read_bytes() for path in copied.rglob("*") if path.is_file()}
    changed = {path.relative_to(copied).as_posix() for path, content in after.items() if before.get(path) != content}
    assert changed == set(touched) and 1 <= len(changed) <= MOST_FILES


@pytest.fixture(scope="module")
def out(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process did that has them all."""
    folder = tmp_path_factory.mktemp("additions")
    add(copy_library(folder), CONTRIBUTING.blocks("python"))
    result = subprocess.run(
        [sys.executable, str(RUN), str(dataset), str(folder)],
        env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def facts(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    return found


def test_what_is_tested_of_every_entry_holds_for_these_too(out: Path) -> None:
    """The tests of the library that have a parameter for each entry of a registry, over the copy."""
    library = ROOT / "Testing" / "library"
    files = [library / "config" / "test_registries.py", library / "losses", library / "networks" / "test_networks.py"]
    options = ["-c", str(ROOT / "pyproject.toml"), "-p", "no:cacheprovider", "-v", "-k", " or ".join(NAMES)]
    result = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *map(str, files)],
        cwd=out, env={**os.environ, "PYTHONPATH": str(out)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout
    assert all(f"{name}]" in result.stdout for name in NAMES)


def setting(facts: dict[str, Any], section: str, name: str) -> dict[str, Any]:
    found: dict[str, Any] = facts["schema"]["$defs"][section]["properties"][name]
    return found


def test_the_network_is_planned_trained_and_applied(out: Path, facts: dict[str, Any], dataset: Path) -> None:
    assert facts["plan"]["architecture"] == "TwoLevels"
    assert facts["plan"]["network"] == {"in_channels": 1, "out_channels": 3, "base_channels": 8}
    assert "TwoLevels" in setting(facts, "NetworkConfig", "type")["enum"]
    label_maps = list((out / "train" / "report" / "predictions").glob("*.seg.nrrd"))
    names = {path.name.split(".")[0] for path in label_maps}
    assert names and names < {path.name.split(".")[0] for path in (dataset / "labels").iterdir()}


def test_the_loss_is_what_falls(facts: dict[str, Any]) -> None:
    assert facts["plan"]["loss"]["loss_type"] == "tversky"
    assert "tversky" in setting(facts, "LossConfig", "loss_type")["enum"]
    losses = [event["train_loss"] for event in facts["events"] if event["kind"] == "epoch"]
    assert len(losses) == 2 and 0 < losses[1] < losses[0] < 1


def test_the_metric_is_in_table_and_report(out: Path, facts: dict[str, Any]) -> None:
    assert facts["summary"].keys() == CLASSES
    for means in facts["summary"].values():
        assert means["miss_rate"]["mean"] == pytest.approx(1 - means["recall"]["mean"])
    assert "Miss rate" in (out / "report" / "report.html").read_text(encoding="utf-8")


def test_the_logged_metric_is_validated_monitored_and_shown(out: Path, facts: dict[str, Any]) -> None:
    for event in (event for event in facts["events"] if event["kind"] == "validated"):
        metrics = event["metrics"]
        assert metrics["val_miss_rate"] == pytest.approx(1 - metrics["val_recall"])
        assert {f"val_miss_rate/{name}" for name in CLASSES} <= metrics.keys()
    best = [event for event in facts["events"] if event["kind"] == "best"]
    assert {event["monitor"] for event in best} == {"val_miss_rate"}
    values = [event["value"] for event in best]
    assert values == sorted(values, reverse=True)  # smaller is better
    assert {"missed/mean", *(f"missed/{name}" for name in CLASSES)} <= set(facts["tensorboard"])
    height, width = imread(out / "train" / "curves.png").shape[:2]
    assert width == 1100 and height > 1000  # a fourth row of panels


def test_the_format_is_written(facts: dict[str, Any], dataset: Path) -> None:
    image = sitk.ReadImage(str(dataset / "images" / "case_1.nii.gz"))
    values = np.fromfile(facts["label_map"], dtype=np.uint8)
    assert Path(facts["label_map"]).name == "case_1.raw"
    assert values.size == image.GetNumberOfPixels() and set(values.tolist()) <= {0, 2, 5}
    assert "raw" in setting(facts, "ApplyConfig", "output_format")["enum"]


def test_the_kind_of_job_is_read_checked_and_run(facts: dict[str, Any], dataset: Path) -> None:
    files = len(list((dataset / "images").iterdir()))
    assert facts["count"] == f"{files} files." and facts["counted"] == {"files": files}
    assert facts["contradiction"] == ["fewest = 5 and most = 4: the fewest must not be above the most."]
    assert "count" in facts["schema"]["properties"]["kind"]["enum"]
    assert setting(facts, "CountConfig", "folder")["description"] == "Folder whose files are counted."
