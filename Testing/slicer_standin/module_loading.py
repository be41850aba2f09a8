"""Loads a scripted module by its path and makes its widget, as the application does."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import qt
import slicer

from .mrml import Module


class ScriptedModule(Module):
    """The application's side of a scripted module."""

    def __init__(self, name: str, path: Path, widget_class: Any) -> None:
        super().__init__(name, path=str(path))
        self._widget_class = widget_class
        self._parent: Any = None

    def widgetRepresentation(self) -> Any:
        """The parent widget; the module's own is ``slicer.modules.<name>Widget``."""
        if self._parent is None:
            self._parent = make_parent()
            widget = self._widget_class(self._parent)
            setattr(slicer.modules, f"{self.name}Widget", widget)
            widget.setup()
        return self._parent

    def discard_widget(self) -> None:
        """As when the module is unloaded."""
        if self._parent is not None:
            slicer.app.moduleManager().moduleAboutToBeUnloaded.emit(self.name)
            delattr(slicer.modules, f"{self.name}Widget")
            self._parent.delete()
            self._parent = None


def make_parent() -> Any:
    parent = slicer.qSlicerScriptedLoadableModuleWidget()
    parent.setLayout(qt.QVBoxLayout())
    parent.setMRMLScene(slicer.mrmlScene)
    return parent


def load_module(path: Path) -> ScriptedModule:
    """The module in the file ``path``, which is named after its class. Its folder is searched for imports from now on."""
    name = path.stem
    if str(path.parent) not in sys.path:
        sys.path.append(str(path.parent))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    scripted = ScriptedModule(name, path, getattr(module, f"{name}Widget"))
    instance = getattr(module, name)(scripted)
    if not scripted.title:
        raise ValueError(f"{path} sets no title: Slicer would not load it")
    setattr(slicer.modules, name.lower(), scripted)
    setattr(slicer.modules, f"{name}Instance", instance)
    return scripted
