"""A network, a loss, a metric, a logged metric, a file format and a kind of job, each added by a line and a file.

The files are those in ``additions``; nothing else of the library knows them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from matplotlib.image import imread

ADDITIONS = Path(__file__).with_name("additions")
ROOT = Path(__file__).resolve().parents[2]
CLASSES = {"label 2", "label 5"}
FILES = {  # a file of ``additions`` to its place in the library
    "two_level_network.py": "networks", "tversky_loss.py": "losses", "raw_file.py": "imaging", "count_job.py": "jobs",
}  # fmt: skip
LINES = {  # a registry, by its file and the line that it begins with, to what is written at its end
    ("config/architectures.py", "ARCHITECTURES: dict"): """
    "TwoLevels": Architecture(
        builder="MedSegTrainerLib.networks.two_level_network:TwoLevels", family="unet", dims=(3,), divisor=2,
        settings={"base_channels": 8},
    ),
""",
    ("config/loss_terms.py", "LOSS_TERMS: dict"): """
    "tversky": LossTerm(builder="MedSegTrainerLib.losses.tversky_loss:build_tversky", needs=("overlap",)),
""",
    ("metrics/metrics.py", "METRICS: dict"): """
    "miss_rate": Metric(
        title="Miss rate", unit="", decimals=3, better="lower", meaning="How much of the reference was not found.",
        measure=lambda it: _ratio(it.reference - it.intersection, it.reference), aliases=("false_negative_rate",),
    ),
""",
    ("config/logged_metrics.py", "LOGGED_METRICS: dict"): """
    "val_miss_rate": LoggedMetric(
        better="lower", tag="missed", of_class="miss_rate", chart="Miss rate (mean)", is_share=True
    ),
""",
    ("config/result_formats.py", "RESULT_FORMATS: dict"): """
    "raw": ResultFormat(suffix="raw", map_suffix="nrrd", writer="MedSegTrainerLib.imaging.raw_file:write_raw"),
""",
    ("jobs/kinds.py", "JOB_KINDS: dict"): """
    "count": JobKind(
        settings="MedSegTrainerLib.jobs.count_job:CountConfig", runner="MedSegTrainerLib.jobs.count_job:run_count",
        has_network=False, has_training_settings=False,
    ),
""",
}


def add(library: Path) -> None:
    """Puts the files and lines into a copy of the library."""
    for name, folder in FILES.items():
        shutil.copy(ADDITIONS / name, library / folder)
    for (file, beginning), lines in LINES.items():
        text = (library / file).read_text(encoding="utf-8")
        end = text.index("\n}", text.index(f"\n{beginning}"))
        (library / file).write_text(text[:end] + lines.rstrip() + text[end:], encoding="utf-8")


@pytest.fixture(scope="module")
def out(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a process did that has them all."""
    folder = tmp_path_factory.mktemp("additions")
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "MedSegTrainerLib", folder / "MedSegTrainerLib", ignore=ignored)
    add(folder / "MedSegTrainerLib")
    result = subprocess.run(
        [sys.executable, str(ADDITIONS / "run_with_all.py"), str(dataset), str(folder)],
        env={**os.environ, "PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def facts(out: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((out / "facts.json").read_text(encoding="utf-8"))
    return found


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
    assert facts["count"] == f"{len(list((dataset / 'images').iterdir()))} files."
    assert facts["contradiction"] == ["fewest = 5 and most = 4: the fewest must not be above the most."]
    assert "count" in facts["schema"]["properties"]["kind"]["enum"]
    assert setting(facts, "CountConfig", "folder")["description"] == "Folder whose files are counted."
