"""A user at the panel: everything is done with its widgets, and seen in them or in the scene."""

from __future__ import annotations

import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import qt
import slicer

HIPPOCAMPUS = {"Anterior": (0.94, 0.67, 0.24), "Posterior": (0.27, 0.59, 0.9)}  # names and colours by label value
MINUTE = 60_000  # milliseconds
SMALL = {  # settings that train an epoch in a blink
    "network.type": "UNet3D", "network.base_channels": "4", "data.patch_size": "16, 32, 32", "data.batch_size": "1",
    "data.samples_per_volume": "1", "trainer.epochs": "2000", "trainer.validation_interval": "2",
    "optimizer.learning_rate": "0.01",
}  # fmt: skip


def leave_tested(home: Path, python: str = "", **report: Any) -> str:
    """Leaves in ``home`` what a passed self-test of an interpreter leaves, and chooses it; gives the interpreter."""
    from MedSegTrainerUI.environment.test_record import identity

    python = python or os.environ.get("MEDSEG_PYTHON") or sys.executable
    cpu = {"name": "cpu", "description": "CPU with 2 threads"}
    document = {"ok": True, "asked": "auto", "device": "cpu", "device_name": cpu["description"], "torch": "2.13.0",
                "devices": [cpu], "warnings": [], **report}  # fmt: skip
    folder = home / "environment"
    folder.mkdir(parents=True, exist_ok=True)
    record = {**identity(Path(python)), "report": document}
    (folder / "tested-other.json").write_text(json.dumps(record), encoding="utf-8")
    qt.QSettings().setValue("MedSegTrainer/Python", python)
    return python


class Timed:
    """A section whose timer callbacks are measured; everything else is the section's."""

    def __init__(self, section: Any, seconds: list[float], processor: list[float]) -> None:
        self._section, self._seconds, self._processor = section, seconds, processor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._section, name)

    def onTimer(self) -> None:
        began, worked = time.perf_counter(), time.thread_time()
        try:
            self._section.onTimer()
        finally:
            self._seconds.append(time.perf_counter() - began)
            self._processor.append(time.thread_time() - worked)


class Timings:
    """How long the timer callbacks of a panel take, by section: by the clock, and the processor's work in them.

    A job on the same core makes the first longer, and not the second.
    """

    def __init__(self, panel: Any) -> None:
        self.seconds: dict[str, tuple[list[float], list[float]]] = {}
        timed = []
        for section in panel._sections:
            measured: tuple[list[float], list[float]] = ([], [])
            self.seconds[type(section).__name__] = measured
            timed.append(Timed(section, *measured))
        panel._sections = tuple(timed)

    def callbacks(self, kind: int = 0) -> list[float]:
        """Seconds of each callback, of all sections together; kind 0: by the clock, 1: of the processor."""
        return [sum(parts) for parts in zip(*(both[kind] for both in self.seconds.values()), strict=False)]

    def describe(self) -> str:
        rows = {"all together": (self.callbacks(0), self.callbacks(1)), **self.seconds}
        lines = [
            f"{name}: {len(clock)} timer callbacks, median {1000 * statistics.median(clock):.2f} ms, maximum "
            f"{1000 * max(clock):.2f} ms (processor {1000 * statistics.median(work):.2f} and {1000 * max(work):.2f} ms)"
            for name, (clock, work) in rows.items()
            if clock
        ]
        return "\n".join(lines) + "\n"


