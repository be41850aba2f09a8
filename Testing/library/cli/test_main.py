from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib import __version__
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.job_status import Status

COMMANDS = (
    "train",
    "plan",
    "verify",
    "find-lr",
    "workflow",
    "apply",
    "suggest",
    "evaluate",
    "compare",
    "status",
    "stop",
    "run",
    "self-test",
)
HEAVY = ("torch", "scipy", "matplotlib", "SimpleITK")


def command(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in arguments])
    return int(ended.value.code or 0)


def set_status(job: JobFolder, **values: Any) -> None:
    job.status_file.write_text(json.dumps(asdict(Status(**values))), encoding="utf-8")


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    folder = JobFolder(tmp_path / "job")
    folder.create(TrainConfig())
    return folder


def alive() -> dict[str, Any]:
    return {"state": "running", "host": socket.gethostname(), "pid": os.getpid(), "heartbeat": time.time()}


class TestHelp:
    @pytest.mark.parametrize("name", COMMANDS)
    def test_tells_arguments_and_options(self, name: str, capsys: pytest.CaptureFixture[str]) -> None:
        assert command(name, "--help") == 0
        output = capsys.readouterr().out
        assert "Usage:" in output
        assert "Options:" in output
        assert ("--verbose" in output) == (name not in ("card", "status", "stop", "support"))

    def test_lists_every_command_with_a_whole_sentence(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command("-h") == 0
        lines = capsys.readouterr().out.splitlines()
        commands = {words[0]: line for line in lines if (words := line.split()) and words[0] in COMMANDS}
        assert set(commands) == set(COMMANDS)
        assert [line for line in commands.values() if not line.endswith(".") or line.endswith("...")] == []

    def test_does_not_wait_for_heavy_libraries(self) -> None:
        script = (
            "import sys\n"
            "from MedSegTrainerLib.cli.main import main\n"
            "for words in sys.argv[1:]:\n"
            "    try:\n"
            "        main([words, '--help'])\n"
            "    except SystemExit as ended:\n"
            "        assert not ended.code\n"
            f"print('loaded:', [name for name in {HEAVY!r} if name in sys.modules])\n"
        )
        ended = subprocess.run([sys.executable, "-c", script, *COMMANDS], capture_output=True, text=True, check=True)
        assert "loaded: []" in ended.stdout

    def test_version(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command("--version") == 0
        assert capsys.readouterr().out == f"{__version__}\n"

    def test_without_a_command_the_help_is_shown(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert command() == 2
        output = capsys.readouterr()
        assert "Usage:" in output.out + output.err


class TestPaths:
    def test_that_are_no_text(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        """Neither JSON nor ITK can hold them: before, the process ended without a word."""
        assert command("train", tmp_path, "-o", tmp_path / os.fsdecode(b"M\xfcller")) == 2
        assert r"M\xfcller has a name that is not UTF-8" in " ".join(capsys.readouterr().err.split())
        assert list(tmp_path.iterdir()) == []


class TestSettings:
    """Options become the settings of the same name; what is wrong with them is refused before anything is made."""

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (["--budget", "1 day"], "trainer.budget = '1 day'"),
            (["--epochs", "0"], "trainer.epochs = 0"),
            (["--model", "UNETTR"], "network.type = 'UNETTR'"),
            (["--fold", "-1"], "data.fold = -1"),
            (["--folds", "1"], "data.folds = 1"),
            (["--val-split", "1.5"], "data.val_split = 1.5"),
            (["--set", "patience=0"], "trainer.patience = 0"),
            (["--set", "loss.smooth=-1"], "loss.smooth = -1"),
        ],
    )
    def test_option_is_the_setting_of_its_name(
        self, tmp_path: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        (tmp_path / "data").mkdir()
        assert command("train", tmp_path / "data", "-o", tmp_path / "job", *options) == 2
        assert message in capsys.readouterr().err
        assert not (tmp_path / "job").exists()

    def test_all_reach_the_job(self, tmp_path: Path) -> None:
        """The data folder is empty, so the job ends at once; what it was asked to do stays in job.json."""
        (tmp_path / "data").mkdir()
        (tmp_path / "config.json").write_text('\ufeff{"trainer": {"patience": 7, "epochs": 9}}', encoding="utf-8")
        arguments = [
            "--config",
            tmp_path / "config.json",
            "--epochs",
            "3",
            "--device",
            "cpu",
            "--fold",
            "1",
            "--folds",
            "4",
        ]
        arguments += ["--split-file", tmp_path / "split.json", "--set", "learning_rate=0.5", "--set", "data.seed=8"]
        arguments += ["--model", "SegResNet"]
        assert command("train", tmp_path / "data", "-o", tmp_path / "job", *arguments) == 1
        config = json.loads((tmp_path / "job" / "job.json").read_text())["config"]
        changed = {section: {} for section in config} | {
            "data": {
                "data_dir": str((tmp_path / "data").resolve()), "fold": 1, "folds": 4, "seed": 8,
                "split_file": str((tmp_path / "split.json").resolve()),
            },
            "trainer": {"patience": 7, "epochs": 3, "device": "cpu"},
            "optimizer": {"learning_rate": 0.5}, "network": {"type": "SegResNet"},
        }  # fmt: skip
        default = asdict(TrainConfig())
        assert config == {section: {**default[section], **changed[section]} for section in config}


class TestCreate:
    def test_writes_the_job_and_starts_nothing(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        folder = JobFolder(tmp_path / "job")
        assert command("train", tmp_path, "-o", folder.path, "--create", "--devices", "4", "--epochs", "3") == 0
        trainer = folder.read_document()["config"]["trainer"]
        assert (trainer["devices"], trainer["epochs"]) == (4, 3)
        assert folder.status().state == "created" and not folder.log_file.exists()
        assert "medsegtrainer run" in capsys.readouterr().out

    def test_devices_are_counted_from_one(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        assert command("train", tmp_path, "-o", tmp_path / "job", "--create", "--devices", "0") == 2
        assert "--devices" in capsys.readouterr().err
        assert not (tmp_path / "job").exists()


class TestFoldsAtOnce:
    @pytest.fixture
    def cross_validation(self, tmp_path: Path) -> JobFolder:
        """A cross-validation of an empty folder: it ends at once, and what it was asked to do stays in job.json."""
        (tmp_path / "data").mkdir()
        folder = JobFolder(tmp_path / "cv")
        assert command("cross-validate", tmp_path / "data", "-o", folder.path, "--devices", "3", "--folds", "4") == 1
        return folder

    def test_they_reach_the_job_and_may_be_others_later(self, cross_validation: JobFolder) -> None:
        config = cross_validation.read_document()["config"]
        assert config["devices"] == 3 and config["train"]["data"]["folds"] == 4
        assert command("cross-validate", "--resume", "-o", cross_validation.path, "--devices", "auto") == 1
        assert cross_validation.read_document()["config"] == {**config, "devices": "auto"}
        assert command("cross-validate", "--resume", "-o", cross_validation.path, "--devices", "none") == 2
        assert cross_validation.read_document()["config"]["devices"] == "auto"


class TestStatus:
    def test_running(self, job: JobFolder, capsys: pytest.CaptureFixture[str]) -> None:
        now = {"epoch": 3, "epochs": 12, "progress": 0.25, "eta_seconds": 90.0, "best": 0.81234}
        set_status(job, **alive(), **now)
        assert command("status", job.path) == 0
        lines = [line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines()]
        assert lines == [
            ["state", "running"],
            ["where", f"process {os.getpid()} on {socket.gethostname()}"],
            ["epoch", "3 of 12"],
            ["progress", "25%"],
            ["time", "left  1m 30s"],
            ["best", "Dice  0.8123"],
        ]

    def test_dead_training_can_be_resumed(self, job: JobFolder, capsys: pytest.CaptureFixture[str]) -> None:
        set_status(job, **{**alive(), "heartbeat": time.time() - 3600, "kind": "train"})
        assert command("status", job.path) == 0
        output = capsys.readouterr().out
        assert f"dead: its process is gone. Go on with it: medsegtrainer train --resume -o {job.path}" in output
        assert "where" not in output

    def test_dead_apply_is_run_again(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        job = JobFolder(tmp_path / "job")
        job.create(ApplyConfig(model="m"))
        set_status(job, **{**alive(), "heartbeat": time.time() - 3600, "kind": "apply"})
        assert command("status", job.path) == 0
        assert f"medsegtrainer run {job.path}" in capsys.readouterr().out

    def test_failed_job_says_why(self, job: JobFolder, capsys: pytest.CaptureFixture[str]) -> None:
        set_status(job, state="failed", message="The disk [bold]is full.")
        assert command("status", job.path) == 0
        assert "message    The disk [bold]is full.\n" in capsys.readouterr().out

    @pytest.mark.parametrize("values", [{"eta_seconds": 1e300}, {"progress": 1e300, "epoch": -1}, {"state": "\x1b[2J"}])
    def test_hostile_values(self, job: JobFolder, capsys: pytest.CaptureFixture[str], values: dict[str, Any]) -> None:
        set_status(job, **{**alive(), "message": "\x1b]0;title\x07done", "epochs": 9, **values})
        assert command("status", job.path) == 0
        output = capsys.readouterr().out
        assert "\x1b" not in output and "\\x1b]0;title\\x07done" in output

    def test_sign_of_life_from_the_future(self, job: JobFolder, capsys: pytest.CaptureFixture[str]) -> None:
        set_status(job, **{**alive(), "host": "elsewhere", "pid": 7, "heartbeat": time.time() + 7200, "kind": "train"})
        assert command("status", job.path) == 0
        output = capsys.readouterr().out
        assert "a clock is wrong. See whether process 7 still works on elsewhere" in output and "--resume" in output

    def test_created_job(self, job: JobFolder, capsys: pytest.CaptureFixture[str]) -> None:
        assert command("status", job.path) == 0
        assert f"nobody has started it: medsegtrainer run {job.path}" in capsys.readouterr().out


class TestStop:
    @pytest.mark.parametrize(("options", "wish"), [([], "keep-best"), (["--now"], "now")])
    def test_asks_the_living_process(self, job: JobFolder, options: list[str], wish: str) -> None:
        set_status(job, **alive())
        assert command("stop", job.path, *options) == 0
        assert job.stop_requested() == wish

    def test_refuses_without_one(self, job: JobFolder, capsys: pytest.CaptureFixture[str]) -> None:
        set_status(job, state="finished")
        assert command("stop", job.path) == 1
        assert "Nothing to stop" in capsys.readouterr().err
        assert job.stop_requested() is None


def test_names_that_the_terminal_cannot_show(tmp_path: Path) -> None:
    """The answer comes, the odd letters replaced, whatever the terminal's encoding."""
    folder = JobFolder(tmp_path / "Gefäß")
    folder.create(TrainConfig())
    ended = subprocess.run(
        [sys.executable, "-m", "MedSegTrainerLib", "status", str(folder.path)],
        capture_output=True, text=True, env={**os.environ, "PYTHONIOENCODING": "ascii"}, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert "Gef\\xe4\\xdf" in ended.stdout
