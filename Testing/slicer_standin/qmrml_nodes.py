"""qMRMLWidget and the choosers of nodes."""

from __future__ import annotations

from typing import Any, ClassVar

import shiboken6
import slicer
import vtk
from PySide6 import QtCore, QtWidgets

from .qt_properties import stored

EVENTS = ("NodeAddedEvent", "NodeRemovedEvent", "EndCloseEvent", "EndBatchProcessEvent")
Row = tuple[str, str]  # ID and name of a node that is offered


class qMRMLWidget(QtWidgets.QWidget):
    """Knows the scene; hands it on only along the connections of the .ui file."""

    SIGNALS: ClassVar = {"mrmlSceneChanged(vtkMRMLScene*)": "mrmlSceneChanged"}
    mrmlSceneChanged = QtCore.Signal(object)

    def mrmlScene(self) -> Any:
        return self.__dict__.get("_scene")

    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self.mrmlScene():
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)


class qMRMLNodeComboBox(QtWidgets.QWidget):
    """Chooses a node of the scene; disabled without one. A node that is added by code is offered and not chosen.

    When the chosen node goes, its neighbour is chosen, as in every QComboBox, also where ``noneEnabled`` is true:
    ``nodeAboutToBeRemoved`` is sent before, both while the node is still in the scene.
    """

    SIGNALS: ClassVar = {
        "currentNodeChanged(vtkMRMLNode*)": "currentNodeChanged", "currentNodeChanged(bool)": "currentNodeValid",
        "currentNodeIDChanged(QString)": "currentNodeIDChanged", "nodeActivated(vtkMRMLNode*)": "nodeActivated",
        "nodeAdded(vtkMRMLNode*)": "nodeAdded", "nodeAddedByUser(vtkMRMLNode*)": "nodeAddedByUser",
        "nodeAboutToBeRemoved(vtkMRMLNode*)": "nodeAboutToBeRemoved",
        "nodeAboutToBeEdited(vtkMRMLNode*)": "nodeAboutToBeEdited", "currentNodeRenamed(QString)": "currentNodeRenamed",
    }  # fmt: skip
    currentNodeChanged = QtCore.Signal(object)
    currentNodeValid = QtCore.Signal(bool)
    currentNodeIDChanged = QtCore.Signal(str)
    nodeActivated = QtCore.Signal(object)
    nodeAdded = QtCore.Signal(object)
    nodeAddedByUser = QtCore.Signal(object)
    nodeAboutToBeRemoved = QtCore.Signal(object)
    nodeAboutToBeEdited = QtCore.Signal(object)
    currentNodeRenamed = QtCore.Signal(str)

    nodeTypes, setNodeTypes = stored("QStringList", "nodeTypes", [], react="_refresh")
    hideChildNodeTypes, setHideChildNodeTypes = stored("QStringList", "hideChildNodeTypes", [], react="_refresh")
    showHidden, setShowHidden = stored(bool, "showHidden", False, react="_refresh")
    showChildNodeTypes, setShowChildNodeTypes = stored(bool, "showChildNodeTypes", True, react="_refresh")
    noneEnabled, setNoneEnabled = stored(bool, "noneEnabled", False, react="_refresh")
    noneDisplay, setNoneDisplay = stored(str, "noneDisplay", "None", react="_refresh")
    addEnabled, setAddEnabled = stored(bool, "addEnabled", True)
    removeEnabled, setRemoveEnabled = stored(bool, "removeEnabled", True)
    editEnabled, setEditEnabled = stored(bool, "editEnabled", False)
    renameEnabled, setRenameEnabled = stored(bool, "renameEnabled", False)
    selectNodeUponCreation, setSelectNodeUponCreation = stored(bool, "selectNodeUponCreation", True)
    baseName, setBaseName = stored(str, "baseName", "")
    interactionNodeSingletonTag, setInteractionNodeSingletonTag = stored(str, "interactionNodeSingletonTag", "")
    sizeAdjustPolicy, setSizeAdjustPolicy = stored(int, "sizeAdjustPolicy", 0)

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._scene: Any = None
        self._observers: list[tuple[Any, int]] = []
        self._attributes: dict[tuple[str, str], str | None] = {}
        self._current = ""
        self._requested = ""  # chosen before there was a scene
        self._shown: list[Row] = []
        self._going = ""  # the node that is being removed
        self._busy = False
        self._box = self._make_box()
        self._box.setSizeAdjustPolicy(QtWidgets.QComboBox.AdjustToMinimumContentsLengthWithIcon)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._box)
        self._box.connect("currentIndexChanged(int)", self._on_index)
        self._box.connect("activated(int)", self._on_activated)
        self.setEnabled(False)

    currentNodeID = QtCore.Property(str, lambda self: self._current, lambda self, value: self.setCurrentNodeID(value))

    def _make_box(self) -> QtWidgets.QComboBox:
        return QtWidgets.QComboBox(self)

    def mrmlScene(self) -> Any:
        return self._scene

    def setMRMLScene(self, scene: Any) -> None:
        if scene is self._scene:
            return
        for owner, tag in self._observers:
            owner.RemoveObserver(tag)
        self._scene = scene
        self._observers = []
        if scene is not None:
            for event in EVENTS:
                self._observers.append((scene, self._observe(scene, getattr(slicer.vtkMRMLScene, event))))
            self._observers.append((scene, self._observe_removal(scene)))
        self.setEnabled(scene is not None)
        self._refresh()
        if scene is not None and self._requested:
            self.setCurrentNodeID(self._requested)
            self._requested = ""

    def addAttribute(self, class_name: str, attribute: str, value: Any = None) -> None:
        self._attributes[(class_name, attribute)] = None if value is None else str(value)
        self._refresh()

    def removeAttribute(self, class_name: str, attribute: str) -> None:
        self._attributes.pop((class_name, attribute), None)
        self._refresh()

    def nodes(self) -> tuple[Any, ...]:
        if self._scene is None:
            return ()
        found = []
        for class_name in self.nodeTypes:
            collection = self._scene.GetNodesByClass(class_name)
            collection.UnRegister(None)
            found += [collection.GetItemAsObject(index) for index in range(collection.GetNumberOfItems())]
        return tuple(node for node in found if self._is_offered(node))

    def nodeCount(self) -> int:
        return len(self.nodes())

    def nodeFromIndex(self, index: int) -> Any:
        return self.nodes()[index]

    def currentNode(self) -> Any:
        return self._scene.GetNodeByID(self._current) if self._scene is not None and self._current else None

    def setCurrentNode(self, node: Any) -> None:
        if not (node is None or isinstance(node, str) or node.IsA("vtkMRMLNode")):
            raise TypeError(f"setCurrentNode() wants a node, an ID or None, not {node!r}")
        self.setCurrentNodeID(node.GetID() if node is not None and not isinstance(node, str) else (node or ""))

    def setCurrentNodeID(self, identifier: str) -> None:
        if self._scene is None:
            self._requested = identifier
        position = self._box.findData(identifier)
        self._busy = True
        self._box.setCurrentIndex(position)
        self._busy = False
        self._choose(identifier if position >= 0 else "")

    def setCurrentNodeIndex(self, index: int) -> None:
        self.setCurrentNode(self.nodes()[index])

    def addNode(self, class_name: str = "") -> Any:
        node = self._scene.AddNewNodeByClass(class_name or self.nodeTypes[0], self.baseName)
        if self.selectNodeUponCreation:
            self.setCurrentNode(node)
        self.nodeAddedByUser.emit(node)
        return node

    def removeCurrentNode(self) -> None:
        self._scene.RemoveNode(self.currentNode())

    def _is_offered(self, node: Any) -> bool:
        if node.GetID() == self._going or (node.GetHideFromEditors() and not self.showHidden):
            return False
        if not self.showChildNodeTypes and node.GetClassName() not in self.nodeTypes:
            return False
        if any(node.IsA(name) for name in self.hideChildNodeTypes):
            return False
        return all(
            node.GetAttribute(attribute) is not None and value in (None, node.GetAttribute(attribute))
            for (class_name, attribute), value in self._attributes.items()
            if node.IsA(class_name)
        )

    def _observe_removal(self, scene: Any) -> int:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def going(caller: Any, event: str, node: Any) -> None:
            if not shiboken6.isValid(self) or caller.IsClosing() or node.GetID() not in [one for one, _ in self._shown]:
                return
            self.nodeAboutToBeRemoved.emit(node)
            self._going = node.GetID()
            self._refresh()

        return int(scene.AddObserver(slicer.vtkMRMLScene.NodeAboutToBeRemovedEvent, going))

    def _observe(self, scene: Any, event: int) -> int:
        @vtk.calldata_type(vtk.VTK_OBJECT)
        def came_or_went(caller: Any, event: str, node: Any) -> None:
            self._on_scene(caller, node)

        def changed(caller: Any, event: str) -> None:
            self._on_scene(caller, None)

        is_of_a_node = event in (scene.NodeAddedEvent, scene.NodeRemovedEvent)
        return int(scene.AddObserver(event, came_or_went if is_of_a_node else changed))

    def _on_scene(self, caller: Any, node: Any) -> None:
        """node: the one that came or went; as in Slicer, one of another class costs nothing."""
        if not shiboken6.isValid(self) or caller.IsClosing():
            return
        self._going = ""
        if node is not None and not any(node.IsA(name) for name in self.nodeTypes) and not self._renamed():
            return
        if self._shown != [(node.GetID(), node.GetName()) for node in self.nodes()]:
            self._refresh()

    def _renamed(self) -> bool:
        """Whether a node that is offered has another name now."""
        offered = ((self._scene.GetNodeByID(identifier), name) for identifier, name in self._shown)
        return any(node is not None and node.GetName() != name for node, name in offered)

    def _refresh(self, *_: Any) -> None:
        nodes = self.nodes()
        earlier, self._shown = self._shown, [(node.GetID(), node.GetName()) for node in nodes]
        self._busy = True
        self._box.clear()
        if self.noneEnabled:
            self._box.addItem(self.noneDisplay, "")
        for node in nodes:
            self._box.addItem(node.GetName(), node.GetID())
        identifiers = [node.GetID() for node in nodes]
        chosen = self._current if self._current in identifiers else self._neighbour([one for one, _ in earlier])
        self._box.setCurrentIndex(self._box.findData(chosen) if chosen or self.noneEnabled else -1)
        self._busy = False
        self._choose(chosen)

    def _neighbour(self, earlier: list[str]) -> str:
        """What a QComboBox chooses when its item goes: the next one, else the one before; '' where there is none."""
        if self._current not in earlier:
            return ""
        place = earlier.index(self._current)
        left = {identifier for identifier, _ in self._shown}
        return next((one for one in (*earlier[place + 1 :], *reversed(earlier[:place])) if one in left), "")

    def _on_index(self, index: int) -> None:
        if not self._busy:
            self._choose(self._box.itemData(index) or "")

    def _on_activated(self, index: int) -> None:
        self.nodeActivated.emit(self.currentNode())

    def _choose(self, identifier: str) -> None:
        if identifier == self._current:
            return
        self._current = identifier
        node = self.currentNode()
        self.currentNodeChanged.emit(node)
        self.currentNodeValid.emit(node is not None)
        self.currentNodeIDChanged.emit(identifier)


