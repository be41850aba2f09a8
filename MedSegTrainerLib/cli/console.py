"""What the command line shows of a job: every event as a line, and in a terminal a bar for the part in progress."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn
from rich.table import Table
from rich.text import Text

from MedSegTrainerLib.data.checks.fingerprint import Fingerprint
from MedSegTrainerLib.duration import format_duration
from MedSegTrainerLib.errors import JobError, MedSegError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.files.plain_text import plain
from MedSegTrainerLib.job import STOP_KEEP_BEST, STOP_NOW, JobFolder
from MedSegTrainerLib.job_logging import EVENTS, LogReader, is_log_line
from MedSegTrainerLib.results_file import advice

if TYPE_CHECKING:
    from MedSegTrainerLib.metrics.units import Length

Event = Mapping[str, Any]
POLL_SECONDS = 0.2
WORST_SHOWN = 10  # of the images that were segmented; results.csv has all
SECONDS_BETWEEN_LINES = 60  # of progress where there is no terminal: a log file, a scheduler
CLASSES_ON_A_LINE = 6
FINDINGS_OF_A_SORT = 5
METRICS_COMPARED, COMPARED_FIRST, CHANGES_SHOWN = 3, ("dice", "hd95_mm"), 5  # of a comparison; the report has all
MISUNDERSTOOD = (KeyError, IndexError, TypeError, ValueError, AttributeError, ArithmeticError)
STOPPING = {
    STOP_KEEP_BEST: "Stopping; what is done so far is kept. Press Ctrl+C again to stop at once.",
    STOP_NOW: "Stopping at once ...",
}


class Process(Protocol):
    """What is needed of the ``subprocess.Popen`` that works on a job."""

    returncode: Any

    def poll(self) -> int | None: ...


class JobView:
    """Shows events as they come; ``show`` takes one event of ``events.jsonl``."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self.bar = Progress(
            BarColumn(32),
            TaskProgressColumn(),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_interactive,
        )
        self.failure: Event | None = None
        self.ended = False
        self._task: TaskID | None = None
        self._epoch_now = ""
        self._last_line = 0.0
        self._findings: Counter[str] = Counter()
        self._likely: list[Event] = []
        self._handlers: dict[str, Callable[[Event], None]] = {
            "stage": self._stage,
            "progress": self._progress,
            "prepared": self._prepared,
            "planned": lambda e: self._line(plan_line(e["choices"])),
            "warned": lambda e: self._line(f"Note: {e['message']}", "yellow"),
            "epoch": self._epoch,
            "validated": self._validated,
            "found": self._finding,
            "case": self._case,
            "resumed": lambda e: self._line(f"Going on after epoch {e['epoch']}"),
            "compared": lambda e: self._line(e["message"], "green"),
            "advised": self._advised,
            "recovered": lambda e: self._line(f"Note: {e['message']}", "yellow"),
            "suggested": lambda e: self._line(f"{e['case']}, slice {e['slice']} along {e['axis']}: {e['message']}"),
            "measured": self._measured,
            "finished": self._end,
            "stopped": self._end,
            "failed": self._fail,
        }

    def show(self, event: Event) -> None:
        handler = self._handlers.get(event["kind"])
        try:
            if handler:
                handler(event)
        except MISUNDERSTOOD:
            return  # of another version, or damaged: the work goes on without this line

    def log_line(self, line: str) -> None:
        """A line of ``log.txt``; events are shown in another form already."""
        if not is_log_line(line, EVENTS):
            self._line(line, "dim")

    def _line(self, text: str, style: str | None = None) -> None:
        self.console.print(plain(text), style=style, highlight=False, markup=False)

    def _stage(self, event: Event) -> None:
        self._remove_bar()
        self._line(f"{event['message']} ...")
        self._task = self.bar.add_task("", total=event["total"] or None)
        self._last_line = event["time"]

    def _prepared(self, event: Event) -> None:
        """Only what saved time is told."""
        if event["found"]:
            done = {"scan": "checked", "prepare": "prepared"}[event["stage"]]
            self._line(f"           {done} now: {event['prepared']}, found: {event['found']}")

    def _progress(self, event: Event) -> None:
        eta = event.get("eta_seconds")
        left = "" if eta is None else f"{format_duration(eta)} left"
        description = ", ".join(filter(None, [self._epoch_now, left]))
        if self._task is not None:
            self.bar.update(self._task, completed=event["done"], total=event["total"], description=description)
        unfinished = event["done"] < event["total"]
        if self.bar.disable and unfinished and event["time"] - self._last_line >= SECONDS_BETWEEN_LINES:
            self._last_line = event["time"]
            self._line(f"{event['done'] / event['total']:>9.0%}  {description}".rstrip())

    def _epoch(self, event: Event) -> None:
        self._epoch_now = f"epoch {event['epoch']} of {event['epochs']}"

    def _validated(self, event: Event) -> None:
        defined = [f"{name} {dice:.3f}" for name, dice in event["dice"].items() if dice is not None]
        listed = "  ".join(defined[:CLASSES_ON_A_LINE]) + ("  ..." if len(defined) > CLASSES_ON_A_LINE else "")
        minutes, mean = f"{event['minutes']:.1f} min", event["mean_dice"]
        scored = "not known: they have no class" if mean is None else f"{mean:.3f}  ({listed})"
        self._line(f"{minutes:>9}  Dice on held-out volumes {scored}")
        if event["zero_classes"]:
            self._line(f"           not found at all so far: {', '.join(event['zero_classes'])}")

    def _advised(self, event: Event) -> None:
        """A good word in one line; a warning with what to change."""
        remedies = event["remedies"]
        self._line(f"{'Advice: ' if remedies else ''}{event['message']}", "yellow" if remedies else "green")
        for remedy in remedies:
            change = f"--set {remedy['setting']}={remedy['suggested']}" if remedy["setting"] else remedy["suggested"]
            now = f" (now {remedy['current']})" if remedy["setting"] else ""
            self._line(f"           {change}{now}: {remedy['why']}")

    def _finding(self, event: Event) -> None:
        """Of each sort the first few; the report has all."""
        self._findings[event["finding"]] += 1
        count = self._findings[event["finding"]]
        if count > FINDINGS_OF_A_SORT + 1:
            return
        if count > FINDINGS_OF_A_SORT:
            self._line("           ... and more of this sort: see the report")
            return
        where = f"{event['case']}: " if event["case"] else ""
        style = {"error": "red", "warning": "yellow"}.get(event["severity"])
        self._line(f"{event['severity'].capitalize():<10} {where}{event['message']}", style)
        self._line(f"           {event['remedy']}")

    def _case(self, event: Event) -> None:
        if event["error"]:
            self._line(f"{event['name']} could not be segmented: see the end", "red")
        else:
            self._line(f"{event['name']} -> {event['output']}")
            if event.get("likely_dice") is not None:
                self._likely.append(event)

    def _measured(self, event: Event) -> None:
        self._remove_bar()
        self.console.print(metrics_table(event["metrics"], event.get("length", "mm")), highlight=False)

    def _end(self, event: Event) -> None:
        self._remove_bar()
        self._show_likely()
        self._line(event["message"], "bold")
        self.ended = True

    def _fail(self, event: Event) -> None:
        self._remove_bar()
        self._show_likely()
        self.failure, self.ended = event, True

    def _show_likely(self) -> None:
        if self._likely:
            self.console.print(likely_table(self._likely), highlight=False)

    def _remove_bar(self) -> None:
        if self._task is not None:
            self.bar.remove_task(self._task)
        self._task, self._epoch_now = None, ""


