"""A job folder made by version 0.1.0, stopped half way, with its data: it is read, gone on with, and its model applied.

``job_of_0_1_0.zip`` holds what that version wrote, with ``{folder}`` for the place, and the label map that its own
resumed training led to.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.job import JobFolder
from MedSegTrainerLib.model.package import load_package, read_card


@pytest.fixture
def unpacked(tmp_path: Path) -> Path:
    with zipfile.ZipFile(Path(__file__).with_name("job_of_0_1_0.zip")) as archive:
        archive.extractall(tmp_path)
    for path in (tmp_path / "job").glob("*.json*"):
        text = path.read_text(encoding="utf-8")
        path.write_text(text.replace("{folder}", tmp_path.as_posix()), encoding="utf-8")
    return tmp_path


def command(*words: object) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    assert not ended.value.code


def test_it_is_read(unpacked: Path) -> None:
    assert JobFolder(unpacked / "job").status().state == "stopped"
    assert load_package(unpacked / "job").build()
    assert "best after" in read_card(unpacked / "job")


def test_it_goes_on_where_it_was_and_is_applied(unpacked: Path) -> None:
    epochs = (unpacked / "job" / "events.jsonl").read_text(encoding="utf-8").count('"kind": "epoch"')
    command("train", "-o", unpacked / "job", "--resume")
    events = (unpacked / "job" / "events.jsonl").read_text(encoding="utf-8")
    assert JobFolder(unpacked / "job").status().state == "finished"
    assert events.count('"kind": "epoch"') == 60 > epochs
    command("apply", unpacked / "job", unpacked / "data" / "images" / "case_4.nii.gz", "-o", unpacked / "out")
    expected, predicted = (
        sitk.GetArrayFromImage(sitk.ReadImage(path))
        for path in (unpacked / "expected.seg.nrrd", unpacked / "out" / "case_4.seg.nrrd")
    )
    assert expected.any()
    assert np.mean(expected == predicted) > 0.98  # processors round differently
