"""Pictures that a session does not give: the environment, new and tested. The others: ``test_session.py``."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import qt
import slicer
from MedSegTrainerUI.environment.test_record import requirements_hash

WIDTH = 440
MOST_MILLISECONDS = 120_000


@pytest.fixture(autouse=True)
def home(scene: Any, medsegtrainer: Any, tmp_path: Path) -> Any:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    yield tmp_path / "home"
    qt.QSettings().remove("MedSegTrainer/Folder")


@pytest.mark.usefixtures("torch_python")
@pytest.mark.skipif(
    "slicer_standin" not in sys.modules, reason="Slicer's Python is no environment that can be linked to"
)
@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_environment(module_widget: Any, screenshot: Any, wait_for: Any) -> None:
    panel = module_widget.panel
    environment, section = panel.environment, panel.environmentSection
    assert environment.state == "new" and not panel.ui.environmentButton.collapsed
    assert section.ui.setUpButton.visible and "Set up downloads about" in section.ui.stateLabel.text
    take(module_widget, screenshot, "panel-environment-first")
    environment.folder.mkdir(parents=True, exist_ok=True)
    (environment.folder / "venv").symlink_to(sys.prefix, target_is_directory=True)  # this test's own packages
    built = {"requirements": requirements_hash(environment.requirements)}
    (environment.folder / "built.json").write_text(json.dumps(built))
    panel.refresh()
    environment.test()
    wait_for(lambda: "tested, ok" in section.ui.stateLabel.text, MOST_MILLISECONDS)
    assert section.ui.stateLabel.text.startswith("PyTorch 2.")
    take(module_widget, screenshot, "panel-environment")


def take(widget: Any, screenshot: Any, name: str) -> None:
    """Section 5 unfolded alone, as high as it needs."""
    widget.panel.folding.open("environment")
    parent = widget.parent
    parent.setFixedWidth(WIDTH)
    slicer.app.processEvents()
    needed = parent.heightForWidth(WIDTH)
    parent.setFixedHeight(needed if needed > 0 else parent.sizeHint.height())
    screenshot(parent, name)
