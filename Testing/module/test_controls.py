"""Every control of the panel says what it does, and can be reached from the keyboard."""

from __future__ import annotations

import re
from typing import Any

import fake_panel as fake
import pytest
import qt
import slicer
from MedSegTrainerUI.shared.section_folding import SECTIONS
from MedSegTrainerUI.shared.tab_order import tab_stops

from MedSegTrainerLib.events import Advised, EventLog

CONTROLS = (
    "QAbstractButton", "QComboBox", "QLineEdit", "QAbstractSpinBox", "QTableWidget", "QPlainTextEdit", "QTextBrowser",
    "qMRMLNodeComboBox", "qMRMLCheckableNodeComboBox", "ctkPathLineEdit",
)  # fmt: skip
MENUS_OF_SLICER = {"en_US": set("fevh"), "de_DE": set("dbah")}  # File, Edit, View, Help


@pytest.fixture(autouse=True)
def home(scene: Any, tmp_path: Any) -> None:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))  # whose jobs lie in "jobs"


@pytest.fixture
def whole(language: str, panel: Any, make_job: Any, make_model: Any) -> Any:
    """All sections open, with rows, a training that runs and advises, an earlier one, a model, and every setting."""
    panel.ui.sampleButton.click()
    make_job("earlier", events=fake.training(9), state="finished", best=0.73)
    folder = make_job(events=fake.training(), state="running")
    EventLog(folder.events_file)(
        Advised(epoch=2, finding="unstable", message="The training is unstable.", remedies=[fake.RATE])
    )
    panel.train.job.follow(folder)
    panel.parameters.model = panel.parameters.startModel = str(make_model())
    panel.parameters.overlap = "order"
    panel.ui.oneSectionCheckBox.click()
    for button in (panel.train.ui.advancedButton, panel.train.job.ui.jobsButton, panel.train.job.ui.logButton):
        button.collapsed = False
    panel.refresh()
    slicer.app.processEvents()
    return panel


def classes_of(widget: Any) -> set[str]:
    """The names of its class and of those that this extends."""
    meta, names = widget.metaObject(), set()
    while meta is not None:
        names.add(meta.className())
        meta = meta.superClass()
    return names


def controls(widget: Any) -> list[Any]:
    """Below a widget; what a control consists of is no control of its own."""
    found = []
    for child in widget.children():
        if not child.isWidgetType():
            continue
        names = classes_of(child)
        is_control = bool(names & set(CONTROLS))
        if is_control:
            found.append(child)
        if not is_control or "ctkCollapsibleButton" in names:
            found += controls(child)
    return found


def describe(widget: Any) -> str:
    return f"{widget.metaObject().className()} {widget.objectName or getattr(widget, 'text', '')}"


def test_every_control_has_a_tooltip(whole: Any) -> None:
    found = controls(whole.uiWidget)
    assert len(found) > 130, "with the settings under Advanced"
    bare = [describe(widget) for widget in found if not widget.toolTip]
    assert not bare, "\n".join(bare)


def test_no_mnemonic_is_given_twice(whole: Any, language: str) -> None:
    buttons = [widget for widget in controls(whole.uiWidget) if "QAbstractButton" in classes_of(widget)]
    labels = [label for label in slicer.util.findChildren(whole.uiWidget, className="QLabel") if label.buddy()]
    letters: dict[str, list[str]] = {}
    for widget in (*buttons, *labels):
        if widget.visible and mnemonic(widget.text):
            letters.setdefault(mnemonic(widget.text), []).append(describe(widget))
    assert len(letters) > 15
    assert {letter: names for letter, names in letters.items() if len(names) > 1} == {}
    assert letters.keys() & MENUS_OF_SLICER[language] == set()


def mnemonic(text: str) -> str:
    """The letter after '&'; '' where there is none."""
    found = re.search(r"&(\w)", text.replace("&&", ""))
    return found[1].lower() if found else ""


def test_the_tabulator_goes_from_top_to_bottom(whole: Any) -> None:
    stops = list(tab_stops(whole.uiWidget))
    names = [stop.objectName for stop in stops]
    wanted = ["dataButton", "addAllButton", "checkButton", "trainButton", "startButton", "jobsButton", "applyButton",
              "applyButton", "evaluateButton", "evaluateButton", "environmentButton", "oneSectionCheckBox"]  # fmt: skip
    assert [name for name in names if name in wanted] == wanted
    chain, stop = [], stops[0]
    while True:
        chain.append(stop)
        stop = stop.nextInFocusChain()
        if stop == stops[0]:
            break
    assert [stop for stop in chain if stop in stops] == stops


def test_a_section_is_opened_from_the_keyboard(panel: Any) -> None:
    shortcuts = [getattr(panel.ui, f"{name}Button").shortcut.toString() for name in SECTIONS]
    assert shortcuts == [f"Alt+{number}" for number in (1, 2, 3, 4, 5)]
