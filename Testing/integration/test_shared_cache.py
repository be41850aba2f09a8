"""Jobs that share a cache prepare each case once, whatever its files are called, and train as if each were alone."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from MedSegTrainerLib.cache_folder import clear, is_whole, size_of
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.model.package import load_package

ROOT = Path(__file__).resolve().parents[2]
SHORT = ("epochs=1", "samples_per_volume=2")
PATIENCE = 600  # seconds


def started(folder: JobFolder) -> subprocess.Popen[bytes]:
    """A process of its own that works on the job."""
    return subprocess.Popen(
        [sys.executable, "-m", "MedSegTrainerLib", "run", str(folder.path)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finished(process: subprocess.Popen[bytes]) -> bool:
    _, complaints = process.communicate(timeout=PATIENCE)
    print(complaints.decode(errors="replace"))
    return process.returncode == 0


def told(folder: JobFolder, stage: str) -> dict[str, Any]:
    lines = map(json.loads, folder.events_file.read_text().splitlines())
    [event] = [event for event in lines if event["kind"] == "prepared" and event["stage"] == stage]
    return {"prepared": event["prepared"], "found": event["found"]}


@pytest.fixture
def make_job(config_for: Callable[..., TrainConfig], tmp_path: Path) -> Callable[..., JobFolder]:
    def make(name: str, *settings: str) -> JobFolder:
        folder = JobFolder(tmp_path / name)
        folder.create(config_for(f"data.cache_dir={tmp_path / 'shared'}", *SHORT, *settings))
        return folder

    return make


@pytest.fixture
def exported(dataset: Path, tmp_path: Path) -> Path:
    """The same contents as the panel exports them into the folder of another job."""
    copy = tmp_path / "exported"
    for source in sorted(path for path in dataset.rglob("*") if path.is_file()):
        target = copy / source.relative_to(dataset)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
        os.utime(target, (1, 1))
    return copy


def test_two_processes_share_it_and_a_third_job_prepares_nothing(
    dataset: Path, exported: Path, make_job: Callable[..., JobFolder], tmp_path: Path
) -> None:
    jobs = [make_job("first"), make_job("second", f"data.data_dir={exported}"), make_job("alone", "data.cache_dir=")]
    assert all([finished(process) for process in [started(job) for job in jobs]])
    third = make_job("third", f"data.data_dir={exported}")
    assert finished(started(third))

    cases = len(list((dataset / "images").iterdir()))
    assert told(third, "scan") == told(third, "prepare") == {"prepared": 0, "found": cases}
    made = [told(job, "prepare")["prepared"] for job in jobs]
    assert cases <= made[0] + made[1] <= 2 * cases and made[2] == cases
    assert not list(third.cache.glob("*-*")) and list(jobs[2].cache.glob("*-*"))
    entries = {kind: list((tmp_path / "shared" / kind).iterdir()) for kind in ("prepared", "scans")}
    assert all(len(paths) == cases and all(map(is_whole, paths)) for paths in entries.values())

    weights = [load_package(job.model).weights for job in (*jobs, third)]
    for other in weights[1:]:
        assert all(torch.equal(other[name], value) for name, value in weights[0].items())
    plans = [json.loads(job.plan_file.read_text())["normalization"] for job in (*jobs, third)]
    assert plans[1:] == plans[:-1]


def test_a_bound_takes_nothing_from_a_job_that_reads_from_disk_and_cleared_it_is_filled_again(
    make_job: Callable[..., JobFolder], tmp_path: Path
) -> None:
    folder = make_job("job", "data.cache=disk", "cache_gb=0")
    assert finished(started(folder))
    assert told(folder, "prepare")["found"] == 0 and size_of(tmp_path / "shared") > 0
    assert clear(tmp_path / "shared") > 0 and size_of(tmp_path / "shared") == 0
    run_job(folder.path)
    events = [json.loads(line) for line in folder.events_file.read_text().splitlines()]
    assert [event["kind"] for event in events].count("finished") == 2 and size_of(tmp_path / "shared") > 0


def test_the_option_of_the_commands(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["--cache", "mine", "--set", "base_channels=4", "--device", "cpu", "--epochs", "1"]
    for _ in range(2):
        with pytest.raises(SystemExit):
            main(["plan", str(dataset), *words])
    assert capsys.readouterr().err.count("checked now: 0, found: 6") == 1
    assert len(list((tmp_path / "mine" / "scans").iterdir())) == 6
    with pytest.raises(SystemExit):
        main(["train", str(dataset), "-o", "job", "--create", *words])
    document = json.loads((tmp_path / "job" / "job.json").read_text())
    assert document["config"]["data"]["cache_dir"] == str((tmp_path / "mine").resolve())
