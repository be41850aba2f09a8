"""Choosers of nodes: what one takes by itself is no choice of the user's, and what it says is not cut."""

from __future__ import annotations

from MedSegTrainerUI.slicer_types import Node, Widget

ARROW = 28  # pixels beside the text


def keep_readable(selector: Widget) -> None:
    """A qMRMLNodeComboBox is never narrower than what it says where nothing is chosen."""
    selector.setMinimumWidth(selector.fontMetrics().horizontalAdvance(selector.noneDisplay) + ARROW)


def let_go(selector: Widget) -> None:
    """Has a qMRMLNodeComboBox choose None when its node is removed: it would take another one, of another patient."""

    def onRemoval(node: Node) -> None:
        if node is selector.currentNode():
            selector.setCurrentNode(None)

    selector.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", onRemoval)
