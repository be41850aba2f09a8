"""The flat modules ``qt`` and ``ctk``."""

from __future__ import annotations

import sys
import types
from typing import Any

from PySide6 import QtCore, QtGui, QtNetwork, QtUiTools, QtWidgets

from . import ctk_containers, ctk_inputs, ctk_numbers, qt_dialogs, qt_objects, qt_settings, ui_files

SOURCES = (QtCore, QtGui, QtWidgets, QtNetwork, QtUiTools)
NOT_IN_PYTHONQT = {"Slot", "Signal", "Property", "QtMsgType", "ClassInfo", "QEnum", "QFlag", "SignalInstance"}
OWN = (
    qt_settings.QSettings, qt_dialogs.QFileDialog, qt_dialogs.QInputDialog, qt_dialogs.QMessageBox, ui_files.QUiLoader,
)  # fmt: skip
CTK = tuple(
    item
    for source in (ctk_containers, ctk_inputs, ctk_numbers)
    for item in source.WIDGETS
    if item.__name__.startswith("ctk")
)


def install() -> None:
    """Makes ``import qt`` and ``import ctk`` give the stand-ins."""
    qt_objects.patch(*SOURCES)
    qt = types.ModuleType("qt", "stand-in for PythonQt's qt")
    for source in SOURCES:
        for name in dir(source):  # not vars(): PySide makes its classes when they are asked for
            if not name.startswith("_") and name not in NOT_IN_PYTHONQT:
                setattr(qt, name, getattr(source, name))
    for item in OWN:
        setattr(qt, item.__name__, item)
    ctk = types.ModuleType("ctk", "stand-in for PythonQt's ctk")
    for widget in CTK:
        setattr(ctk, widget.__name__, widget)
    sys.modules["qt"], sys.modules["ctk"] = qt, ctk


def widget_classes() -> dict[str, Any]:
    """The classes that a .ui file may name beside Qt's own."""
    from . import qmrml_nodes, qmrml_plot, qmrml_segments

    classes = (*CTK, *ctk_numbers.WIDGETS, *qmrml_nodes.WIDGETS, *qmrml_segments.WIDGETS, *qmrml_plot.WIDGETS)
    return {item.__name__: item for item in classes}
