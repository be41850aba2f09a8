"""Pictures that a session does not give: the environment, new and tested; a model to start from; overlapping segments;
a result that was corrected, and a training that goes on.

The others: ``test_session.py``.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import qt
import slicer
from MedSegTrainerUI.environment.test_record import requirements_hash
from MedSegTrainerUI.scene.export_labels import label_map
from MedSegTrainerUI.scene.import_segments import import_segments
from MedSegTrainerUI.scene.prediction_copy import mark_result
from MedSegTrainerUI.scene.result_origin import Origin
from MedSegTrainerUI.scene.segment_classes import find_classes
from MedSegTrainerUI.scene.volumes import array_image, volume_geometry, write_image

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.events import Compared, Finished

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


def test_correct_and_continue(
    request: Any, screenshot: Any, make_job: Any, make_model: Any, tmp_path: Path, wait_for: Any
) -> None:
    """A fourth volume in which two slices of a result were corrected; three versions of a training."""
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))
    widget = request.getfixturevalue("module_widget")
    panel = widget.panel
    panel.ui.sampleButton.click()
    rows = panel.rows()
    names, classes = [row.name for row in rows], [LabelClass(**asdict_of(item)) for item in panel.classes()]
    (fourth,) = [node for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
                 if node not in [row.volumes[0] for row in rows]]  # fmt: skip
    result = predict(rows[2], fourth, classes, tmp_path / "copy.seg.nrrd")
    panel.apply.shown.add(result)
    panel.refresh()
    panel.apply.ui.addResultButton.click()
    wait_for(lambda: len(panel.rows()) == 4)
    assert panel.data.ui.pairsTable.item(3, 3).text() == "2 corrected slices"
    take(widget, screenshot, "panel-corrected", "data")

    before = {"liver": 0.93, "tumor": 0.61, "spleen": 0.58, "kidneys": 0.88}
    after = {"liver": 0.93, "tumor": 0.68, "spleen": 0.70, "kidneys": 0.89}
    figures = [{"val_dice": mean, "dice": dice, "cases": names[:1]} for mean, dice in ((0.75, before), (0.80, after))]
    compared = Compared(message="", start=figures[0], best=figures[1])
    start = ""
    for number, dice in enumerate((0.71, 0.75, 0.80), start=1):
        name = "liver-tumor-spleen" + (f"-{number}" if number > 1 else "")
        events = [compared, Finished(message="", result="")] if number == 3 else []
        folder = make_job(name, events, start=start, state="finished", best=dice)
        make_model(
            f"jobs/{name}/model", training={"train_cases": [*names, "CT_5"][1 : number + 1], "val_cases": names[:1]},
            metrics={"val_dice": dice, "val_dice_per_class": dict.fromkeys(after, dice) if number < 3 else after},
            plan={"classes": [asdict_of(item) for item in classes]}, curves=[{"minutes": 5.0 if number == 1 else 1.0}],
        )  # fmt: skip
        os.utime(folder.job_file, (time.time() - 600 * (4 - number),) * 2)
        start = str(folder.path)
    panel.parameters.startModel = str(Path(start).with_name("liver-tumor-spleen-2"))
    job = panel.train.job
    job.follow(panel.jobs.folder(Path(start).name))
    panel.parameters.model = start
    job.ui.jobsButton.collapsed = False
    job.trainings.show()
    panel.refresh()
    assert job.ui.comparedLabel.text.startswith(
        "Dice on the same held-out cases: 0.80, was 0.75; spleen 0.70, was 0.58"
    )
    assert panel.train.ui.startButton.text == "Co&ntinue" and job.ui.versionsTable.rowCount == 3
    take(widget, screenshot, "panel-continue", "train")


def asdict_of(item: Any) -> dict[str, Any]:
    return {"value": item.value, "name": item.name, "color": item.color, "terminology": item.terminology}


def predict(row: Any, volume: Any, classes: Any, path: Path) -> Any:
    """A result on another volume, as if a model had found there what was drawn in a case; two slices are corrected."""
    labels = label_map(row.segmentation, row.volumes[0], find_classes([row], {}))
    write_image(array_image(labels), volume_geometry(volume).ijk_to_ras, path)
    result = import_segments(path, classes, volume, name=f"{volume.GetName()} segmentation")
    mark_result(result, Origin(model="m", job="a", case="c", prediction=str(path)), classes)
    liver = result.GetSegmentation().GetNthSegmentID(0)
    mask = slicer.util.arrayFromSegmentBinaryLabelmap(result, liver, volume).copy()
    planes = np.flatnonzero(mask.any(axis=(1, 2)))
    mask[planes[len(planes) // 3 :: len(planes) // 3][:2]] = 0
    slicer.util.updateSegmentBinaryLabelmapFromArray(mask, result, liver, volume)
    return result


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
