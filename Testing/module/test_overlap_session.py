"""A session with segments that overlap, and a training that starts from its model: real jobs on small phantoms."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import played_session as played
import pytest
import qt
import slicer

SHAPE = (24, 32, 32)


@pytest.fixture(autouse=True)
def home(scene: Any, medsegtrainer: Any, tmp_path: Path) -> Path:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    played.leave_tested(tmp_path / "home")
    return tmp_path / "home"


@pytest.fixture
def make_phantom(make_volume: Callable[..., Any], make_segmentation: Callable[..., Any]) -> Callable[..., Any]:
    """A volume with a bright organ and a brighter tumor in it, and their segmentation, where the tumor lies in both."""

    def make(number: int) -> tuple[Any, Any]:
        generator = np.random.default_rng(number)
        z, y, x = np.indices(SHAPE)
        organ = (z - 12) ** 2 + (y - 14 - number) ** 2 + (x - 16) ** 2 < 9**2
        tumor = (z - 12) ** 2 + (y - 16) ** 2 + (x - 13 - number) ** 2 < 4.5**2
        values = generator.normal(0, 20, SHAPE) + 300 * organ + 300 * (organ & tumor)
        volume = make_volume(f"phantom_{number}", values.astype(np.int16))
        masks = {"organ": organ, "tumor": organ & tumor}
        return volume, make_segmentation(f"phantom_{number}-seg", volume, masks)

    return make


def shared_voxels(node: Any, volume: Any) -> int:
    """Of the two segments of a segmentation."""
    content = node.GetSegmentation()
    one, other = (
        slicer.util.arrayFromSegmentBinaryLabelmap(node, content.GetSegmentIdBySegmentName(name), volume) > 0
        for name in ("organ", "tumor")
    )
    return int(np.sum(one & other))


@pytest.mark.usefixtures("slice_views", "torch_python")
def test_overlap_is_trained_applied_compared_and_started_from(
    request: Any, wait_for: Callable[..., None], make_phantom: Callable[..., Any], home: Path
) -> None:
    panel = request.getfixturevalue("panel")
    session = played.Session(panel, wait_for)
    for number in range(3):
        make_phantom(number)
    panel.data.ui.addAllButton.click()
    assert panel.data.problem() == "" and "each is learned by itself" in panel.data.ui.problemLabel.text
    session.set_advanced(played.SMALL)
    watch = session.start_training()
    job = panel.train.job
    wait_for(lambda: not watch.working or (watch.best and watch.best["mean_dice"] > 0.7), 10 * played.MINUTE)
    job.ui.stopKeepButton.click()
    wait_for(lambda: not watch.working, 5 * played.MINUTE)
    assert watch.folder.model.exists(), job.ui.endingLabel.text
    assert json.loads(watch.folder.plan_file.read_text())["overlapping"] is True

    volume, reference = make_phantom(3)
    result = session.apply_to(volume)
    assert shared_voxels(result, volume) > 100, "the tumor is organ, too"
    rows = dict(session.evaluate(result, reference, volume))
    for name, numbers in rows.items():
        assert numbers[0] == pytest.approx(played.dice(result, reference, name, volume), abs=1e-3)

    panel.parameters.classNames = '{"tumor": "lesion"}'
    panel.train.start.models.choose(str(watch.folder.path))
    ui = panel.train.ui
    assert ui.renameSelector.currentText == "lesion"
    panel.train.start.renaming.actions["tumor"].trigger()
    assert ui.startLabel.text == "Kept: organ, lesion (was tumor)."
    before = watch.best_dice()[0]
    again = session.start_training()
    wait_for(lambda: not again.working or len(again.validations) > 1, 5 * played.MINUTE)
    first = again.validations[0]
    assert first["epoch"] == 0 and first["mean_dice"] == pytest.approx(before, abs=0.2), job.ui.endingLabel.text
    assert job.ui.startedLabel.text.startswith(f"started from {watch.name}: {first['mean_dice']:.2f} -> ")
    job.ui.stopKeepButton.click()
    wait_for(lambda: not again.working, 5 * played.MINUTE)
    panel.parameters.model = str(again.folder.path)
    panel.refresh()
    assert f"Started from {watch.name}" in panel.apply.ui.cardLabel.text
