"""Whatever a file of JSON in a job, a data set or a results folder holds, what reads it gets good values or words.

The readers are called in this process, as no command can be run two thousand times; what they return is used as the
program uses it, and some are compared with what the file says.
"""

from __future__ import annotations

import io
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from good_root import command
from hostile import runs, texts
from hypothesis import given
from rich.console import Console

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.cli.console import JobView
from MedSegTrainerLib.config.job_settings import job_document
from MedSegTrainerLib.config.overrides import with_settings
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.plan_parsing import parse_plan
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.samples.cache import build_cache
from MedSegTrainerLib.errors import MedSegError
from MedSegTrainerLib.events import EventLog, EventReader, Warned
from MedSegTrainerLib.files.json_input import read_json_file
from MedSegTrainerLib.guide.advisor import advise, history_from_events, news
from MedSegTrainerLib.guide.remedies import facts_of
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.job_lock import JobLock
from MedSegTrainerLib.jobs.apply_record import ApplyRecord
from MedSegTrainerLib.jobs.folds import prepare
from MedSegTrainerLib.jobs.job_cases import cases_of_job
from MedSegTrainerLib.jobs.kept_settings import keep_settings
from MedSegTrainerLib.jobs.kinds import parse_job
from MedSegTrainerLib.jobs.stages import explain, scan_data
from MedSegTrainerLib.model.package import load_members, read_card
from MedSegTrainerLib.report.curves import draw_curves
from MedSegTrainerLib.training.checkpoint import keep_newest
from MedSegTrainerLib.training.curve_points import CurvePoints

FAST, SLOW = 20, 150
LONGEST = 10.0  # seconds of processor time
CASES = {
    "schema_version": 1, "channels": ["CT"],
    "classes": [{"value": 1, "name": "liver", "color": [221, 130, 101], "terminology": "a"}],
    "cases": [
        {"name": f"case {index}", "images": [f"images/case_{index}.nii.gz"], "label": f"labels/case_{index}.nii.gz",
         "patient": f"P{index}", "part": "train" if index else "val"} for index in range(4)
    ],
}  # fmt: skip
DATASET = {
    "labels": {"background": 0, "liver": 1}, "channel_names": {"0": "CT"}, "numTraining": 4, "file_ending": ".nii.gz",
}  # fmt: skip
SPLITS = [{"train": ["case_0", "case_1", "case_2"], "val": ["case_3"]}, {"train": ["case_3"], "val": ["case_0"]}]
PATIENTS = {f"case_{index}": f"P{index // 2}" for index in range(4)}


def silent(event: Any) -> None:
    """Nobody listens."""


def config_of(root: Path, **changes: str) -> TrainConfig:
    values = with_settings({}, {"data_dir": str(root / "data"), "num_workers": "1", **changes}.items())
    config: TrainConfig = parse_config(TrainConfig, values)
    return config


def job(root: Path) -> None:
    folder = JobFolder(root / "job")
    config = parse_job(folder.read_document())
    assert parse_job(json.loads(json.dumps(job_document(config)))) == config
    if isinstance(config, TrainConfig):
        keep_settings(config, folder, resumed=True)


def kept(root: Path) -> None:
    folder = JobFolder(root / "job")
    config = parse_job(folder.read_document())
    assert isinstance(config, TrainConfig)
    keep_settings(config, folder, resumed=True)


def status(root: Path) -> None:
    for words in (f"status|{root}/job", f"stop|{root}/job"):
        assert command(words) in (0, 1)
    (root / "job" / "stop").unlink(missing_ok=True)


def lock(root: Path) -> None:
    with JobLock(JobFolder(root / "job")).held():
        pass


def preview_case(root: Path) -> None:
    assert isinstance(JobFolder(root / "job").preview_requested(), str | None)


