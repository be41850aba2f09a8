"""Choosers and tables of segments."""

from __future__ import annotations

from typing import Any, ClassVar

import shiboken6
import slicer
from PySide6 import QtCore, QtGui, QtWidgets

from .qmrml_nodes import qMRMLNodeComboBox, qMRMLWidget
from .qt_properties import forwarded, stored

SEGMENT_EVENTS = ("SegmentAdded", "SegmentRemoved", "SegmentModified", "SegmentsOrderModified")


class _Segments:
    """The segments of a segmentation node, and a call whenever they change."""

    def __init__(self, changed: Any) -> None:
        self.node: Any = None
        self._changed = changed
        self._observers: list[tuple[Any, int]] = []

    def set_node(self, node: Any) -> None:
        for owner, tag in self._observers:
            owner.RemoveObserver(tag)
        self.node = node
        self._observers = []
        if node is not None:
            segmentation = node.GetSegmentation()
            for event in SEGMENT_EVENTS:
                tag = segmentation.AddObserver(getattr(slicer.vtkSegmentation, event), self._on_event)
                self._observers.append((segmentation, tag))
        self._changed()

    def identifiers(self) -> tuple[str, ...]:
        return tuple(self.node.GetSegmentation().GetSegmentIDs()) if self.node is not None else ()

    def segment(self, identifier: str) -> Any:
        return self.node.GetSegmentation().GetSegment(identifier)

    def _on_event(self, caller: Any, event: str) -> None:
        if shiboken6.isValid(self._changed.__self__):
            self._changed()


class qMRMLSegmentsTableView(qMRMLWidget):
    """Rows of segments: shown or not, colour, name."""

    SIGNALS: ClassVar = {
        **qMRMLWidget.SIGNALS, "selectionChanged(QItemSelection,QItemSelection)": "selectionChanged",
        "segmentAboutToBeModified(QString)": "segmentAboutToBeModified",
    }  # fmt: skip
    selectionChanged = QtCore.Signal(object, object)
    segmentAboutToBeModified = QtCore.Signal(str)
    selectionMode, setSelectionMode = stored(int, "selectionMode", 3)
    headerVisible, setHeaderVisible = stored(bool, "headerVisible", True)
    visibilityColumnVisible, setVisibilityColumnVisible = stored(bool, "visibilityColumnVisible", True)
    colorColumnVisible, setColorColumnVisible = stored(bool, "colorColumnVisible", True)
    opacityColumnVisible, setOpacityColumnVisible = stored(bool, "opacityColumnVisible", False)
    statusColumnVisible, setStatusColumnVisible = stored(bool, "statusColumnVisible", False)
    layerColumnVisible, setLayerColumnVisible = stored(bool, "layerColumnVisible", False)
    readOnly, setReadOnly = stored(bool, "readOnly", False)
    filterBarVisible, setFilterBarVisible = stored(bool, "filterBarVisible", False)
    textFilter, setTextFilter = stored(str, "textFilter", "")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._table = QtWidgets.QTableWidget(0, 2, self)
        self._table.setHorizontalHeaderLabels(["", "Name"])
        self._table.horizontalHeader().setStretchLastSection(True)
        self._table.setSelectionBehavior(QtWidgets.QAbstractItemView.SelectRows)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self._table)
        self._segments = _Segments(self._fill)
        self._table.selectionModel().connect(
            "selectionChanged(QItemSelection,QItemSelection)", self.selectionChanged.emit
        )

    segmentCount = QtCore.Property(int, lambda self: len(self._segments.identifiers()))

    def segmentationNode(self) -> Any:
        return self._segments.node

    def setSegmentationNode(self, node: Any) -> None:
        self._segments.set_node(node)

    def tableWidget(self) -> QtWidgets.QTableWidget:
        return self._table

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        rows = sorted({index.row() for index in self._table.selectionModel().selectedRows()})
        return tuple(self._segments.identifiers()[row] for row in rows)

    def setSelectedSegmentIDs(self, identifiers: Any) -> None:
        self._table.clearSelection()
        flags = QtCore.QItemSelectionModel.Select | QtCore.QItemSelectionModel.Rows
        for identifier in identifiers:
            row = self._segments.identifiers().index(identifier)
            self._table.selectionModel().select(self._table.model().index(row, 0), flags)

    def clearSelection(self) -> None:
        self._table.clearSelection()

    def displayedSegmentIDs(self) -> tuple[str, ...]:
        return self._segments.identifiers()

    def segmentIDForRow(self, row: int) -> str:
        return self._segments.identifiers()[row]

    def _fill(self) -> None:
        selected = self.selectedSegmentIDs() if self._table.rowCount == len(self._segments.identifiers()) else ()
        self._table.setRowCount(len(self._segments.identifiers()))
        for row, identifier in enumerate(self._segments.identifiers()):
            segment = self._segments.segment(identifier)
            mark = QtWidgets.QTableWidgetItem("")
            mark.setBackground(QtGui.QBrush(QtGui.QColor.fromRgbF(*segment.GetColor())))
            self._table.setItem(row, 0, mark)
            self._table.setItem(row, 1, QtWidgets.QTableWidgetItem(segment.GetName()))
        self.setSelectedSegmentIDs([name for name in selected if name in self._segments.identifiers()])


