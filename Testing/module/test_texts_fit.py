"""No text of the panel is cut in a dock of 380 points: in each language, with fonts up to half as large again."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import fake_panel as fake
import played_session as played
import pytest
import qt
import slicer
from MedSegTrainerUI.evaluate.run import add_table, fill_table
from MedSegTrainerUI.shared.section_folding import SECTIONS
from text_fit import cut_texts

from MedSegTrainerLib.events import Advised, EventLog, Warned

DOCK = 380  # pixels, with the usual fonts and with larger ones
GPU = {"name": "cuda:0", "description": "NVIDIA GeForce RTX 4070 Ti SUPER (16 GB)"}
CPU = {"name": "cpu", "description": "CPU with 16 threads"}


@pytest.fixture(autouse=True)
def home(scene: Any, tmp_path: Path) -> Path:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))  # whose jobs lie in "jobs"
    return tmp_path


@pytest.fixture(params=[1.0, 1.25, 1.5])
def font_scale(request: Any) -> Iterator[float]:
    """The application's font, as much larger."""
    before = slicer.app.font()
    larger = qt.QFont(before)
    larger.setPointSizeF(before.pointSizeF() * request.param)
    slicer.app.setFont(larger)
    yield request.param
    slicer.app.setFont(before)


class Run:
    """A model that is being applied, or a comparison, without a process; ``waiting``: has results of cases."""

    title, failed, cancelled, working = "liver-tumor", (), False, True
    watch = SimpleNamespace(progress=0.4, eta_seconds=None)

    def __init__(self, *names: str) -> None:
        self.volume_names, self.made = names, time.time()
        self.record = {"cases": {name: {"name": name} for name in names}}
        self.folder = SimpleNamespace(job_file=Path("/none"))

    def poll(self) -> bool:
        return False

    def waiting(self) -> list[str]:
        return []


class WaitingRun(Run):
    def waiting(self) -> list[str]:
        return list(self.record["cases"])


def new_user(panel: Any, make_job: Any, make_model: Any) -> None:
    """All sections are open, and nothing is there."""
    panel.ui.oneSectionCheckBox.click()
    for name in SECTIONS:
        getattr(panel.ui, f"{name}Button").collapsed = False


def sample_data(panel: Any, make_job: Any, make_model: Any) -> None:
    panel.ui.sampleButton.click()
    panel.data.ui.pairsTable.selectRow(0)
    panel.parameters.classNames = '{"spleen": "", "tumor": "liver-"}'  # almost as 'liver' is spelled
    panel.refresh()
    assert panel.data.ui.repairButton.visible


def beginning(panel: Any, make_job: Any, make_model: Any) -> None:
    """A training is to start from a model that does not fit, and something is chosen where segments overlap."""
    model = make_model("models/abdomen-of-a-colleague", plan={"channel_names": ["T1", "T2"]})
    panel.parameters.startModel, panel.parameters.overlap = str(model), "order"
    panel.parameters.classNames = '{"spleen": "spleen and more"}'
    panel.parameters.startRename = '{"spleen and more": ["liver", "tumor"]}'
    panel.refresh()
    ui = panel.train.ui
    assert ui.renameFrame.visible and ui.adaptCheckBox.visible and panel.data.ui.overlapFrame.visible
    ui.renameSelector.setCurrentIndex(2)
    assert "T1, T2" in ui.startLabel.text and ui.renameButton.text == "liver + tumor"


def training(panel: Any, make_job: Any, make_model: Any) -> None:
    """A training runs, advises and warns; another is in the list, and one was removed."""
    make_job("earlier", events=fake.training(9), state="finished", best=0.73)
    removed = make_job("removed-before", events=fake.training(9), state="finished", best=0.73)
    folder = make_job("liver-tumor-spleen-kidneys", events=fake.training(9), state="running")
    log = EventLog(folder.events_file)
    log(Advised(epoch=2, finding="unstable", message="The training is unstable.", remedies=[fake.RATE]))
    log(Warned(message="The patch is larger than the smallest volume; its edge is filled with zeros."))
    panel.train.job.follow(folder)
    job = panel.train.job
    for button in (job.ui.jobsButton, job.ui.logButton, panel.train.ui.advancedButton):
        button.collapsed = False
    job.trainings.undo.show(job.trainings.trash.put(removed))
    job.trainings.show()
    panel.train.form.enter("optimizer.learning_rate", "0.001")
    panel.train.ui.whyButton.click()
    panel.train.tell("Exporting Phantom 1 ...", "note")
    assert job.ui.stopKeepButton.visible and job.ui.undoFrame.visible and job.advice.buttons


