import json
import shutil
import sys
import time

import pytest
from MedSegTrainerUI.jobs.job_list import JobList
from MedSegTrainerUI.jobs.job_trash import DAYS_KEPT, FILES_AT_ONCE, RECORD, JobTrash

from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.job import JobFolder

DAY = 86400


@pytest.fixture
def jobs(tmp_path):
    return JobList(tmp_path / "jobs")


@pytest.fixture
def trash(jobs):
    return JobTrash(jobs)


def names(trash):
    return [one.name for one in trash.items()]


def make_older(trash, removed, days):
    record = trash.root / (removed.name + RECORD)
    values = json.loads(record.read_text())
    record.write_text(json.dumps({**values, "removed": time.time() - days * DAY}))
    return record


def test_a_removed_job_is_kept_whole_and_comes_back_as_it_was(jobs, trash, make_job):
    folder = make_job("liver", state="finished")
    (folder.path / "model").mkdir()
    before = {path.relative_to(folder.path): path.stat().st_size for path in folder.path.rglob("*")}
    removed = trash.put(folder)
    assert not folder.path.exists() and jobs.all() == [] and names(trash) == ["liver"]
    record = json.loads((trash.root / "liver.removed.json").read_text())
    assert record["from"] == str(folder.path) and abs(record["removed"] - time.time()) < 60
    assert removed.days_left == DAYS_KEPT and removed.size is None
    assert trash.restore(removed) == folder
    assert {path.relative_to(folder.path): path.stat().st_size for path in folder.path.rglob("*")} == before
    assert names(trash) == [] and list(trash.root.iterdir()) == []


def test_names_that_are_taken_get_another_in_the_trash_and_back(jobs, trash, make_job):
    first = trash.put(make_job("liver", state="finished"))
    second = trash.put(make_job("liver", state="failed"))
    assert (first.name, second.name) == ("liver", "liver-2") and second.job == "liver"
    make_job("liver", state="stopped")
    assert trash.restore(second).path == jobs.root / "liver-2"
    assert jobs.folder("liver-2").status().state == "failed" and jobs.folder("liver").status().state == "stopped"
    assert jobs.folder("job").path.parent == trash.root.parent


def test_a_trash_with_a_job_called_job_is_no_job_itself(jobs, trash, make_job):
    trash.put(make_job("job", state="finished"))
    assert jobs.all() == []


def test_what_lives_or_is_no_job_of_the_list_stays(jobs, trash, make_job, tmp_path):
    with pytest.raises(JobError, match=r"living is still running\. Stop it"):
        trash.put(make_job("living", state="running"))
    with pytest.raises(JobError, match="is no job of this list"):
        trash.put(JobFolder(tmp_path))
    assert jobs.folder("living").job_file.exists() and not trash.root.exists()


def test_what_is_older_than_thirty_days_is_deleted_at_the_start_and_nothing_else(jobs, trash, make_job):
    old, new = trash.put(make_job("old", state="finished")), trash.put(make_job("new", state="finished"))
    (trash.root / "somebody's").mkdir()
    shutil.copytree(trash.root / "old", trash.root / "without a record")
    make_older(trash, old, DAYS_KEPT + 1)
    make_older(trash, new, DAYS_KEPT - 1)
    again = JobTrash(jobs)
    assert names(again) == ["new"]
    again.work()
    assert sorted(path.name for path in trash.root.iterdir()) == [
        "new", "new.removed.json", "somebody's", "without a record"
    ]  # fmt: skip
    assert again.items()[0].days_left == 1


@pytest.mark.skipif(sys.platform == "win32", reason="links need rights there")
def test_links_are_never_followed(jobs, trash, make_job, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "patient.nrrd").write_bytes(bytes(1000))
    folder = make_job("liver", state="finished")
    (jobs.root / "link").symlink_to(folder.path, target_is_directory=True)
    with pytest.raises(JobError, match="is no job of this list"):
        trash.put(JobFolder(jobs.root / "link"))
    (folder.path / "images").symlink_to(outside, target_is_directory=True)
    removed = trash.put(folder)
    trash.work()
    assert trash.items()[0].size < 100_000
    trash.delete(removed)
    trash.work()
    assert names(trash) == [] and not (trash.root / "liver").exists() and (outside / "patient.nrrd").exists()
    trash.root.rmdir()
    trash.root.symlink_to(outside, target_is_directory=True)
    with pytest.raises(JobError, match="is a link to another folder"):
        trash.put(make_job("other", state="finished"))
    assert jobs.folder("other").job_file.exists() and names(trash) == []
    (outside / "x").mkdir()
    (outside / "x.removed.json").write_text(json.dumps({"job": "x", "from": "", "removed": 0.0, "size": 0}))
    JobTrash(jobs).work()
    assert (outside / "x").exists()


def test_sizes_are_counted_in_slices_and_remembered(jobs, trash, make_job):
    folder = make_job("liver", state="finished")
    for number in range(FILES_AT_ONCE):
        (folder.path / "data" / f"{number}.bin").write_bytes(bytes(1000))
    size = sum(path.stat().st_size for path in folder.path.rglob("*") if path.is_file())
    trash.put(folder)
    trash.work()
    assert trash.items()[0].size is None, "not in one call"
    trash.work()
    assert trash.items()[0].size == size and JobTrash(jobs).items()[0].size == size


def test_deleting_goes_in_slices_and_is_finished_by_the_next_start(jobs, trash, make_job):
    folder = make_job("liver", state="finished")
    for number in range(2 * FILES_AT_ONCE):
        (folder.path / "data" / f"{number}.bin").touch()
    removed = trash.put(folder)
    trash.delete(removed)
    assert names(trash) == []
    trash.work()
    left = len(list((trash.root / "liver").rglob("*.bin")))
    assert FILES_AT_ONCE <= left < 2 * FILES_AT_ONCE + 1
    again = JobTrash(jobs)
    for _ in range(4):
        again.work()
    assert list(trash.root.iterdir()) == []


@pytest.mark.parametrize(
    "content",
    [
        "{", "[]", '{"job": "../x", "removed": 1.0, "size": 3}', '{"job": "x", "removed": "1", "size": 3}',
        '{"job": "", "removed": 1, "size": 1}',
    ],
)  # fmt: skip
def test_records_that_others_wrote_delete_nothing(trash, jobs, content):
    (trash.root / "x").mkdir(parents=True)
    (trash.root / "x.removed.json").write_text(content)
    trash.work()
    assert trash.items() == [] and (trash.root / "x").exists()