class _CheckedNames(QtWidgets.QComboBox):
    """Shows the names of what is checked, or that it is all or nothing, as the check box of CTK does."""

    def paintEvent(self, event: Any) -> None:
        nodes = self.parentWidget()
        option = QtWidgets.QStyleOptionComboBox()
        self.initStyleOption(option)
        names = ", ".join(node.GetName() for node in nodes.checkedNodes())
        option.currentText = "None" if nodes.noneChecked() else "All" if nodes.allChecked() else names
        painter = QtWidgets.QStylePainter(self)
        painter.drawComplexControl(QtWidgets.QStyle.CC_ComboBox, option)
        painter.drawControl(QtWidgets.QStyle.CE_ComboBoxLabel, option)


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """Chooses several nodes by check marks; nothing is checked at first.

    Nobody is told when a checked node leaves the scene, before another mark is set or a node is renamed.
    """

    SIGNALS: ClassVar = {**qMRMLNodeComboBox.SIGNALS, "checkedNodesChanged()": "checkedNodesChanged"}
    checkedNodesChanged = QtCore.Signal()

    def __init__(self, parent: Any = None) -> None:
        self.__dict__["_checked"] = []
        super().__init__(parent)
        self._box.model().connect("dataChanged(QModelIndex,QModelIndex)", self._on_data)

    def _make_box(self) -> QtWidgets.QComboBox:
        return _CheckedNames(self)

    def checkedNodes(self) -> tuple[Any, ...]:
        return tuple(node for node in self.nodes() if node.GetID() in self._checked)

    def uncheckedNodes(self) -> tuple[Any, ...]:
        return tuple(node for node in self.nodes() if node.GetID() not in self._checked)

    def allChecked(self) -> bool:
        return not self.uncheckedNodes()

    def noneChecked(self) -> bool:
        return not self.checkedNodes()

    def checkState(self, node: Any) -> int:
        there = node is not None and self._scene is not None and self._scene.GetNodeByID(node.GetID() or "") is node
        checked = there and node.GetID() in self._checked and self._is_offered(node)
        return QtCore.Qt.Checked if checked else QtCore.Qt.Unchecked

    def setCheckState(self, node: Any, state: int) -> None:
        row = self._box.findData(node.GetID()) if node is not None else -1
        self._box.setItemData(row, QtCore.Qt.CheckState(state), QtCore.Qt.CheckStateRole)

    def _refresh(self, *_: Any) -> None:
        super()._refresh()
        self._busy = True
        before = list(self._checked)
        for row in range(self._box.count):
            mark = QtCore.Qt.Checked if self._box.itemData(row) in before else QtCore.Qt.Unchecked
            self._box.setItemData(row, mark, QtCore.Qt.CheckStateRole)
        self._busy = False

    def _on_data(self) -> None:
        if self._busy:
            return
        rows = range(self._box.count)
        marked = [row for row in rows if self._box.itemData(row, QtCore.Qt.CheckStateRole) == QtCore.Qt.Checked]
        checked = [self._box.itemData(row) for row in marked]
        if checked != self._checked:
            self._checked = checked
            self.checkedNodesChanged.emit()


class qSlicerWidget(qMRMLWidget):
    """As qMRMLWidget, from another library of Slicer."""


WIDGETS = (qMRMLWidget, qSlicerWidget, qMRMLNodeComboBox, qMRMLCheckableNodeComboBox)
