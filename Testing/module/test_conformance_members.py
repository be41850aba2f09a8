"""What the module uses of Qt's, CTK's and Slicer's widgets, each member once: the same over the stand-in and in Slicer.

``Testing/widget_members.py`` lists what is used; ``test_standin_members.py`` compares that with what is tested here.
Members are named by the class that declares them.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctk
import numpy as np
import pytest
import qt
import slicer

pytestmark = pytest.mark.usefixtures("scene")
Make = Callable[[], Any]
TESTED: set[str] = set()  # beside PROPERTIES

# a property: the widget, what it is given, and what it gives then where that is something else
PROPERTIES: dict[str, tuple[Make, Any] | tuple[Make, Any, Any]] = {
    "QAbstractButton.checkable": (qt.QPushButton, True),
    "QAbstractButton.checked": (qt.QCheckBox, True),
    "QAbstractButton.text": (qt.QToolButton, "Start"),
    "QAbstractItemView.alternatingRowColors": (qt.QTableWidget, True),
    "QAbstractItemView.editTriggers": (qt.QTableWidget, qt.QAbstractItemView.NoEditTriggers),
    "QAbstractItemView.selectionBehavior": (qt.QTableWidget, qt.QAbstractItemView.SelectRows),
    "QAbstractItemView.selectionMode": (qt.QTableWidget, qt.QAbstractItemView.SingleSelection),
    "QAbstractItemView.textElideMode": (qt.QTableWidget, qt.Qt.ElideMiddle),
    "QAbstractScrollArea.horizontalScrollBarPolicy": (qt.QScrollArea, qt.Qt.ScrollBarAlwaysOff),
    "QAbstractSlider.maximum": (qt.QScrollBar, 7),
    "QAbstractSlider.orientation": (qt.QSlider, qt.Qt.Horizontal),
    "QAbstractSlider.value": (qt.QScrollBar, 50),
    "QAbstractSpinBox.keyboardTracking": (qt.QDoubleSpinBox, False),
    "QAbstractSpinBox.specialValueText": (qt.QDoubleSpinBox, "none"),
    "QComboBox.editable": (qt.QComboBox, True),
    "QComboBox.minimumContentsLength": (qt.QComboBox, 8),
    "QDoubleSpinBox.decimals": (qt.QDoubleSpinBox, 1),
    "QDoubleSpinBox.maximum": (qt.QDoubleSpinBox, 1e6),
    "QDoubleSpinBox.prefix": (qt.QDoubleSpinBox, "below "),
    "QDoubleSpinBox.singleStep": (qt.QDoubleSpinBox, 10.0),
    "QDoubleSpinBox.suffix": (qt.QDoubleSpinBox, " mm3"),
    "QDoubleSpinBox.value": (qt.QDoubleSpinBox, 12.345, 12.35),  # rounded to its decimals
    "QFormLayout.horizontalSpacing": (qt.QFormLayout, 7),
    "QFormLayout.rowWrapPolicy": (qt.QFormLayout, qt.QFormLayout.WrapAllRows),
    "QFrame.frameShape": (qt.QFrame, qt.QFrame.StyledPanel),
    "QLayout.spacing": (qt.QHBoxLayout, 9),
    "QLabel.alignment": (qt.QLabel, qt.Qt.AlignRight),
    "QLabel.indent": (qt.QLabel, 3),
    "QLabel.text": (qt.QLabel, "liver"),
    "QLabel.textFormat": (qt.QLabel, qt.Qt.PlainText),
    "QLabel.wordWrap": (qt.QLabel, True),
    "QLineEdit.clearButtonEnabled": (qt.QLineEdit, True),
    "QLineEdit.placeholderText": (qt.QLineEdit, "auto"),
    "QLineEdit.text": (qt.QLineEdit, "16, 32, 32"),
    "QPlainTextEdit.maximumBlockCount": (qt.QPlainTextEdit, 1000),
    "QPlainTextEdit.lineWrapMode": (qt.QPlainTextEdit, qt.QPlainTextEdit.NoWrap),
    "QPlainTextEdit.readOnly": (qt.QPlainTextEdit, True),
    "QProgressBar.alignment": (qt.QProgressBar, qt.Qt.AlignCenter),
    "QProgressBar.maximum": (qt.QProgressBar, 1000),
    "QProgressBar.textVisible": (qt.QProgressBar, False),
    "QProgressBar.value": (qt.QProgressBar, 41),
    "QScrollArea.widgetResizable": (qt.QScrollArea, True),
    "QTableView.showGrid": (qt.QTableWidget, False),
    "QTableView.wordWrap": (qt.QTableWidget, False),
    "QToolButton.popupMode": (qt.QToolButton, qt.QToolButton.InstantPopup),
    "QWidget.autoFillBackground": (qt.QFrame, True),
    "QWidget.enabled": (qt.QPushButton, False),
    "QWidget.maximumHeight": (qt.QProgressBar, 10),
    "QWidget.minimumHeight": (qt.QWidget, 140),
    "QWidget.minimumWidth": (qt.QWidget, 70),
    "QWidget.styleSheet": (qt.QLabel, "padding: 4px;"),
    "ctkPathLineEdit.currentPath": (ctk.ctkPathLineEdit, "/models/a"),
    "ctkPathLineEdit.filters": (ctk.ctkPathLineEdit, ctk.ctkPathLineEdit.Files | ctk.ctkPathLineEdit.Executable),
    "ctkCollapsibleButton.collapsed": (ctk.ctkCollapsibleButton, True),
    "qMRMLNodeComboBox.addEnabled": (slicer.qMRMLNodeComboBox, False),
    "qMRMLNodeComboBox.nodeTypes": (slicer.qMRMLNodeComboBox, ["vtkMRMLTextNode"], ("vtkMRMLTextNode",)),
    "qMRMLNodeComboBox.noneDisplay": (slicer.qMRMLNodeComboBox, "Choose a volume"),
    "qMRMLNodeComboBox.noneEnabled": (slicer.qMRMLNodeComboBox, True),
    "qMRMLNodeComboBox.removeEnabled": (slicer.qMRMLNodeComboBox, False),
    "qMRMLNodeComboBox.showChildNodeTypes": (slicer.qMRMLNodeComboBox, False),
}


def states(*members: str) -> Callable[[Any], Any]:
    """Marks a test of these members."""
    TESTED.update(members)
    return lambda test: test


@pytest.mark.parametrize("member", PROPERTIES)
def test_a_property_gives_what_it_was_given(member: str) -> None:
    make, given, *gives = PROPERTIES[member]
    name, widget = member.partition(".")[2], make()
    setattr(widget, name, given)
    got = getattr(widget, name)
    expected = gives[0] if gives else given
    assert got == (pytest.approx(expected) if isinstance(expected, float) else expected)
    if not isinstance(given, list):
        assert not callable(got), "no method"


@pytest.mark.parametrize("member", PROPERTIES)
def test_a_property_refuses_none(member: str) -> None:
    make, name = PROPERTIES[member][0], member.partition(".")[2]
    widget = make()
    before = getattr(widget, name)
    with pytest.raises((AttributeError, ValueError)):
        setattr(widget, name, None)
    assert getattr(widget, name) == before


def emitted(widget: Any, signal: str, act: Callable[[], Any]) -> list[tuple[Any, ...]]:
    """What a signal hands over while something is done."""
    got: list[tuple[Any, ...]] = []

    def slot(*arguments: Any) -> None:
        got.append(arguments)

    assert widget.connect(signal, slot)
    act()
    assert widget.disconnect(signal, slot)
    return got


@states("QAbstractButton.click", "QAbstractButton.clicked()", "QAbstractButton.clicked(bool)",
        "QAbstractButton.toggled(bool)")  # fmt: skip
def test_buttons() -> None:
    box = qt.QCheckBox()
    assert emitted(box, "clicked(bool)", box.click) == [(True,)]
    assert emitted(box, "toggled(bool)", box.click) == [(False,)]
    assert emitted(box, "clicked(bool)", lambda: setattr(box, "checked", True)) == [], "by code: no click"
    assert emitted(box, "toggled(bool)", lambda: setattr(box, "checked", False)) == [(False,)]
    assert emitted(box, "toggled(bool)", lambda: setattr(box, "checked", False)) == [], "no change"
    button = qt.QPushButton()
    assert emitted(button, "clicked()", button.click) in ([()], [(False,)])
    button.enabled = False
    assert emitted(button, "clicked()", button.click) == []


@states("QAction.checkable", "QAction.checked", "QAction.enabled", "QMenu.clear", "QWidget.addAction")
def test_menus_of_what_can_be_chosen() -> None:
    menu = qt.QMenu()
    action = menu.addAction("liver")
    assert (action.checkable, action.checked, action.enabled) == (False, False, True)
    action.checkable = True
    assert emitted(action, "triggered(bool)", action.trigger) == [(True,)] and action.checked
    assert emitted(action, "triggered(bool)", lambda: setattr(action, "checked", False)) == [], "by code: no click"
    action.enabled = False
    action.trigger()
    assert not action.checked
    menu.clear()
    assert list(menu.actions()) == []


@states("QAction.text", "QAction.triggered(bool)", "QAction.setCheckable", "QAction.setChecked", "QAction.setEnabled",
        "QCursor.pos", "QMenu.aboutToShow()", "QMenu.addMenu", "QMenu.addSeparator", "QMenu.clear", "QMenu.popup",
        "QWidget.addAction", "QToolButton.setMenu")  # fmt: skip
def test_menus() -> None:
    button = qt.QToolButton()
    menu = qt.QMenu(button)
    action = menu.addAction("Model folder...")
    assert action.text == "Model folder..."
    button.setMenu(menu)
    assert emitted(action, "triggered(bool)", action.trigger) == [(False,)]
    below = menu.addMenu("tumor: drawn")
    choice = below.addAction("Not drawn here")
    choice.setCheckable(True)
    choice.setChecked(True)
    assert emitted(choice, "triggered(bool)", choice.trigger) == [(False,)], "as it is after the click"
    choice.setEnabled(False)
    assert emitted(choice, "triggered(bool)", choice.trigger) == [] and not choice.enabled
    menu.addSeparator()
    assert [one.text for one in menu.actions()] == ["Model folder...", "tumor: drawn", ""]
    assert emitted(menu, "aboutToShow()", lambda: menu.popup(qt.QCursor.pos())) == [()] and menu.visible
    menu.close()
    menu.clear()
    assert len(menu.actions()) == 0 and below.actions()[0].text == "Not drawn here", "those below it are kept"


@states("QComboBox.activated(int)", "QComboBox.addItem", "QComboBox.clear", "QComboBox.count", "QComboBox.currentIndex",
        "QComboBox.currentIndexChanged(int)", "QComboBox.itemData", "QComboBox.itemText", "QComboBox.setCurrentIndex",
        "QComboBox.setItemText", "QComboBox.setSizeAdjustPolicy", "QObject.blockSignals")  # fmt: skip
def test_combo_boxes() -> None:
    combo = qt.QComboBox()
    combo.setSizeAdjustPolicy(qt.QComboBox.AdjustToMinimumContentsLengthWithIcon)
    assert (combo.count, combo.currentIndex, combo.itemData(3), combo.itemText(3)) == (0, -1, None, "")
    assert emitted(combo, "currentIndexChanged(int)", lambda: combo.addItem("auto", "a")) == [(0,)], "the first item"
    combo.addItem("cpu", "c")
    assert emitted(combo, "currentIndexChanged(int)", lambda: combo.setCurrentIndex(1)) == [(1,)]
    assert emitted(combo, "activated(int)", lambda: combo.setCurrentIndex(0)) == [], "only by the user"
    assert (combo.itemText(1), combo.itemData(1)) == ("cpu", "c")
    combo.setItemText(1, "CPU")
    assert (combo.itemText(1), combo.itemData(1), combo.currentIndex) == ("CPU", "c", 0)
    before = combo.blockSignals(True)
    assert before is False and emitted(combo, "currentIndexChanged(int)", combo.clear) == []
    assert combo.blockSignals(before) is True and combo.count == 0
    combo.setCurrentIndex(5)
    assert combo.currentIndex == -1


@states("QDesktopServices.openUrl", "QFileDialog.getExistingDirectory", "QFileDialog.getOpenFileName",
        "QFileDialog.getSaveFileName")  # fmt: skip
def test_what_asks_the_user_is_there() -> None:
    for owner, name in (
        (qt.QDesktopServices, "openUrl"), (qt.QFileDialog, "getExistingDirectory"),
        (qt.QFileDialog, "getOpenFileName"), (qt.QFileDialog, "getSaveFileName"),
    ):  # fmt: skip
        assert callable(getattr(owner, name))


@states("QFormLayout.addRow", "QFormLayout.removeRow", "QFormLayout.rowCount", "QLayout.addWidget",
        "QLayout.removeWidget", "QLayout.setContentsMargins", "QWidget.layout")  # fmt: skip
def test_layouts() -> None:
    widget = qt.QWidget()
    assert widget.layout() is None
    form = qt.QFormLayout(widget)
    form.addRow(qt.QLabel("T1"), qt.QLineEdit())
    form.addRow(qt.QLabel("a heading"))
    assert widget.layout().rowCount() == 2
    form.removeRow(0)
    assert form.rowCount() == 1
    frame, button = qt.QWidget(), qt.QPushButton()
    row = qt.QHBoxLayout(frame)
    row.setContentsMargins(0, 2, 0, 2)
    row.addWidget(button)
    row.addWidget(qt.QLabel(), 1)
    assert row.count() == 2
    row.removeWidget(button)
    assert row.count() == 1


@states("QLabel.linkActivated(QString)", "QLabel.setBuddy", "QLabel.setTextFormat", "QWidget.setContentsMargins",
        "QWidget.setMinimumWidth", "QWidget.repaint", "QWidget.palette")  # fmt: skip
def test_labels() -> None:
    label = qt.QLabel("<a href='report'>full report</a>")
    label.setTextFormat(qt.Qt.RichText)
    label.setBuddy(qt.QLineEdit())
    label.setContentsMargins(0, 8, 0, 2)
    label.setMinimumWidth(40)
    label.repaint()
    assert label.textFormat == qt.Qt.RichText and label.minimumWidth == 40
    assert emitted(label, "linkActivated(QString)", lambda: label.linkActivated("report")) == [("report",)]
    assert label.palette.color(qt.QPalette.WindowText).name().startswith("#")
    for value in (5, Path("a")):
        with pytest.raises(AttributeError):
            label.text = value


@states("QLineEdit.editingFinished()", "QLineEdit.textChanged(QString)")
def test_line_edits() -> None:
    edit = qt.QLineEdit()
    assert emitted(edit, "textChanged(QString)", lambda: setattr(edit, "text", "0.01")) == [("0.01",)]
    assert emitted(edit, "textChanged(QString)", lambda: setattr(edit, "text", "0.01")) == []
    assert emitted(edit, "editingFinished()", lambda: setattr(edit, "text", "1")) == [], "only by the user"


@states("QPlainTextEdit.appendPlainText", "QPlainTextEdit.clear", "QPlainTextEdit.setLineWrapMode",
        "QPlainTextEdit.setPlainText", "QAbstractScrollArea.verticalScrollBar", "QTextEdit.setHtml")  # fmt: skip
def test_texts() -> None:
    edit = qt.QPlainTextEdit()
    edit.setLineWrapMode(qt.QPlainTextEdit.NoWrap)
    edit.setPlainText("a\nb")
    edit.appendPlainText("c")
    assert edit.plainText == "a\nb\nc"
    bar = edit.verticalScrollBar()
    bar.value = bar.maximum
    edit.clear()
    assert edit.plainText == ""
    browser = qt.QTextBrowser()
    browser.setHtml("<b>liver</b>")
    assert browser.toPlainText() == "liver"


@states("QProgressBar.setFormat")
def test_progress_bars() -> None:
    bar = qt.QProgressBar()
    bar.setFormat("18 s left")
    assert bar.format == "18 s left"
    bar.maximum = 0  # busy, no end known
    assert bar.maximum == 0


@states("QAbstractSlider.valueChanged(int)")
def test_sliders() -> None:
    slider, changed = qt.QSlider(), "valueChanged(int)"
    slider.maximum = 100
    assert emitted(slider, changed, lambda: setattr(slider, "value", 30)) == [(30,)]
    assert emitted(slider, changed, lambda: setattr(slider, "value", 30)) == []
    assert emitted(slider, changed, lambda: setattr(slider, "value", 300)) == [(100,)]


@states("QSettings.setValue", "QSettings.value")
def test_settings() -> None:
    settings = qt.QSettings()
    assert settings.value("MedSegTrainer/none") is None and settings.value("MedSegTrainer/none", "x") == "x"
    settings.setValue("MedSegTrainer/Folder", "/a b/ä")
    assert qt.QSettings().value("MedSegTrainer/Folder") == "/a b/ä", "another object sees it at once"
    settings.setValue("MedSegTrainer/on", True)
    assert slicer.util.settingsValue("MedSegTrainer/on", False, converter=slicer.util.toBool) is True


@pytest.fixture
def table() -> Any:
    table = qt.QTableWidget()
    table.setColumnCount(2)
    table.setRowCount(3)
    table.setHorizontalHeaderLabels(["Training", "Dice"])
    for row in range(3):
        table.setItem(row, 0, qt.QTableWidgetItem(f"job {row}"))
    table.setSelectionBehavior(qt.QAbstractItemView.SelectRows)
    return table


@states("QTableWidget.setColumnCount", "QTableWidget.setRowCount", "QTableWidget.setHorizontalHeaderLabels",
        "QTableWidget.insertRow", "QTableWidget.removeRow", "QTableWidget.setItem", "QTableWidget.item",
        "QTableWidget.rowCount", "QTableWidget.currentRow",
        "QTableWidget.setCurrentCell", "QTableWidget.editItem", "QTableWidget.cellChanged(int,int)",
        "QTableWidget.cellClicked(int,int)", "QTableWidget.cellDoubleClicked(int,int)",
        "QTableWidget.itemSelectionChanged()", "QAbstractItemView.clearSelection",
        "QAbstractItemView.selectionModel", "QItemSelectionModel.selectedRows",
        "QTableView.selectRow")  # fmt: skip
def test_tables(table: Any) -> None:
    assert table.rowCount == 3 and table.item(0, 1) is None and table.item(1, 0).text() == "job 1"
    assert table.currentRow() == -1
    assert emitted(table, "cellChanged(int,int)", lambda: table.item(1, 0).setText("other")) == [(1, 0)]
    assert emitted(table, "itemSelectionChanged()", lambda: table.selectRow(2)) == [()]
    assert [index.row() for index in table.selectionModel().selectedRows()] == [2]
    table.setCurrentCell(1, 0)
    assert table.currentRow() == 1
    assert emitted(table, "itemSelectionChanged()", table.clearSelection) == [()]
    assert table.selectionModel().selectedRows() == () or list(table.selectionModel().selectedRows()) == []
    for signal in ("cellClicked", "cellDoubleClicked"):
        act = getattr(table, signal)
        assert emitted(table, f"{signal}(int,int)", lambda act=act: act(1, 0)) == [(1, 0)]
    table.editItem(table.item(0, 0))
    kept = table.item(1, 0)
    table.insertRow(1)
    assert table.rowCount == 4 and table.item(1, 0) is None and table.item(2, 0).text() == kept.text()
    assert table.currentRow() == 2, "the chosen row moves with its content"
    table.removeRow(0)
    assert table.rowCount == 3 and table.currentRow() == 1 and table.item(1, 0).text() == kept.text()
    table.setRowCount(0)
    assert table.rowCount == 0 and table.item(0, 0) is None and table.currentRow() == -1


@states("QTableView.horizontalHeader", "QTableView.verticalHeader", "QHeaderView.defaultSectionSize",
        "QHeaderView.resizeSection", "QHeaderView.sectionSizeHint", "QHeaderView.setDefaultAlignment",
        "QHeaderView.setResizeContentsPrecision", "QHeaderView.setSectionResizeMode",
        "QHeaderView.sectionResizeMode", "QTableWidget.columnCount",
        "QHeaderView.setStretchLastSection", "QFrame.frameWidth",
        "QWidget.setFixedHeight", "QWidget.sizeHint")  # fmt: skip
def test_headers(table: Any) -> None:
    header = table.horizontalHeader()
    header.setDefaultAlignment(qt.Qt.AlignLeft | qt.Qt.AlignVCenter)
    header.setSectionResizeMode(qt.QHeaderView.ResizeToContents)
    header.setResizeContentsPrecision(20)
    assert header.resizeContentsPrecision() == 20
    header.setSectionResizeMode(1, qt.QHeaderView.Interactive)
    modes = [header.sectionResizeMode(column) for column in range(table.columnCount)]
    assert modes == [qt.QHeaderView.ResizeToContents, qt.QHeaderView.Interactive], "of each column"
    header.resizeSection(1, 96)
    assert header.sectionSize(1) == 96 and header.sectionSizeHint(0) > header.sectionSizeHint(1) > 0
    header.setStretchLastSection(True)
    table.verticalHeader().setVisible(False)
    assert table.verticalHeader().defaultSectionSize > 0 and header.sizeHint.height() > 0
    table.setFixedHeight(99)
    assert table.height == 99 and table.frameWidth >= 0


@states("QTableWidgetItem.checkState", "QTableWidgetItem.font", "QTableWidgetItem.setCheckState",
        "QTableWidgetItem.setFlags", "QTableWidgetItem.setFont", "QTableWidgetItem.setForeground",
        "QTableWidgetItem.setIcon", "QTableWidgetItem.setTextAlignment", "QTableWidgetItem.setToolTip",
        "QTableWidgetItem.text", "QFont.setBold", "QColor.darker", "QPixmap.fill", "QPainter.drawEllipse",
        "QPainter.drawRect", "QPainter.end", "QPainter.setBrush", "QPainter.setPen",
        "QPainter.setRenderHint")  # fmt: skip
def test_items_of_tables() -> None:
    item = qt.QTableWidgetItem("liver")
    assert item.text() == "liver", "an item is no widget: its text is a method"
    item.setToolTip("as it is")
    assert item.toolTip() == "as it is", "only those of widgets are wrapped"
    item.setFlags(qt.Qt.ItemIsEnabled | qt.Qt.ItemIsUserCheckable)
    item.setCheckState(qt.Qt.Checked)
    assert item.checkState() == qt.Qt.Checked
    font = item.font()
    font.setBold(True)
    assert not item.font().bold(), "a copy"
    item.setFont(font)
    assert item.font().bold()
    item.setTextAlignment(qt.Qt.AlignRight | qt.Qt.AlignVCenter)
    item.setForeground(qt.QBrush(qt.QColor(128, 128, 128)))
    pixmap = qt.QPixmap(14, 14)
    pixmap.fill(qt.QColor(0, 0, 0, 0))
    painter = qt.QPainter(pixmap)
    painter.setRenderHint(qt.QPainter.Antialiasing)
    painter.setPen(qt.QPen(qt.QColor(200, 0, 0).darker(130)))
    painter.setBrush(qt.QBrush(qt.QColor(200, 0, 0)))
    painter.drawEllipse(2, 2, 9, 9)
    painter.drawRect(1, 1, 11, 11)
    painter.end()
    item.setIcon(qt.QIcon(pixmap))
    assert not item.icon().isNull() and pixmap.toImage().pixelColor(6, 6).red() == 200


@states("QObject.children", "QObject.isWidgetType", "QObject.parent", "QWidget.focusPolicy", "QWidget.setTabOrder")
def test_the_order_of_the_tabulator() -> None:
    parent = qt.QWidget()
    column = qt.QVBoxLayout(parent)
    buttons = [qt.QPushButton() for _number in range(3)]
    for button in buttons:
        column.addWidget(button)
    assert [child for child in parent.children() if child.isWidgetType()] == buttons, "in the order they came"
    assert not column.isWidgetType() and buttons[0].parent() == parent
    tabulator = int(qt.Qt.TabFocus)
    assert int(buttons[0].focusPolicy) & tabulator and not int(parent.focusPolicy) & tabulator
    qt.QWidget.setTabOrder(buttons[0], buttons[2])
    assert buttons[0].nextInFocusChain() == buttons[2]


@states("QSystemTrayIcon.hide", "QSystemTrayIcon.isSystemTrayAvailable", "QSystemTrayIcon.show",
        "QSystemTrayIcon.showMessage", "QSystemTrayIcon.supportsMessages")  # fmt: skip
def test_notifications() -> None:
    assert isinstance(qt.QSystemTrayIcon.isSystemTrayAvailable(), bool)
    assert isinstance(qt.QSystemTrayIcon.supportsMessages(), bool)
    tray = qt.QSystemTrayIcon(qt.QIcon())
    tray.show()
    tray.showMessage("liver-tumor", "Done, after 3 epochs")  # where no tray is, it does nothing
    tray.hide()
    assert not tray.visible


@states("QTimer.active", "QTimer.setInterval", "QTimer.setSingleShot", "QTimer.singleShot", "QTimer.start",
        "QTimer.stop", "QTimer.timeout()")  # fmt: skip
def test_timers(wait_for: Callable[..., None]) -> None:
    timer, calls = qt.QTimer(), []
    assert timer.connect("timeout()", lambda: calls.append(True)) and not timer.active
    timer.setInterval(1)
    timer.start()
    wait_for(lambda: len(calls) > 1)
    timer.stop()
    assert not timer.active
    calls.clear()
    timer.setSingleShot(True)
    timer.start(1)
    wait_for(lambda: calls)
    assert len(calls) == 1 and not timer.active
    qt.QTimer.singleShot(1, lambda: calls.append(True))
    wait_for(lambda: len(calls) == 2)


@states("QWidget.toolTip", "QWidget.visible", "QWidget.setVisible", "QWidget.show", "QWidget.hide", "QWidget.font",
        "QWidget.geometry", "QWidget.maximumSize", "QWidget.minimumSize", "QWidget.sizePolicy", "QObject.deleteLater",
        "QObject.objectName", "QLabel.name")  # fmt: skip
def test_widgets() -> None:
    widget = qt.QWidget()
    label = qt.QLabel("a", widget)
    label.objectName = "cardLabel"
    assert label.name == "cardLabel" and not label.visible, "not before its parent"
    widget.show()
    assert label.visible
    label.setVisible(False)
    assert not label.visible and label.isHidden()
    label.visible = True
    widget.hide()
    assert not label.visible and not label.isHidden(), "it is hidden by its parent only"
    label.toolTip = "Choose a <model> & go"
    assert label.toolTip != "Choose a <model> & go" and label.toolTip.startswith("<p>"), "wrapped"
    label.toolTip = ""
    assert label.toolTip == ""
    label.toolTip = "<p>rich</p>"
    assert label.toolTip == "<p>rich</p>"
    label.setToolTip("plain")
    assert label.toolTip == "<p>plain</p>"
    label.minimumSize, label.maximumSize = qt.QSize(1, 2), qt.QSize(300, 200)
    assert label.minimumSize.height() == 2 and label.maximumSize.width() == 300
    assert label.geometry.width() >= 1 and label.font.family() and label.sizePolicy is not None
    label.deleteLater()


@states("QAbstractScrollArea.viewport", "QAbstractSlider.valueChanged(int)", "QObject.metaObject", "QObject.parent",
        "QWidget.height", "QWidget.heightForWidth", "QWidget.mapTo", "QWidget.resize", "QWidget.width")  # fmt: skip
def test_scroll_areas() -> None:
    area, content = qt.QScrollArea(), qt.QWidget()
    content.setMinimumSize(50, 900)
    area.setWidget(content)
    area.resize(200, 100)
    assert (area.width, area.height) == (200, 100)
    area.show()
    slicer.app.processEvents()
    assert content.parent() == area.viewport() and content.parent().parent() == area
    assert area.metaObject().className() == "QScrollArea" and area.parent() is None
    over = qt.QFrame(area.viewport())
    bar = area.verticalScrollBar()
    assert emitted(bar, "valueChanged(int)", lambda: setattr(bar, "value", 30)) == [(30,)]
    assert content.mapTo(area.viewport(), qt.QPoint(0, 0)).y() == -30
    assert over.mapTo(area.viewport(), qt.QPoint(0, 0)).y() == 0, "only the content is scrolled"
    column, label = qt.QVBoxLayout(over), qt.QLabel("many words " * 9)
    label.wordWrap = True
    column.addWidget(label)
    assert over.heightForWidth(90) > over.heightForWidth(900) > 0 and content.heightForWidth(90) == -1
    area.hide()


@states("ctkCollapsibleButton.contentsCollapsed(bool)")
def test_collapsible_buttons() -> None:
    button = ctk.ctkCollapsibleButton()
    column, label = qt.QVBoxLayout(button), qt.QLabel("a")
    column.addWidget(label)
    button.show()
    signal = "contentsCollapsed(bool)"
    assert emitted(button, signal, lambda: setattr(button, "collapsed", True)) == [(True,)] and not label.visible
    assert emitted(button, signal, lambda: setattr(button, "collapsed", True)) == []
    assert emitted(button, signal, button.click) == [(False,)] and label.visible
    assert emitted(button, "clicked(bool)", button.click) == [(False,)], "whether it is open then"
    assert emitted(button, "clicked(bool)", lambda: setattr(button, "collapsed", False)) == [], "by code: no click"
    button.text = "&1  Data"
    assert button.shortcut.toString() == "Alt+1"


@states("ctkPathLineEdit.currentPathChanged(QString)", "ctkPathLineEdit.validInputChanged(bool)",
        "ctkPathLineEdit.setCurrentPath")  # fmt: skip
def test_path_edits() -> None:
    edit = ctk.ctkPathLineEdit()
    changed, valid = "currentPathChanged(QString)", "validInputChanged(bool)"
    assert edit.currentPath == ""
    assert emitted(edit, changed, lambda: edit.setCurrentPath("/a")) == [("/a",)]
    assert emitted(edit, valid, lambda: edit.setCurrentPath("/b")) == [], "it was valid before"
    assert emitted(edit, changed, lambda: edit.setCurrentPath("")) == [], "an empty path is not valid"
    assert emitted(edit, valid, lambda: edit.setCurrentPath("/c")) == [(True,)]
    assert emitted(edit, valid, lambda: edit.setCurrentPath("")) == [(False,)] and edit.currentPath == ""


@pytest.fixture
def volumes(make_volume: Callable[..., Any]) -> list[Any]:
    return [make_volume(name, np.zeros((2, 3, 4), np.int16)) for name in ("a", "b", "c")]


@states("qMRMLNodeComboBox.currentNode", "qMRMLNodeComboBox.currentNodeChanged(vtkMRMLNode*)",
        "qMRMLNodeComboBox.nodeAboutToBeRemoved(vtkMRMLNode*)", "qMRMLNodeComboBox.setCurrentNode",
        "qMRMLNodeComboBox.setMRMLScene")  # fmt: skip
def test_node_choosers(volumes: list[Any], scene: Any) -> None:
    selector, changed = slicer.qMRMLNodeComboBox(), "currentNodeChanged(vtkMRMLNode*)"
    selector.nodeTypes, selector.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    assert not selector.enabled and selector.currentNode() is None, "no scene"
    selector.setMRMLScene(scene)
    assert selector.enabled and selector.currentNode() is None
    assert emitted(selector, changed, lambda: selector.setCurrentNode(volumes[1]))[-1:] == [(volumes[1],)]
    assert emitted(selector, changed, lambda: selector.setCurrentNode(volumes[1])) == []
    going = "nodeAboutToBeRemoved(vtkMRMLNode*)"
    assert emitted(selector, going, lambda: scene.RemoveNode(volumes[0])) == [(volumes[0],)]
    assert selector.currentNode() is volumes[1], "another node was removed"
    assert emitted(selector, changed, lambda: selector.setCurrentNode(None))[-1:] == [(None,)]
    selector.setCurrentNode(volumes[2])
    scene.Clear()
    assert selector.currentNode() is None


def test_a_chooser_whose_node_is_removed_can_be_told_to_choose_none(volumes: list[Any], scene: Any) -> None:
    """By itself it may take a neighbour; what it is told while the node is about to be removed holds."""
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes, selector.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    selector.setMRMLScene(scene)
    selector.setCurrentNode(volumes[1])
    selector.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", lambda node: selector.setCurrentNode(None))
    scene.RemoveNode(volumes[1])
    assert selector.currentNode() is None


@states("qMRMLCheckableNodeComboBox.checkState", "qMRMLCheckableNodeComboBox.checkedNodesChanged()",
        "qMRMLCheckableNodeComboBox.setCheckState")  # fmt: skip
def test_checkable_choosers(volumes: list[Any], scene: Any) -> None:
    selector, changed = slicer.qMRMLCheckableNodeComboBox(), "checkedNodesChanged()"
    selector.nodeTypes = ["vtkMRMLScalarVolumeNode"]
    selector.setMRMLScene(scene)
    assert [selector.checkState(node) for node in volumes] == [qt.Qt.Unchecked] * 3
    assert emitted(selector, changed, lambda: selector.setCheckState(volumes[0], qt.Qt.Checked)) == [()]
    assert emitted(selector, changed, lambda: selector.setCheckState(volumes[0], qt.Qt.Checked)) == []
    assert emitted(selector, changed, lambda: scene.RemoveNode(volumes[0])) == [], "nobody is told"
    assert selector.checkState(volumes[0]) == qt.Qt.Unchecked and selector.checkState(None) == qt.Qt.Unchecked
    selector.setCheckState(None, qt.Qt.Checked)
    assert selector.checkedNodes() == ()


@states("qMRMLWidget.setMRMLScene")
def test_widgets_know_the_scene(scene: Any) -> None:
    widget, changed = slicer.qMRMLWidget(), "mrmlSceneChanged(vtkMRMLScene*)"
    assert emitted(widget, changed, lambda: widget.setMRMLScene(scene)) == [(scene,)]
    assert emitted(widget, changed, lambda: widget.setMRMLScene(scene)) == []
    assert widget.mrmlScene() is scene


@states("QLayout.count", "QLayout.itemAt", "QLayout.contentsMargins", "QWidget.contentsMargins", "QObject.inherits")
def test_layouts_are_walked_through() -> None:
    frame = qt.QWidget()
    row = qt.QHBoxLayout(frame)
    row.setContentsMargins(1, 2, 3, 4)
    row.addWidget(qt.QLabel("Model:"))
    row.addLayout(qt.QVBoxLayout())
    first, second = (row.itemAt(index) for index in range(row.count()))
    assert first.widget().text == "Model:" and first.layout() is None
    assert second.widget() is None and second.layout().inherits("QBoxLayout") and not row.inherits("QGridLayout")
    margins = row.contentsMargins() if callable(row.contentsMargins) else row.contentsMargins  # Qt 5, and Qt 6
    assert (margins.left(), margins.right()) == (1, 3) and frame.contentsMargins().left() == 0
    assert row.direction() == qt.QBoxLayout.LeftToRight
    row.setDirection(qt.QBoxLayout.TopToBottom)
    assert row.direction() == qt.QBoxLayout.TopToBottom and row.inherits("QHBoxLayout")


@states("QWidget.isHidden")
def test_what_was_not_shown_yet_is_not_hidden() -> None:
    frame = qt.QWidget()
    label = qt.QLabel(frame)
    assert not label.visible and not label.isHidden()
    label.visible = False
    assert label.isHidden()
    label.visible = True
    assert not label.visible and not label.isHidden(), "the frame is not shown"


@states("QWidget.fontMetrics", "QWidget.minimumSizeHint", "QComboBox.currentText")
def test_how_wide_a_text_is() -> None:
    button = qt.QPushButton("Training")
    assert button.minimumSizeHint.width() > button.fontMetrics().horizontalAdvance("Training") > 20
    combo = qt.QComboBox()
    assert combo.currentText == ""
    combo.addItem("auto")
    assert combo.currentText == "auto"


@states("QAbstractScrollArea.horizontalScrollBar", "QAbstractScrollArea.setHorizontalScrollBarPolicy",
        "QHeaderView.setDefaultSectionSize", "QHeaderView.setHighlightSections",
        "QTableWidget.columnCount")  # fmt: skip
def test_tables_that_are_prepared() -> None:
    table = qt.QTableWidget(2, 3)
    assert table.columnCount == 3
    table.setHorizontalScrollBarPolicy(qt.Qt.ScrollBarAlwaysOff)
    assert table.horizontalScrollBarPolicy == qt.Qt.ScrollBarAlwaysOff
    assert table.horizontalScrollBar().sizeHint.height() > 4
    table.verticalHeader().setDefaultSectionSize(31)
    assert table.rowHeight(0) == 31
    table.horizontalHeader().setHighlightSections(False)
    assert not table.horizontalHeader().highlightSections


def test_slicer_refuses_what_python_would_take() -> None:
    for call in (
        lambda: qt.QLabel().setText(text="a"), lambda: qt.QLabel().setText(Path("a")), lambda: qt.QLabel().setText(5)
    ):  # fmt: skip
        with pytest.raises(ValueError):
            call()