def events(root: Path) -> None:
    folder = JobFolder(root / "job")
    found = EventReader(folder.events_file).read(limit=10**9)
    view = JobView(Console(file=io.StringIO(), width=80))
    for event in found:
        view.show(event)
    plan = parse_plan(read_json_file(folder.plan_file))
    facts = facts_of(config_of(root), plan, 3)
    for ended in (False, True):
        news(found, facts, ended=ended)
    advise(history_from_events(found), facts)
    points = CurvePoints(folder.events_file).read()
    colors = {item.name: "#aa0011" for item in plan.classes}
    draw_curves([point for point in points if "minutes" in point], colors)
    EventLog(folder.events_file)(Warned(message="one more"))


def plan(root: Path) -> None:
    document = read_json_file(root / "job" / "plan.json")
    found = parse_plan(document)
    explain(found)
    assert holds(json.loads(json.dumps(found.to_json())), document)


def holds(read: Any, given: Any) -> bool:
    """Whether all that was given was read as it stands; what was not given has its default."""
    if isinstance(given, dict):
        return isinstance(read, dict) and all(name in read and holds(read[name], given[name]) for name in given)
    if isinstance(given, list):
        return isinstance(read, list) and len(read) == len(given) and all(map(holds, read, given))
    return bool(read == given) and isinstance(read, bool) == isinstance(given, bool)


def used_cases(root: Path) -> None:
    found = cases_of_job(config_of(root).data, JobFolder(root / "job"), silent)
    assert {*found.split.train, *found.split.val} <= {case.name for case in found.dataset.cases}


def numbered(root: Path) -> None:
    newest = root / "numbered" / "epoch_0003.pt"
    newest.write_bytes(b"")
    keep_newest(newest, 2, root / "numbered" / "numbered.json")
    assert newest.exists() and (root / "outside.pt").exists()


def made(root: Path) -> None:
    record = ApplyRecord(root / "made")
    record.state(root / "made" / "a.nii.gz", [root / "made" / "b.nii.gz"], "r")
    record.begin([root / "made" / "b.nii.gz"])


def model(root: Path) -> None:
    for member in load_members(root / "job"):
        member.build()
    assert read_card(root / "job").isprintable() is False  # of several lines


def model_of_an_old_job(root: Path) -> None:
    (root / "old" / "model").mkdir(parents=True, exist_ok=True)
    shutil.copy(root / "job" / "model" / "model.json", root / "old" / "model")
    cases_of_job(config_of(root).data, JobFolder(root / "old"), silent)


def data(root: Path, **changes: str) -> None:
    scanned = scan_data(config_of(root, **changes), silent)
    assert scanned.split.train and all(isinstance(item, LabelClass) for item in scanned.fingerprint.classes)


def splits(root: Path) -> None:
    data(root, split_file=str(root / "splits.json"), fold="0")
    study(root, split_file=str(root / "splits.json"))


def study(root: Path, **changes: str) -> None:
    shutil.rmtree(root / "folds", ignore_errors=True)
    (root / "folds").mkdir()
    prepare(config_of(root, **changes), JobFolder(root / "folds"), silent)


def folds_begun(root: Path) -> None:
    """Files of a cross-validation that goes on."""
    found = prepare(config_of(root, folds="2"), JobFolder(root / "begun"), silent)
    for index in range(len(found.folds)):
        shutil.rmtree(found.job(index).path, ignore_errors=True)
        found.predictions(index)
        if index == 0:
            found.job(0).path.mkdir(parents=True)
            shutil.copy(root / "first_plan.json", found.job(0).plan_file)
        else:
            found.make_job(index, "cpu")
            parse_plan(read_json_file(found.job(index).plan_file))


def geometry(root: Path) -> None:
    config = config_of(root)
    scanned = scan_data(config, silent)
    found = parse_plan(read_json_file(root / "job" / "plan.json"))
    for where in ("memory", "disk"):
        cases = scanned.cases(["case_0"])
        case = build_cache(cases, replace(found, cache=where), root / "job" / "cache", torch.device("cpu"))["case_0"]
        assert case.geometry.size_zyx == tuple(case.label.shape)
        case.geometry.place(case.label.numpy())


