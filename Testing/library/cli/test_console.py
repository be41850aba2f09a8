from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from MedSegTrainerLib.cli.console import WORST_SHOWN, JobView, metrics_table, plan_line, plan_table, watch
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.errors import JobError, MedSegError
from MedSegTrainerLib.events import (
    KIND_OF,
    Advised,
    CaseDone,
    Compared,
    Epoch,
    EventLog,
    Failed,
    Finished,
    Found,
    Measured,
    Planned,
    Prepared,
    Progress,
    Recovered,
    Resumed,
    Stage,
    Stopped,
    Validated,
    Warned,
)
from MedSegTrainerLib.job import JobFolder

METRICS = {"dice": 0.91, "iou": 0.84, "precision": 0.9, "recall": 0.92, "hd95_mm": 1.5, "asd_mm": 0.4}
CHOICES = {
    "device": {"value": "CPU with 8 threads", "reason": ""},
    "dims": {"value": "3D", "reason": "the images are volumes"},
    "spacing": {"value": [2.5, 1.0, 0.75], "reason": "median [spacing]"},
    "patch_size": {"value": [16, 64, 48], "reason": "covers the median volume"},
}


def epoch(number: int, epochs: int) -> Epoch:
    return Epoch(
        epoch=number, epochs=epochs, step=number, train_loss=0.5, learning_rate=1e-3, gradient_norm=1.0, seconds=2.0
    )


def validated(dice: dict[str, float | None], **more: Any) -> Validated:
    return Validated(epoch=1, minutes=1.25, mean_dice=0.5, dice=dice, **more)


def recorded(*, terminal: bool) -> Console:
    return Console(record=True, width=100, file=io.StringIO(), force_terminal=terminal, soft_wrap=True)


def printed(*events: Any, terminal: bool = False, seconds_apart: float = 1.0) -> list[str]:
    """The lines that stay on the screen of these events."""
    console = recorded(terminal=terminal)
    view = JobView(console)
    with view.bar:
        for count, event in enumerate(events):
            view.show({"seq": count, "time": count * seconds_apart, "kind": KIND_OF[type(event)], **asdict(event)})
    return [line.rstrip() for line in console.export_text().splitlines()]


TRAINING = (
    Stage(name="scan", message="Checking 6 cases", total=6),
    Progress(done=6, total=6),
    Warned(message="No case has any voxel of '[cyst]'."),
    Planned(choices=CHOICES),
    Stage(name="train", message="Training", total=100),
    Resumed(epoch=3, step=30),
    epoch(4, 10),
    Progress(done=40, total=100, eta_seconds=90.0),
    validated({"liver": 0.9, "cyst": 0.1, "vein": None}, zero_classes=["cyst"]),
    Measured(cases=1, metrics={"liver": METRICS}, report="r"),
    Finished(message="Trained. Report: job/report.html", result="job/model"),
)


