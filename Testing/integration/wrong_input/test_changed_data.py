"""A training whose data changed before it was resumed: it goes on with the cases it began with, or says why not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.config.job_settings import CrossValidateConfig
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.jobs.run import run_job
from MedSegTrainerLib.workflow.settings_files import train_config

Words = list[str | Path]


def resume(place: Any) -> Words:
    """The command, for the data of this place."""
    document = json.loads((place.trained / "job.json").read_text())
    document["config"]["data"]["data_dir"] = str(place.data)
    place.text("trained/job.json", document)
    return ["run", place.trained]


def relabel(array: np.ndarray) -> np.ndarray:
    array[array == 2] = 1
    return array


def add_a_value(array: np.ndarray) -> np.ndarray:
    array[0, 0, 0] = 3
    return array


def spoil(change: Callable[[Any], object]) -> Callable[[Any], Words]:
    def spoiled(place: Any) -> Words:
        change(place)
        return resume(place)

    return spoiled


def exchange(place: Any) -> None:
    """Two label maps change their names, and are as old and long as they were."""
    first, second = (place.label(index).read_bytes() for index in (0, 1))
    place.label(0).write_bytes(second)
    place.label(1).write_bytes(first)


def remove(place: Any) -> None:
    place.image(2).unlink()
    place.label(2).unlink()


def remove_the_record(place: Any) -> None:
    (place.trained / "used_cases.json").unlink()
    place.text("data/dataset.json", {"labels": {"0": "background", "1": "liver", "2": "tumor", "3": "cyst"}})
    place.change(place.label(2), add_a_value)


BEGIN_ANEW = ("those that this training began with", "Put them back", "medsegtrainer train", "-o NEW_FOLDER")
CHANGES = {
    "a label map": (lambda p: p.change(p.label(2), relabel), ("label map changed: case_2", *BEGIN_ANEW)),
    "an image": (lambda p: p.change(p.image(3), np.negative), ("image changed: case_3", *BEGIN_ANEW)),
    "a new label value": (lambda p: p.change(p.label(2), add_a_value), ("label map changed: case_2", *BEGIN_ANEW)),
    "two label maps exchanged": (exchange, ("label map changed: case_0, case_1", *BEGIN_ANEW)),
    "a case is gone": (remove, ("no longer there, or no longer whole: case_2", *BEGIN_ANEW)),
    "a label map is gone": (lambda p: p.label(2).unlink(), ("no longer whole: case_2", *BEGIN_ANEW)),
    "classes that were drawn": (
        lambda p: p.text("data/drawn.json", {"case_1": ["liver"]}),
        ("other classes were drawn: case_1", *BEGIN_ANEW),
    ),
    "a new value in a job without record": (remove_the_record, ("hold 3", "1 (liver), 2 (tumor)", "another folder")),
    "a broken record": (
        lambda p: p.text("trained/used_cases.json", {"train": ["case_9"]}),
        ("used_cases.json is damaged", "Remove the file"),
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_what_is_refused(check: Callable[..., None], change: tuple[Any, ...]) -> None:
    check(spoil(change[0]), change[1], 1, "trained")


def add_cases(place: Any, count: int = 8) -> None:
    for index in range(4, 4 + count):
        shutil.copy(place.image(), place.image(index))
        shutil.copy(place.label(), place.label(index))


def cases(job: Path) -> tuple[list[str], list[str]]:
    training = json.loads((job / "model" / "model.json").read_text())["training"]
    return training["train_cases"], training["val_cases"]


def warnings(job: Path) -> str:
    return "\n".join(e["message"] for e in EventReader(job / "events.jsonl").read() if e["kind"] == "warned")


def test_added_cases_are_not_used(place: Any, capsys: pytest.CaptureFixture[str]) -> None:
    before = cases(place.trained)
    add_cases(place)
    shutil.copy(place.image(), place.image(99))  # of a case that nobody has labelled yet
    resume(place)
    with pytest.raises(SystemExit) as ended:
        main(["train", "--resume", "-o", str(place.trained)])
    shown = capsys.readouterr().out
    assert not ended.value.code
    assert "8 cases were added since this training began (case_10, " in shown and "begin anew: medsegtrainer" in shown
    record = json.loads((place.trained / "used_cases.json").read_text())
    assert (record["train"], record["val"]) == before == cases(place.trained)


def test_a_job_of_an_earlier_version_keeps_the_division_of_its_model(place: Any) -> None:
    before = cases(place.trained)
    (place.trained / "used_cases.json").unlink()
    add_cases(place)
    resume(place)
    run_job(place.trained)
    assert "kept no record of its cases" in warnings(place.trained)
    record = json.loads((place.trained / "used_cases.json").read_text())
    assert (record["train"], record["val"]) == before == cases(place.trained)


def test_the_same_content_elsewhere(place: Any) -> None:
    """Copied to another disk: new times, the same bytes."""
    for path in (*place.data.glob("images/*"), *place.data.glob("labels/*")):
        path.touch()
    resume(place)
    assert run_job(place.trained).stopped is None


def test_values_of_segments_stay_when_a_name_is_added(place: Any, tiny: tuple[str, ...]) -> None:
    """They follow from all names of a data set: a case that is added must not move those of the others."""
    for index in range(4):
        label = sitk.ReadImage(str(place.label(index)))
        for number, name in enumerate(("liver", "tumor")):
            label.SetMetaData(f"Segment{number}_Name", name)
            label.SetMetaData(f"Segment{number}_LabelValue", str(number + 1))
        sitk.WriteImage(label, str(place.label(index)).replace(".nii.gz", ".seg.nrrd"))
        place.label(index).unlink()
    (place.data / "dataset.json").unlink()
    job = JobFolder(place.root / "segments")
    job.create(train_config(place.data, None, ["epochs=1", "device=cpu", *tiny[3::2]]))
    run_job(job.path)
    before = json.loads((job.path / "used_cases.json").read_text())
    assert before["cases"]["case_0"]["segment_values"] == {"liver": 1, "tumor": 2}
    label.SetMetaData("Segment0_Name", "aorta")
    sitk.WriteImage(label, str(place.label(7)).replace(".nii.gz", ".seg.nrrd"))
    shutil.copy(place.image(), place.image(7))
    run_job(job.path)
    assert json.loads((job.path / "used_cases.json").read_text()) == before


def test_folds(place: Any, tiny: tuple[str, ...]) -> None:
    """A fold that has not begun trains on what the others trained on, or nothing goes on."""
    out = JobFolder(place.root / "cv")
    train = train_config(place.data, None, ["epochs=1", "device=cpu", "folds=2", *tiny[3::2]])
    out.create(CrossValidateConfig(train=train))
    run_job(out.path)
    folds = json.loads((out.path / "splits.json").read_text())
    record = json.loads((out.folds / "1" / "used_cases.json").read_text())
    assert (record["train"], record["val"]) == (folds[1]["train"], folds[1]["val"])
    add_cases(place, 1)
    run_job(out.path)
    assert "1 case was added since this training began (case_4) and is not used" in warnings(out.path)
    assert json.loads((out.path / "splits.json").read_text()) == folds
    place.change(place.label(2), relabel)
    shutil.rmtree(out.folds / "1")
    with pytest.raises(DataError, match="label map changed: case_2"):
        run_job(out.path)
    assert out.status().state == "failed" and not (out.folds / "1").exists()