class Session:
    """What a user does at a panel."""

    def __init__(self, panel: Any, wait_for: Callable[..., None]) -> None:
        self.panel, self.wait_for = panel, wait_for

    def open(self, *names: str) -> None:
        """Unfolds these sections and folds the others."""
        for name in ("data", "train", "apply", "evaluate", "environment"):
            getattr(self.panel.ui, f"{name}Button").collapsed = name not in names
        slicer.app.processEvents()

    def choose_python(self, python: str = "") -> None:
        """An interpreter with PyTorch, chosen in section 5, which tests it; this one where none is named."""
        section = self.panel.environmentSection
        path = python or os.environ.get("MEDSEG_PYTHON") or sys.executable
        section.ui.pythonPathLineEdit.setCurrentPath(path)
        assert section.environment.chosen == path
        section.ui.testButton.click()
        self.wait_for(lambda: not section.environment.busy, 2 * MINUTE)
        assert section.environment.ready, section.ui.messageLabel.text

    def set_advanced(self, settings: Mapping[str, str]) -> None:
        """Types settings into the form under Advanced."""
        train = self.panel.train
        train.ui.advancedButton.collapsed = False
        for key, text in settings.items():
            train.form.enter(key, text)
        train.ui.advancedButton.collapsed = True
        assert train.changes().keys() == settings.keys(), train.ui.settingsMessageLabel.text

    def start_training(self) -> Any:
        """Presses Start; returns what watches the job."""
        train = self.panel.train
        train.ui.startButton.click()
        assert train.job.watched is not None and train.job.watched.working, train.ui.messageLabel.text
        return train.job.watched

    def apply_to(self, volume: Any) -> Any:
        """Applies the chosen model to a volume; the new segmentation."""
        section = self.panel.apply
        for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
            state = qt.Qt.Checked if node is volume else qt.Qt.Unchecked
            section.ui.volumesSelector.setCheckState(node, state)
        before = set(slicer.util.getNodesByClass("vtkMRMLSegmentationNode"))
        assert section.ui.applyButton.enabled, section.ui.applyButton.toolTip
        section.ui.applyButton.click()
        assert section.run is not None, section.ui.messageLabel.text
        self.wait_for(lambda: section.run is None, 10 * MINUTE)
        new = set(slicer.util.getNodesByClass("vtkMRMLSegmentationNode")) - before
        assert len(new) == 1, section.ui.messageLabel.text
        return new.pop()

    def evaluate(self, prediction: Any, reference: Any, volume: Any) -> list[tuple[str, list[float]]]:
        """Compares two segmentations; the rows of the table node."""
        section = self.panel.evaluate
        section.ui.predictionSelector.setCurrentNode(prediction)
        section.ui.referenceSelector.setCurrentNode(reference)
        section.ui.volumeSelector.setCurrentNode(volume)
        assert section.ui.evaluateButton.enabled, section.ui.evaluateButton.toolTip
        section.ui.evaluateButton.click()
        assert section.run is not None, section.ui.messageLabel.text
        self.wait_for(lambda: section.run is None, 10 * MINUTE)
        table = self.panel.parameters.parameterNode.GetNodeReference("evaluateTable")
        assert table is not None, section.ui.messageLabel.text
        from MedSegTrainerUI.evaluate.run import read_table

        return read_table(table)


def load_hippocampus(folder: Path, name: str) -> Any:
    volume = slicer.util.loadVolume(str(folder / "imagesTr" / f"{name}.nii.gz"))
    volume.SetName(name)
    return volume


def load_hippocampus_label(folder: Path, name: str, volume: Any, make_segmentation: Callable[..., Any]) -> Any:
    """The label map of a case as a segmentation of its volume, as if it had been drawn in the Segment Editor."""
    labels = slicer.util.loadVolume(str(folder / "labelsTr" / f"{name}.nii.gz"), {"labelmap": True})
    values = slicer.util.arrayFromVolume(labels).copy()
    slicer.mrmlScene.RemoveNode(labels)
    masks = {segment: values == value for value, segment in enumerate(HIPPOCAMPUS, start=1)}
    return make_segmentation(f"{name} segmentation", volume, masks, HIPPOCAMPUS)


def keep_slices(segmentation: Any, volume: Any, planes: Sequence[int]) -> None:
    """Erases every segment but in these coronal slices, as if only they had been drawn."""
    for segment in segmentation.GetSegmentation().GetSegmentIDs():
        drawn = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, segment, volume)
        kept = np.zeros_like(drawn)
        kept[:, planes] = drawn[:, planes]
        slicer.util.updateSegmentBinaryLabelmapFromArray(kept, segmentation, segment, volume)


def choose_drawn(panel: Any, row: int, submenu: str, choice: str) -> None:
    """Of the menu below the table of cases, for one of them."""
    panel.data.ui.pairsTable.selectRow(row)
    drawn = panel.data._drawnMenu
    drawn.menu.aboutToShow()
    (menu,) = [menu for text, menu in drawn.submenus.items() if text.startswith(submenu)]
    (action,) = [action for action in menu.actions() if action.text == choice]
    action.trigger()


def dice(first: Any, second: Any, segment: str, volume: Any) -> float:
    """Of the segments of this name in two segmentations, in the voxels of a volume."""
    one, other = (
        slicer.util.arrayFromSegmentBinaryLabelmap(
            node, node.GetSegmentation().GetSegmentIdBySegmentName(segment), volume
        )
        > 0
        for node in (first, second)
    )
    return float(2 * np.sum(one & other) / (np.sum(one) + np.sum(other)))


def visible_rows(table: Any, column: int) -> Sequence[str]:
    return [table.item(row, column).text() for row in range(table.rowCount)]
