"""Inputs of CTK: paths, folders, choices, colours."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from . import qt_dialogs
from .qt_properties import forwarded, stored
from .qt_settings import QSettings

HISTORY = 10


class ctkPathLineEdit(QtWidgets.QWidget):
    """A path that can be typed, browsed for, or taken from a history kept under ``settingKey``.

    An empty one is not valid: of that only ``validInputChanged`` tells.
    """

    SIGNALS: ClassVar = {
        "currentPathChanged(QString)": "currentPathChanged", "validInputChanged(bool)": "validInputChanged",
    }  # fmt: skip
    currentPathChanged = QtCore.Signal(str)
    validInputChanged = QtCore.Signal(bool)
    Dirs, Files, Drives, NoSymLinks, AllEntries = 0x001, 0x002, 0x004, 0x008, 0x007
    Readable, Writable, Executable, Hidden, System, Unreadable = 0x010, 0x020, 0x040, 0x100, 0x200, 0x400

    label, setLabel = stored(str, "label", "")
    filters, setFilters = stored(int, "filters", 0x007)
    options, setOptions = stored(int, "options", 0)
    nameFilters, setNameFilters = stored("QStringList", "nameFilters", [])
    settingKey, setSettingKey = stored(str, "settingKey", "", react="_load_history")
    showBrowseButton, setShowBrowseButton = stored(bool, "showBrowseButton", True, react="_on_browse_shown")
    showHistoryButton, setShowHistoryButton = stored(bool, "showHistoryButton", True)
    sizeAdjustPolicy, setSizeAdjustPolicy = stored(int, "sizeAdjustPolicy", 0)
    minimumContentsLength, setMinimumContentsLength = stored(int, "minimumContentsLength", 17)
    currentPath, _unused = forwarded(str, "currentText", "_box")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._box = QtWidgets.QComboBox(self)
        self._box.setEditable(True)
        self._box.setMinimumContentsLength(17)
        self._box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        self._browse = QtWidgets.QToolButton(self)
        self._browse.setText("...")
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        row.addWidget(self._browse)
        self._box.connect("currentTextChanged(QString)", self._on_text)
        self._browse.connect("clicked()", self.browse)

    def setCurrentPath(self, path: str) -> None:
        if not isinstance(path, str):
            raise TypeError(f"setCurrentPath() wants a text, not {path!r}")
        self._box.setEditText(path)

    def comboBox(self) -> QtWidgets.QComboBox:
        return self._box

    def browse(self) -> None:
        dialogs = qt_dialogs.QFileDialog
        only_folders = self.filters & self.Dirs and not self.filters & self.Files
        ask = dialogs.getExistingDirectory if only_folders else dialogs.getOpenFileName
        path = ask(self, self.label or "Select a path")
        if path:
            self.setCurrentPath(path)
            self.addCurrentPathToHistory()

    def addCurrentPathToHistory(self) -> None:
        if not self.settingKey or not self.currentPath:
            return
        paths = [self.currentPath, *[path for path in self._history() if path != self.currentPath]]
        QSettings().setValue(self.settingKey, paths[:HISTORY])

    def retrieveHistory(self) -> None:
        self._load_history(self.settingKey)

    def _history(self) -> list[str]:
        stored_paths = QSettings().value(self.settingKey)
        return [stored_paths] if isinstance(stored_paths, str) else list(stored_paths or ())

    def _load_history(self, key: str) -> None:
        path, blocked = self.currentPath, self._box.blockSignals(True)
        self._box.clear()
        self._box.addItems(self._history() if key else [])  # the newest is chosen where there was no path
        if path:
            self._box.setEditText(path)
        self._box.blockSignals(blocked)
        if not path:
            self._on_text(self.currentPath)

    def _on_text(self, text: str) -> None:
        was_valid, self._valid = self.__dict__.get("_valid", False), bool(text)
        if text:
            self.currentPathChanged.emit(text)
        if self._valid != was_valid:
            self.validInputChanged.emit(self._valid)

    def _on_browse_shown(self, shown: bool) -> None:
        self._browse.setVisible(shown)


class ctkDirectoryButton(QtWidgets.QWidget):
    """A button that shows a folder and asks for another."""

    SIGNALS: ClassVar = {
        "directoryChanged(QString)": "directoryChanged",
        "directorySelected(QString)": "directorySelected",
    }
    directoryChanged = QtCore.Signal(str)
    directorySelected = QtCore.Signal(str)
    directory = QtCore.Property(str, lambda self: self._directory, lambda self, path: self.setDirectory(path))
    caption, setCaption = stored(str, "caption", "")
    text, setText = stored(str, "text", "", react="_show")
    acceptMode, setAcceptMode = stored(int, "acceptMode", 0)
    elideMode, setElideMode = stored(int, "elideMode", 3)
    options, setOptions = stored(int, "options", 1)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._directory = "."
        self._button = QtWidgets.QPushButton(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._button)
        self._button.connect("clicked()", self.browse)

    def setDirectory(self, path: str) -> None:
        absolute = QtCore.QDir(path).absolutePath()
        if absolute != QtCore.QDir(self._directory).absolutePath():
            self._directory = absolute
            self._show(absolute)
            self.directoryChanged.emit(absolute)

    def browse(self) -> str:
        folder = qt_dialogs.QFileDialog.getExistingDirectory(self, self.caption or "Select a folder", self.directory)
        if folder:
            self.setDirectory(folder)
            self.directorySelected.emit(folder)
        return folder

    def _show(self, _: str) -> None:
        self._button.setText(self.text or self.directory)


class ctkCheckableComboBox(QtWidgets.QComboBox):
    """A combo box whose entries have check marks."""

    SIGNALS: ClassVar = {"checkedIndexesChanged()": "checkedIndexesChanged"}
    checkedIndexesChanged = QtCore.Signal()

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self.model().connect("dataChanged(QModelIndex,QModelIndex)", self._on_data)

    def checkableModel(self) -> QtCore.QAbstractItemModel:
        return self.model()

    def checkedIndexes(self) -> tuple[QtCore.QModelIndex, ...]:
        return tuple(index for index in self._indexes() if self.checkState(index) == QtCore.Qt.Checked)

    def allChecked(self) -> bool:
        return len(self.checkedIndexes()) == self.count

    def noneChecked(self) -> bool:
        return not self.checkedIndexes()

    def checkState(self, index: QtCore.QModelIndex) -> int:
        stored_state = self.model().data(index, QtCore.Qt.CheckStateRole)
        return QtCore.Qt.CheckState(stored_state or 0)

    def setCheckState(self, index: QtCore.QModelIndex, state: int) -> None:
        self.model().setData(index, QtCore.Qt.CheckState(state), QtCore.Qt.CheckStateRole)

    def _indexes(self) -> list[QtCore.QModelIndex]:
        return [self.model().index(row, 0) for row in range(self.count)]

    def _on_data(self) -> None:
        self.checkedIndexesChanged.emit()


class ctkColorPickerButton(QtWidgets.QPushButton):
    """A button that shows a colour."""

    SIGNALS: ClassVar = {"colorChanged(QColor)": "colorChanged", "colorNameChanged(QString)": "colorNameChanged"}
    colorChanged = QtCore.Signal(QtGui.QColor)
    colorNameChanged = QtCore.Signal(str)
    color, setColor = stored(QtGui.QColor, "color", QtGui.QColor(), react="_show", notify="colorChanged")
    colorName, setColorName = stored(str, "colorName", "", notify="colorNameChanged")
    displayColorName, setDisplayColorName = stored(bool, "displayColorName", True)
    dialogOptions, setDialogOptions = stored(int, "dialogOptions", 0)

    def _show(self, color: QtGui.QColor) -> None:
        picture = QtGui.QPixmap(16, 16)
        picture.fill(color)
        self.setIcon(QtGui.QIcon(picture))
        if self.displayColorName:
            self.setText(color.name())


class ctkComboBox(QtWidgets.QComboBox):
    """A combo box with a text for the case that nothing is chosen."""

    defaultText, setDefaultText = stored(str, "defaultText", "")


class ctkCheckBox(QtWidgets.QCheckBox):
    """A check box as far as module code uses it."""


class ctkCheckablePushButton(QtWidgets.QPushButton):
    """A push button with a check box of its own."""

    checkBoxControlsButtonToggleState, setCheckBoxControlsButtonToggleState = stored(
        bool, "checkBoxControlsButtonToggleState", True
    )
    checkBoxUserCheckable, setCheckBoxUserCheckable = stored(bool, "checkBoxUserCheckable", True)


class ctkMessageBox(qt_dialogs.QMessageBox):
    """A message box with 'do not show again'."""

    dontShowAgainSettingsKey, setDontShowAgainSettingsKey = stored(str, "dontShowAgainSettingsKey", "")
    dontShowAgainVisible, setDontShowAgainVisible = stored(bool, "dontShowAgainVisible", False)


WIDGETS = (
    ctkPathLineEdit, ctkDirectoryButton, ctkCheckableComboBox, ctkColorPickerButton, ctkComboBox, ctkCheckBox,
    ctkCheckablePushButton, ctkMessageBox,
)  # fmt: skip
