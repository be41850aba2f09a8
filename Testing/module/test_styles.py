"""Every section in Slicer's light and dark style: what is written can be read, and nothing forces the dock wide."""

from __future__ import annotations

import re
from typing import Any

import fake_panel as fake
import pytest
import qt
import slicer

from MedSegTrainerLib.events import Advised, EventLog

SECTIONS = ("data", "train", "apply", "evaluate", "environment")
WIDTHS = (360, 480)
NARROWEST = 380  # pixels: Slicer's dock need not be wider
READABLE = 4.5  # contrast of texts, as WCAG 2.1 asks for
ROLES = {
    "light": {"Window": "#f0f0f0", "Base": "#ffffff", "AlternateBase": "#f7f7f7", "Button": "#f0f0f0"},
    "dark": {"Window": "#323232", "Base": "#1e1e1e", "AlternateBase": "#282828", "Button": "#323232"},
}
INK = {"light": ("#000000", "#a0a0a0"), "dark": ("#ffffff", "#808080")}  # of what is enabled, and of the rest


@pytest.fixture(autouse=True)
def home(scene: Any, tmp_path: Any) -> None:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))  # whose jobs lie in "jobs"


@pytest.fixture(params=["light", "dark"])
def style(request: Any) -> Any:
    """The colours of one of Slicer's styles, for the whole application."""
    before, palette = slicer.app.palette(), qt.QPalette()
    for role, color in ROLES[request.param].items():
        palette.setColor(getattr(qt.QPalette, role), qt.QColor(color))
    for role in ("WindowText", "Text", "ButtonText", "ToolTipText"):
        palette.setColor(getattr(qt.QPalette, role), qt.QColor(INK[request.param][0]))
        palette.setColor(qt.QPalette.Disabled, getattr(qt.QPalette, role), qt.QColor(INK[request.param][1]))
    slicer.app.setPalette(palette)
    yield request.param
    slicer.app.setPalette(before)


@pytest.fixture
def full_panel(style: str, module_widget: Any, make_job: Any, make_model: Any) -> Any:
    """Everything has something to show: data, a training with its curves, an earlier one, a model."""
    from MedSegTrainerUI.samples.sample_data import load_phantoms

    panel = module_widget.panel
    load_phantoms()
    panel.data.ui.addAllButton.click()
    make_job("earlier", events=fake.training(9), state="finished", best=0.73)
    removed = make_job("removed-before", events=fake.training(9), state="finished", best=0.73)
    folder = make_job("liver-tumor-spleen-kidneys", events=fake.training(9), state="running")
    EventLog(folder.events_file)(
        Advised(epoch=2, finding="unstable", message="The training is unstable.", remedies=[fake.RATE])
    )
    panel.train.job.follow(folder)
    panel.parameters.model = str(make_model())
    for name in SECTIONS:
        getattr(panel.ui, f"{name}Button").collapsed = False
    for button in (panel.train.job.ui.jobsButton, panel.train.job.ui.logButton, panel.train.ui.advancedButton):
        button.collapsed = False
    panel.train.ui.advancedButton.collapsed = True
    trainings = panel.train.job.trainings
    panel.train.job.ui.jobsTable.setCurrentCell(
        next(row for row in range(3) if panel.train.job.ui.jobsTable.item(row, 0).text() == removed.path.name), 0
    )
    panel.train.job.ui.removeButton.click()
    trainings.onTimer()
    trainings.show()
    panel.apply.shown.add(panel.rows()[0].segmentation)
    panel.refresh()
    slicer.app.processEvents()
    return panel


def contrast(one: Any, other: Any) -> float:
    """Of two colours, from 1 to 21 (WCAG 2.1)."""

    def luminance(color: Any) -> float:
        parts = [part / 255 for part in (color.red(), color.green(), color.blue())]
        linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def shown_colors(label: Any) -> tuple[Any, Any]:
    """Ink and ground of a label, from its own style sheet or the palette."""
    found = []
    for key, role in (("(?<!-)color", qt.QPalette.WindowText), ("background-color", qt.QPalette.Window)):
        own = re.search(rf"{key}: (#[0-9a-f]+|\w+)", label.styleSheet)
        found.append(qt.QColor(own[1]) if own else label.palette.color(role))
    return found[0], found[1]


def test_what_is_written_can_be_read(full_panel: Any) -> None:
    labels = [label for label in slicer.util.findChildren(full_panel.uiWidget, className="QLabel") if label.text]
    assert len(labels) > 20
    faint = [label.objectName for label in labels if label.enabled and contrast(*shown_colors(label)) < READABLE]
    assert faint == []


def test_the_mark_of_the_mean_is_seen(full_panel: Any) -> None:
    label = full_panel.train.job.ui.diceLabel
    mark = re.findall(r"color:(#[0-9a-f]{6})", label.text)[-1]
    assert "mean" in label.text and contrast(qt.QColor(mark), shown_colors(label)[1]) > READABLE


def test_no_section_forces_the_dock_wide(full_panel: Any) -> None:
    widgets = {name: getattr(full_panel, name).uiWidget for name in (*SECTIONS[:-1], "environmentSection")}
    widths = {name: widget.minimumSizeHint.width() for name, widget in widgets.items()}
    assert {name: width for name, width in widths.items() if width > NARROWEST} == {}
    assert full_panel.uiWidget.minimumSizeHint.width() <= NARROWEST


@pytest.mark.parametrize("width", WIDTHS)
def test_the_panel_can_be_looked_at(module_widget: Any, make_job: Any, screenshot: Any, style: str, width: int) -> None:
    """As a new user meets it, with sample data, and at work in a section while a training runs."""
    panel, parent = module_widget.panel, module_widget.parent

    def take(name: str) -> None:
        parent.setFixedWidth(width)
        for _again in range(3):  # texts that wrap change the height that others need
            slicer.app.processEvents()
            parent.setFixedHeight(max(parent.heightForWidth(width), parent.sizeHint.height()))
        screenshot(parent, f"panel-{name}-{style}-{width}")

    take("first")
    panel.ui.sampleButton.click()
    take("sample")
    panel.train.job.follow(make_job("liver-tumor-spleen-kidneys", events=fake.training(9), state="running"))
    panel.ui.applyButton.click()
    panel.onTimer()
    take("running")
    assert panel.uiWidget.minimumSizeHint.width() <= NARROWEST


@pytest.mark.parametrize("width", WIDTHS)
def test_it_can_be_looked_at(full_panel: Any, module_widget: Any, screenshot: Any, style: str, width: int) -> None:
    for name in SECTIONS:
        section = getattr(full_panel, "environmentSection" if name == "environment" else name).uiWidget
        picture = qt.QWidget()
        box = qt.QVBoxLayout(picture)
        place = section.parent()
        box.addWidget(section)
        picture.setFixedWidth(width)
        picture.show()
        screenshot(picture, f"{name}-{style}-{width}")
        place.layout().addWidget(section)
