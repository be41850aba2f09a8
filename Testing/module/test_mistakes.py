"""Mistakes that users make: each gives one message in the panel, and it says what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import played_session as played
import pytest
import qt
import slicer
from MedSegTrainerUI.shared.messages import STYLES

SHAPE = (12, 20, 24)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="the limit of a file's size, which stands for a disk")


@pytest.fixture(autouse=True)
def home(scene: Any, medsegtrainer: Any, tmp_path: Path) -> Iterator[Path]:
    qt.QSettings().setValue("MedSegTrainer/Folder", str(tmp_path / "home"))
    qt.QSettings().setValue("MedSegTrainer/Python", "")
    yield tmp_path / "home"
    qt.QSettings().remove("MedSegTrainer/Folder")
    qt.QSettings().remove("MedSegTrainer/Python")


class User:
    """Who makes the mistakes: at a panel, with a folder for files."""

    def __init__(self, panel: Any, folder: Path, wait_for: Any, make_volume: Any, make_segmentation: Any) -> None:
        self.panel, self.folder, self.wait_for = panel, folder, wait_for
        self._make_volume, self._make_segmentation = make_volume, make_segmentation

    def draw(self, name: str, *segments: str) -> Any:
        """A volume; the segments are drawn on it beside each other."""
        generator = np.random.default_rng([*name.encode()])
        volume = self._make_volume(name, generator.integers(0, 99, SHAPE).astype(np.int16))
        if segments:
            masks = {}
            for number, segment in enumerate(segments):
                masks[segment] = np.zeros(SHAPE, bool)
                masks[segment][2 : 5 + len(name) % 3, 3:17, 2 + 5 * number : 6 + 5 * number] = True
            self._make_segmentation(f"{name} segmentation", volume, masks)
        return volume

    def have_environment(self, python: str = "") -> None:
        """As after a self-test that passed."""
        python = played.leave_tested(self.panel.environment.folder.parent, python)
        self.panel.environment.poll()
        self.panel.refresh()
        assert self.panel.environment.ready and self.panel.environment.chosen == python

    def have_data(self) -> None:
        for number in (1, 2, 3):
            self.draw(f"CT_{number}", "liver", "tumor")
        self.panel.data.ui.addAllButton.click()
        assert self.panel.data.problem() == ""

    def open_all(self) -> None:
        played.Session(self.panel, self.wait_for).open("data", "train", "apply", "evaluate", "environment")

    def messages(self) -> list[str]:
        """Warnings and errors that the panel shows, each text once; the hints of empty sections are notes."""
        labels = slicer.util.findChildren(self.panel.uiWidget, className="QLabel")
        styles = STYLES["warning"], STYLES["error"]
        texts = [
            label.text for label in labels if label.isVisibleTo(self.panel.uiWidget) and label.styleSheet in styles
        ]
        return list(dict.fromkeys(texts))


@pytest.fixture
def user(panel: Any, tmp_path: Path, wait_for: Any, make_volume: Any, make_segmentation: Any) -> User:
    return User(panel, tmp_path, wait_for, make_volume, make_segmentation)


@contextmanager
def full_disk(room: int = 4000) -> Iterator[None]:
    """No file of this process, and of those that it starts meanwhile, grows beyond ``room`` bytes."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def no_environment(user: User) -> None:
    user.have_data()
    user.panel.train.ui.startButton.click()


def python_without_pytorch(user: User) -> None:
    """An interpreter is chosen that has no packages at all."""
    venv = user.folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    python = venv / "Scripts" / "python.exe" if os.name == "nt" else venv / "bin" / "python"
    section = user.panel.environmentSection
    section.ui.pythonPathLineEdit.setCurrentPath(str(python))
    section.ui.testButton.click()
    user.wait_for(lambda: not section.environment.busy, played.MINUTE)


def python_that_was_deleted(user: User) -> None:
    """It was tested; later somebody removed its folder, and presses Start."""
    python = user.folder / "other" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text("")
    user.have_data()
    user.have_environment(str(python))
    shutil.rmtree(user.folder / "other")
    user.panel.environment.poll()
    user.panel.train.ui.startButton.click()


