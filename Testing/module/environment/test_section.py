from __future__ import annotations

import json
import os
import socket
import time
from dataclasses import asdict
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import slicer
from MedSegTrainerUI.environment import environment as environment_module
from MedSegTrainerUI.environment.environment import Environment
from MedSegTrainerUI.environment.section import EnvironmentSection
from MedSegTrainerUI.environment.test_record import identity
from tooltips import tooltip

from MedSegTrainerLib.job_status import Status

RESOURCES = Path(environment_module.__file__).resolve().parents[2] / "Resources"
WIDTH = 420
GPU = {"name": "cuda:0", "description": "NVIDIA GeForce RTX 4070 (12 GB)"}
CPU = {"name": "cpu", "description": "CPU with 8 threads"}
REPORT = {
    "ok": True, "asked": "auto", "device": "cuda:0", "device_name": GPU["description"], "devices": [GPU, CPU],
    "warnings": [], "torch": "2.13.0+cu130", "cuda": "13.0",
}  # fmt: skip
FALL = (
    "The NVIDIA driver is too old for PyTorch 2.13.0+cu130, which was made for CUDA 13.0. Install the newest driver "
    "from NVIDIA, restart the computer, and test again. Training runs on the CPU, which is much slower."
)


class Panel:
    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.jobs = SimpleNamespace(all=list, cache=environment.folder.parent / "jobs" / "cache")
        self.section: Any = None

    def resourcePath(self, name: str) -> str:
        return str(RESOURCES / name)

    def refresh(self) -> None:
        self.section.refresh()


@pytest.fixture
def section(scene: Any, tmp_path: Path) -> Any:
    panel = Panel(Environment(tmp_path / "MedSegTrainer"))
    panel.section = EnvironmentSection(panel)
    panel.section.uiWidget.setFixedWidth(WIDTH)
    panel.section.uiWidget.show()
    yield panel.section
    panel.section.cleanup()
    panel.section.uiWidget.hide()


def leave_tested(section: Any, **changes: Any) -> None:
    environment = section.environment
    environment.own_python.parent.mkdir(parents=True, exist_ok=True)
    environment.own_python.write_text("")
    from MedSegTrainerUI.environment.test_record import requirements_hash

    record = {
        **identity(environment.own_python), "requirements": requirements_hash(environment.requirements),
        "report": {**REPORT, **changes},
    }  # fmt: skip
    (environment.folder / "tested.json").write_text(json.dumps(record))


def set_status(section: Any, **values: Any) -> None:
    environment = section.environment
    environment.folder.mkdir(parents=True, exist_ok=True)
    now = {"kind": "environment", "host": socket.gethostname(), "pid": os.getppid(), "heartbeat": time.time()}
    environment.job.status_file.write_text(json.dumps(asdict(Status(**{**now, **values}))))


def look(section: Any) -> None:
    section.environment.poll()
    section.panel.refresh()


@pytest.fixture
def picture(section: Any, screenshot: Any) -> Any:
    """Takes a screenshot of the section in its natural height."""

    def take(name: str) -> None:
        slicer.app.processEvents()
        section.uiWidget.adjustSize()
        screenshot(section.uiWidget, name)

    return take


def shown_buttons(section: Any) -> set[str]:
    names = ("setUp", "test", "repair", "remove", "stop")
    return {name for name in names if getattr(section.ui, f"{name}Button").isVisible()}


