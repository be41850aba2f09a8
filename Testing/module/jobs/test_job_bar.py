"""The training at the top of the panel, whatever section is open."""

import json

import fake_panel as fake
import pytest
import qt
import slicer

from MedSegTrainerLib.events import EventLog, Progress


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


@pytest.fixture
def scrolled(module_widget, panel, make_job):
    """The panel in a scroll area, as Slicer shows it, with a training that runs; the area."""
    area = qt.QScrollArea()
    area.widgetResizable = True
    area.horizontalScrollBarPolicy = qt.Qt.ScrollBarAlwaysOff
    area.setWidget(module_widget.parent)
    area.resize(400, 300)
    area.show()
    panel.train.job.follow(make_job(events=fake.training(), state="running"))
    panel.ui.trainButton.collapsed = False
    panel.onTimer()
    slicer.app.processEvents()
    yield area
    panel.cleanup()
    area.takeWidget()
    area.hide()


def floating(area):
    """The copy that is seen, or None."""
    frames = slicer.util.findChildren(area, name="floatingFrame")
    return next((frame for frame in frames if frame.visible), None)


def scroll_to(area, place):
    area.verticalScrollBar().value = place
    slicer.app.processEvents()


def test_it_is_there_where_the_panel_is_scrolled(panel, make_job, scrolled, screenshot):
    bar = scrolled.verticalScrollBar()
    assert bar.maximum > 300 and floating(scrolled) is None, "its own place is seen"
    scroll_to(scrolled, bar.maximum)
    frame = floating(scrolled)
    assert (frame.pos.x(), frame.pos.y(), frame.width) == (0, 0, scrolled.viewport().width)
    (label,) = slicer.util.findChildren(frame, className="QLabel")
    (copy,) = slicer.util.findChildren(frame, className="QProgressBar")
    assert label.text == "liver-tumor: epoch 3, 8 min left, best Dice 0.73" and copy.value == 500
    assert frame.height < 80 and label.height >= label.heightForWidth(label.width)
    screenshot(scrolled, "floating-bar")
    scrolled.resize(500, 300)
    slicer.app.processEvents()
    panel.onTimer()
    assert frame.width == scrolled.viewport().width > 450
    log = EventLog(panel.train.job.watched.folder.events_file)
    log(Progress(done=45, total=60, eta_seconds=240.0))
    panel.onTimer()
    assert copy.value == 750
    scroll_to(scrolled, 0)
    assert floating(scrolled) is None


def test_it_goes_with_the_training_the_module_and_the_panel(panel, module_widget, make_job, scrolled):
    scroll_to(scrolled, scrolled.verticalScrollBar().maximum)
    assert floating(scrolled) is not None
    panel.exit()
    assert floating(scrolled) is None, "another module comes into the scroll area"
    panel.enter()
    panel.onTimer()
    assert floating(scrolled) is not None
    status = json.loads(panel.train.job.watched.folder.status_file.read_text())
    panel.train.job.watched.folder.status_file.write_text(json.dumps({**status, "state": "stopped"}))
    panel.onTimer()
    assert floating(scrolled) is None
    panel.train.job.follow(make_job("another", events=fake.training(), state="running"))
    panel.onTimer()
    assert floating(scrolled) is not None
    panel.cleanup()
    scroll_to(scrolled, scrolled.verticalScrollBar().maximum - 1)
    assert floating(scrolled) is None


def test_it_is_busy_before_the_first_word(panel, make_job):
    panel.train.job.follow(make_job(state="running"))
    panel.onTimer()
    assert panel.ui.runningBar.maximum == 0 and "best Dice" not in panel.ui.runningLabel.text
