"""Pictures that a session does not give: the environment of a computer with a GPU. The others: ``test_session.py``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
from MedSegTrainerUI.environment_record import identity, requirements_hash

WIDTH = 440
GPU, CPU = "NVIDIA GeForce RTX 4070 (12 GB)", "CPU with 16 threads"
REPORT = {
    "ok": True, "asked": "auto", "device": "cuda:0", "device_name": GPU, "torch": "2.13.0+cu130", "cuda": "13.0",
    "devices": [{"name": "cuda:0", "description": GPU}, {"name": "cpu", "description": CPU}], "warnings": [],
}  # fmt: skip


@pytest.fixture(autouse=True)
def home(scene: Any, medsegtrainer: Any, tmp_path: Path) -> Any:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    yield tmp_path / "home"
    qt.QSettings().remove("MedSegTrainer/Folder")


def test_environment(module_widget: Any, screenshot: Any) -> None:
    panel = module_widget.panel
    environment, section = panel.environment, panel.environmentSection
    assert environment.state == "new" and not panel.ui.environmentButton.collapsed
    assert section.ui.setUpButton.visible and "Set up downloads about" in section.ui.stateLabel.text
    take(module_widget, screenshot, "panel-environment-first")
    environment.own_python.parent.mkdir(parents=True)
    environment.own_python.write_text("")
    record = {**identity(environment.own_python), "requirements": requirements_hash(environment.requirements)}
    (environment.folder / "tested.json").write_text(json.dumps({**record, "report": REPORT}))
    environment.job.log_file.write_text("It trains.\n")
    environment.poll()
    panel.refresh()
    assert section.ui.stateLabel.text == "PyTorch 2.13, CUDA 13, RTX 4070 (12 GB): tested, ok"
    take(module_widget, screenshot, "panel-environment")


def take(widget: Any, screenshot: Any, name: str) -> None:
    """Section 5 unfolded alone, as high as it needs."""
    for button in ("data", "train", "apply", "evaluate"):
        getattr(widget.panel.ui, f"{button}Button").collapsed = True
    parent = widget.parent
    parent.setFixedWidth(WIDTH)
    slicer.app.processEvents()
    needed = parent.heightForWidth(WIDTH)
    parent.setFixedHeight(needed if needed > 0 else parent.sizeHint.height())
    screenshot(parent, name)
