"""The data doctor on a folder with one of each defect: each is named once, with its case and a remedy that works."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.cli.main import main
from MedSegTrainerLib.config.parsing import parse_config
from MedSegTrainerLib.config.settings import TrainConfig
from MedSegTrainerLib.data.checks.scan import examine_cases
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.events import EventReader
from MedSegTrainerLib.findings import Finding, warning_lines
from MedSegTrainerLib.imaging.geometry import Geometry, resample
from MedSegTrainerLib.jobs.stages import scan_data
from MedSegTrainerLib.jobs.verify import look_for_cases

LEFT, RIGHT, CYST = 1, 2, 3
NAMES = {"0": "background", "1": "left kidney", "2": "right kidney", "3": "cyst"}
TURN = (0.98, -0.199, 0.0, 0.199, 0.98, 0.0, 0.0, 0.0, 1.0)
GRID = Geometry(size=(26, 22, 12), spacing=(1.5, 1.4, 3.0), origin=(-20.0, 5.0, 40.0), direction=TURN)
GOOD = 7
DEFECTS = {  # case: severity and kind of what is wrong with it
    "alone_image": ("error", "file without counterpart"),
    "alone_label": ("error", "file without counterpart"),
    "constant": ("error", "constant image"),
    "cyst": ("warning", "class in too few cases"),
    "empty": ("warning", "empty label map"),
    "exchanged": ("warning", "left and right exchanged"),
    "fractions": ("error", "label map that cannot be used"),
    "moved": ("warning", "labels where the image shows nothing"),
    "nan": ("error", "voxels that are no numbers"),
    "other_grid": ("error", "image and label on different grids"),
    "scaled": ("warning", "intensities unlike the others"),
    "spaced": ("warning", "spacing or size unlike the others"),
    "specks": ("note", "specks"),
    "text": ("error", "image that cannot be used"),
    "tilted": ("warning", "axes that are not at right angles"),
    "tiny": ("warning", "class of a few voxels"),
    "truncated": ("error", "image that cannot be used"),
    "twice": ("warning", "the same image twice"),
    "unknown": ("error", "label values without a name"),
}
OF_ALL = ("", "note", "left and right")  # the only thing to say of healthy cases with such names

Arrays = tuple[np.ndarray, np.ndarray]


class Folder:
    """``images`` and ``labels`` that can be spoilt and mended."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for name in ("images", "labels"):
            (root / name).mkdir(parents=True)
        (root / "dataset.json").write_text(json.dumps({"labels": NAMES}), encoding="utf-8")

    def image(self, name: str) -> Path:
        return next((self.root / "images").glob(f"{name}.n*"), self.root / "images" / f"{name}.nii.gz")

    def label(self, name: str) -> Path:
        return next((self.root / "labels").glob(f"{name}.n*"), self.root / "labels" / f"{name}.nii.gz")

    def write(self, name: str, arrays: Arrays, grid: Geometry = GRID, label_grid: Geometry | None = None) -> None:
        sitk.WriteImage(grid.place(arrays[0]), str(self.image(name)))
        sitk.WriteImage((label_grid or grid).place(arrays[1]), str(self.label(name)))

    def change(self, path: Path, change: Callable[[np.ndarray], np.ndarray]) -> None:
        image = sitk.ReadImage(str(path))
        sitk.WriteImage(Geometry.of(image).place(change(sitk.GetArrayFromImage(image))), str(path))

    def remove(self, name: str) -> None:
        self.image(name).unlink(missing_ok=True)
        self.label(name).unlink(missing_ok=True)

    def findings(self) -> list[Finding]:
        dataset, findings = look_for_cases(config(self.root))
        names = dataset.label_names
        return [*findings, *examine_cases(dataset.cases, label_names=names, num_workers=1, thorough=True).findings]


def config(root: Path) -> TrainConfig:
    parsed: TrainConfig = parse_config(TrainConfig, {"data": {"data_dir": str(root), "num_workers": 1}})
    return parsed