class TestJobView:
    def test_without_a_terminal_every_event_is_a_line(self) -> None:
        assert printed(*TRAINING) == [
            "Checking 6 cases ...",
            "Note: No case has any voxel of '[cyst]'.",
            "Plan: 3D, voxels of 2.5 x 1 x 0.75 mm, patches of 16 x 64 x 48 voxels (z, y, x), on CPU with 8 threads",
            "Training ...",
            "Going on after epoch 3",
            "  1.2 min  Dice on held-out volumes 0.500  (liver 0.900  cyst 0.100)",
            "           not found at all so far: cyst",
            "class   Dice    IoU  precision  recall  HD95 mm  ASD mm",
            "liver  0.910  0.840      0.900   0.920    1.500   0.400",
            "Trained. Report: job/report.html",
        ]

    def test_what_was_found_and_what_became_better_is_told(self) -> None:
        figures = {"val_dice": 0.8, "dice": {}, "cases": []}
        assert printed(
            Prepared(stage="scan", prepared=1, found=5),
            Prepared(stage="prepare", prepared=0, found=6),
            Prepared(stage="prepare", prepared=6, found=0),
            Compared(message="Dice on the same held-out cases: 0.84, was 0.81", start=figures, best=figures),
        ) == [
            "           checked now: 1, found: 5",
            "           prepared now: 0, found: 6",
            "Dice on the same held-out cases: 0.84, was 0.81",
        ]  # fmt: skip

    def test_without_a_terminal_no_control_characters_are_written(self) -> None:
        console = recorded(terminal=False)
        view = JobView(console)
        with view.bar:
            for event in TRAINING:
                view.show({"time": 0.0, "kind": KIND_OF[type(event)], **asdict(event)})
        assert isinstance(console.file, io.StringIO)
        written = console.file.getvalue()
        assert "\x1b" not in written
        assert "\r" not in written
        assert not written.endswith("\n\n")

    def test_a_terminal_keeps_the_same_lines(self) -> None:
        """The bar is wiped away at the end."""
        console = Console(width=100, file=io.StringIO(), force_terminal=True, soft_wrap=True, color_system=None)
        view = JobView(console)
        with view.bar:
            for event in TRAINING:
                view.show({"time": 0.0, "kind": KIND_OF[type(event)], **asdict(event)})
                view.bar.refresh()
        assert isinstance(console.file, io.StringIO)
        written = console.file.getvalue()
        assert "40%" in written
        assert "epoch 4 of 10, 1m 30s left" in written
        for line in printed(*TRAINING):
            assert line in written

    def test_progress_is_a_line_a_minute(self) -> None:
        """Twenty reports, ten seconds apart, after the stage began at 0 s: lines at 60, 120 and 180 s."""
        steps = [Progress(done=count, total=25, eta_seconds=5.0) for count in range(1, 21)]
        stage = Stage(name="train", message="Training", total=25)
        assert printed(stage, *steps, seconds_apart=10) == [
            "Training ...",
            "      24%  5s left",
            "      48%  5s left",
            "      72%  5s left",
        ]

    def test_progress_of_nothing_is_no_error(self) -> None:
        assert printed(Progress(done=0, total=0), Progress(done=1, total=2), seconds_apart=100) == ["      50%"]

    def test_advice_comes_with_what_to_change(self) -> None:
        set_it = {"setting": "learning_rate", "current": "10", "suggested": "0.001", "why": "[smaller] steps"}
        do_it = {"setting": "", "current": "", "suggested": "look at the pictures", "why": "to see it"}
        advised = Advised(epoch=3, finding="unstable", message="The training is unstable.", remedies=[set_it, do_it])
        assert printed(advised) == [
            "Advice: The training is unstable.",
            "           --set learning_rate=0.001 (now 10): [smaller] steps",
            "           look at the pictures: to see it",
        ]

    def test_a_good_word_is_no_advice(self) -> None:
        assert printed(Advised(epoch=3, finding="healthy", message="It went well.")) == ["It went well."]

    def test_a_recovery_is_told(self) -> None:
        recovered = Recovered(epoch=3, step=9, learning_rate=1e-4, gradient_clip=1.0, attempt=1, message="Went back.")
        assert printed(recovered) == ["Note: Went back."]

    def test_many_classes_are_cut_short(self) -> None:
        [line] = printed(validated({f"c{index}": 0.5 for index in range(7)}))
        assert line.endswith("c5 0.500  ...)")

    def test_cases_of_apply(self) -> None:
        done = CaseDone(name="a", output="out/a.seg.nrrd")
        assert printed(done, CaseDone(name="b", error="b.nii cannot be read.")) == [
            "a -> out/a.seg.nrrd",
            "b could not be segmented: see the end",
        ]

    def test_the_likely_dice_of_results_worst_first(self) -> None:
        cases = [
            CaseDone(name="good", output="o", likely_dice=0.93, low=0.9, high=0.95),
            CaseDone(name="p[0]7", output="o", likely_dice=0.64, low=0.4, high=0.8),
            CaseDone(name="unknown", output="o"),
        ]
        for end in (
            Finished(message="3 label maps", result="o"),
            Failed(message="1 failed", error="DataError", exit_code=3),
        ):
            lines = [" ".join(line.split()) for line in printed(*cases, end)]
            assert lines[3:6] == [
                "worst first likely Dice 9 of 10 between",
                "p[0]7 0.64 0.40 and 0.80 look at this one: probably below 0.7",
                "good 0.93 0.90 and 0.95",
            ]
        many = [CaseDone(name=f"p{i}", output="o", likely_dice=0.5, low=0.4, high=0.8) for i in range(WORST_SHOWN + 2)]
        assert any("and 2 better ones" in line for line in printed(*many, Finished(message="done", result="o")))

    def test_findings_of_the_doctor_come_with_the_remedy(self) -> None:
        lines = printed(
            Found(case="a", severity="error", finding="holes", message="it has 3 holes.", remedy="Mend [all]."),
            Found(severity="note", finding="dust", message="There is dust.", remedy="Nothing to do."),
        )
        assert [line.split() for line in lines] == [
            ["Error", "a:", "it", "has", "3", "holes."], ["Mend", "[all]."],
            ["Note", "There", "is", "dust."], ["Nothing", "to", "do."],
        ]  # fmt: skip

    def test_of_many_findings_of_a_sort_the_first_few_are_shown(self) -> None:
        findings = [
            Found(case=str(index), severity="warning", finding="holes", message="holes.", remedy="Mend.")
            for index in range(9)
        ]
        lines = printed(*findings, Found(case="x", severity="warning", finding="dust", message="dust.", remedy="Wipe."))
        assert len(lines) == 2 * 5 + 1 + 2
        assert "more of this sort" in lines[10]
        assert lines[11].split()[:2] == ["Warning", "x:"]

    def test_unknown_events_are_passed_over(self) -> None:
        console = recorded(terminal=False)
        JobView(console).show({"kind": "from the future"})
        assert console.export_text() == ""


