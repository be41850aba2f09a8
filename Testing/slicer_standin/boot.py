"""Starts the stand-in: afterwards ``slicer``, ``qt`` and ``ctk`` look as they do in the application."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from . import requirements


def boot() -> None:
    """Starts once a process; later calls do nothing. Raises RuntimeError where something is missing."""
    reason = requirements.why_missing()
    if reason:
        raise RuntimeError(reason)
    import slicer

    if hasattr(slicer, "app"):
        return
    from . import failures, mrml, qt_modules, subject_hierarchy

    qt_modules.install()
    application_logic = mrml.start_scene()
    from .application import qSlicerApplication

    slicer.app = qSlicerApplication(application_logic)
    subject_hierarchy.watch(slicer.mrmlScene)
    for name, item in qt_modules.widget_classes().items():
        if name.startswith("q"):
            setattr(slicer, name, item)
    from . import dicom_database, segment_statistics

    dicom_database.install()
    segment_statistics.install()
    slicer.qSlicerScriptedLoadableModule = mrml.Module
    _install_python_layer()
    from .module_loading import qSlicerScriptedLoadableModuleWidget

    slicer.qSlicerScriptedLoadableModuleWidget = qSlicerScriptedLoadableModuleWidget
    sys.excepthook = failures.note_exception


def _install_python_layer() -> None:
    """Slicer's own sources of these modules where SLICER_PY_SOURCE names them, else the stand-ins."""
    import slicer

    source = os.environ.get("SLICER_PY_SOURCE", "")
    if source:
        slicer.__path__.append(str(Path(source).resolve() / "slicer"))
        return
    from . import i18n, parameter_node, scripted_module  # they import qt and slicer.app, which are there only now

    for name, module in (
        ("i18n", i18n),
        ("ScriptedLoadableModule", scripted_module),
        ("parameterNodeWrapper", parameter_node),
    ):
        setattr(slicer, name, module)
        sys.modules[f"slicer.{name}"] = module
