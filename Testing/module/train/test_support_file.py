"""The file for support is written by the library in a process, and the panel says what is in it."""

import json
import zipfile

import fake_panel as fake
import pytest
from tooltips import tooltip

panel, train, job = fake.panel, fake.train, fake.job


@pytest.fixture
def watched(job, make_job):
    job.follow(make_job("liver-secret", events=fake.training(), state="stopped"))
    return job


def finish(job, wait_for):
    wait_for(lambda: job.support.poll() or job.ui.supportButton.enabled, 60_000)


def test_it_is_written_beside_the_panel_and_listed(watched, tmp_path, wait_for):
    path = tmp_path / "help.zip"
    path.write_text("an earlier one")
    watched.ui.anonymousCheckBox.checked = False
    watched.support.save(path)
    assert not watched.ui.supportButton.enabled and "being written" in watched.ui.supportButton.toolTip
    finish(watched, wait_for)
    assert str(path) in watched.ui.messageLabel.text and "job.json" in watched.log.edit.plainText
    with zipfile.ZipFile(path) as archive:
        assert json.loads(archive.read("job.json"))["kind"] == "train"


def test_names_are_left_out_unless_they_are_wanted(watched, tmp_path, wait_for):
    path = tmp_path / "help.zip"
    assert watched.ui.anonymousCheckBox.checked
    watched.support.save(path)
    finish(watched, wait_for)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() and not [name for name in archive.namelist() if b"CT_02" in archive.read(name)]


def test_why_it_was_not_written_is_said(watched, tmp_path, wait_for):
    watched.support.save(tmp_path / "gone" / "help.zip")
    finish(watched, wait_for)
    assert "was not written" in watched.ui.messageLabel.text and "help.zip" in watched.ui.messageLabel.text


def test_without_an_environment_the_button_says_why(watched, panel):
    panel.environment.problem = "PyTorch is not set up."
    watched.refresh()
    assert not watched.ui.supportButton.enabled and tooltip(watched.ui.supportButton) == "PyTorch is not set up."
