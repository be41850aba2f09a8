"""The folds of a cross-validation at work: which one starts when and where, what is asked of it, how far all are.

The first fold begins alone until its plan is written, which is that of all. What is asked of the cross-validation is
handed on to every fold at work. Where a fold fails the others are stopped at once; they can be gone on with.
"""

from __future__ import annotations

import heapq
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch

from MedSegTrainerLib.config.settings import Auto, TrainConfig
from MedSegTrainerLib.errors import JobError
from MedSegTrainerLib.events import Emit, Measured, Progress, Stage, Warned
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.hardware.device import choose_device, several_gpus
from MedSegTrainerLib.hardware.distributed import Bystander
from MedSegTrainerLib.job import STOP_NOW, JobFolder, JobOwner
from MedSegTrainerLib.jobs.folds import CrossValidation
from MedSegTrainerLib.jobs.kinds import parse_job
from MedSegTrainerLib.model.package import load_package

POLL_SECONDS = 0.3
REPORT_SECONDS = 2.0
UNITS_PER_FOLD = 1000


class Process(Protocol):
    """What is needed of a ``subprocess.Popen``."""

    def poll(self) -> int | None: ...


@dataclass(frozen=True, kw_only=True)
class Run:
    """A fold at work. process: None where another process started it. began: of ``time.monotonic``."""

    job: JobFolder
    worker: Worker
    process: Process | None
    began: float

    def is_over(self) -> bool:
        return not self.job.status().is_alive() if self.process is None else self.process.poll() is not None


def start_process(job: JobFolder, worker: Worker) -> Process:
    return job.start(environment=worker.environment())


def look_again_soon() -> None:
    time.sleep(POLL_SECONDS)


class FoldRuns:
    """Trains the folds that are not finished, as many at a time as there are workers.

    start: begins a fold on a worker. wait: called between two looks at the folds.
    """

    def __init__(
        self,
        cross_validation: CrossValidation,
        workers: Sequence[Worker],
        owner: JobOwner | Bystander,
        emit: Emit,
        *,
        start: Callable[[JobFolder, Worker], Process] = start_process,
        wait: Callable[[], None] = look_again_soon,
    ) -> None:
        self.cross_validation, self.workers, self.owner, self.emit, self.start, self.wait = (
            cross_validation,
            workers,
            owner,
            emit,
            start,
            wait,
        )
        self.count = len(cross_validation.folds)
        self.waiting = [
            index for index in range(self.count) if cross_validation.job(index).status().state != "finished"
        ]
        self.running: dict[int, Run] = {}
        self.durations: list[float] = []  # of the folds that ended
        self.failure: JobError | None = None
        self.stopped: str | None = None
        self.last_report = 0.0

    def run(self) -> str | None:
        """Returns how it was stopped, None where all is done.

        Raises JobError where a fold fails, when no other is at work any more, and where another process took over.
        """
        try:
            self._adopt()
            while self._look():
                self.wait()
        except BaseException:
            if not self.owner.lost:  # else the folds belong to the process that took over
                self._end_all()
            raise
        if self.failure:
            raise self.failure
        return self.stopped or (self._stop_request() if self.waiting else None)

    def _adopt(self) -> None:
        """Folds that an earlier process left at work are watched, too."""
        for index in list(self.waiting):
            job = self.cross_validation.job(index)
            if job.status().is_alive():
                config = parse_job(job.read_document())
                device = config.trainer.device if isinstance(config, TrainConfig) else ""
                worker = next((worker for worker in self._free() if worker.device == device), Worker(device=device))
                self._watch(index, Run(job=job, worker=worker, process=None, began=time.monotonic()))

    def _look(self) -> bool:
        """Sees what has changed and does what is to be done; returns whether there is something to wait for."""
        if self.owner.lost:
            raise JobError(
                f"Another process has taken over {self.cross_validation.folder.path}. This one ends; nothing is lost."
            )
        for index, run in list(self.running.items()):
            if run.is_over():
                del self.running[index]
                self._end(index, run)
        while not self._stop_request() and self._may_start():
            self._start(self.waiting[0], self._free()[0])
        self._pass_on(self._stop_request())
        if self.running and time.monotonic() - self.last_report > REPORT_SECONDS:
            self._emit_progress()
        return bool(self.running or (self.waiting and not self._stop_request()))

    def _stop_request(self) -> str | None:
        return STOP_NOW if self.failure else self.cross_validation.folder.stop_requested() or self.stopped

    def _free(self) -> list[Worker]:
        if len(self.running) >= len(self.workers):
            return []
        return [worker for worker in self.workers if all(run.worker is not worker for run in self.running.values())]

    def _may_start(self) -> bool:
        planned = 0 not in self.running or self.cross_validation.job(0).plan_file.exists()
        return bool(self.waiting and self._free() and planned)

    def _start(self, index: int, worker: Worker) -> None:
        job = self.cross_validation.make_job(index, worker.device)
        self._watch(index, Run(job=job, worker=worker, process=self.start(job, worker), began=time.monotonic()))

    def _watch(self, index: int, run: Run) -> None:
        self.waiting.remove(index)
        self.running[index] = run
        where = f" on {run.worker.device}" if len({worker.device for worker in self.workers}) > 1 else ""
        message = f"Fold {index + 1} of {self.count}{where}: {run.job.path}"
        self.emit(Stage(name="fold", message=message, total=UNITS_PER_FOLD * self.count))
        self.last_report = 0.0

    def _pass_on(self, request: str | None) -> None:
        for run in self.running.values():
            if request and run.job.stop_requested() != request:  # repeatedly: a process that starts removes the file
                run.job.request_stop(request)

    def _end(self, index: int, run: Run) -> None:
        """Sees how a fold ended. One that was stopped by itself but evaluated is done."""
        state, evaluated = run.job.status().state, bool(self.cross_validation.predictions(index))
        died = run.process is not None and run.process.poll() != 0
        if state == "failed":
            self._fail(f"Fold {index + 1} failed: {run.job.status().message}")
        elif state not in ("finished", "stopped") or (state == "stopped" and died):
            self._fail(
                f"The process of fold {index + 1} ended without a word; it may have been killed, or memory ran out. "
                f"Its log: {run.job.log_file}. Go on with --resume."
            )
        elif state == "stopped":
            self.stopped = (
                self.cross_validation.folder.stop_requested() or self.stopped or (None if evaluated else STOP_NOW)
            )
        if evaluated:
            self._emit_result(index, run.job)
        self.durations.append(time.monotonic() - run.began)

    def _fail(self, message: str) -> None:
        if self.failure or self.running:
            self.emit(Warned(message=message))
        if self.failure is None and self.running:
            message += " The folds beside it were stopped; they go on with --resume."
        self.failure = self.failure or JobError(message)

    def _emit_result(self, index: int, job: JobFolder) -> None:
        summary = load_package(job.model).metrics.get("summary", {})
        means = {name: {key: item["mean"] for key, item in values.items()} for name, values in summary.items()}
        measured = job.report / "metrics.json"
        length = read_json_file(measured).get("length", "mm")
        cases, report = len(self.cross_validation.folds[index]["val"]), str(job.report / "report.html")
        self.emit(Measured(cases=cases, metrics=means, report=report, length=length))

    def _emit_progress(self) -> None:
        """How far all folds are together, and how long the rest takes."""
        self.last_report = time.monotonic()
        statuses = {index: run.job.status() for index, run in self.running.items()}
        done = self.count - len(self.waiting) - len(self.running) + sum(now.progress for now in statuses.values())
        lasted = {index: self.last_report - run.began for index, run in self.running.items()}
        left = {index: now.eta_seconds if now.is_alive() else None for index, now in statuses.items()}
        eta = seconds_left(
            [(lasted[index], left[index]) for index in self.running],
            self.durations,
            len(self.waiting),
            len(self.workers),
        )
        total = UNITS_PER_FOLD * self.count
        self.emit(Progress(done=int(UNITS_PER_FOLD * done), total=total, eta_seconds=eta))
        names = [str(index + 1) for index in sorted(self.running)]
        message = f"fold{'s' * (len(names) > 1)} {', '.join(names)} of {self.count}"
        self.owner.update(stage=message, message=message.capitalize(), progress=done / self.count, eta_seconds=eta)

    def _end_all(self) -> None:
        """Ctrl+C, or an error of this process: nothing may be left running unseen."""
        while True:
            self.running = {index: run for index, run in self.running.items() if not run.is_over()}
            self._pass_on(STOP_NOW)
            if not self.running:
                return
            self.wait()


