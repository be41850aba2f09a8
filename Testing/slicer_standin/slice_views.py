"""Pictures of the slice views with what Slicer shows in them: volume, segmentations, models."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import slicer
import vtk

VIEWS = {"Red": "Axial", "Green": "Coronal", "Yellow": "Sagittal"}
MANAGERS = ("vtkMRMLSegmentationsDisplayableManager2D", "vtkMRMLModelSliceDisplayableManager")


def render_slice_views(
    path: Path, volume: Any = None, size: int = 320, offsets: dict[str, float] | None = None
) -> Path:
    """Writes the three views side by side as a PNG, drawn off-screen, and leaves no node behind.

    volume: the background, the scene's first where none is given. size: of a view in pixels. offsets: of the slices
    in mm by the names of the views; the middle of the volume where none is given.
    """
    background = volume or slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLScalarVolumeNode")
    row = vtk.vtkImageAppend()
    row.SetAppendAxis(0)
    for name, orientation in VIEWS.items():
        with _slice_logic(name, orientation, size) as logic:
            logic.GetSliceCompositeNode().SetBackgroundVolumeID(background.GetID() if background else None)
            logic.FitSliceToBackground()
            if offsets and name in offsets:
                logic.SetSliceOffset(offsets[name])
            logic.GetSliceNode().UpdateMatrices()
            row.AddInputData(_picture(logic, size))
    row.Update()
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = vtk.vtkPNGWriter()
    writer.SetFileName(str(path))
    writer.SetInputConnection(row.GetOutputPort())
    writer.Write()
    return path


@contextmanager
def _slice_logic(name: str, orientation: str, size: int) -> Iterator[Any]:
    """A slice logic with its nodes, which are gone afterwards."""
    application = slicer.app.applicationLogic()
    before = {node.GetID() for node in slicer.util.getNodesByClass("vtkMRMLNode")}
    logic = slicer.vtkMRMLSliceLogic()
    logic.SetMRMLApplicationLogic(application)
    application.GetSliceLogics().AddItem(logic)
    logic.SetMRMLScene(slicer.mrmlScene)
    node = logic.AddSliceNode(name)
    node.SetOrientation(orientation)
    node.SetDimensions(size, size, 1)
    node.SetFieldOfView(size, size, 1)
    try:
        yield logic
    finally:
        application.GetSliceLogics().RemoveItem(logic)
        logic.SetMRMLScene(None)
        for item in slicer.util.getNodesByClass("vtkMRMLNode"):
            if item.GetID() not in before:
                slicer.mrmlScene.RemoveNode(item)


def _picture(logic: Any, size: int) -> Any:
    """What one view shows, as an image in memory."""
    window = vtk.vtkRenderWindow()
    window.SetOffScreenRendering(1)
    window.SetSize(size, size)
    window.SetMultiSamples(0)
    renderer = vtk.vtkRenderer()
    renderer.GetActiveCamera().ParallelProjectionOn()
    window.AddRenderer(renderer)
    interactor = vtk.vtkRenderWindowInteractor()
    interactor.SetRenderWindow(window)
    mapper = vtk.vtkImageMapper()
    mapper.SetColorWindow(255)
    mapper.SetColorLevel(127.5)
    connection = logic.GetImageDataConnection()
    if connection is not None:
        mapper.SetInputConnection(connection)
        actor = vtk.vtkActor2D()
        actor.SetMapper(mapper)
        actor.GetProperty().SetDisplayLocationToBackground()
        renderer.AddViewProp(actor)
    group = _displayable_managers(renderer)
    group.SetMRMLDisplayableNode(logic.GetSliceNode())
    window.Render()
    grab = vtk.vtkWindowToImageFilter()
    grab.SetInput(window)
    grab.ReadFrontBufferOff()
    grab.ShouldRerenderOff()
    grab.Update()
    picture = vtk.vtkImageData()
    picture.DeepCopy(grab.GetOutput())
    group.SetMRMLDisplayableNode(None)
    window.Finalize()
    return picture


def _displayable_managers(renderer: Any) -> Any:
    factory = slicer.vtkMRMLSliceViewDisplayableManagerFactory.GetInstance()
    factory.SetMRMLApplicationLogic(slicer.app.applicationLogic())
    for name in MANAGERS:
        if not factory.IsDisplayableManagerRegistered(name):
            factory.RegisterDisplayableManager(name)
    group = slicer.vtkMRMLDisplayableManagerGroup()
    group.SetRenderer(renderer)
    group.Initialize(factory, renderer)
    return group
