"""The scene, the logics of the loadable modules and ``slicer.modules``."""

from __future__ import annotations

import sys
import types
from typing import Any

import slicer
import vtk

# Module: class of its logic. The name in lower case is the attribute of slicer.modules. Terminologies are left out:
# their logic wants files that only the application has.
LOGICS = {
    "Colors": "vtkMRMLColorLogic",
    "Volumes": "vtkSlicerVolumesLogic",
    "Segmentations": "vtkSlicerSegmentationsModuleLogic",
    "SubjectHierarchy": "vtkSlicerSubjectHierarchyModuleLogic",
    "Models": "vtkSlicerModelsLogic",
    "Transforms": "vtkSlicerTransformLogic",
    "Markups": "vtkSlicerMarkupsLogic",
    "Tables": "vtkSlicerTablesLogic",
    "Plots": "vtkSlicerPlotsLogic",
    "CropVolume": "vtkSlicerCropVolumeLogic",
}


class Module:
    """What an attribute of ``slicer.modules`` offers: a core module with its logic, or a scripted one."""

    def __init__(self, name: str, logic: Any = None, path: str = "") -> None:
        self.name = name
        self.title = name
        self.path = path
        self._logic = logic

    def logic(self) -> Any:
        return self._logic


def start_scene() -> Any:
    """Makes ``slicer.mrmlScene`` and ``slicer.modules``; gives the application logic.

    The scene stays the same object until the process ends, as in the application.
    """
    scene = slicer.vtkMRMLScene()
    application = slicer.vtkSlicerApplicationLogic()
    application.SetMRMLScene(scene)
    application.GetColorLogic().SetMRMLScene(scene)
    application.GetColorLogic().AddDefaultColorNodes()
    application.SetSliceLogics(vtk.vtkCollection())
    application.SetViewLogics(vtk.vtkCollection())
    modules = types.ModuleType("slicer.modules")
    for name, class_name in LOGICS.items():
        logic = getattr(slicer, class_name)()
        logic.SetMRMLApplicationLogic(application)
        logic.SetMRMLScene(scene)
        application.SetModuleLogic(name, logic)
        setattr(modules, name.lower(), Module(name, logic))
    slicer.vtkMRMLSliceNode.AddDefaultSliceOrientationPresets(scene, True)
    slicer.mrmlScene = scene
    slicer.modules = sys.modules["slicer.modules"] = modules
    return application


def clear_scene() -> None:
    """The scene as at the start: ``Clear`` keeps singletons, so the modules' parameter nodes are removed by hand."""
    slicer.mrmlScene.Clear()
    for class_name in ("vtkMRMLScriptedModuleNode", "vtkMRMLSubjectHierarchyNode"):
        nodes = slicer.mrmlScene.GetNodesByClass(class_name)
        nodes.UnRegister(None)
        for index in range(nodes.GetNumberOfItems()):
            slicer.mrmlScene.RemoveNode(nodes.GetItemAsObject(index))
