"""Wrong use of job folders: what is in them stays as it was."""

from __future__ import annotations

import json
import os
import shutil
import socket
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.config.job_settings import ApplyConfig
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.job_status import Status

Words = list[str | Path]


def train(place: Any, output: Path, *words: str) -> Words:
    return ["train", place.data, "-o", output, "--epochs", "1", *words]


def running(words: Callable[[Any], Words]) -> Any:
    """A mistake: another process, this one, is at work on the trained job."""

    def spoil(place: Any) -> Words:
        now = Status(state="running", kind="train", host=socket.gethostname(), pid=os.getpid(), heartbeat=time.time())
        place.text("trained/status.json", asdict(now))
        return words(place)

    return spoil


def resume_an_apply(place: Any) -> Words:
    JobFolder(place.out / "job").create(parse_config(ApplyConfig, {"model": "m", "inputs": ["i"], "output_dir": "o"}))
    return ["train", "--resume", "-o", place.out / "job"]


def resume_without_data(place: Any) -> Words:
    shutil.rmtree(place.data)
    document = json.loads((place.trained / "job.json").read_text())
    document["config"]["data"]["data_dir"] = str(place.data)
    place.text("trained/job.json", document)
    return ["train", "--resume", "-o", place.trained]


def resume_and_more(place: Any) -> Words:
    return ["train", place.data, "--resume", "-o", place.trained]


def a_broken_job(place: Any) -> Words:
    return ["run", place.text("broken/job.json", {"kind": "trian", "config": {}, "x": 1}).parent]


JOBS = {
    "no data": (lambda p: ["train", "-o", p.root / "job"], ("train DATA -o JOB",), 2),
    "the output is a file": (lambda p: train(p, p.image()), ("case_1.nii.gz is a file", "new folder")),
    "the output lies in a file": (lambda p: train(p, p.image() / "job"), ("case_1.nii.gz", "Choose another folder")),
    "the output is not empty": (lambda p: train(p, p.data), ("data is not empty", "Choose a new folder")),
    "the output is trained": (lambda p: train(p, p.trained), ("trained already holds", "--resume")),
    "the output is being worked on": (running(lambda p: train(p, p.trained)), (str(os.getpid()), "stop")),
    "resuming what runs": (running(lambda p: ["train", "--resume", "-o", p.trained]), ("trained is still running",)),
    "resuming nothing": (lambda p: ["train", "--resume", "-o", p.data], ("data is not a job", "job.json", "Check")),
    "resuming with data": (resume_and_more, ("--resume", "-o JOB alone"), 2),
    "resuming for longer": (
        lambda p: ["train", "--resume", "--epochs", "20", "-o", p.trained],
        ("To train longer", "another folder"),
        2,
    ),
    "resuming what cannot be": (resume_an_apply, ("job is no training job", "start the others again"), 2),
    "resuming without the data": (resume_without_data, ("data does not exist", "Give"), 1, "trained"),
    "a broken job": (a_broken_job, ("2 problems", "'trian'", "Did you mean 'train'", "x: unknown"), 2, "broken"),
    "the status of no job": (lambda p: ["status", p.data], ("data is not a job folder", "Check the path")),
    "stopping no job": (lambda p: ["stop", p.root / "nowhere"], ("nowhere is not a job folder", "Check the path")),
    "stopping what does not run": (lambda p: ["stop", p.trained], ("Nothing to stop", "trained", "finished")),
}


@pytest.mark.parametrize("mistake", JOBS.values(), ids=JOBS.keys())
def test_jobs(check: Callable[..., None], mistake: tuple[Any, ...]) -> None:
    check(*mistake)
