import json
import os
import time

import pytest
from MedSegTrainerUI.jobs.job_list import JobList, JobSummaries, has_no_end, job_classes, safe_name, weight_count

from MedSegTrainerLib.config import TrainConfig
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.job import JobFolder


@pytest.fixture
def jobs(tmp_path):
    return JobList(tmp_path / "jobs")


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("liver-tumor", "liver-tumor"), ("Lésion / <gauche>", "Lesion-gauche"), ("肝臓", "job"), ("..", "job"),
        ("a" * 100, "a" * 60), ("  two  words ", "two-words"),
    ],
)  # fmt: skip
def test_names_suit_every_file_system(name, safe):
    assert safe_name(name) == safe


def test_a_new_job_has_a_name_of_its_own_and_is_not_made_yet(jobs):
    assert jobs.all() == []
    first = jobs.new("liver")
    assert first.path == jobs.root / "liver" and not first.path.exists()
    first.create(TrainConfig())
    assert jobs.new("liver").path.name == "liver-2"


def test_jobs_are_listed_newest_first_and_other_folders_are_not(jobs, make_job):
    for age, name in enumerate(("new", "middle", "old")):
        folder = make_job(name)
        os.utime(folder.job_file, (time.time() - 100 * age,) * 2)
    (jobs.root / "photos").mkdir()
    assert [folder.path.name for folder in jobs.all()] == ["new", "middle", "old"]


def test_removing_takes_the_folder_and_refuses_living_jobs_and_other_folders(jobs, make_job, tmp_path):
    done = make_job("done", state="finished")
    jobs.remove(done)
    assert not done.path.exists()
    with pytest.raises(JobError, match=r"living is still running\. Stop it"):
        jobs.remove(make_job("living", state="running"))
    other = tmp_path / "elsewhere"
    other.mkdir()
    for path in (other, jobs.root, jobs.root / ".." / "elsewhere", jobs.root / "living" / "data"):
        with pytest.raises(JobError, match="is no job of this list"):
            jobs.remove(JobFolder(path))
    assert other.exists() and jobs.folder("living").job_file.exists()


def test_a_summary_tells_state_classes_and_dice(make_job):
    summaries = JobSummaries()

    def summary_of(folder):
        ((found,), complete) = summaries.read([folder], 1)
        assert complete
        return found

    done = summary_of(make_job("done", state="finished", best=0.87))
    assert (done.name, done.kind, done.state, done.dice) == ("done", "train", "finished", 0.87)
    assert done.classes == ("liver", "tumor") and abs(done.created - time.time()) < 60
    folder = make_job("dying", state="running")
    assert summary_of(folder).state == "running"
    status = json.loads(folder.status_file.read_text())
    folder.status_file.write_text(json.dumps({**status, "pid": 2**22 + 1}))
    assert summary_of(folder).state == "died"
    broken = make_job("broken")
    broken.job_file.write_text("{")
    assert summary_of(broken).state == "failed"


def test_classes_come_from_the_plan_before_the_cases(make_job, tmp_path):
    folder = make_job()
    assert [item["name"] for item in job_classes(folder)] == ["liver", "tumor"]
    assert job_classes(folder)[0]["color"] == (221, 130, 101) and job_classes(folder)[0]["terminology"] == ""
    folder.plan_file.write_text(json.dumps({"classes": [{"value": 3, "name": "x", "color": [1, 2, 3]}]}))
    assert job_classes(folder) == [{"value": 3, "name": "x", "color": (1, 2, 3), "terminology": ""}]
    assert job_classes(JobFolder(tmp_path / "gone")) == []


def test_a_training_without_end_is_known_by_its_budget(make_job):
    assert has_no_end(make_job("endless", budget="1000h").read_document())
    assert not has_no_end(make_job("short", budget="60m").read_document())
    assert not has_no_end({})


def test_the_size_of_a_model_is_read_from_the_header_of_its_weights(make_job):
    folder = make_job()
    assert weight_count(folder) is None
    header = json.dumps({"__metadata__": {"a": "b"}, "w": {"shape": [3, 4, 5]}, "b": {"shape": []}}).encode()
    folder.model.mkdir()
    (folder.model / "weights.safetensors").write_bytes(len(header).to_bytes(8, "little") + header)
    assert weight_count(folder) == 61
    (folder.model / "weights.safetensors").write_bytes(b"junk")
    assert weight_count(folder) is None
