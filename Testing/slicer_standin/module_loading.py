"""Loads a scripted module by its path and makes its widget, as the application does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import qt
import slicer
from PySide6 import QtCore

from .mrml import Module
from .qmrml_nodes import qMRMLWidget


class qSlicerScriptedLoadableModuleWidget(qMRMLWidget):
    """The application's side of a module's widget: its parent."""

    isEntered = QtCore.Property(bool, lambda self: self._entered)

    def __init__(self, module_name: str) -> None:
        super().__init__()
        self._module_name = module_name
        self._entered = False
        self._own: Any = None
        self.setLayout(qt.QVBoxLayout())

    def self(self) -> Any:
        """The module's own widget."""
        return self._own

    def enter(self) -> None:
        self._entered = True
        self.self().enter()

    def exit(self) -> None:
        self._entered = False
        self.self().exit()

    def reload(self) -> None:
        """Makes the module's widget from what its file says now, and does not enter it.

        Widgets of an earlier one stay children of this one, hidden: what is connected with them lives on.
        """
        widget_class = getattr(sys.modules[self._module_name], f"{self._module_name}Widget")
        self._own = widget_class(self)
        setattr(slicer.modules, f"{self._module_name}Widget", self._own)
        self._own.setup()


class ScriptedModule(Module):
    """The application's side of a scripted module."""

    def __init__(self, name: str, path: Path) -> None:
        super().__init__(name, path=str(path))
        self._parent: Any = None

    def widgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        """One for the whole run."""
        if self._parent is None:
            self._parent = self.createNewWidgetRepresentation()
        return self._parent

    def createNewWidgetRepresentation(self) -> qSlicerScriptedLoadableModuleWidget:
        """Another one; who asks for it calls ``cleanup`` of its widget."""
        parent = qSlicerScriptedLoadableModuleWidget(self.name)
        parent.reload()
        parent.setMRMLScene(slicer.mrmlScene)
        return parent


def load_module(path: Path) -> ScriptedModule:
    """The module in the file ``path``, named after its class; its folder is searched for imports from now on.

    Raises ValueError where Slicer would not load the module.
    """
    name = path.stem
    if path.read_bytes()[:2] == b"#!":
        raise ValueError(f"{path} begins with #!: Slicer takes it for a command line module")
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    module = sys.modules.get(name) or _execute(name, path)
    scripted = ScriptedModule(name, path)
    instance = getattr(module, name)(scripted)
    if not scripted.title:
        raise ValueError(f"{path} sets no title: Slicer would not load it")
    missing = [other for other in scripted.dependencies if not hasattr(slicer.modules, other.lower())]
    if missing:
        raise ValueError(f"{path} depends on {missing}: without them Slicer would not load it")
    setattr(slicer.modules, name.lower(), scripted)
    setattr(slicer.modules, f"{name}Instance", instance)
    return scripted


def _execute(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
