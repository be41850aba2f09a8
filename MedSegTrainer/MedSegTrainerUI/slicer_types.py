"""Names for what Slicer, Qt and VTK give without types: what is a node, a widget or an image is said here, once."""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

Node: TypeAlias = Any  # vtkMRMLNode
VolumeNode: TypeAlias = Any  # vtkMRMLScalarVolumeNode
SegmentationNode: TypeAlias = Any  # vtkMRMLSegmentationNode
RoiNode: TypeAlias = Any  # vtkMRMLMarkupsROINode
Scene: TypeAlias = Any  # vtkMRMLScene
Segment: TypeAlias = Any  # vtkSegment
VtkObject: TypeAlias = Any  # images, matrices, surfaces, tables
Widget: TypeAlias = Any  # QWidget, as PythonQt wraps it
QtObject: TypeAlias = Any  # layouts, items, icons


class Ui(Protocol):
    """The widgets of a ``.ui`` file by their names, as ``slicer.util.childWidgetVariables`` gives them."""

    def __getattr__(self, name: str) -> Widget: ...