def test_plan_line_and_table_show_brackets_as_they_are() -> None:
    console = recorded(terminal=False)
    console.print(plan_table(CHOICES))
    text = console.export_text()
    assert "2.5, 1.0, 0.75" in text
    assert "median [spacing]" in text
    assert plan_line(CHOICES).endswith("on CPU with 8 threads")


def test_metrics_table_shows_certain_metrics_where_they_were_asked_for() -> None:
    console = recorded(terminal=False)
    console.print(metrics_table({"liver": {"iou": 0.5, "volume_ml": 12.0}}))
    assert console.export_text().split() == ["class", "IoU", "volume", "ml", "liver", "0.500", "12.000"]


def test_metrics_table_of_pictures_counts_pixels() -> None:
    console = Console(file=io.StringIO(), width=90)
    console.print(metrics_table({"liver": METRICS}, "pixels"))
    console.print(metrics_table({"liver": {"volume_ml": 0.25}}, "pixels"))
    output = console.file.getvalue()  # type: ignore[attr-defined]
    assert "HD95 px" in output and " mm" not in output and "volume px" in output and "250.000" in output


def test_metrics_table_shows_what_is_not_defined_as_a_dash() -> None:
    console = recorded(terminal=False)
    console.print(metrics_table({"[red]vein": {**METRICS, "hd95_mm": None}}))
    cells = console.export_text().splitlines()[1].split()
    assert cells == [
        "[red]vein",
        "0.910",
        "0.840",
        "0.900",
        "0.920",
        "-",
        "0.400",
    ]


def test_events_that_are_not_understood_are_passed_over() -> None:
    good = Warned(message="\x1b[2Jafter")
    choices = {**CHOICES, "spacing": {"value": 5}}
    bad = (Planned(choices={}), Planned(choices=choices), replace(validated({}), mean_dice="high"))  # type: ignore[arg-type]
    assert printed(*bad, good) == ["Note: \\x1b[2Jafter"]


# --- Watching a process ---


@pytest.fixture
def folder(tmp_path: Path) -> JobFolder:
    job = JobFolder(tmp_path / "job")
    job.create(TrainConfig())
    return job


class FakeProcess:
    """A process that does one thing after the other, each when it is asked whether it still runs."""

    def __init__(self, *acts: Callable[[], Any], code: int) -> None:
        self.acts, self.code = list(acts), code
        self.returncode: int | None = None

    def poll(self) -> int | None:
        if self.acts:
            self.acts.pop(0)()
        else:
            self.returncode = self.code
        return self.returncode


Watch = Callable[..., str]


@pytest.fixture
def watched(folder: JobFolder) -> Watch:
    """Watches a process that tells events, or interrupts the watching, and ends with ``code``."""

    def run(*events: Any, code: int = 0, log: str = "") -> str:
        folder.log_file.write_text(log, encoding="utf-8")
        EventLog(folder.events_file)(Warned(message="long ago"))  # by an earlier process: it must not be told again
        acts = [event if callable(event) else partial(EventLog(folder.events_file), event) for event in events]
        console = recorded(terminal=False)
        watch(folder, FakeProcess(*acts, code=code), console)
        return console.export_text()

    return run


def interrupt() -> None:
    raise KeyboardInterrupt


def test_watch_shows_new_events_only(watched: Watch) -> None:
    assert watched(Warned(message="now"), Finished(message="Done.", result="r")) == "Note: now\nDone.\n"


def test_watch_raises_what_the_job_failed_with(watched: Watch) -> None:
    with pytest.raises(MedSegError, match=r"^No fold 7\.$") as caught:
        watched(Failed(message="No fold 7.", error="UsageError", exit_code=2), code=2)
    assert caught.value.exit_code == 2


def test_watch_gives_the_last_words_of_a_job_that_could_not_tell(watched: Watch) -> None:
    with pytest.raises(JobError, match=r"^The disk is full\.$"):
        watched(code=1, log="loading\nThe disk is full.\n")


def test_watch_says_where_to_look_when_there_were_none(watched: Watch, folder: JobFolder) -> None:
    with pytest.raises(JobError, match=r"without a word \(exit code 9\)") as caught:
        watched(code=9)
    assert str(folder.log_file) in str(caught.value)


def test_interrupting_asks_the_job_to_stop_and_then_to_stop_at_once(watched: Watch, folder: JobFolder) -> None:
    wishes: list[str | None] = []

    def look() -> None:
        wishes.append(folder.stop_requested())

    text = watched(look, interrupt, look, interrupt, look, interrupt, look, Stopped(how="now", message="Stopped."))
    assert wishes == [None, "keep-best", "now", "now"]
    assert "Press Ctrl+C again to stop at once" in text
    assert text.endswith("Stopped.\n")
