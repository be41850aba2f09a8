"""A panel of one real section, Apply, whose environment starts nothing: ``play`` does the work of the process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import slicer
from MedSegTrainerUI.apply.section import ApplySection
from MedSegTrainerUI.jobs.job_list import JobList
from MedSegTrainerUI.jobs.process import keep
from MedSegTrainerUI.parameter_node import Parameters
from MedSegTrainerUI.scene.label_files import read_layers
from MedSegTrainerUI.scene.volumes import array_image, write_image

from MedSegTrainerLib.events import EventLog, Finished
from MedSegTrainerLib.job_status import Status


class ApplyPanel:
    """A panel of one section, with an environment that starts nothing; ``play`` does the work of the process."""

    def __init__(self, root, module):
        self.jobs, self.environment = JobList(root), self
        self.device = "cuda:1"
        self.ready, self.problem, self.error, self.entered = True, "", None, True
        self._module = module
        self.section = None
        self.folder = None
        self.commands = []

    def resourcePath(self, name):
        return str(Path(self._module.path).parent / "Resources" / name)

    @contextmanager
    def changing(self):
        yield
        self.refresh()

    def refresh(self):
        if self.section is not None:
            self.section.refresh()

    def open(self):
        self.section = ApplySection(self)
        self.section.setParameterNode(Parameters(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode")))
        self.refresh()
        return self.section

    def start(self, folder):
        if self.error:
            raise self.error
        self.folder = folder
        self.status(state="running", stage="apply")

    def start_command(self, arguments, output):
        """The real library, in the Python of the tests; ``commands`` has what was asked for."""
        self.commands.append(arguments)
        command = [os.environ.get("MEDSEG_PYTHON") or sys.executable, "-m", "MedSegTrainerLib", *arguments]
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        keep(process)
        return process

    def status(self, **fields):
        now = {"kind": "apply", "host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time() + 1}
        self.folder.status_file.write_text(json.dumps(asdict(Status(**{**now, **fields}))))

    def play(self, case):
        """Above 100 is class 1, above 200 class 2."""
        stored = read_layers(self.folder.read_document()["config"]["cases"][case][0])[0]
        labels = (stored.array > 100).astype(np.uint8) + (stored.array > 200)
        write_image(array_image(labels), stored.ijk_to_ras, self.folder.path / "results" / f"{case}.seg.nrrd")

    def end(self, event=None):
        EventLog(self.folder.events_file)(event or Finished(message="done", result=""))
        self.status(state="finished")