@dataclass(frozen=True)
class Reader:
    """A file below the root, its good content, and who reads it. record: a line of it is spoiled, not the whole."""

    path: str
    read: Callable[[Path], None]
    content: Any = None
    record: bool = False


READERS = {
    "job": Reader("job/job.json", job),
    "settings of a job": Reader("job/settings.json", kept),
    "status": Reader("job/status.json", status),
    "lock": Reader("job/lock", lock, "host 1"),
    "preview case": Reader("job/previews/case.json", preview_case, {"case": "case_3"}),
    "events": Reader("job/events.jsonl", events, record=True),
    "plan": Reader("job/plan.json", plan),
    "used cases": Reader("job/used_cases.json", used_cases),
    "numbered": Reader("numbered/numbered.json", numbered, {"epoch_0001.pt": 1, "epoch_0002.pt": 2}),
    "made": Reader("made/made.jsonl", made, {"label_map": "a.nii.gz", "recipe": "r", "files": {"a.nii.gz": "0 bytes"}}),
    "model": Reader("job/model/model.json", model),
    "model of an old job": Reader("job/model/model.json", model_of_an_old_job),
    "dataset": Reader("data/dataset.json", data, DATASET),
    "cases": Reader("data/cases.json", data, CASES),
    "splits": Reader("splits.json", splits, SPLITS),
    "patients": Reader("patients.json", lambda root: data(root, patient_table=str(root / "patients.json")), PATIENTS),
    "folds": Reader("begun/splits.json", folds_begun),
    "first plan": Reader("first_plan.json", folds_begun),
    "geometry": Reader("job/cache/GEOMETRY", geometry),
}


