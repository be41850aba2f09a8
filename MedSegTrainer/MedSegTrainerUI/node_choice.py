"""What a chooser of nodes takes by itself is no choice of the user's."""

from __future__ import annotations

from typing import Any


def let_go(selector: Any) -> None:
    """Has a qMRMLNodeComboBox choose None when its node is removed: it would take another one, of another patient."""

    def onRemoval(node: Any) -> None:
        if node is selector.currentNode():
            selector.setCurrentNode(None)

    selector.connect("nodeAboutToBeRemoved(vtkMRMLNode*)", onRemoval)
