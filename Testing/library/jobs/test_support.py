"""What goes into the file that is sent for help, and what cannot get into it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from MedSegTrainerLib import __version__
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import JobError, StorageError, UsageError
from MedSegTrainerLib.events import EventLog, EventReader, Warned
from MedSegTrainerLib.job import JobFolder, JobOwner
from MedSegTrainerLib.jobs.support import LARGEST_DOCUMENT, LOG_BEGIN, LOG_END, MOST_BYTES, write_support


@pytest.fixture
def job(tmp_path: Path) -> JobFolder:
    folder = JobFolder(tmp_path / "job")
    folder.create(TrainConfig())
    EventLog(folder.events_file)(Warned(message="Memory ran out."))
    folder.log_file.write_text("a line\n", encoding="utf-8")
    for name in ("model", "report", "previews", "checkpoints", "cache"):
        (folder.path / name).mkdir()
    for name in ("model/weights.safetensors", "curves.png", "previews/epoch.png", "checkpoints/last.pt", "a.nii.gz"):
        (folder.path / name).write_bytes(b"\x89PNG voxels")
    (folder.report / "metrics.json").write_text('{"cases": {}}', encoding="utf-8")
    return folder


def packed(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_holds_texts_of_known_names_only(job: JobFolder, tmp_path: Path) -> None:
    write_support(job.path, tmp_path / "s.zip")
    members = packed(tmp_path / "s.zip")
    assert set(members) == {"README.txt", "computer.json", "job.json", "events.jsonl", "log.txt", "report/metrics.json"}
    assert members["job.json"] == job.job_file.read_text(encoding="utf-8") and members["log.txt"] == "a line\n"
    assert not any("voxels" in text for text in members.values())
    computer = json.loads(members["computer.json"])
    assert computer["versions"]["MedSegTrainer"] == __version__ and computer["versions"]["torch"]
    assert computer["devices"][-1]["name"] == "cpu" and computer["memory_available_bytes"] > 0
    assert "names of cases and of this computer are inside" in members["README.txt"]


def test_of_a_job_at_work(job: JobFolder, tmp_path: Path) -> None:
    with JobOwner(job, "train") as owner:
        owner.update(state="running")
        write_support(job.path, tmp_path / "s.zip")
    assert json.loads(packed(tmp_path / "s.zip")["status.json"])["state"] == "running"


def test_of_the_folds_of_a_cross_validation(job: JobFolder, tmp_path: Path) -> None:
    fold = job.folds / "fold-0"
    fold.mkdir(parents=True)
    (fold / "log.txt").write_text("of the fold\n", encoding="utf-8")
    (job.folds / "elsewhere").symlink_to(tmp_path)
    write_support(job.path, tmp_path / "s.zip")
    assert [(n, t) for n, t in packed(tmp_path / "s.zip").items() if n.startswith("folds")] == [
        ("folds/fold-0/log.txt", "of the fold\n")
    ]


def test_links_and_pipes_are_left_out(job: JobFolder, tmp_path: Path) -> None:
    secret = tmp_path / "outside"
    secret.mkdir()
    for name in ("passwd", "metrics.json"):
        (secret / name).write_text('{"secret": 1}', encoding="utf-8")
    job.log_file.unlink()
    job.log_file.symlink_to(secret / "passwd")
    job.plan_file.symlink_to(tmp_path / "nowhere")
    (job.report / "metrics.json").unlink()
    job.report.rmdir()
    job.report.symlink_to(secret)
    if hasattr(os, "mkfifo"):
        os.mkfifo(job.status_file)
    job.settings_file.mkdir()
    support = write_support(job.path, tmp_path / "s.zip")
    members = packed(tmp_path / "s.zip")
    assert set(members) == {"README.txt", "computer.json", "job.json", "events.jsonl"}
    assert not any("secret" in text for text in members.values())
    assert {"log.txt", "plan.json", "report/metrics.json", "settings.json"} <= support.left_out.keys()
    assert support.left_out["log.txt"] == "it is a link, or lies behind one"
    assert not hasattr(os, "mkfifo") or support.left_out["status.json"] == "it is no file"
    assert "left out: log.txt, it is a link" in members["README.txt"]


def test_a_job_that_is_reached_by_a_link_is_taken(job: JobFolder, tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to(job.path)
    write_support(tmp_path / "latest", tmp_path / "s.zip")
    assert "log.txt" in packed(tmp_path / "s.zip")


def test_bytes_that_are_no_text_are_left_out(job: JobFolder, tmp_path: Path) -> None:
    job.log_file.write_bytes(b"\x00\x01voxels" * 100)
    assert write_support(job.path, tmp_path / "s.zip").left_out == {"log.txt": "it is no text"}


def test_huge_files_are_cut_or_left_out(job: JobFolder, tmp_path: Path) -> None:
    with job.log_file.open("w", encoding="utf-8") as stream:
        stream.writelines(f"line {index}\n" for index in range(400_000))
    events = EventLog(job.events_file)
    with job.events_file.open("ab") as raw:
        raw.write(job.events_file.read_bytes() * 40_000)
    events(Warned(message="the last"))
    with job.plan_file.open("wb") as plan:
        plan.truncate(LARGEST_DOCUMENT + 1)
    support = write_support(job.path, tmp_path / "s.zip")
    assert support.left_out == {"plan.json": f"it has {LARGEST_DOCUMENT + 1} bytes"}
    log = support.members["log.txt"].splitlines()
    assert (log[0], log[-1]) == ("line 0", "line 399999") and len(support.members["log.txt"]) < LOG_BEGIN + LOG_END + 99
    assert [line for line in log if not line.startswith("line ")] == [
        next(line for line in log if line.endswith("bytes were left out here ..."))
    ]
    (tmp_path / "events.jsonl").write_text(support.members["events.jsonl"], encoding="utf-8")
    read = EventReader(tmp_path / "events.jsonl").read(limit=10**6)
    assert read[0]["message"] == "Memory ran out." and read[-1]["message"] == "the last"


def test_all_together_have_a_limit(job: JobFolder, tmp_path: Path) -> None:
    for index in range(10):
        fold = job.folds / str(index)
        fold.mkdir(parents=True)
        (fold / "plan.json").write_bytes(b" " * LARGEST_DOCUMENT)
    support = write_support(job.path, tmp_path / "s.zip")
    assert sum(map(len, support.members.values())) <= MOST_BYTES
    assert support.left_out == dict.fromkeys(
        [f"folds/{index}/plan.json" for index in (7, 8, 9)], "there is too much beside it"
    )


def test_a_damaged_job_gives_what_is_there(job: JobFolder, tmp_path: Path) -> None:
    job.job_file.write_text("{ half", encoding="utf-8")
    job.events_file.write_bytes(b'\xff\xfe{"seq"')
    assert packed_after(job, tmp_path / "a.zip")["job.json"] == "{ half"
    assert "job.json" not in packed_after(job, tmp_path / "b.zip", anonymous=True)


def packed_after(job: JobFolder, target: Path, *, anonymous: bool = False) -> dict[str, str]:
    write_support(job.path, target, anonymous=anonymous)
    return packed(target)


def test_works_where_the_libraries_do_not(job: JobFolder, tmp_path: Path) -> None:
    """A damaged installation may be what the help is needed for."""
    code = (
        "import sys; sys.modules.update(dict.fromkeys(('torch', 'SimpleITK', 'numpy', 'monai', 'scipy')))\n"
        "from MedSegTrainerLib.cli.main import main; main(sys.argv[1:])"
    )
    arguments = ["support", str(job.path), "-o", str(tmp_path / "s.zip"), "--anonymous"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    computer = json.loads(packed(tmp_path / "s.zip")["computer.json"])
    assert computer["problem"].startswith("ModuleNotFoundError: import of torch halted")
    assert computer["devices"] == [] and computer["versions"]["Python"]


class TestRefused:
    @pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
    def test_what_is_no_job(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").touch()
        (tmp_path / "empty").mkdir()
        with pytest.raises(JobError, match=f"{name} is not a job folder"):
            write_support(tmp_path / name, tmp_path / "s.zip")
        assert not (tmp_path / "s.zip").exists()

    def test_a_file_that_is_there(self, job: JobFolder, tmp_path: Path) -> None:
        (tmp_path / "s.zip").write_text("precious", encoding="utf-8")
        (tmp_path / "link.zip").symlink_to(tmp_path / "made")
        for name in ("s.zip", "link.zip"):
            with pytest.raises(UsageError, match=f"{name} is there already. Choose another name"):
                write_support(job.path, tmp_path / name)
        assert (tmp_path / "s.zip").read_text(encoding="utf-8") == "precious" and not (tmp_path / "made").exists()

    def test_a_folder_that_is_not_there(self, job: JobFolder, tmp_path: Path) -> None:
        with pytest.raises(StorageError, match="Cannot write"):
            write_support(job.path, tmp_path / "no" / "s.zip")


def test_the_command_says_what_is_in_it(job: JobFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for options, warned in (([], "Look at it before you send it"), (["--anonymous"], "replaced by numbers")):
        target = tmp_path / f"s{len(options)}.zip"
        with pytest.raises(SystemExit) as ended:
            main(["support", str(job.path), "-o", str(target), *options])
        assert ended.value.code == 0
        output = capsys.readouterr().out
        assert f"Wrote {target}:\n" in output and "  log.txt (7 bytes)\n" in output and warned in output
        assert "no images, pictures, label maps or weights" in output
    with pytest.raises(SystemExit) as ended:
        main(["support", str(job.path), "-o", str(tmp_path / "s0.zip")])
    assert ended.value.code == 2 and "is there already" in capsys.readouterr().err