@pytest.fixture(scope="module")
def good(root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root with what only these tests need."""
    place = tmp_path_factory.mktemp("readers") / "root"
    shutil.copytree(root, place)
    for name in ("numbered", "made", "begun"):
        (place / name).mkdir()
    for name in ("numbered/epoch_0001.pt", "numbered/epoch_0002.pt", "made/a.nii.gz", "outside.pt"):
        (place / name).write_bytes(b"")
    shutil.copy(place / "job" / "plan.json", place / "first_plan.json")
    document = json.loads((place / "job" / "job.json").read_text(encoding="utf-8"))
    document["config"]["data"]["data_dir"] = str(place / "data")
    (place / "job" / "job.json").write_text(json.dumps(document), encoding="utf-8")
    prepare(config_of(place, folds="2"), JobFolder(place / "begun"), silent)
    shutil.rmtree(place / "job" / "cache")  # it knows the files at their old place
    geometry(place)
    return place


def path_of(good: Path, reader: Reader) -> Path:
    if reader.read is geometry:
        return next((good / "job" / "cache").glob("case_0-*")) / "geometry.json"
    return good / reader.path


def good_document(good: Path, reader: Reader) -> Any:
    path = path_of(good, reader)
    if reader.content is not None:
        return reader.content
    text = path.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()] if reader.record else json.loads(text)


def check(good: Path, name: str, content: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    """Reads a file with this content; all is as before afterwards."""
    reader = READERS[name]
    path = path_of(good, reader)
    before = path.read_bytes() if path.exists() else None
    path.write_bytes(content)
    started = time.process_time()
    try:
        reader.read(good)
    except MedSegError as error:
        text = str(error)
        assert text and "Traceback" not in text and len(text) < 20_000, text[:1000]
    finally:
        shown = capsys.readouterr()
        path.unlink(missing_ok=True) if before is None else path.write_bytes(before)
    assert "Traceback" not in shown.err and "\x1b[2J" not in shown.out + shown.err
    assert time.process_time() - started < LONGEST


def lines(good: Path, reader: Reader, content: bytes) -> bytes:
    """The good lines, and the spoiled ones in their middle."""
    if not reader.record:
        return content
    whole = path_of(good, reader).read_bytes()
    middle = whole.index(b"\n", len(whole) // 2) + 1
    try:
        items = json.loads(content)
        content = b"\n".join(json.dumps(item).encode() for item in items) if isinstance(items, list) else content
    except (ValueError, RecursionError):
        pass
    return whole[:middle] + content + b"\n" + whole[middle:]


def try_many(good: Path, name: str, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    reader = READERS[name]

    @runs(count)
    @given(texts(good_document(good, reader)))
    def one(content: bytes) -> None:
        check(good, name, lines(good, reader, content), capsys)

    one()


@pytest.mark.parametrize("name", READERS)
def test_readers(good: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try_many(good, name, FAST, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_readers_often(good: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    try_many(good, name, SLOW, capsys)


FOUND = {  # each raised something else than words once, or was passed over
    "dataset": [
        {"labels": {"liver": [{"a": 1}, 2]}}, {"labels": {"1": {"name": "liver"}}}, {"labels": {"liver": True}},
        {"channel_names": ["CT"]}, {"modality": {"0": None}}, [], "text",
    ],
    "splits": [[{"train": ["case_0", 1], "val": ["case_2"]}], [{"train": ["case_0", "case_0"], "val": ["case_2"]}]],
    "folds": [
        None, {}, [], [{"train": ["case_0"]}, {"val": ["case_0"]}], [{"train": ["case_0"], "val": [["case_1"]]}] * 2,
        [{"train": [], "val": ["case_1"]}, {"train": ["case_1"], "val": ["case_0"]}],
        [{"train": ["case_0"], "val": ["case_1"]}] * 2,
        [{"train": ["case_0"], "val": ["case_9"]}, {"train": ["case_1"], "val": ["case_0"]}],
        [{"train": ["case_0"], "val": ["case_0"]}, {"train": ["case_1"], "val": ["case_2"]}],
    ],
    "first plan": [None, [], {}, {"steps_per_epoch": "many"}, {"steps_per_epoch": 3}, {"dims": math.inf}],
    "job": [None, [], {}, {"kind": "train", "config": []}, {"kind": "train", "config": {"trainer": {"epochs": 2}}}],
    "settings of a job": [None, 7, [], {"data": []}, {"trainer": {"epochs": 7}}],
    "plan": [None, 7, [], {}],
}  # fmt: skip


@pytest.mark.parametrize(("name", "document"), [(name, item) for name, items in FOUND.items() for item in items])
def test_what_is_refused(good: Path, name: str, document: Any) -> None:
    path = path_of(good, READERS[name])
    before = path.read_bytes() if path.exists() else None
    path.write_text(json.dumps(document), encoding="utf-8")
    try:
        with pytest.raises(MedSegError):
            READERS[name].read(good)
    finally:
        path.unlink(missing_ok=True) if before is None else path.write_bytes(before)


@pytest.mark.parametrize("size", [[], [None, 12, 9], ["14", "12", "9"], [14, 12, 8], [14.0, 12, 9], 7, {}])
def test_a_prepared_case_with_another_size_is_made_again(good: Path, size: Any) -> None:
    path = path_of(good, READERS["geometry"])
    before = path.read_bytes()
    path.write_text(json.dumps({**json.loads(before), "size": size}), encoding="utf-8")
    geometry(good)
    assert path.read_bytes() == before


@pytest.mark.parametrize("name", READERS)
def test_the_good_file_is_read(good: Path, name: str) -> None:
    """Else everything above would be refused for another reason."""
    reader = READERS[name]
    path, document = path_of(good, reader), good_document(good, reader)
    existed = path.exists()
    if not existed:
        path.write_text(document if isinstance(document, str) else json.dumps(document), encoding="utf-8")
    try:
        reader.read(good)
    finally:
        if not existed:
            path.unlink(missing_ok=True)
