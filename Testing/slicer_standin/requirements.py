"""Says whether the packages and system libraries of the stand-in are there."""

from __future__ import annotations

import ctypes
import functools
import importlib
import os
import sys

PACKAGES = ("numpy", "vtk", "slicer", "PySide6.QtWidgets", "PySide6.QtUiTools")


@functools.lru_cache(maxsize=1)
def why_missing() -> str:
    """One sentence that says what is missing; empty when everything is there."""
    prepare_environment()
    for name in PACKAGES:
        try:
            importlib.import_module(name)
        except ImportError as error:
            return (
                f"the Slicer tests need {name} ({error}): install the project with its extra 'slicer', and on Linux "
                "the system libraries libgl1 libegl1 libgl1-mesa-dri libxkbcommon0 libfontconfig1 libdbus-1-3"
            )
    return ""


@functools.lru_cache(maxsize=1)
def why_not_rendering() -> str:
    """One sentence that says why nothing can be drawn off-screen; empty when it can."""
    if sys.platform != "linux":
        return (
            "" if sys.platform == "darwin" or os.environ.get("MEDSEG_RENDERING") else "no off-screen OpenGL is assumed"
        )
    for library in ("libEGL.so.1", "libOSMesa.so.8"):
        try:
            ctypes.CDLL(library)
        except OSError:
            continue
        return ""
    return "drawing the slice views needs libEGL (libegl1 and libgl1-mesa-dri)"


def prepare_environment() -> None:
    """What must be said before Qt is imported: no screen, and enumerations that are integers as in PythonQt."""
    os.environ.setdefault("QT_QPA_PLATFORM", "offscreen")
    os.environ["PYSIDE6_OPTION_PYTHON_ENUM"] = "0x02"
