"""Pictures that a session does not give: the environment, new and tested; a model to start from; overlapping segments.

The others: ``test_session.py``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
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


def test_a_model_to_start_from(module_widget: Any, screenshot: Any, make_model: Any, tmp_path: Path) -> None:
    """A model of a colleague in which the tumor has another name and the kidneys are not."""
    panel = module_widget.panel
    panel.ui.sampleButton.click()
    names = {"liver": [221, 130, 101], "lesion": [144, 238, 144], "spleen": [157, 108, 162], "bone": [241, 214, 145]}
    classes = [
        {"value": value, "name": name, "color": color, "terminology": ""}
        for value, (name, color) in enumerate(names.items(), start=1)
    ]
    metrics = {"val_dice": 0.83, "val_dice_per_class": {"liver": 0.94, "lesion": 0.72}}
    panel.train.start.models.choose(str(make_model("models/abdomen", plan={"classes": classes}, metrics=metrics)))
    ui = panel.train.ui
    ui.renameSelector.setCurrentIndex(1)
    panel.train.start.renaming.actions["lesion"].trigger()
    assert ui.startLabel.text == "Kept: liver, tumor (was lesion), spleen. New: kidneys. Dropped: bone."
    take(module_widget, screenshot, "panel-start", "train")


def test_segments_that_overlap(module_widget: Any, screenshot: Any, make_volume: Any, make_segmentation: Any) -> None:
    panel = module_widget.panel
    z, y, x = np.indices((12, 40, 40))
    for number in (1, 2, 3):
        liver = (z - 6) ** 2 * 6 + (y - 20) ** 2 + (x - 18 - number) ** 2 < 14**2
        tumor = (z - 6) ** 2 * 6 + (y - 22) ** 2 + (x - 16) ** 2 < (3 + number) ** 2
        volume = make_volume(f"CT_0{number}", np.arange(liver.size, dtype=np.int16).reshape(liver.shape))
        colors = {"liver": (0.87, 0.51, 0.4), "tumor": (0.56, 0.93, 0.56)}
        make_segmentation(f"CT_0{number} segmentation", volume, {"liver": liver, "tumor": tumor}, colors)
    panel.data.ui.addAllButton.click()
    take(module_widget, screenshot, "panel-overlap", "data")
    assert panel.data.ui.overlapFrame.visible and "in 3 cases" in panel.data.ui.problemLabel.text


def take(widget: Any, screenshot: Any, name: str, section: str = "environment") -> None:
    """A section unfolded alone, as high as it needs."""
    widget.panel.folding.open(section)
    parent = widget.parent
    parent.setFixedWidth(WIDTH)
    slicer.app.processEvents()
    needed = parent.heightForWidth(WIDTH)
    parent.setFixedHeight(needed if needed > 0 else parent.sizeHint.height())
    screenshot(parent, name)
