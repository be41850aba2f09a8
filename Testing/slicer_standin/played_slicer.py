"""Runs ``run_in_slicer.py`` over the stand-in, with the fixtures that the application needs:

    python Testing/slicer_standin/played_slicer.py [arguments of pytest]

The tests believe to be in Slicer: nothing is reset for them but by themselves.
"""

from __future__ import annotations

import importlib.util
import os
import runpy
import sys
import tempfile
from pathlib import Path

TESTING = Path(__file__).resolve().parents[1]


def main(arguments: list[str]) -> int:
    spec = importlib.util.spec_from_file_location("slicer_standin", Path(__file__).with_name("__init__.py"))
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["slicer_standin"] = package
    spec.loader.exec_module(package)
    from slicer_standin import boot

    boot.boot()
    from slicer_standin import module_loading, qt_settings

    os.environ["MEDSEG_PLAYED_SLICER"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        qt_settings.use_settings_file(Path(folder) / "Slicer.ini")
        module_loading.load_module(TESTING.parent / "MedSegTrainer" / "MedSegTrainer.py")
        script = runpy.run_path(str(TESTING / "run_in_slicer.py"), run_name="run_in_slicer")
        return int(script["main"](arguments))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