class TestStates:
    def test_first_start_has_one_button_and_says_what_it_loads(self, section: Any, picture: Any) -> None:
        picture("environment-new")
        assert shown_buttons(section) == {"setUp"}
        assert "downloads about" in section.ui.stateLabel.text
        assert not section.ui.messageLabel.visible

    def test_ready(self, section: Any, picture: Any) -> None:
        leave_tested(section)
        look(section)
        picture("environment-ready")
        assert section.ui.stateLabel.text == "PyTorch 2.13, CUDA 13, RTX 4070 (12 GB): tested, ok"
        assert shown_buttons(section) == {"test", "repair", "remove"}
        combo = section.ui.deviceComboBox
        assert [combo.itemData(index) for index in range(combo.count)] == ["auto", "cuda:0", "cpu"]
        assert combo.itemText(1) == "cuda:0: NVIDIA GeForce RTX 4070 (12 GB)"

    def test_a_fall_to_the_cpu_is_said(self, section: Any, picture: Any) -> None:
        leave_tested(section, device="cpu", device_name="CPU with 8 threads", warnings=[FALL])
        look(section)
        picture("environment-cpu")
        assert section.ui.messageLabel.text == FALL

    def test_a_build_that_runs(self, section: Any, picture: Any) -> None:
        set_status(
            section, state="running", stage="packages", progress=0.4,
            message="Loading and unpacking packages: 3.1 GB of about 8.0 GB",
        )  # fmt: skip
        section.environment.job.log_file.write_text("Resolved 62 packages in 3.1s\nDownloading torch (820.1MiB)\n")
        look(section)
        section.ui.logButton.collapsed = False
        picture("environment-busy")
        assert section.ui.progressBar.value == 400
        assert section.ui.progressLabel.text.endswith("3.1 GB of about 8.0 GB")
        assert "Downloading torch" in section.ui.logText.plainText
        assert "stop" in shown_buttons(section)
        for button in (section.ui.repairButton, section.ui.removeButton, section.ui.testButton):
            assert not button.enabled
            assert "Wait for the end, or press Stop" in button.toolTip

    def test_its_end_is_seen_by_the_timer(self, section: Any) -> None:
        set_status(section, state="running", progress=0.4)
        look(section)
        leave_tested(section)
        set_status(section, state="finished", progress=1.0)
        section.onTimer()
        assert section.ui.stateLabel.text.endswith("tested, ok")
        assert "stop" not in shown_buttons(section)

    def test_a_failure_says_what_to_do(self, section: Any, picture: Any) -> None:
        set_status(section, state="failed", message="The disk is full. Free some space, then press Repair.")
        look(section)
        picture("environment-failed")
        assert section.ui.messageLabel.text.startswith("The disk is full.")
        assert not section.ui.stateLabel.visible
        assert section.ui.repairButton.enabled

    def test_what_was_tested_was_changed(self, section: Any, picture: Any) -> None:
        leave_tested(section)
        section.environment.own_python.write_text("another")
        os.utime(section.environment.own_python, (1, 1))
        look(section)
        picture("environment-changed")
        assert "were changed since they were tested" in section.ui.messageLabel.text


class TestActions:
    def test_stop_asks_the_build_to_end(self, section: Any) -> None:
        set_status(section, state="running", progress=0.4)
        look(section)
        section.ui.stopButton.click()
        assert section.environment.job.stop_requested() == "now"
        section.onTimer()
        assert not section.ui.stopButton.enabled
        assert "Stopping" in section.ui.stopButton.toolTip

    def test_remove_asks_first_and_takes_it_away(self, section: Any, wait_for: Any) -> None:
        leave_tested(section)
        look(section)
        section.ui.removeButton.click()  # in testing mode the question answers itself with OK
        assert section.environment.state == "new"
        assert shown_buttons(section) == {"setUp"}
        folder = section.environment.folder.parent
        wait_for(lambda: not list(folder.glob("environment*")), 120_000)

    def test_nothing_is_taken_from_a_job_that_runs(self, section: Any) -> None:
        leave_tested(section)
        look(section)
        alive = SimpleNamespace(path=Path("liver-tumor"), status=lambda: SimpleNamespace(is_alive=lambda: True))
        section.panel.jobs = SimpleNamespace(all=lambda: [alive])
        for button in (section.ui.removeButton, section.ui.repairButton):
            button.click()
            assert "liver-tumor is still running" in section.ui.messageLabel.text
        assert section.environment.own_python.exists()

    def test_an_existing_python(self, section: Any, tmp_path: Path, picture: Any) -> None:
        python = tmp_path / "python"
        python.write_text("")
        section.ui.pythonPathLineEdit.setCurrentPath(str(tmp_path / "pyth"))  # while it is typed
        assert section.environment.chosen == ""
        section.ui.pythonPathLineEdit.setCurrentPath(str(python))
        assert section.environment.chosen == str(python)
        picture("environment-existing")
        assert "has not been tested. Press Test." in section.ui.messageLabel.text
        assert shown_buttons(section) == {"setUp", "test"}
        section.ui.pythonPathLineEdit.setCurrentPath("")
        assert section.environment.state == "new"

    def test_a_folder_of_wheels(self, section: Any, tmp_path: Path, picture: Any) -> None:
        section.ui.wheelsPathLineEdit.setCurrentPath(str(tmp_path / "whee"))  # while it is typed
        assert section.environment.wheels == ""
        (tmp_path / "wheels").mkdir()
        section.ui.wheelsPathLineEdit.setCurrentPath(str(tmp_path / "wheels"))
        assert section.environment.wheels == str(tmp_path / "wheels")
        picture("environment-wheels")
        assert f"takes it from the folder {tmp_path / 'wheels'}, without Internet" in section.ui.stateLabel.text
        assert "from the folder of wheels" in tooltip(section.ui.setUpButton)
        assert "not that of PyTorch" in tooltip(section.ui.wheelsPathLineEdit)
        section.ui.wheelsPathLineEdit.setCurrentPath("")
        assert section.environment.wheels == ""
        assert "downloads about" in section.ui.stateLabel.text

    def test_another_device_is_tested(self, section: Any) -> None:
        leave_tested(section)
        look(section)
        section.ui.deviceComboBox.setCurrentIndex(2)
        assert section.environment.asked_device == "cpu"
        # the interpreter of this test is an empty file; that the test was begun is what counts
        assert section.environment.status.kind == "environment"
        section.environment._child.wait()
