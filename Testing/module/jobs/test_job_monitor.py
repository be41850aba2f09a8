import json
import time

import pytest
from MedSegTrainerUI.jobs.job_monitor import START_SECONDS, JobWatch

from MedSegTrainerLib.events import (
    Advised,
    Best,
    Epoch,
    EventLog,
    Failed,
    Finished,
    Planned,
    Progress,
    Resumed,
    Stage,
    Started,
    Stopped,
    Validated,
)
from MedSegTrainerLib.job import JobFolder

STARTED = Started(job="a", host="h", pid=1, version="0")


def epoch(number, loss=0.5):
    return Epoch(
        epoch=number, epochs=9, step=number * 10, train_loss=loss, learning_rate=1e-3, gradient_norm=1.0, seconds=1.0
    )


def validated(number, dice=0.8):
    return Validated(
        epoch=number, minutes=number / 2, mean_dice=dice, dice={"liver": dice, "tumor": None},
        metrics={"val_loss": 1 - dice},
    )  # fmt: skip


def watched(folder):
    watch = JobWatch(folder)
    watch.poll(seconds=1)
    return watch


def test_curves_plan_stage_and_best_are_read(make_job):
    plan = {"device": {"value": "CPU", "reason": ""}}
    events = [
        STARTED, Stage(name="plan", message="P"), Planned(choices=plan), Stage(name="train", message="T", total=4),
        epoch(1), validated(1, 0.6), Best(epoch=1, mean_dice=0.6), Progress(done=1, total=4, eta_seconds=30.0),
    ]  # fmt: skip
    watch = watched(make_job(events=events, state="running"))
    assert [point["epoch"] for point in watch.epochs] == [1] and watch.epochs[0]["train_loss"] == 0.5
    assert watch.validations[0]["dice"] == {"liver": 0.6, "tumor": None}
    assert watch.validations[0]["val_loss"] == pytest.approx(0.4)
    assert watch.plan == plan and watch.stage["name"] == "train" and watch.progress == 0.25
    assert watch.best_dice() == (0.6, {"liver": 0.6, "tumor": None})
    assert watch.alive and watch.caught_up and watch.state == "running" and watch.eta_seconds == 30.0
    assert watch.outcome is None and watch.working


def test_after_a_resume_the_last_word_on_an_epoch_counts(make_job):
    before = [STARTED, *(item for n in (1, 2, 3) for item in (epoch(n), validated(n)))]
    after = [STARTED, Resumed(epoch=2, step=20), epoch(3, loss=0.1), validated(3, 0.9)]
    folder = make_job(events=before, state="running")
    watch = watched(folder)
    rewinds = watch.rewinds
    log = EventLog(folder.events_file)
    for event in after[:2]:
        log(event)
    watch.poll()
    assert [point["epoch"] for point in watch.epochs] == [1, 2] == [point["epoch"] for point in watch.validations]
    assert watch.rewinds > rewinds
    for event in after[2:]:
        log(event)
    watch.poll()
    assert [point["train_loss"] for point in watch.epochs] == [0.5, 0.5, 0.1]
    assert watch.validations[2]["mean_dice"] == 0.9


def test_an_epoch_that_is_told_again_replaces_the_earlier_one(make_job):
    watch = watched(make_job(events=[epoch(1), epoch(2), epoch(3), epoch(2, loss=0.2)], state="running"))
    assert [(point["epoch"], point["train_loss"]) for point in watch.epochs] == [(1, 0.5), (2, 0.2), (3, 0.5)]


def test_a_poll_reads_a_bounded_piece_and_later_ones_the_rest(make_job):
    folder = make_job(state="running")
    rest = {"epochs": 3000, "step": 1, "learning_rate": 0.1, "gradient_norm": 1.0, "seconds": 1.0}
    lines = [
        json.dumps({"seq": n, "time": 0, "kind": "epoch", "epoch": n, "train_loss": 0.1, **rest})
        for n in range(1, 3001)
    ]
    folder.events_file.write_text("\n".join(lines) + "\n")
    watch = JobWatch(folder)
    watch.poll(seconds=0)
    assert 0 < len(watch.epochs) <= 50 and not watch.caught_up
    polls = 1
    while not watch.caught_up:
        assert watch.poll(seconds=0)
        polls += 1
    assert len(watch.epochs) == 3000 and polls >= 60
    assert not watch.poll()


def test_long_lines_count_by_their_bytes(make_job):
    folder = make_job(state="running")
    long = {"kind": "validated", "minutes": 1, "mean_dice": 0.5, "dice": {"a": 0.5}, "per_case": {"x" * 40_000: {}}}
    folder.events_file.write_text(
        "".join(json.dumps({**long, "epoch": n, "seq": n, "time": 0}) + "\n" for n in range(1, 31))
    )
    watch = JobWatch(folder)
    watch.poll(seconds=0)
    assert len(watch.validations) == 2
    assert "per_case" not in watch.validations[0]


