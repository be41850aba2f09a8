"""The size of the prepared cases in section 5 and the button that deletes them, over what trainings leave."""

from types import SimpleNamespace

import pytest
from MedSegTrainerUI.environment.environment import Environment
from MedSegTrainerUI.environment.section import EnvironmentSection
from MedSegTrainerUI.jobs.job_list import JobList

from MedSegTrainerLib.cache_folder import SharedFolder


@pytest.fixture
def section(scene, tmp_path, medsegtrainer):
    from pathlib import Path

    resources = Path(medsegtrainer.path).parent / "Resources"
    panel = SimpleNamespace(
        environment=Environment(tmp_path), jobs=JobList(tmp_path / "jobs"),
        resourcePath=lambda name: str(resources / name), refresh=lambda: None,
    )  # fmt: skip
    section = EnvironmentSection(panel)
    section.uiWidget.show()
    yield section
    section.cleanup()
    section.uiWidget.hide()


def fill(folder, count, size):
    """As trainings do; and what somebody else has put there."""
    shared = SharedFolder(folder, 1 << 30)
    shared.open()
    for number in range(count):
        path = shared.entry("prepared", f"{number:040x}")
        shared.store(path, lambda place: (place / "image.npy").write_bytes(b"1" * size))
    (folder / "notes.txt").write_text("mine")


def look(section, wait_for):
    section.cache.look()
    wait_for(lambda: not section.cache._timer.active)


def test_without_prepared_cases_there_is_nothing_to_clear(section, wait_for):
    look(section, wait_for)
    assert section.ui.cacheLabel.text == "0 MB" and not section.ui.clearCacheButton.enabled
    assert "nothing to clear" in section.ui.clearCacheButton.toolTip


def test_the_size_is_told_and_cleared_after_a_question(section, wait_for, dialogs):
    folder = section.panel.jobs.cache
    fill(folder, 25, 400_000)
    look(section, wait_for)
    assert section.ui.cacheLabel.text == "10 MB" and section.ui.clearCacheButton.enabled
    dialogs.confirm = False
    section.ui.clearCacheButton.click()
    assert len(list((folder / "prepared").iterdir())) == 25 and "10 MB" in dialogs.shown[-1]
    dialogs.confirm = True
    section.ui.clearCacheButton.click()
    assert not section.ui.clearCacheButton.enabled
    wait_for(lambda: not section.cache._timer.active)
    assert "10 MB were freed" in section.ui.messageLabel.text and section.ui.cacheLabel.text == "0 MB"
    assert not list((folder / "prepared").iterdir()) and (folder / "notes.txt").read_text() == "mine"


def test_it_is_looked_at_now_and_then(section, wait_for):
    look(section, wait_for)
    fill(section.panel.jobs.cache, 5, 400_000)
    for _again in range(3):
        section.cache.look()
    assert section.ui.cacheLabel.text == "0 MB"
    for _again in range(60):
        section.cache.look()
    wait_for(lambda: section.ui.cacheLabel.text == "2 MB")