def watch(folder: JobFolder, process: Process, console: Console, log: LogReader | None = None) -> None:
    """Shows a job until its process ends, and new lines of its log where it is given; raises the MedSegError that it
    ended with.

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
                for line in log.read() if log else ():
                    view.log_line(line)
                if over:
                    break
                time.sleep(POLL_SECONDS)
            except KeyboardInterrupt:
                wish = wishes.pop(0) if wishes else STOP_NOW
                folder.request_stop(wish)
                console.print(STOPPING[wish], highlight=False)
    if view.failure:
        error = MedSegError(view.failure["message"])
        error.exit_code = int(view.failure["exit_code"])
        raise error
    if process.returncode and not view.ended:
        raise JobError(_last_printed(folder, process.returncode))


def plan_line(choices: Mapping[str, Mapping[str, Any]]) -> str:
    """The main choices of a plan in a sentence."""
    parts = [str(choices["dims"]["value"])]
    for name, text in (("spacing", "voxels of {} mm"), ("patch_size", "patches of {} voxels")):
        parts.append(text.format(" x ".join(f"{part:g}" for part in choices[name]["value"])))
    first = choices.get("slice_axis", {}).get("value", "z")
    order = ", ".join({"z": "zyx", "y": "yzx", "x": "xzy"}[first])
    return f"Plan: {', '.join(parts)} ({order}), on {choices['device']['value']}"


def plan_table(choices: Mapping[str, Mapping[str, Any]]) -> Table:
    """The choices of a plan with their reasons."""
    table = Table(show_header=True, header_style="bold", box=None, pad_edge=False)
    for title in ("choice", "value", "why"):
        table.add_column(title, overflow="fold")
    for name, choice in choices.items():
        value = choice["value"]
        text = ", ".join(str(part) for part in value) if isinstance(value, list) else str(value)
        table.add_row(name, Text(plain(text)), Text(plain(choice["reason"])))
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
        drawn = fingerprint.cases_drawn.get(name, fingerprint.cases)
        cases = f"{fingerprint.cases_with[name]}{f' of {drawn} drawn' if drawn < fingerprint.cases else ''}"
        table.add_row(Text(plain(name)), str(item.value), cases, share, volume)
    return table


def metrics_table(metrics: Mapping[str, Mapping[str, float | None]], length: Length = "mm") -> Table:
    """Means of an evaluation, a row a class; ``-`` where a number is not defined."""
    from MedSegTrainerLib.metrics.metrics import METRICS  # SimpleITK, which a job's lines need not wait for
    from MedSegTrainerLib.metrics.units import (
        SHORT,
        display_key,
        display_value,
    )

    headed = {key: metric for key, metric in METRICS.items() if metric.heading}
    titles = {key: f"{it.heading} {SHORT[length]}" if it.unit == "mm" else it.heading for key, it in headed.items()}
    measured = dict.fromkeys(key for values in metrics.values() for key in values)
    if measured and not titles.keys() <= measured.keys():  # certain numbers were asked for: all of them are shown
        titles = {key: titles.get(key, display_key(key, length).replace("_", " ")) for key in measured}
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for title in titles.values():
        table.add_column(title, justify="right", no_wrap=True)
    for name, values in metrics.items():
        means = [display_value(values[key], key, length) for key in titles]
        table.add_row(Text(plain(name)), *("-" if mean is None else f"{mean:.3f}" for mean in means))
    return table


def likely_table(cases: Sequence[Event]) -> Table:
    """The likely Dice of images that were segmented, worst first, with words for those that somebody should look at."""
    table = Table(header_style="bold", box=None, pad_edge=False)
    for title in ("worst first", "likely Dice", "9 of 10 between", ""):
        table.add_column(title, justify="right" if "Dice" in title else "left", no_wrap=title != "")
    ordered = sorted(cases, key=lambda case: float(case["likely_dice"]))
    for case in ordered[:WORST_SHOWN]:
        between = f"{case['low']:.2f} and {case['high']:.2f}"
        table.add_row(Text(plain(case["name"])), f"{case['likely_dice']:.2f}", between, advice(case["likely_dice"]))
    if len(ordered) > WORST_SHOWN:
        table.add_row(f"... and {len(ordered) - WORST_SHOWN} better ones", "", "", "see results.csv")
    return table


def show_comparison(document: Mapping[str, Any], console: Console) -> None:
    """What a comparison came to: its notes, a table, and the cases that changed most."""
    from MedSegTrainerLib.metrics.units import (  # SimpleITK, which a job's lines need not wait for
        display_key,
        display_results,
    )

    title, main = document["title"], document["metrics"][0]
    lines = [title, f"  A  {document['a']['path']}", f"  B  {document['b']['path']}"]
    console.print(plain("\n".join(lines)), highlight=False, markup=False)
    for note in document["notes"]:
        console.print(f"Note: {plain(note)}", style="yellow", highlight=False, markup=False)
    several = len(document["metrics"]) > METRICS_COMPARED
    for metric in [key for key in document["metrics"] if not several or key in COMPARED_FIRST] or [main]:
        displayed = display_key(metric, document["length"])
        console.print(f"\n{displayed}, {len(document['cases'])} cases", highlight=False, markup=False)
        console.print(comparison_table(display_results(document, metric)), highlight=False)
        console.print(f"In words: {document['results'][metric]['overall']['verdict']}", highlight=False)
    for change in ("worse", "better"):
        changed = [
            (abs(item["difference"]), f"{item['case']} {name} {item['a']:.3f} -> {item['b']:.3f}")
            for name, result in display_results(document, main)["classes"].items()
            for item in result["cases"]
            if item["change"] == change
        ]
        if changed:
            listed = "\n".join(f"  {text}" for _, text in sorted(changed, key=lambda it: -it[0])[:CHANGES_SHOWN])
            title = display_key(main, document["length"])
            console.print(plain(f"\n{title}, most {change} in B:\n{listed}"), highlight=False, markup=False)
    console.print()


def comparison_table(results: Mapping[str, Any]) -> Table:
    """A row a class, and their mean where there are several.

    p is Wilcoxon's, corrected for the number of classes; r the rank-biserial correlation; then counts of cases.
    """
    table = Table(header_style="bold", box=None, pad_edge=False)
    table.add_column("class", overflow="fold")
    for title in ("A", "B", "B - A", "95 % interval", "p", "r", "better", "worse"):
        table.add_column(title, justify="right", no_wrap=True)
    rows = {"all": results["overall"]} if len(results["classes"]) > 1 else {}
    for name, result in {**rows, **results["classes"]}.items():
        interval = "-" if result["low"] is None else f"{result['low']:+.3f} to {result['high']:+.3f}"
        table.add_row(
            Text(plain(name)),
            _number_text(result["mean_a"], ".3f"),
            _number_text(result["mean_b"], ".3f"),
            _number_text(result["mean"], "+.3f"),
            interval,
            _number_text(result["p_wilcoxon_holm"], ".2g"),
            _number_text(result["rank_biserial"], "+.2f"),
            str(result["better"]),
            str(result["worse"]),
        )
    return table


def _number_text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)


def _last_printed(folder: JobFolder, code: int) -> str:
    lines = folder.log_file.read_text(encoding="utf-8", errors="replace").strip().splitlines()
    printed = [line for line in lines if not is_log_line(line)]
    if printed and code > 0:
        return printed[-1]
    return (
        f"The job's process ended without a word (exit code {code}); it may have been killed, or memory ran out. "
        f"Its log: {folder.log_file}"
    )
