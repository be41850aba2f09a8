"""A notification and a sound when a training ends, by choice."""

import json

import fake_panel as fake
import pytest
import qt
from MedSegTrainerUI.jobs.end_notice import EndNotice


class FakeDesktop:
    def __init__(self, *, notifies=True):
        self.notifies, self.told = notifies, []

    def can_notify(self):
        return self.notifies

    def notify(self, title, text):
        self.told.append((title, text))

    def beep(self):
        self.told.append("beep")

    def hide(self):
        self.told.append("hidden")


@pytest.fixture(autouse=True)
def home(scene, tmp_path):
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path))  # whose jobs lie in "jobs"


@pytest.fixture
def desktop(panel):
    panel.endNotice._desktop = FakeDesktop()
    panel.ui.notifyCheckBox.enabled = True
    return panel.endNotice._desktop


def end(panel, folder):
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps({**status, "state": "stopped"}))
    panel.onTimer()
    panel.onTimer()


def test_nothing_is_told_unasked(panel, desktop, make_job):
    folder = make_job(events=fake.training(), state="running")
    panel.train.job.follow(folder)
    panel.onTimer()
    end(panel, folder)
    assert desktop.told == []


def test_the_end_is_told_once_also_while_the_panel_is_hidden(panel, desktop, make_job):
    panel.ui.notifyCheckBox.click()
    panel.ui.soundCheckBox.click()
    folder = make_job(events=fake.training(), state="running")
    panel.train.job.follow(folder)
    panel.onTimer()
    panel.exit()
    end(panel, folder)
    assert desktop.told == [("liver-tumor", "Stopped, after 3 epochs, best Dice 0.73"), "beep"]


def test_an_earlier_training_that_is_looked_at_tells_nothing(panel, desktop, make_job):
    panel.ui.soundCheckBox.click()
    panel.train.job.follow(make_job(events=fake.training(), state="finished"))
    panel.onTimer()
    assert desktop.told == []


def test_the_choice_is_remembered(panel):
    panel.ui.soundCheckBox.click()
    panel.ui.soundCheckBox.checked = False
    EndNotice(panel.ui, FakeDesktop())
    assert panel.ui.soundCheckBox.checked and not panel.ui.notifyCheckBox.checked


def test_where_no_notifications_are_shown_it_says_so(panel):
    notice = EndNotice(panel.ui, FakeDesktop(notifies=False))
    assert not panel.ui.notifyCheckBox.enabled and "shows no notifications" in panel.ui.notifyCheckBox.toolTip
    panel.ui.notifyCheckBox.checked = True  # as it was remembered from another desktop
    notice.tell("liver", "Done")
