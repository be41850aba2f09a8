"""What the command line shows of a running job: its events as lines, its progress as a bar."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Mapping
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Table

from MedSegTrainerLib.duration import format_duration
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.fingerprint import Fingerprint
from MedSegTrainerLib.job import STOP_KEEP_BEST, STOP_NOW, JobFolder

Event = Mapping[str, Any]
POLL_SECONDS = 0.2


class JobView:
    """Shows events as they come; ``show`` takes one event of ``events.jsonl``."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            TextColumn("{task.description:<34}"), BarColumn(32), TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[left]}"), console=console,
        )  # fmt: skip
        self.task: TaskID | None = None
        self.failure: Event | None = None
        self.ended = False
        self._best = ""
        self._shown: dict[str, Callable[[Event], None]] = {
            "stage": self._stage,
            "progress": self._progress,
            "planned": self._planned,
            "warned": lambda e: self.console.print(f"[yellow]Note:[/] {e['message']}", highlight=False),
            "epoch": self._epoch,
            "validated": self._validated,
            "case": self._case,
            "resumed": lambda e: self.console.print(f"Going on after epoch {e['epoch']}", highlight=False),
            "finished": self._end,
            "stopped": self._end,
            "failed": self._fail,
        }

    def show(self, event: Event) -> None:
        shown = self._shown.get(event["kind"])
        if shown:
            shown(event)

    def _stage(self, event: Event) -> None:
        if self.task is not None:
            self.bar.update(self.task, total=1, completed=1, left="")
        self.task = self.bar.add_task(event["message"], total=event["total"] or None, left="")

    def _progress(self, event: Event) -> None:
        if self.task is None:
            return
        eta = event.get("eta_seconds")
        left = f"{format_duration(eta)} left" if eta is not None else ""
        self.bar.update(self.task, completed=event["done"], total=event["total"], left=f"{left} {self._best}")

    def _planned(self, event: Event) -> None:
        choices = event["choices"]
        picked = [f"{name} {choices[name]['value']}" for name in ("dims", "spacing", "patch_size") if name in choices]
        self.console.print(f"Plan: {', '.join(picked)} on {choices['device']['reason']}", highlight=False)

    def _epoch(self, event: Event) -> None:
        if self.task is not None:
            self.bar.update(self.task, description=f"Training, epoch {event['epoch']} of {event['epochs']}")

    def _validated(self, event: Event) -> None:
        known = {name: dice for name, dice in event["dice"].items() if dice is not None}
        told = "  ".join(f"{name} {dice:.3f}" for name, dice in list(known.items())[:6])
        self._best = f"Dice {event['mean_dice']:.3f}"
        minutes = f"{event['minutes']:.1f} min"
        self.console.print(f"{minutes:>9}  Dice {event['mean_dice']:.3f}  ({told})", highlight=False, markup=False)
        if event["zero_classes"]:
            names = ", ".join(event["zero_classes"])
            self.console.print(f"           not found at all so far: {names}", highlight=False, markup=False)

    def _case(self, event: Event) -> None:
        if event["error"]:
            self.console.print(event["error"], style="red", highlight=False, markup=False)
        else:
            self.console.print(f"{event['name']} -> {event['output']}", highlight=False, markup=False)

    def _end(self, event: Event) -> None:
        if self.task is not None:
            self.bar.update(self.task, total=1, completed=1, left="")
        self.console.print(event["message"], style="bold", highlight=False, markup=False)
        self.ended = True

    def _fail(self, event: Event) -> None:
        self.failure, self.ended = event, True


def watch(folder: JobFolder, process: subprocess.Popen[bytes], console: Console) -> int:
    """Shows a job until its process ends; returns the exit code.

    Ctrl+C asks it to stop and keep the best model; a second one to stop at once.
    """
    reader = EventReader(folder.events_file)
    reader.offset = folder.events_file.stat().st_size if folder.events_file.exists() else 0
    view = JobView(console)
    wishes = [STOP_KEEP_BEST, STOP_NOW]
    with view.bar:
        while True:
            try:
                over = process.poll() is not None
                for event in reader.read():
                    view.show(event)
                if over:
                    break
                time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                wish = wishes.pop(0) if wishes else STOP_NOW
                folder.request_stop(wish)
                console.print(f"Stopping ({wish}) ...", highlight=False)
    code = process.returncode
    if view.failure:
        console.print(view.failure["message"], style="red", highlight=False, markup=False)
        return int(view.failure["exit_code"])
    if code and not view.ended:
        raise JobError(_last_words(folder, code))
    return 0


def plan_table(choices: Mapping[str, Mapping[str, Any]]) -> Table:
    """The choices of a plan with their reasons."""
    table = Table(show_header=True, header_style="bold", box=None, pad_edge=False)
    for title in ("choice", "value", "why"):
        table.add_column(title, overflow="fold")
    for name, choice in choices.items():
        value = choice["value"]
        shown = ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)
        table.add_row(name, shown, str(choice["reason"]))
    return table


def class_table(fingerprint: Fingerprint) -> Table:
    """Classes with their values, how many cases have them, and how large they are."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for title in ("class", "value", "cases", "share of voxels", "median volume"):
        table.add_column(title, justify="left" if title == "class" else "right")
    for item in fingerprint.classes:
        name = item.name
        volume = f"{fingerprint.median_volume_mm3[name] / 1000:.2f} ml"
        share = f"{fingerprint.voxel_share[name]:.3%}"
        table.add_row(name, str(item.value), str(fingerprint.cases_with[name]), share, volume)
    return table


def metrics_table(document: Mapping[str, Any]) -> Table:
    """Means of an evaluation, a row a class."""
    titles = {
        "dice": "Dice",
        "iou": "IoU",
        "precision": "precision",
        "recall": "recall",
        "hd95_mm": "HD95 mm",
        "asd_mm": "ASD mm",
    }
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("class")
    for title in titles.values():
        table.add_column(title, justify="right")
    for name, metrics in document["summary"].items():
        means = [metrics[key]["mean"] for key in titles]
        table.add_row(name, *("-" if mean is None else f"{mean:.3f}" for mean in means))
    return table


def _last_words(folder: JobFolder, code: int) -> str:
    lines = folder.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    if lines and code > 0:
        return lines[-1]
    return (
        f"The job's process ended without a word (exit code {code}); it may have been killed, or memory ran out. "
        f"Its log: {folder.log_file}"
    )