def test_a_job_whose_process_died_is_told_from_one_that_lives(make_job):
    assert watched(make_job("dead", state="running", pid=2**22 + 1)).state == "died"
    assert watched(make_job("old", state="running", host="elsewhere", heartbeat=time.time() - 1000)).state == "died"
    assert watched(make_job("other", state="running", host="elsewhere")).state == "running"
    assert watched(make_job("never")).state == "created"


def test_a_job_that_was_started_just_now_is_not_dead(make_job):
    folder = make_job("again", state="running", pid=2**22 + 1, heartbeat=time.time() - 100)
    watch = watched(folder)
    assert watch.state == "died"
    watch.expect_start()
    watch.poll()
    assert watch.state == "starting" and watch.working
    watch._starting_since -= START_SECONDS + 1
    assert watch.state == "died"


def test_an_interpreter_that_cannot_begin_is_noticed_at_once(make_job):
    folder = make_job("broken")
    folder.log_file.write_text("an older line: ImportError: x\n")
    watch = JobWatch(folder)
    watch.expect_start()
    watch.poll()
    assert watch.state == "starting" and not watch.poll()
    with folder.log_file.open("a") as log:
        log.write("python: No module named MedSegTrainerLib\n")
    assert watch.poll(), "it is news"
    assert watch.state == "died" and not watch.poll()


class FakeProcess:
    code = None

    def poll(self):
        return self.code


def test_a_process_that_dies_without_a_word_before_its_first_status_is_noticed_at_once(make_job):
    folder, process = make_job("killed"), FakeProcess()
    folder.log_file.write_text("Killed\n")
    watch = JobWatch(folder)
    watch.expect_start(process)
    watch.poll()
    assert watch.state == "starting"
    process.code = -9
    assert watch.poll() and watch.state == "died"


def test_a_process_that_has_ended_properly_has_not_failed_to_start(make_job):
    folder, process = make_job("quick", state="finished", heartbeat=time.time() + 1), FakeProcess()
    process.code = 0
    watch = JobWatch(folder)
    watch.expect_start(process)
    watch.poll()
    assert watch.state == "finished"


def test_a_start_that_takes_too_long_is_news(make_job):
    watch = JobWatch(make_job("slow"))
    watch.expect_start()
    watch.poll()
    watch._starting_since -= START_SECONDS + 1
    assert watch.poll() and watch.state == "died"


def test_another_panel_sees_that_a_job_is_starting(make_job):
    folder = make_job("new")
    folder.log_file.write_text("")
    assert watched(folder).state == "starting"


@pytest.mark.parametrize(
    "event",
    [Finished(message="m", result="r"), Stopped(how="now", message="m"), Failed(message="m", error="E", exit_code=1)],
)
def test_how_it_ended_is_known_until_it_is_started_again(make_job, event):
    state = type(event).__name__.lower()
    folder = make_job(events=[STARTED, event], state=state)
    watch = watched(folder)
    assert watch.outcome["kind"] == state == watch.state and not watch.working
    assert watch.progress == (1.0 if state == "finished" else 0.0)
    EventLog(folder.events_file)(STARTED)
    watch.poll()
    assert watch.outcome is None


def test_of_each_finding_the_newest_advice_counts(make_job):
    advised = [
        Advised(epoch=n, finding=name, message=str(n)) for n, name in ((1, "labels"), (2, "plateau"), (3, "labels"))
    ]
    watch = watched(make_job(events=advised, state="running"))
    assert [(name, event["message"]) for name, event in watch.advice.items()] == [("plateau", "2"), ("labels", "3")]


def test_strange_lines_and_a_status_that_is_being_written_change_nothing(make_job):
    folder = make_job(events=[epoch(1)], state="running")
    with folder.events_file.open("a") as stream:
        stream.write('not json\n{"kind": "epoch"}\n{"kind": "later-version", "x": 1}\n["list"]\n{"kind": "epoch", "epo')
    watch = watched(folder)
    assert len(watch.epochs) == 1 and watch.caught_up
    folder.status_file.write_text("{")
    watch.poll()
    assert watch.status.state == "running" and watch.alive


def test_news_leave_out_what_comes_all_the_time(make_job):
    events = [
        STARTED,
        Stage(name="train", message="Training", total=9),
        Progress(done=1, total=9),
        epoch(1),
        validated(1),
    ]
    watch = watched(make_job(events=events, state="running"))
    assert [event["kind"] for event in watch.news] == ["stage", "validated"] and watch.news_count == 2


def test_a_folder_that_is_gone_is_no_error(tmp_path):
    watch = JobWatch(JobFolder(tmp_path / "gone"))
    watch.poll()
    assert watch.state == "created" and watch.document == {} and watch.caught_up
