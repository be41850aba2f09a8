"""The contracts of who imports whom hold, and a broken one is told."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import package
import pytest

pytest.importorskip("importlinter", reason="import-linter is not installed")

ROOT = package.ROOT
UPWARDS = {
    "a layer of the library": ("MedSegTrainerLib/metrics/units.py", "MedSegTrainerLib.training.trainer"),
    "a layer of the data": ("MedSegTrainerLib/data/dataset.py", "MedSegTrainerLib.data.layouts.find"),
    "what Slicer imports": ("MedSegTrainerLib/errors.py", "numpy"),
    "the reach of the panel": (
        "MedSegTrainer/MedSegTrainerUI/models/model_card.py",
        "MedSegTrainerLib.model.postprocessing",
    ),
    "a circle": ("MedSegTrainerLib/data/checks/case_scan.py", "MedSegTrainerLib.data.checks.outliers"),
    "a package without a layer": ("MedSegTrainerLib/novelties/__init__.py", "os"),
}


def contracts(root: Path) -> subprocess.CompletedProcess[str]:
    script = ROOT / "scripts" / "layers.py"
    return subprocess.run([sys.executable, "-I", script, root], capture_output=True, text=True, check=False)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name in ("MedSegTrainerLib", "MedSegTrainer/MedSegTrainerUI"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def test_they_hold() -> None:
    done = contracts(ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("what", UPWARDS)
def test_breaking_one_fails(what: str, copied: Path) -> None:
    name, imported = UPWARDS[what]
    path = copied / name
    path.parent.mkdir(exist_ok=True)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    path.write_text(f"{before}\n\ndef _new() -> None:\n    import {imported}\n", encoding="utf-8")
    done = contracts(copied)
    assert done.returncode == 1, done.stdout + done.stderr
