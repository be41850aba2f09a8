"""Plays Slicer until somebody kills it: opens the panel and trains on made-up volumes.

    python dying_slicer.py FOLDER PYTHON SETTINGS

FOLDER: of the jobs and the environment, in which PYTHON was tested already. SETTINGS: changed ones, as JSON. When the
first curves are drawn, the name of the job is printed.
"""

from __future__ import annotations

import importlib.util
import sys
import time
from pathlib import Path
from typing import Any

TESTING = Path(__file__).resolve().parents[1]
MODULE = TESTING.parent / "MedSegTrainer" / "MedSegTrainer.py"


def start_slicer(settings: Path) -> Any:
    """The stand-in, with settings of its own; the module's widget."""
    spec = importlib.util.spec_from_file_location("slicer_standin", TESTING / "slicer_standin" / "__init__.py")
    assert spec is not None and spec.loader is not None
    package = importlib.util.module_from_spec(spec)
    sys.modules["slicer_standin"] = package
    spec.loader.exec_module(package)
    from slicer_standin import boot

    boot.boot()
    from slicer_standin import module_loading, qt_settings

    qt_settings.use_settings_file(settings)
    return module_loading.load_module(MODULE)


def main(folder: str, python: str, configuration: str) -> None:
    module = start_slicer(Path(folder) / "Slicer.ini")
    import qt
    import slicer
    from MedSegTrainerUI.samples.sample_data import load_phantoms

    qt.QSettings().setValue("MedSegTrainer/Folder", folder)
    qt.QSettings().setValue("MedSegTrainer/Python", python)
    parent = module.widgetRepresentation()
    parent.enter()
    panel = slicer.modules.MedSegTrainerWidget.panel
    load_phantoms()
    panel.data.ui.addAllButton.click()
    panel.parameters.configuration = configuration
    panel.train.ui.startButton.click()
    job = panel.train.job
    assert job.watched is not None, panel.train.ui.messageLabel.text
    told = False
    while True:
        slicer.app.processEvents()
        time.sleep(0.01)
        if not told and len(job.watched.validations) > 1:
            told = True
            print(job.watched.name, len(job.watched.epochs), flush=True)
        elif not job.watched.working:
            print(job.ui.endingLabel.text, flush=True)
            return


if __name__ == "__main__":
    main(*sys.argv[1:])
