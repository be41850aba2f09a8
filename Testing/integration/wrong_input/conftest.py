"""How a mistake of a user is tried out: a good data set and a trained job to spoil, and what must hold afterwards."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.job import JobFolder

CASES = 4
SIZE = (14, 12, 9)  # x, y, z
TINY = (
    "--device", "cpu", "--set", "base_channels=4", "--set", "patch_size=[8,8,8]", "--set", "samples_per_volume=1",
    "--set", "mixed_precision=false", "--set", "channels_last=false",
)  # fmt: skip
NEVER = ("Traceback", "Error:", "[Errno", "None", "should not happen")

Words = list[str | Path]
Snapshot = dict[str, bytes | None]


@dataclass(frozen=True)
class Place:
    """A user's folder: a data set in ``data`` and a trained job in ``trained``, for a row to spoil."""

    root: Path

    @property
    def data(self) -> Path:
        return self.root / "data"

    @property
    def trained(self) -> Path:
        return self.root / "trained"

    @property
    def out(self) -> Path:
        return self.root / "out"

    def image(self, index: int = 1) -> Path:
        return self.data / "images" / f"case_{index}.nii.gz"

    def label(self, index: int = 1) -> Path:
        return self.data / "labels" / f"case_{index}.nii.gz"

    def text(self, name: str, content: Any) -> Path:
        """A file with this text, or with this value as JSON."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return path

    def change(self, path: Path, change: Callable[[np.ndarray], np.ndarray], **geometry: Any) -> None:
        """Writes an image again, its voxels and its geometry changed."""
        image = sitk.ReadImage(str(path))
        grid = {**asdict(Geometry.of(image)), **geometry}
        array = change(sitk.GetArrayFromImage(image))
        grid["size"] = array.shape[::-1]
        sitk.WriteImage(Geometry(**grid).place(array), str(path))

    def snapshot(self) -> Snapshot:
        """Content of every file, None for folders."""
        paths = sorted(self.root.rglob("*"))
        return {path.relative_to(self.root).as_posix(): path.read_bytes() if path.is_file() else None for path in paths}

    def check_nothing_lost(self, before: Snapshot, fails: str = "", writes: tuple[str, ...] = ()) -> None:
        """What was there is as it was; what is new was expected; nothing is half-written.

        fails: a job folder, relative to the place, that may change and must say ``failed``. writes: other new files.
        """
        after = self.snapshot()

        def of_job(path: str) -> bool:
            return (bool(fails) and f"{path}/".startswith(f"{fails}/")) or fails.startswith(f"{path}/")

        assert {path for path in before if not of_job(path) and after.get(path, b"gone") != before[path]} == set()
        assert {path for path in after if path not in before and not of_job(path)} == set(writes)
        assert [path for path in after if ".tmp-" in path or path.endswith("/lock")] == []
        if fails:
            assert JobFolder(self.root / fails).status().state == "failed"


def command(words: Words) -> int:
    """The exit code of a command, run in this process."""
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            main([str(word) for word in words])
    finally:
        signal.signal(signal.SIGTERM, before)
    return int(ended.value.code or 0)


@pytest.fixture(scope="package")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four small oblique cases with two structures, and a job that was trained on them."""
    place = Place(tmp_path_factory.mktemp("good"))
    generator = np.random.default_rng(3)
    direction = (0.96, -0.28, 0.0, 0.28, 0.96, 0.0, 0.0, 0.0, 1.0)
    grid = Geometry(size=SIZE, spacing=(0.9, 1.1, 2.5), origin=(-20.0, 5.0, 40.0), direction=direction)
    for path in (place.image(), place.label()):
        path.parent.mkdir(parents=True)
    for index in range(CASES):
        label = np.zeros(grid.size_zyx, np.uint8)
        label[2:7, 3:9, 2 + index : 11] = 1
        label[4:6, 5:8, 6:9] = 2
        signal_of = 100 * label + 10 * generator.standard_normal(label.shape)
        sitk.WriteImage(grid.place(signal_of.astype(np.float32)), str(place.image(index)))
        sitk.WriteImage(grid.place(label), str(place.label(index)))
    place.text("data/dataset.json", {"labels": {"0": "background", "1": "liver", "2": "tumor"}})
    assert command(["train", place.data, "-o", place.trained, "--epochs", "1", *TINY]) == 0
    shutil.rmtree(place.trained / "cache")
    return place.root


@pytest.fixture
def place(good: Path, tmp_path: Path) -> Place:
    shutil.copytree(good, tmp_path / "user")
    return Place(tmp_path / "user")


@pytest.fixture
def tiny() -> tuple[str, ...]:
    """Options for the smallest training."""
    return TINY


@pytest.fixture
def check(place: Place, capsys: pytest.CaptureFixture[str]) -> Callable[..., None]:
    """Makes a mistake and runs the command that ``spoil`` returns.

    It must end with this exit code and a message on stderr that holds everything in ``says``; ``fails`` and
    ``writes`` are those of ``Place.check_nothing_lost``.
    """

    def run(
        spoil: Callable[[Place], Words],
        says: tuple[str, ...],
        code: int = 1,
        fails: str = "",
        writes: tuple[str, ...] = (),
    ) -> None:
        words = spoil(place)
        before = place.snapshot()
        capsys.readouterr()
        ended = command(words)
        shown = capsys.readouterr()
        check_message(ended, shown.out, shown.err, says, code)
        place.check_nothing_lost(before, fails, writes)
        if fails:
            job = JobFolder(place.root / fails)
            assert job.status().message in shown.err
            assert not job.log_file.exists() or "Traceback" not in job.log_file.read_text(encoding="utf-8")

    return run


def check_message(ended: int, out: str, err: str, says: tuple[str, ...], code: int) -> None:
    assert ended == code, out + err
    assert [words for words in says if words not in err] == [], err
    assert [words for words in NEVER if words in out] == [], out
    # the command line's own parser begins its sentence with this word
    assert [words for words in NEVER if words in err.replace("\nError: Invalid value", "")] == [], err