class qMRMLSegmentSelectorWidget(qMRMLWidget):
    """Chooses a segmentation and one or several of its segments."""

    SIGNALS: ClassVar = {
        **qMRMLWidget.SIGNALS, "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged",
        "currentNodeChanged(bool)": "currentNodeValid", "currentSegmentChanged(QString)": "currentSegmentChanged",
        "segmentSelectionChanged(QStringList)": "segmentSelectionChanged",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited",
    }  # fmt: skip
    currentNodeChanged = QtCore.Signal(object)
    currentNodeValid = QtCore.Signal(bool)
    currentSegmentChanged = QtCore.Signal(str)
    segmentSelectionChanged = QtCore.Signal(object)
    nodeAboutToBeEdited = QtCore.Signal(object)
    noneEnabled, setNoneEnabled = forwarded(bool, "noneEnabled", "_nodes")
    editEnabled, setEditEnabled = forwarded(bool, "editEnabled", "_nodes")
    selectNodeUponCreation, setSelectNodeUponCreation = forwarded(bool, "selectNodeUponCreation", "_nodes")
    segmentationNodeSelectorVisible, setSegmentationNodeSelectorVisible = forwarded(bool, "visible", "_nodes")
    multiSelection, setMultiSelection = stored(bool, "multiSelection", False, react="_show_chooser")
    horizontalLayout, setHorizontalLayout = stored(bool, "horizontalLayout", False)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._nodes = qMRMLNodeComboBox(self)
        self._nodes.setNodeTypes(["vtkMRMLSegmentationNode"])
        self._one = QtWidgets.QComboBox(self)
        self._several = QtWidgets.QListWidget(self)
        self._several.setMaximumHeight(90)
        column = QtWidgets.QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        for widget in (self._nodes, self._one, self._several):
            column.addWidget(widget)
        self._show_chooser(False)
        self._segments = _Segments(self._fill)
        self._nodes.connect("currentNodeChanged(vtkMRMLNode*)", self._on_node)
        self._one.connect("currentIndexChanged(int)", self._on_segment)
        self._several.connect("itemChanged(QListWidgetItem*)", self._on_selection)

    def setMRMLScene(self, scene: Any) -> None:
        super().setMRMLScene(scene)
        self._nodes.setMRMLScene(scene)

    def currentNode(self) -> Any:
        return self._nodes.currentNode()

    def currentNodeID(self) -> str:
        return str(self._nodes.currentNodeID)

    def setCurrentNode(self, node: Any) -> None:
        self._nodes.setCurrentNode(node)

    def setCurrentNodeID(self, identifier: str) -> None:
        self._nodes.setCurrentNodeID(identifier)

    def segmentIDs(self) -> tuple[str, ...]:
        return self._segments.identifiers()

    def currentSegmentID(self) -> str:
        return self._one.currentData or ""

    def setCurrentSegmentID(self, identifier: str) -> None:
        self._one.setCurrentIndex(self._one.findData(identifier))

    def selectedSegmentIDs(self) -> tuple[str, ...]:
        items = [self._several.item(row) for row in range(self._several.count)]
        return tuple(item.data(QtCore.Qt.UserRole) for item in items if item.checkState() == QtCore.Qt.Checked)

    def setSelectedSegmentIDs(self, identifiers: Any) -> None:
        for row in range(self._several.count):
            item = self._several.item(row)
            wanted = item.data(QtCore.Qt.UserRole) in identifiers
            item.setCheckState(QtCore.Qt.Checked if wanted else QtCore.Qt.Unchecked)

    def _show_chooser(self, several: bool) -> None:
        self._one.setVisible(not several)
        self._several.setVisible(several)

    def _on_node(self, node: Any) -> None:
        self._segments.set_node(node)
        self.currentNodeChanged.emit(node)
        self.currentNodeValid.emit(node is not None)

    def _fill(self) -> None:
        one, several = self.currentSegmentID(), self.selectedSegmentIDs()
        blocked = self._one.blockSignals(True), self._several.blockSignals(True)
        self._one.clear()
        self._several.clear()
        for identifier in self._segments.identifiers():
            name = self._segments.segment(identifier).GetName()
            self._one.addItem(name, identifier)
            item = QtWidgets.QListWidgetItem(name, self._several)
            item.setData(QtCore.Qt.UserRole, identifier)
            item.setCheckState(QtCore.Qt.Checked if identifier in several else QtCore.Qt.Unchecked)
        self._one.setCurrentIndex(max(self._one.findData(one), 0) if self._one.count else -1)
        self._one.blockSignals(blocked[0])
        self._several.blockSignals(blocked[1])

    def _on_segment(self, index: int) -> None:
        self.currentSegmentChanged.emit(self._one.itemData(index) or "")

    def _on_selection(self) -> None:
        self.segmentSelectionChanged.emit(self.selectedSegmentIDs())


WIDGETS = (qMRMLSegmentsTableView, qMRMLSegmentSelectorWidget)
