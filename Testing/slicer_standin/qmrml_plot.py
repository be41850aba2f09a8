"""The plot widget."""

from __future__ import annotations

from typing import Any

from .qmrml_nodes import qMRMLWidget


class qMRMLPlotWidget(qMRMLWidget):
    """Paints the chart of its plot view node."""

    def mrmlPlotViewNode(self) -> Any:
        return self.__dict__.get("_view_node")

    def setMRMLPlotViewNode(self, node: Any) -> None:
        self._view_node = node


WIDGETS = (qMRMLPlotWidget,)