def patient(number: int) -> Arrays:
    """A bright body in dark air with two kidneys, each number with another place and size of them."""
    z, y, x = np.ogrid[:12, :22, :26]
    body = ((x - 12.5) / 11) ** 2 + ((y - 10.5) / 8.5) ** 2 + 0 * z < 1
    label = np.zeros(GRID.size_zyx, np.uint8)
    low, front, top = 4 - number % 2, 7 + number // 2 % 3, 8 + number // 6 % 4
    label[low:top, front : front + 5, 16 : 20 + number // 24] = LEFT
    label[low:top, front : front + 5, 6:10] = RIGHT
    image = 100.0 * body + 70 * (label > 0) + np.random.default_rng(number).normal(0, 4, label.shape)
    return image.astype(np.float32), label


def turned(values: np.ndarray) -> np.ndarray:
    return np.select([values == LEFT, values == RIGHT], [RIGHT, LEFT], values.astype(int)).astype(np.uint8)


def with_cyst(label: np.ndarray) -> np.ndarray:
    label[1:3, 9:12, 11:15] = CYST
    return label


def with_specks(label: np.ndarray) -> np.ndarray:
    label[1, 4, 11] = label[10, 16, 13] = LEFT
    return label


def few(label: np.ndarray) -> np.ndarray:
    kept = np.flatnonzero(label.ravel() == LEFT)[3:]
    label.ravel()[kept] = 0
    return label


def with_nan(image: np.ndarray) -> np.ndarray:
    image[2, 3, 4] = np.nan
    return image


def make_defects(folder: Folder) -> None:
    numbers = iter(range(GOOD, 99))
    for number in range(GOOD):
        folder.write(f"good_{number}", patient(number))
    for name in DEFECTS:
        folder.write(name, patient(next(numbers)))
    folder.label("alone_image").unlink()
    folder.image("alone_label").unlink()
    folder.change(folder.image("constant"), lambda a: np.full_like(a, 7))
    folder.change(folder.label("cyst"), with_cyst)
    folder.change(folder.label("empty"), np.zeros_like)
    folder.change(folder.label("exchanged"), turned)
    folder.change(folder.label("fractions"), lambda a: a * np.float32(0.25))
    folder.change(folder.label("moved"), lambda a: np.roll(a, 8, axis=1))
    folder.change(folder.image("nan"), with_nan)
    folder.write("other_grid", patient(40), label_grid=Geometry(**{**asdict(GRID), "origin": (-20.0, 9.0, 40.0)}))
    folder.change(folder.image("scaled"), lambda a: a * 40)
    folder.write("spaced", patient(41), Geometry(**{**asdict(GRID), "spacing": (1.5, 1.4, 12.0)}))
    folder.change(folder.label("specks"), with_specks)
    folder.image("text").write_text("hello", encoding="utf-8")
    folder.remove("tilted")
    for path in (folder.root / "images" / "tilted.nrrd", folder.root / "labels" / "tilted.nrrd"):
        path.touch()
    folder.write("tilted", patient(42), Geometry(**{**asdict(GRID), "direction": (1, 0, 0, 0, 0.98, 0.2, 0, 0, 0.98)}))
    folder.change(folder.label("tiny"), few)
    content = folder.image("truncated").read_bytes()
    folder.image("truncated").write_bytes(content[: len(content) // 2])
    folder.write("twice", patient(3))
    folder.change(folder.label("unknown"), lambda a: np.where(a == RIGHT, 9, a).astype(np.uint8))


@pytest.fixture(scope="module")
def spoilt(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    folder = Folder(tmp_path_factory.mktemp("doctor") / "data")
    make_defects(folder)
    return folder


@pytest.fixture(scope="module")
def findings(spoilt: Folder) -> list[Finding]:
    return spoilt.findings()


def test_each_defect_is_named_once_with_its_case(findings: list[Finding]) -> None:
    found = sorted((finding.case, finding.severity, finding.kind) for finding in findings)
    assert found == sorted([(case, *what) for case, what in DEFECTS.items()] + [OF_ALL])


def test_every_finding_says_what_and_what_to_do(findings: list[Finding]) -> None:
    for finding in findings:
        assert finding.message.endswith((".", "?")), finding
        assert finding.remedy.endswith((".", ")")), finding
        assert len(finding.remedy) > 10, finding


@pytest.mark.parametrize(
    ("case", "figures"),
    [
        ("constant", "7 everywhere"), ("cyst", "(cyst)"), ("fractions", "whole numbers"), ("nan", "1 voxels"),
        ("other_grid", "9, 40) mm"), ("spaced", "12 x 1.4 x 1.5 mm"), ("specks", "2 tiny parts"),
        ("text", "cannot be read"), ("tilted", "78.4"), ("tiny", "only 3 voxels are 'left kidney'"),
        ("truncated", "damaged"), ("twice", "that of good_3, with the same label map"), ("unknown", "[9]"),
    ],
)  # fmt: skip
def test_the_figures_are_told(findings: list[Finding], case: str, figures: str) -> None:
    assert [figures in finding.message for finding in findings if finding.case == case] == [True]


def test_training_refuses_the_errors_in_one_message(spoilt: Folder, findings: list[Finding]) -> None:
    with pytest.raises(DataError, match="have no label: alone_image"):
        scan_data(config(spoilt.root), lambda event: None)
    assert [line for line in warning_lines(findings) if "moved" in line]


def test_the_remedies_work(tmp_path: Path) -> None:
    folder = Folder(tmp_path / "data")
    make_defects(folder)
    for name in ("alone_image", "alone_label", "constant", "cyst", "empty", "scaled", "spaced", "text", "truncated"):
        folder.remove(name)
    folder.remove("twice")
    folder.change(folder.label("exchanged"), turned)
    folder.change(folder.label("fractions"), lambda a: np.round(a * 4).astype(np.uint8))
    folder.change(folder.label("moved"), lambda a: np.roll(a, -8, axis=1))
    folder.change(folder.image("nan"), lambda a: np.nan_to_num(a, nan=0.0))
    for path in (folder.image("tilted"), folder.label("tilted")):
        right_angles = resample(sitk.ReadImage(str(path)), GRID, is_label="labels" in str(path))
        sitk.WriteImage(right_angles, str(path))
    image = sitk.ReadImage(str(folder.image("other_grid")))
    label = sitk.ReadImage(str(folder.label("other_grid")))
    sitk.WriteImage(resample(label, Geometry.of(image), is_label=True), str(folder.label("other_grid")))
    folder.change(folder.label("specks"), lambda a: np.where(with_specks(np.zeros_like(a)) > 0, 0, a).astype(np.uint8))
    folder.change(folder.label("tiny"), lambda a: np.where(a == LEFT, 0, a).astype(np.uint8))
    names = {**NAMES, "9": "ureter"}
    del names["3"]
    (folder.root / "dataset.json").write_text(json.dumps({"labels": names}), encoding="utf-8")
    left = [(finding.case, finding.kind) for finding in folder.findings()]
    assert left == [("unknown", "class in too few cases"), ("", "left and right")]


def command(*words: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main([str(word) for word in words])
    return int(ended.value.code or 0)


def test_the_command_writes_a_page_and_fails(spoilt: Folder, tmp_path: Path, capsys: Any) -> None:
    out = tmp_path / "out"
    assert command("verify", spoilt.root, "-o", out, "--pictures", "3", "--set", "num_workers=1") == 1
    shown = capsys.readouterr()
    assert "9 errors, 9 warnings, 2 notes. Training would refuse this data." in shown.err
    assert "Traceback" not in shown.err
    document = json.loads((out / "report" / "verify.json").read_text(encoding="utf-8"))
    assert document["counts"] == {"error": 9, "warning": 9, "note": 2}
    assert {item["name"] for item in document["classes"]} == {"left kidney", "right kidney", "cyst", "label 9"}
    page = (out / "report" / "verify.html").read_text(encoding="utf-8")
    assert all(f">{case}<" in page for case in DEFECTS)
    assert page.count("data:image/jpeg;base64,") >= 2  # samples, and a case that can be drawn
    events = EventReader(out / "events.jsonl").read()
    assert sum(event["kind"] == "found" for event in events) == 20


def test_the_command_is_content_with_healthy_cases(tmp_path: Path, capsys: Any) -> None:
    folder = Folder(tmp_path / "data")
    names = {key: name for key, name in NAMES.items() if key != "3"}
    (folder.root / "dataset.json").write_text(json.dumps({"labels": names}), encoding="utf-8")
    for number in range(3):
        folder.write(f"good_{number}", patient(number))
    out = tmp_path / "out"
    assert command("verify", folder.root, "-o", out, "--set", "augmentation=false") == 0
    assert "no errors, no warnings, 1 note. Report:" in capsys.readouterr().out
    page = (out / "report" / "verify.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64,") == 3
    assert "Augmentation is switched off." in page
    assert "http" not in page


def test_the_document_says_what_was_drawn_in_each_case_and_where(tmp_path: Path, capsys: Any) -> None:
    """3D Slicer takes its rows from it."""
    folder = Folder(tmp_path / "data")
    names = {key: name for key, name in NAMES.items() if key != "3"}
    (folder.root / "dataset.json").write_text(json.dumps({"labels": {**names, "9": "ignore"}}), encoding="utf-8")
    for number in range(3):
        folder.write(f"good_{number}", patient(number))
    (folder.root / "drawn.json").write_text(json.dumps({"good_1": ["left kidney"]}), encoding="utf-8")
    command("verify", folder.root, "-o", tmp_path / "one", "--pictures", "0", "--set", "num_workers=1")
    document = json.loads((tmp_path / "one" / "report" / "verify.json").read_text(encoding="utf-8"))
    cases = {case["name"]: case for case in document["cases"]}
    assert {name: case["drawn"] for name, case in cases.items()} == {
        "good_0": None, "good_1": ["left kidney"], "good_2": None,
    }  # fmt: skip
    assert document["ignore_label"] == 9 and all(case["is_plain"] for case in cases.values())
    listed = {"images": [str(folder.image("good_0"))], "label": str(folder.label("good_0"))}
    entries = [
        {"name": "slices", **listed, "labelled_slices": "y"},
        {"name": "box", **listed, "labelled_box": [[0, 0, 1], [25, 21, 9]]},
        {"name": "masks", "images": listed["images"], "masks": {"kidney": listed["label"]}},
    ]
    second = tmp_path / "second"
    second.mkdir()
    (second / "cases.json").write_text(json.dumps({"cases": entries[:2]}), encoding="utf-8")
    command("verify", second, "-o", tmp_path / "two", "--pictures", "0", "--set", "num_workers=1")
    document = json.loads((tmp_path / "two" / "report" / "verify.json").read_text(encoding="utf-8"))
    cases = {case["name"]: case for case in document["cases"]}
    assert (cases["slices"]["labelled_slices"], cases["slices"]["labelled_box"]) == ("y", None)
    assert (cases["box"]["labelled_slices"], cases["box"]["labelled_box"]) == ("", [[0, 0, 1], [25, 21, 9]])
    (second / "cases.json").write_text(json.dumps({"cases": entries[2:]}), encoding="utf-8")
    command("verify", second, "-o", tmp_path / "three", "--pictures", "0", "--set", "num_workers=1")
    document = json.loads((tmp_path / "three" / "report" / "verify.json").read_text(encoding="utf-8"))
    assert [case["is_plain"] for case in document["cases"]] == [False]
