"""What was drawn in references, by the files beside them and by one that somebody names."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from MedSegTrainerLib.api import evaluate
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.errors import DataError, UsageError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map
from MedSegTrainerLib.jobs.evaluate import evaluate_files

GEOMETRY = Geometry(size=(13, 11, 7), spacing=(0.7, 1.1, 3.0), origin=(12.0, -30.0, 5.0))
CLASSES = [LabelClass(value=value, name=name, color=(9, 90, 200)) for value, name in ((1, "jaw"), (2, "larynx"))]


def labels(*values: int) -> np.ndarray:
    array = np.zeros(GEOMETRY.size_zyx, np.uint8)
    for value in values:
        array[2:5, 3:8, 3 * value : 3 * value + 2] = value
    return array


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two cases whose predictions name a jaw and a larynx; the second reference has no larynx."""
    for name, values in (("one", (1, 2)), ("two", (1,))):
        for side, drawn in (("pred", (1, 2)), ("data/labelsTr", values)):
            path = tmp_path / side / f"{name}{'.seg.nrrd' if side == 'pred' else '.nii.gz'}"
            path.parent.mkdir(parents=True, exist_ok=True)
            write_label_map(GEOMETRY.place(labels(*drawn)), path, CLASSES)
    return tmp_path


def write(path: Path, document: Any) -> Path:
    path.write_text(json.dumps(document))
    return path


def evaluated(folder: Path, **settings: Any) -> dict[str, Any]:
    return evaluate(folder / "pred", folder / "data", folder / "out", **settings)


def test_without_a_file_all_was_drawn(folder: Path) -> None:
    document = evaluated(folder)
    assert document["not_drawn"] == {}
    assert document["cases"]["two"]["larynx"]["dice"] == 0


def test_drawn_json_of_the_data_set(folder: Path) -> None:
    write(folder / "data" / "drawn.json", {"two": ["jaw"]})
    document = evaluated(folder)
    assert document["not_drawn"] == {"two": ["larynx"]}
    assert document["cases"]["two"]["larynx"]["dice"] is None and document["cases"]["one"]["larynx"]["dice"] == 1
    assert document["overall"]["mean_dice"] == 1 and document["overall"]["extra"] == 0


def test_drawn_json_beside_the_folder_of_references(folder: Path) -> None:
    write(folder / "data" / "drawn.json", {"two": ["jaw"]})
    document = evaluate(folder / "pred", folder / "data" / "labelsTr", folder / "out")
    assert document["not_drawn"] == {"two": ["larynx"]}


def test_cases_json_of_the_data_set(folder: Path) -> None:
    cases = [
        {"name": "two", "images": ["two.nii.gz"], "label": "labelsTr/two.nii.gz", "drawn": ["jaw"]},
        {"name": "one", "images": ["one.nii.gz"], "label": "labelsTr/one.nii.gz"},
    ]
    write(
        folder / "data" / "cases.json",
        {"cases": cases, "classes": [{"value": 2, "name": "larynx", "color": [1, 2, 3]}]},
    )
    assert evaluated(folder)["not_drawn"] == {"two": ["larynx"]}
    write(folder / "data" / "drawn.json", {"one": ["larynx"]})
    assert evaluated(folder)["not_drawn"] == {"one": ["jaw"], "two": ["larynx"]}


def test_a_file_that_is_named_counts_alone(folder: Path) -> None:
    write(folder / "data" / "drawn.json", {"two": ["jaw"]})
    other = write(folder / "mine.json", {"one": ["larynx"]})
    assert evaluated(folder, drawn_file=str(other))["not_drawn"] == {"one": ["jaw"]}


def test_what_the_settings_list_for_cases(folder: Path) -> None:
    config = EvaluateConfig(
        predictions=str(folder / "pred"), output_dir=str(folder / "out"), drawn={"two": ["jaw"]},
        references={name: str(folder / "data" / "labelsTr" / f"{name}.nii.gz") for name in ("one", "two")},
    )  # fmt: skip
    evaluate_files(config, lambda event: None)
    assert json.loads((folder / "out" / "metrics.json").read_text())["not_drawn"] == {"two": ["larynx"]}


def test_classes_that_only_dataset_json_names(folder: Path) -> None:
    for path in (folder / "pred").iterdir():
        write_label_map(GEOMETRY.place(labels(1, 2)), path.with_name(path.name.replace(".seg.nrrd", ".nii.gz")), [])
        path.unlink()
    write(folder / "data" / "drawn.json", {"two": ["jaw"]})
    with pytest.raises(DataError, match=r"'jaw' is said to be drawn in two, and no class has this name. Nothing names"):
        evaluated(folder)
    write(folder / "data" / "dataset.json", {"labels": {"background": 0, "jaw": 1, "larynx": 2}})
    assert evaluated(folder)["not_drawn"] == {"two": ["larynx"]}


def test_names_that_nothing_has_are_refused_with_near_ones(folder: Path) -> None:
    write(folder / "data" / "drawn.json", {"two": ["jaws"]})
    with pytest.raises(DataError, match=r"'jaws' is said to be drawn in two.* Did you mean 'jaw'\?"):
        evaluated(folder)
    other = write(folder / "mine.json", {"tow": ["jaw"]})
    with pytest.raises(DataError, match=r"mine\.json names none of the evaluated cases, such as one\. Known: tow\."):
        evaluated(folder, drawn_file=str(other))
    with pytest.raises(UsageError, match=r"gone\.json does not exist"):
        evaluated(folder, drawn_file=str(folder / "gone.json"))


def test_the_option_of_the_command(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    call = ["evaluate", str(folder / "pred"), str(folder / "data"), "-o", str(folder / "out"), "--drawn"]
    with pytest.raises(SystemExit, match="2"):
        main([*call, str(folder / "gone.json")])
    assert "gone.json does not exist" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="0"):
        main([*call, str(write(folder / "mine.json", {"two": ["jaw"]}))])
    assert json.loads((folder / "out" / "metrics.json").read_text())["not_drawn"] == {"two": ["larynx"]}
    assert "somebody looked for them: larynx in 1 of 2 cases" in " ".join(capsys.readouterr().out.split())
