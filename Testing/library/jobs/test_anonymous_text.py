"""Names and paths become numbers, the same in every text of a job."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from MedSegTrainerLib.jobs.anonymous_text import anonymized

CASES = ("Müller, Hans", "O'Brien (2)", "12", "Schmidt_Eva")
STAMP = "2026-05-04T13:37:12+02:00 WARNING MedSegTrainerLib.events: "


@pytest.fixture
def data(tmp_path: Path) -> Path:
    place = tmp_path / "Klinik Süd" / "data"
    (place / "images").mkdir(parents=True)
    (place / "Weber_Karl").mkdir()
    for name in (*CASES, "never told of"):
        (place / "images" / f"{name}.nii.gz").touch()
    return place


@pytest.fixture
def texts(data: Path) -> dict[str, str]:
    events = [
        {"seq": 1, "time": 1.0, "kind": "started", "job": "Krause", "host": "ward-7", "pid": 12},
        {"seq": 2, "time": 2.0, "kind": "validated", "epoch": 12, "per_case": {"Müller, Hans": {"12": 0.5}}},
        {"seq": 3, "time": 3.0, "kind": "case", "name": "Schmidt_Eva", "output": "/out/Schmidt_Eva.seg.nrrd"},
        {"seq": 4, "time": 4.0, "kind": "found", "case": "O'Brien (2)", "message": "12 voxels of O'Brien (2) are odd."},
        {"seq": 5, "time": 5.0, "kind": "warned", "message": "images/never told of.nii.gz has no label map."},
    ]
    log = [
        f"{STAMP}warned: Schmidt_Eva_0000.nii.gz and Fischer.nii.gz of ward-7 differ after epoch 12",
        f"cannot open {data}/images/Müller, Hans.nii.gz: damaged",
        f'  File "{data}/Weber_Karl/read me.txt", line 3',
        '  File "/opt/Anna Z/lib/python3.12/site-packages/monai/data/utils.py", line 3, in f',
        r"C:\Users\Anna\scans\x.mha and \\server\share\y are not there; either/or stays",
    ]
    return {
        "job.json": json.dumps({"kind": "train", "config": {"data": {"data_dir": str(data), "folds": 12}}}),
        "report/metrics.json": json.dumps(
            {"overall": {"case_mean_dice": {"12": 1.0}}, "cases": {name: {} for name in CASES}}
        ),
        "report/verify.json": json.dumps({"cases": [{"name": "12", "voxels": 12}], "classes": [{"name": "liver"}]}),
        "events.jsonl": "".join(f"{json.dumps(event)}\n" for event in events) + '{"seq": 6, "torn',
        "log.txt": "\n".join(log),
    }


def test_nothing_is_left_of_a_name_or_path(texts: dict[str, str], data: Path, tmp_path: Path) -> None:
    result, left_out = anonymized(texts, tmp_path / "Krause")
    everything = "\n".join(result.values()) + "\n".join(json.dumps(json.loads(result["job.json"]), ensure_ascii=False))
    names = (
        "ller",
        "Hans",
        "Brien",
        "Schmidt",
        "Eva",
        "Fischer",
        "Weber",
        "never",
        "Krause",
        "ward-7",
        "Klinik",
        "Anna",
    )
    assert [name for name in (*names, "server", str(tmp_path)) if name in everything] == []
    assert left_out == {} and result.keys() == texts.keys()


def test_a_name_has_the_same_number_everywhere(texts: dict[str, str], tmp_path: Path) -> None:
    result, _ = anonymized(texts, tmp_path)
    cases = list(json.loads(result["report/metrics.json"])["cases"])
    assert len(set(cases)) == 4 and all(re.fullmatch(r"case-\d+", name) for name in cases)
    mueller, brien, twelve, schmidt = cases
    events = [json.loads(line) for line in result["events.jsonl"].splitlines()]
    assert list(events[1]["per_case"]) == [mueller] and events[2]["name"] == schmidt and events[3]["case"] == brien
    assert events[2]["output"].endswith(f"/{schmidt}.seg.nrrd")
    assert f"{schmidt}_0000.nii.gz" in result["log.txt"] and f"/{mueller}.nii.gz: damaged" in result["log.txt"]
    assert json.loads(result["report/verify.json"]) == {
        "cases": [{"name": twelve, "voxels": 12}], "classes": [{"name": "liver"}]
    }  # fmt: skip


def test_numbers_of_other_things_stay(texts: dict[str, str], tmp_path: Path) -> None:
    """A case that is called 12 does not change an epoch, a process, or a time."""
    result, _ = anonymized(texts, tmp_path)
    events = [json.loads(line) for line in result["events.jsonl"].splitlines()]
    assert (events[0]["pid"], events[1]["epoch"], len(events)) == (12, 12, 5)
    assert events[3]["message"].startswith("12 voxels of case-")
    log = result["log.txt"]
    assert log.startswith(STAMP) and "epoch 12" in log and "either/or stays" in log
    assert json.loads(result["job.json"])["config"]["data"]["folds"] == 12


def test_where_an_error_arose_stays(texts: dict[str, str], tmp_path: Path) -> None:
    result, _ = anonymized(texts, tmp_path)
    assert 'File "site-packages/monai/data/utils.py", line 3, in f' in result["log.txt"]


def test_a_damaged_document_is_left_out(texts: dict[str, str], tmp_path: Path) -> None:
    texts["plan.json"] = '{"name": "M\\u00fcller'
    result, left_out = anonymized(texts, tmp_path)
    assert "plan.json" not in result and left_out == {"plan.json": "it is damaged, and names in it cannot be found"}


def test_this_computer_and_the_list_of_cases(tmp_path: Path) -> None:
    """Names in the list of a training's cases are known, even where its data are gone."""
    listed: dict[str, Any] = {"train": ["Vogel", "HM", "of"], "val": [], "cases": {"Lang_Ida": {}}}
    (tmp_path / "used_cases.json").write_text(json.dumps(listed), encoding="utf-8")
    result, _ = anonymized({"log.txt": f"Vogel, HM and Lang_Ida of {socket.gethostname()}"}, tmp_path)
    assert result["log.txt"] == "case-3, case-1 and case-2 of host-1"


def test_images_of_which_slices_are_drawn(tmp_path: Path) -> None:
    """Before any event has told their names."""
    drawn = {"Schmidt_Eva": {"axis": "z", "slices": [4]}}
    texts = {"job.json": json.dumps({"kind": "suggest", "config": {"drawn": drawn}})}
    result, _ = anonymized(texts, tmp_path)
    assert json.loads(result["job.json"])["config"]["drawn"] == {"case-1": {"axis": "z", "slices": [4]}}