def results(panel: Any, make_job: Any, make_model: Any) -> None:
    """A model was applied, results of an earlier one wait, and two segmentations were compared."""
    panel.parameters.model = str(make_model())
    prediction, reference = (panel.rows()[index].segmentation for index in (0, 1))
    panel.parameters.evaluatePrediction, panel.parameters.evaluateReference = prediction, reference
    table = add_table("evaluation", prediction)
    numbers = {"dice": 0.9312, "hd95_mm": 12.34, "volume_ml": 1523.25, "predicted_volume_ml": 1498.5}
    fill_table(table, {"liver": numbers, "kidneys": {**numbers, "hd95_mm": None}}, "Phantom 1 segmentation.")
    panel.parameters.parameterNode.SetNodeReferenceID("evaluateTable", table.GetID())
    panel.evaluate.setParameterNode(panel.parameters)
    panel.apply.shown.add(prediction)
    panel.apply.waiting.runs.append(WaitingRun("Phantom 3", "Phantom 4"))
    panel.refresh()
    assert panel.apply.ui.shownFrame.visible and panel.apply.ui.resultsFrame.visible
    assert panel.evaluate.ui.resultsTable.visible and panel.evaluate.ui.reportButton.visible


def at_work(panel: Any, make_job: Any, make_model: Any) -> None:
    """PyTorch is there, a model is being applied, segmentations are being compared; the training broke off."""
    panel.apply.run, panel.evaluate.run = Run("Phantom 1", "Phantom 2"), Run()
    played.leave_tested(panel.environment.folder.parent, devices=[GPU, CPU], warnings=["The GPU is slower than usual."])
    panel.environment.poll()
    panel.train.job.follow(make_job("broken", events=fake.training(2), state="running", pid=2**22 - 1, heartbeat=1.0))
    panel.refresh()
    assert panel.apply.ui.cancelButton.visible and panel.evaluate.ui.cancelButton.visible
    assert panel.train.job.ui.resumeButton.visible and panel.environment.ready


STATES: tuple[Callable[..., None], ...] = (new_user, sample_data, beginning, training, results, at_work)


def test_no_text_is_cut(
    language: str, font_scale: float, module_widget: Any, make_job: Any, make_model: Any, screenshot: Any
) -> None:
    panel, parent = module_widget.panel, module_widget.parent
    cut = {}
    for state in STATES:
        state(panel, make_job, make_model)
        show_whole(parent)
        screenshot(parent, f"fit-{state.__name__}-{language}-{font_scale}")
        cut[state.__name__] = sorted(set(cut_texts(parent)))
        assert panel.uiWidget.minimumSizeHint.width() <= DOCK, state.__name__
    assert {name: texts for name, texts in cut.items() if texts} == {}
    panel.apply.run = panel.evaluate.run = None
    panel.apply.waiting.runs.clear()


def show_whole(parent: Any) -> None:
    """As wide as the dock, and as high as it needs: Slicer scrolls it."""
    parent.setFixedWidth(DOCK)
    for _again in range(3):  # texts that wrap change the height that others need
        slicer.app.processEvents()
        parent.setFixedHeight(max(parent.heightForWidth(DOCK), parent.sizeHint.height()))
    slicer.app.processEvents()


@pytest.mark.parametrize("text", ["Segmentation of the whole", "short"])
def test_what_is_cut_is_found(scene: Any, text: str) -> None:
    """So that the test above can fail: a label, a button, a chooser, a title and a cell of a table."""
    frame = qt.QWidget()
    box = qt.QVBoxLayout(frame)
    combo, table = qt.QComboBox(), qt.QTableWidget(1, 1)
    combo.addItem(text)
    table.setHorizontalHeaderLabels([text])
    table.setItem(0, 0, qt.QTableWidgetItem(text))
    table.setColumnWidth(0, 70)
    widgets = [qt.QLabel(text), qt.QPushButton(text), combo, table]
    for widget in widgets:
        widget.setMinimumWidth(1)
        widget.setSizePolicy(qt.QSizePolicy.Ignored, qt.QSizePolicy.Fixed)
        box.addWidget(widget)
    frame.setFixedWidth(120)
    frame.show()
    slicer.app.processEvents()
    assert len(cut_texts(frame)) == (5 if text != "short" else 0)
    table.item(0, 0).setToolTip(f"{text}, in the tooltip")
    assert len(cut_texts(frame)) == (4 if text != "short" else 0)
    frame.hide()
