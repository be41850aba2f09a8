"""Runs the tests of ``Testing/module`` inside 3D Slicer, which starts this file itself:

    Slicer --testing --no-splash --python-script Testing/run_in_slicer.py [arguments of pytest]

Slicer has no pytest, and its Python is not to be changed for a test: put pytest into a folder of its own and
name that folder in MEDSEG_PYTEST (see Testing/README.md). Without one the exit code is 77: skipped.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

TESTING = Path(__file__).resolve().parent
MODULE_FILE = TESTING.parent / "MedSegTrainer" / "MedSegTrainer.py"
SKIPPED = 77


def main(arguments: Sequence[str]) -> int:
    if folder := os.environ.get("MEDSEG_PYTEST"):
        sys.path.append(folder)
    try:
        import pytest
    except ImportError:
        print(
            "Skipped: no pytest. Install it into a folder and name that folder in MEDSEG_PYTEST: see Testing/README.md."
        )
        return SKIPPED
    load_module()
    module_tests = TESTING / "module"
    settings = ["-c", str(TESTING.parent / "pyproject.toml"), "--rootdir", str(TESTING.parent)]
    # the other conftest.py files import packages that Slicer lacks; Slicer's own code may warn
    isolation = ["--confcutdir", str(module_tests), "-o", "filterwarnings=default", "-p", "no:cacheprovider"]
    return int(pytest.main([*settings, *isolation, str(module_tests), *arguments]))


def load_module() -> None:
    """Loads the module of this checkout where Slicer has not loaded one at its start."""
    import qt
    import slicer

    if not hasattr(slicer.modules, "medsegtrainer"):
        factory = slicer.app.moduleManager().factoryManager()
        factory.registerModule(qt.QFileInfo(str(MODULE_FILE)))
        factory.loadModules(["MedSegTrainer"])


if __name__ == "__main__":
    import slicer

    slicer.util.exit(main(sys.argv[1:]))
