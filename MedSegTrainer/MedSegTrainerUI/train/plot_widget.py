"""A chart inside the panel: Slicer's plot widget with a view node of its own."""

from __future__ import annotations

import slicer

from MedSegTrainerUI.slicer_types import Node, Widget

HEIGHT = 170


class PlotFrame:
    """Fills ``frame`` (a widget with a layout) with a plot widget, where Slicer was built with plots."""

    def __init__(self, frame: Widget, key: str) -> None:
        self._frame, self._key = frame, key
        self.widget: Widget = None
        self._view: Widget = None

    def show(self, chart: Node) -> None:
        """Shows a vtkMRMLPlotChartNode; the view node that a closed scene took along is made anew."""
        make = getattr(slicer, "qMRMLPlotWidget", None)
        self._frame.visible = make is not None
        if make is None:
            return
        if self.widget is None:
            self.widget = make()
            self.widget.setMRMLScene(slicer.mrmlScene)
            self.widget.minimumHeight = HEIGHT
            if hasattr(self.widget, "plotController"):
                self.widget.plotController().setVisible(False)
            self._frame.layout().addWidget(self.widget)
        if self._view is None or self._view.GetScene() is None:
            self._view = self._view_node()
            self.widget.setMRMLPlotViewNode(self._view)
        if self._view.GetPlotChartNodeID() != chart.GetID():
            self._view.SetPlotChartNodeID(chart.GetID())

    def _view_node(self) -> Node:
        """Slicer's view layout makes a view for each node of this kind, unless the node has another owner."""
        name = f"MedSegTrainer{self._key}"
        node = next((one for one in slicer.util.getNodesByClass("vtkMRMLPlotViewNode") if one.GetName() == name), None)
        if node is None:
            node = slicer.mrmlScene.CreateNodeByClass("vtkMRMLPlotViewNode")
            node.UnRegister(None)
            node.SetName(name)
            node.SetHideFromEditors(True)
            node.SetSaveWithScene(False)
            node.SetDoPropagatePlotChartSelection(False)  # or it would show what is chosen for the view layout
            node.SetAndObserveParentLayoutNodeID(slicer.app.applicationLogic().GetSelectionNode().GetID())
            node = slicer.mrmlScene.AddNode(node)
        return node
