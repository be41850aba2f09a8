"""The training at the top of the panel, whatever section is open."""

import json

import fake_panel as fake
import pytest
import qt
import slicer


@pytest.fixture(autouse=True)
def home(scene, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))  # whose jobs lie in "jobs"


def test_it_is_there_while_a_training_runs(panel, make_job):
    frame, bar, label = panel.ui.runningFrame, panel.ui.runningBar, panel.ui.runningLabel
    assert not frame.visible
    folder = make_job(events=fake.training(), state="running")
    panel.train.job.follow(folder)
    for name in ("data", "train", "apply", "evaluate", "environment"):
        getattr(panel.ui, f"{name}Button").collapsed = True
    panel.onTimer()
    assert frame.visible and (bar.value, bar.maximum) == (500, 1000)
    assert label.text == "liver-tumor: epoch 3, 8 min left, best Dice 0.73"
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps({**status, "state": "stopped"}))
    panel.onTimer()
    assert not frame.visible


@pytest.fixture
def status_bar():
    """Of Slicer's main window."""
    window = slicer.util.mainWindow()
    if window is None and not hasattr(slicer.app, "set_windows"):
        pytest.skip("the application runs without a main window")
    if window is not None:
        yield window.statusBar()
        return
    window = qt.QMainWindow()
    window.objectName = "qSlicerMainWindow"
    slicer.app.set_windows(window)
    yield window.statusBar()
    slicer.app.set_windows()


def test_the_status_bar_says_it_in_every_module(panel, make_job, status_bar):
    folder = make_job(events=fake.training(), state="running")
    panel.train.job.follow(folder)
    panel.exit()
    panel.onTimer()
    assert status_bar.currentMessage() == "liver-tumor: epoch 3, 8 min left, best Dice 0.73"
    status_bar.showMessage("Volume loaded")
    panel.onTimer()
    assert status_bar.currentMessage() == "Volume loaded", "nothing new to say"
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps({**status, "state": "stopped"}))
    panel.onTimer()
    assert status_bar.currentMessage() == "liver-tumor: Stopped, after 3 epochs, best Dice 0.73"


def test_it_is_busy_before_the_first_word(panel, make_job):
    panel.train.job.follow(make_job(state="running"))
    panel.onTimer()
    assert panel.ui.runningBar.maximum == 0 and "best Dice" not in panel.ui.runningLabel.text
