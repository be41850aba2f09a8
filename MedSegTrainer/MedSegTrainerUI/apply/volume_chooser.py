"""Choosers for the volumes that a model is applied to: several volumes of one channel, or a volume for each channel."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import qt
import slicer
from slicer.i18n import tr as _

from MedSegTrainerUI.shared.node_choice import keep_readable, let_go
from MedSegTrainerUI.shared.tab_order import set_tab_order
from MedSegTrainerUI.slicer_types import Node, Ui, VolumeNode, Widget

ROLE = "applyVolume"


class VolumeChooser:
    """One check list for a model with one channel; for others a combo box a channel, in their order.

    ``ui`` are the widgets of ApplySection.ui; ``changed`` is called when the choice is another one.
    """

    def __init__(self, ui: Ui, changed: Callable[[], None]) -> None:
        self.ui, self._changed = ui, changed
        self._names: tuple[str, ...] = ("",)
        self._combos: list[Widget] = []
        ui.volumesSelector.connect("checkedNodesChanged()", changed)
        ui.channelsWidget.visible = False

    def set_channels(self, names: Sequence[str]) -> None:
        """Shows as many choosers as the model has channels."""
        names = tuple(names) or ("",)
        if names == self._names:
            return
        chosen = [combo.currentNode() for combo in self._combos] or list(self._checked())
        self._names = names
        form = self.ui.channelsWidget.layout()
        while form.rowCount():
            form.removeRow(0)
        self._combos = [self._combo(name) for name in names] if len(names) > 1 else []
        ui = self.ui
        labels = (ui.volumesLabel, ui.outputLabel, ui.cleanLabel, ui.minimumLabel)
        width = max(one.sizeHint.width() for one in labels)
        for name, combo in zip(names, self._combos, strict=False):
            label = qt.QLabel(name + ":")
            label.setMinimumWidth(width)
            form.addRow(label, combo)
        set_tab_order(self.ui.channelsWidget.parent())
        several = bool(self._combos)
        self.ui.channelsWidget.visible = several
        self.ui.volumesLabel.visible = self.ui.volumesSelector.visible = not several
        for combo, node in zip(self._combos, chosen, strict=False):
            combo.setCurrentNode(node)

    def cases(self) -> list[tuple[VolumeNode, ...]]:
        """The volumes of each case, one a channel; incomplete cases are not among them."""
        if not self._combos:
            return [(node,) for node in self._checked()]
        nodes = tuple(combo.currentNode() for combo in self._combos)
        return [nodes] if None not in nodes else []

    def problem(self) -> str:
        """What is missing, in words; '' where a model can be applied."""
        if self.cases():
            return ""
        if not self._combos:
            return _("Choose one or several volumes.")
        missing = [name for name, combo in zip(self._names, self._combos, strict=True) if combo.currentNode() is None]
        return _("Choose a volume for each channel: {names}.").format(names=", ".join(missing))

    def remember(self, parameterNode: Node) -> None:
        """Keeps the choice as node references; writes nothing where they are right already."""
        wanted = [node.GetID() for case in self.cases() for node in case]
        count = parameterNode.GetNumberOfNodeReferences(ROLE)
        if wanted == [parameterNode.GetNthNodeReferenceID(ROLE, index) for index in range(count)]:
            return
        with slicer.util.NodeModify(parameterNode):
            parameterNode.RemoveNodeReferenceIDs(ROLE)
            for node_id in wanted:
                parameterNode.AddNodeReferenceID(ROLE, node_id)

    def restore(self, parameterNode: Node) -> None:
        """Chooses what is remembered."""
        count = parameterNode.GetNumberOfNodeReferences(ROLE)
        nodes = [parameterNode.GetNthNodeReference(ROLE, index) for index in range(count)]
        for combo, node in zip(self._combos, nodes, strict=False):
            combo.setCurrentNode(node)
        if not self._combos:
            for node in _volumes():
                self.ui.volumesSelector.setCheckState(node, qt.Qt.Checked if node in nodes else qt.Qt.Unchecked)

    def _checked(self) -> list[VolumeNode]:
        # asked one by one: PythonQt need not know lists of nodes
        selector = self.ui.volumesSelector
        return [node for node in _volumes() if selector.checkState(node) == qt.Qt.Checked]

    def _combo(self, name: str) -> Widget:
        combo = slicer.qMRMLNodeComboBox()
        combo.nodeTypes = ["vtkMRMLScalarVolumeNode"]
        combo.showChildNodeTypes = False
        combo.addEnabled = combo.removeEnabled = False
        combo.noneEnabled = True
        combo.noneDisplay = _("Choose a volume")
        combo.toolTip = _("The volume that is the channel {name} of the model.").format(name=name)
        combo.setMRMLScene(slicer.mrmlScene)
        let_go(combo)
        keep_readable(combo)
        combo.connect("currentNodeChanged(vtkMRMLNode*)", self._on_channel)
        return combo

    def _on_channel(self, node: Node) -> None:
        self._changed()


def _volumes() -> list[VolumeNode]:
    """Scalar volumes of the scene in its order; label maps and vector volumes are other classes."""
    nodes = slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode")
    return [node for node in nodes if node.GetClassName() == "vtkMRMLScalarVolumeNode"]