def disk_that_is_full(user: User) -> None:
    user.have_data()
    user.have_environment()
    with full_disk():
        user.panel.train.ui.startButton.click()
    assert user.panel.jobs.all() == []


def disk_that_fills_up(user: User) -> None:
    """The cases are small enough to be written; what is made of them is not."""
    for name in ("CT_1", "CT_two"):
        user.draw(name, "liver")
    user.panel.data.ui.addAllButton.click()
    user.have_environment()
    job = user.panel.train.job
    with full_disk(12_500):
        user.panel.train.ui.startButton.click()
    assert job.watched is not None, user.messages()
    user.wait_for(lambda: not job.watched.working, 2 * played.MINUTE)
    user.wait_for(lambda: job.ui.endingLabel.text, played.MINUTE)


def file_that_is_no_model(user: User) -> None:
    path = user.folder / "holiday.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("beach.txt", "sand")
    user.have_environment()
    user.panel.apply.models.choose(str(path))


def file_that_is_no_archive(user: User) -> None:
    path = user.folder / "model.zip"
    path.write_bytes(b"PK but no more")
    user.have_environment()
    user.panel.apply.models.choose(str(path))


def model_that_was_deleted(user: User) -> None:
    user.have_environment()
    user.panel.parameters.model = str(user.folder / "gone")


def volume_without_segmentation(user: User) -> None:
    user.draw("CT_1", "liver")
    user.draw("CT_2")
    user.panel.data.ui.addAllButton.click()
    selector = user.panel.data.ui.volumesSelector
    for node in slicer.util.getNodesByClass("vtkMRMLScalarVolumeNode"):
        selector.setCheckState(node, qt.Qt.Checked if node.GetName() == "CT_2" else qt.Qt.Unchecked)
    user.panel.data.ui.segmentationSelector.setCurrentNode(None)
    user.panel.data.ui.addPairButton.click()
    user.panel.train.ui.startButton.click()


def nothing_is_segmented(user: User) -> None:
    user.draw("CT_1")
    user.panel.data.ui.addAllButton.click()


def different_names(user: User) -> None:
    user.draw("CT_1", "liver")
    user.draw("CT_2", "hepar")
    user.have_environment()
    user.panel.data.ui.addAllButton.click()


Mistake = Callable[[User], None]
MISTAKES: dict[Mistake, tuple[str, ...]] = {
    no_environment: ("PyTorch is not set up", "Press Set up", "Environment"),
    python_without_pytorch: ("lacks the package", "Choose another one, press Set up"),
    python_that_was_deleted: ("is not there", "Choose another one, or press Set up"),
    file_that_is_no_model: ("holiday.zip", "Choose"),
    file_that_is_no_archive: ("model.zip", "Choose"),
    model_that_was_deleted: ("gone", "Choose"),
    volume_without_segmentation: ("CT_2 has no segmentation", "Segment it in the Segment Editor"),
    nothing_is_segmented: ("No volume of the scene has a segmentation", "Segment one in the Segment Editor"),
    different_names: ("CT_1 has 'liver', which no other case has; CT_2 has 'hepar'", "Merge"),
}


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.__name__)
def test_mistake(user: User, mistake: Mistake) -> None:
    check(user, mistake, MISTAKES[mistake])


@linux_only
@pytest.mark.parametrize(
    ("mistake", "says"),
    [(disk_that_is_full, ("Cannot write", "Free some space")), (disk_that_fills_up, ("disk", "Free some space"))],
    ids=lambda item: getattr(item, "__name__", ""),
)
def test_full_disk(user: User, mistake: Mistake, says: tuple[str, ...]) -> None:
    check(user, mistake, says)


def check(user: User, mistake: Mistake, says: tuple[str, ...]) -> None:
    mistake(user)
    user.open_all()
    told = user.messages()
    assert len(told) == 1, told
    assert [words for words in says if words not in told[0]] == [], told[0]
    assert "Traceback" not in told[0] and "Error:" not in told[0], told[0]