def seconds_left(
    running: Sequence[tuple[float, float | None]], durations: Sequence[float], waiting: int, workers: int
) -> float | None:
    """Seconds until the last fold ends where each that waits takes the next free worker; None while nothing is known.

    running: for each fold at work the seconds it took so far and those it says are left. durations: of others.
    """
    totals = [*durations, *(lasted + left for lasted, left in running if left is not None)]
    if not totals:
        return None
    usual = sum(totals) / len(totals)
    ends = [max(0.0, usual - lasted) if left is None else left for lasted, left in running]
    ends += [0.0] * (workers - len(ends))
    heapq.heapify(ends)
    for _ in range(waiting):
        heapq.heappush(ends, heapq.heappop(ends) + usual)
    return round(max(ends), 1)


# what OpenMP and MKL, with which PyTorch computes on a CPU, read when a process begins
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


@dataclass(frozen=True, kw_only=True)
class Worker:
    """Where one fold after the other trains. device: as settings name it. threads: of its process, None: all."""

    device: str
    threads: int | None = None

    def environment(self) -> dict[str, str]:
        """The variables of a process that trains here: this one's, with its share of the cores."""
        share = {} if self.threads is None else dict.fromkeys(THREAD_VARIABLES, str(self.threads))
        return {**os.environ, **share}


def fold_workers(
    requested: int | Auto, device: str, folds: int, *, gpus: int | None = None, threads: int | None = None
) -> tuple[list[Worker], str | None]:
    """A worker for each fold that trains at the same time, and a warning where there are fewer than asked for.

    Each is a GPU, or a share of the CPU's cores: on one of two cores a fold takes less than twice as long, for not
    everything in it is done by several threads. ``"auto"``: one for each GPU. device: a setting such as ``"auto"``.
    gpus, threads: how many there are, by default what PyTorch sees and uses. Raises UsageError for an unknown device.
    """
    chosen, _ = choose_device(device) if gpus is None else (torch.device("cuda" if gpus else "cpu"), None)
    devices, warning = several_gpus(chosen, requested, visible=gpus)
    names = [device] if len(devices) == 1 else [str(gpu) for gpu in devices]
    if chosen.type == "cpu" and requested != "auto":
        names = [device] * requested
    elif chosen.type == "mps" and requested not in (1, "auto"):
        warning = f"{requested} devices were asked for, and there is one Apple GPU: one fold trains after the other."
    names = names[:folds]
    if len(names) == 1:
        return [Worker(device=names[0])], warning
    share = max(1, (torch.get_num_threads() if threads is None else threads) // len(names))
    return [Worker(device=name, threads=share) for name in names], warning
