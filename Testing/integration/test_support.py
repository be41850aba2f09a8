"""A training that ran, and the file that is sent for help with it."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.job_logging import is_log_line

NAMES = ("Mueller_Hans", "Schmidt Eva", "Rossi_Carlo")
TINY = ("--epochs", "1", "--device", "cpu", "--set", "base_channels=4", "--set", "patch_size=[8,8,8]")


def command(*words: str | Path) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "MedSegTrainerLib", *map(str, words)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[JobFolder, str]:
    """The job, and what the command showed."""
    root = tmp_path_factory.mktemp("Clinic South")
    generator = np.random.default_rng(0)
    for name in NAMES:
        label = np.zeros((10, 11, 12), np.uint8)
        label[2:6, 3 : 7 + len(name) % 3, 4:9] = 1
        image = (100 + 80 * label + generator.normal(0, 10, label.shape)).astype(np.float32)
        for part, array in (("images", image), ("labels", label)):
            (root / "data" / part).mkdir(parents=True, exist_ok=True)
            sitk.WriteImage(sitk.GetImageFromArray(array), str(root / "data" / part / f"{name}.nii.gz"))
    shown = command("train", root / "data", "-o", root / "Mueller's job", *TINY, "--verbose")
    return JobFolder(root / "Mueller's job"), shown


def test_the_log_tells_what_was_done_when_and_why(trained: tuple[JobFolder, str]) -> None:
    job, shown = trained
    log = job.log_file.read_text(encoding="utf-8")
    assert [line for line in log.splitlines() if not is_log_line(line)] == []
    for part in (
        r"INFO \S+events: started: job=Mueller's job host=", r"INFO \S+run: MedSegTrainer \S+, Python .* torch \d",
        r"INFO \S+kinds: Threads of PyTorch: \d", r"INFO \S+stages: patch_size = \[8, 8, 8\]: set by the configuration",
        r"INFO \S+train: Training on CPU", r"INFO \S+events: epoch: epoch=1 epochs=1 ",
        r"DEBUG \S+events: stage train took \d", r"INFO \S+events: finished: Trained\.",
    ):  # fmt: skip
        assert re.search(rf"^\S+ {part}", log, re.MULTILINE), part
    assert "INFO MedSegTrainerLib.jobs.stages: patch_size = " in shown and "MedSegTrainerLib.events" not in shown


def test_what_is_sent(trained: tuple[JobFolder, str], tmp_path: Path) -> None:
    job, _ = trained
    command("support", job.path, "-o", tmp_path / "named.zip")
    command("support", job.path, "-o", tmp_path / "anonymous.zip", "--anonymous")
    texts = {}
    for name in ("named", "anonymous"):
        with zipfile.ZipFile(tmp_path / f"{name}.zip") as archive:
            members = archive.namelist()
            texts[name] = "\n".join(archive.read(member).decode() for member in members)
        assert {"computer.json", "plan.json", "events.jsonl", "log.txt", "report/metrics.json"} <= set(members)
        assert {Path(member).suffix for member in members} == {".json", ".jsonl", ".txt"}
        assert (tmp_path / f"{name}.zip").stat().st_size < 100_000
    secrets = [*(part for name in NAMES for part in re.split("[_ ]", name)), "Clinic", str(job.path.parent)]
    assert [word for word in secrets if word not in texts["named"]] == []
    assert [word for word in secrets if word in texts["anonymous"]] == []
