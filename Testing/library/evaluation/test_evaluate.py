"""Measuring, and the three files that are written."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.config.job_settings import EvaluateConfig
from MedSegTrainerLib.errors import ConfigError, DataError
from MedSegTrainerLib.evaluation.evaluate import evaluate
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.events import Measured, Progress, Stage, Warned
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map
from MedSegTrainerLib.jobs.evaluate import evaluate_files
from MedSegTrainerLib.metrics.metrics import METRICS
from MedSegTrainerLib.report.case_arrays import read_case
from MedSegTrainerLib.report.slice_pictures import draw_case

# Oblique, anisotropic and not cubic
GEOMETRY = Geometry(
    size=(13, 11, 7),
    spacing=(0.7, 1.1, 3.0),
    origin=(12.0, -30.0, 5.0),
    direction=(0.8, 0.6, 0.0, -0.6, 0.8, 0.0, 0.0, 0.0, 1.0),
)
KIDNEY = LabelClass(value=1, name="kidney", color=(200, 80, 60))
CYST = LabelClass(value=4, name="cyst", color=(60, 80, 200))


def ignore(event: Any) -> None:
    pass


def kidney(shift: int = 0) -> np.ndarray:
    array = np.zeros(GEOMETRY.size_zyx, np.uint8)
    array[2:5, 3:8, 3 + shift : 8 + shift] = 1
    return array


def save(path: Path, array: np.ndarray, geometry: Geometry = GEOMETRY) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    sitk.WriteImage(geometry.place(array), str(path))
    return path


def pair(folder: Path, prediction: np.ndarray, reference: np.ndarray, name: str = "a") -> Pair:
    return Pair(
        name=name,
        prediction=save(folder / "predictions" / f"{name}.nii.gz", prediction),
        reference=save(folder / "labels" / f"{name}.nii.gz", reference),
        image=None,
    )


class TestEvaluate:
    def test_the_files_hold_the_same_numbers(self, tmp_path: Path) -> None:
        pairs = [pair(tmp_path, kidney(2), kidney(), "a"), pair(tmp_path, kidney(), kidney(), "b")]
        document = evaluate(pairs, [KIDNEY, CYST], tmp_path / "out", ignore, title="Kidneys", facts={"Model": "m"})
        assert document["cases"]["a"]["kidney"]["dice"] == pytest.approx(0.6)
        assert document["summary"]["kidney"]["dice"]["mean"] == pytest.approx(0.8)
        assert document["summary"]["cyst"]["dice"]["count"] == 0
        assert document["overall"]["mean_dice"] == pytest.approx(0.8)
        assert json.loads((tmp_path / "out" / "metrics.json").read_text()) == document
        with (tmp_path / "out" / "metrics.csv").open(newline="") as stream:
            rows = list(csv.DictReader(stream))
        assert [(row["case"], row["class"], row["outcome"]) for row in rows] == [
            ("a", "kidney", "found"), ("a", "cyst", "absent"), ("b", "kidney", "found"), ("b", "cyst", "absent"),
        ]  # fmt: skip
        assert float(rows[0]["dice"]) == document["cases"]["a"]["kidney"]["dice"]
        assert rows[1]["dice"] == ""
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
            "metrics.csv", "metrics.json", "report.html", "summary.csv",
        ]  # fmt: skip

    def test_distances_use_the_spacing(self, tmp_path: Path) -> None:
        document = evaluate([pair(tmp_path, kidney(2), kidney())], [KIDNEY], tmp_path / "out", ignore, title="t")
        assert document["cases"]["a"]["kidney"]["hd95_mm"] == pytest.approx(2 * 0.7)

    def test_surface_dice_has_the_tolerance_asked_for(self, tmp_path: Path) -> None:
        shifted = pair(tmp_path, kidney(1), kidney())
        for tolerance, perfect in ((0.6, False), (0.7, True)):
            out = tmp_path / f"{tolerance}"
            document = evaluate([shifted], [KIDNEY], out, ignore, title="t", tolerance_mm=tolerance)
            assert (document["cases"]["a"]["kidney"]["surface_dice"] == 1) is perfect
            assert document["surface_tolerance_mm"] == tolerance

    def test_what_is_taken_for_what(self, tmp_path: Path) -> None:
        """Voxels of both cases together; what no file labelled is background on both sides."""
        prediction = kidney()
        prediction[2:5, 3:8, 3:5] = 4
        pairs = [pair(tmp_path, prediction, kidney(), "a"), pair(tmp_path, kidney(), kidney(), "b")]
        document = evaluate(pairs, [KIDNEY, CYST], tmp_path / "out", ignore, title="t")
        outside = 2 * (kidney().size - 75)
        assert document["confusion"] == {
            "labels": ["background", "kidney", "cyst"], "voxels": [[outside, 0, 0], [0, 120, 30], [0, 0, 0]],
        }  # fmt: skip

    def test_a_class_counts_where_somebody_looked_for_it(self, tmp_path: Path) -> None:
        """In b nobody looked for a cyst: one that was found there is neither right nor wrong, but over a kidney it is
        wrong, as a kidney is where there is none."""
        prediction = kidney()
        prediction[2:5, 3:8, 3:5] = 4
        prediction[0, 0, :3] = 4
        prediction[6, :2, :5] = 1
        pairs = [pair(tmp_path, prediction, kidney(), "a"), pair(tmp_path, prediction, kidney(), "b")]
        pairs[1] = replace(pairs[1], drawn=("kidney",))
        document = evaluate(pairs, [KIDNEY, CYST], tmp_path / "out", ignore, title="t")
        first, second = document["cases"]["a"], document["cases"]["b"]
        assert document["not_drawn"] == {"b": ["cyst"]}
        assert document["notes"][-1].endswith("in which somebody looked for them: cyst in 1 of 2 cases.")
        assert first["kidney"] == second["kidney"]
        assert second["kidney"]["dice"] == pytest.approx(2 * 45 / (75 + 55))
        assert first["cyst"]["dice"] == 0 and set(second["cyst"].values()) == {None}
        assert document["summary"]["cyst"]["dice"]["count"] == 1
        overall = document["overall"]
        assert (overall["found"], overall["extra"], overall["absent"]) == (2, 1, 0)
        assert overall["case_mean_dice"]["b"] == second["kidney"]["dice"]
        outside = kidney().size - 75
        assert document["confusion"]["voxels"] == [[2 * outside - 23, 20, 3], [0, 90, 60], [0, 0, 0]]
        with (tmp_path / "out" / "metrics.csv").open(newline="") as stream:
            rows = {(row["case"], row["class"]): row for row in csv.DictReader(stream)}
        assert rows["b", "cyst"]["outcome"] == "not drawn" and rows["b", "cyst"]["dice"] == ""
        page = (tmp_path / "out" / "report.html").read_text()
        assert "drawn in 1 of 2 cases" in page and "\N{EN DASH} not drawn" in page

    def test_where_all_was_drawn_nothing_is_said_of_it(self, tmp_path: Path) -> None:
        both = replace(pair(tmp_path, kidney(2), kidney()), drawn=("cyst", "kidney"))
        evaluate([both], [KIDNEY, CYST], tmp_path / "out", ignore, title="t")
        assert "drawn" not in (tmp_path / "out" / "report.html").read_text()

    def test_uncertainty_against_error(self, tmp_path: Path) -> None:
        doubt = (kidney(2) != kidney()).astype(np.float32)
        both = replace(pair(tmp_path, kidney(2), kidney()), uncertainty=save(tmp_path / "doubt.nrrd", doubt))
        document = evaluate([both], [KIDNEY], tmp_path / "out", ignore, title="t")
        assert document["uncertainty"]["bins"][-1]["wrong"] == document["uncertainty"]["bins"][-1]["voxels"] == 60
        assert document["uncertainty"]["cases"]["a"] == pytest.approx(30 / 75)

    def test_uncertainty_on_another_grid_is_left_out(self, tmp_path: Path) -> None:
        moved = save(tmp_path / "doubt.nrrd", kidney(), replace(GEOMETRY, origin=(0.0, 0.0, 0.0)))
        both = replace(pair(tmp_path, kidney(2), kidney()), uncertainty=moved)
        document = evaluate([both], [KIDNEY], tmp_path / "out", ignore, title="t")
        assert document["uncertainty"] is None
        assert "another grid" in document["notes"][0]

    def test_some_references_without_size_are_told(self, tmp_path: Path) -> None:
        one = pair(tmp_path, kidney(), kidney(), "a")
        array = tmp_path / "b.npy"
        np.save(array, kidney())
        bare = Pair(name="b", prediction=array, reference=array, image=None)
        assert evaluate([bare], [KIDNEY], tmp_path / "b", ignore, title="t")["length"] == "voxels"
        document = evaluate([one, bare], [KIDNEY], tmp_path / "out", ignore, title="t")
        assert document["length"] == "mm" and "1 of 2 references" in document["notes"][0]

    def test_events(self, tmp_path: Path) -> None:
        events: list[Any] = []
        pairs = [pair(tmp_path, kidney(), kidney(), name) for name in ("a", "b")]
        evaluate(pairs, [KIDNEY], tmp_path / "out", events.append, title="t")
        assert [type(event) for event in events] == [Stage, Progress, Progress, Measured]
        assert (events[0].name, events[0].total) == ("evaluate", 2)
        assert [(event.done, event.total) for event in events[1:3]] == [(1, 2), (2, 2)]
        assert events[3].metrics["kidney"]["dice"] == 1
        assert events[3].report == str(tmp_path / "out" / "report.html")

    def test_other_grids_are_refused_with_both_geometries(self, tmp_path: Path) -> None:
        one = pair(tmp_path, kidney(), kidney())
        save(one.prediction, kidney(), replace(GEOMETRY, origin=(12.0, -30.0, 9.0)))
        with pytest.raises(DataError, match="a: reference and prediction") as caught:
            evaluate([one], [KIDNEY], tmp_path / "out", ignore, title="t")
        assert "(12, -30, 5)" in str(caught.value) and "(12, -30, 9)" in str(caught.value)
        assert not (tmp_path / "out").exists()

    def test_labels_of_no_class_are_told_once(self, tmp_path: Path) -> None:
        events: list[Any] = []
        strange = kidney()
        strange[0, 0, 0] = 9
        pairs = [pair(tmp_path, strange, kidney(), name) for name in ("a", "b")]
        document = evaluate(pairs, [KIDNEY], tmp_path / "out", events.append, title="t")
        warnings = [event.message for event in events if isinstance(event, Warned)]
        assert len(warnings) == 1 and "9 (in b)" in warnings[0]
        assert document["notes"] == warnings
        assert document["cases"]["a"]["kidney"]["dice"] == 1

    def test_voxels_that_nobody_labelled_do_not_count(self, tmp_path: Path) -> None:
        """The half of the kidney that is not labelled, and a wrong structure in the dark, change no number; where the
        kidney ends nobody knows."""
        prediction, reference = kidney(1), kidney()
        reference[3:] = 9
        prediction[5:] = 1
        half = pair(tmp_path, prediction, reference)
        warned: list[Any] = []
        actual = evaluate([half], [KIDNEY], tmp_path / "out", warned.append, title="t", ignore_label=9)
        prediction[3:], reference[3:] = 0, 0
        expected = evaluate([pair(tmp_path, prediction, reference, "b")], [KIDNEY], tmp_path / "b", ignore, title="t")
        a, b = actual["cases"]["a"]["kidney"], expected["cases"]["b"]["kidney"]
        overlaps = ("dice", "iou", "precision", "recall")
        assert {key: a[key] for key in overlaps} == {key: b[key] for key in overlaps}
        of_all = ("accuracy", "specificity")  # they count what is outside, too: the labelled part of it
        assert all(a[key] is None and b[key] is not None for key in a if key not in (*overlaps, *of_all))
        labelled = 3 * 11 * 13
        assert a["accuracy"] == pytest.approx(1 - 10 / labelled)
        assert a["specificity"] == pytest.approx(1 - 5 / (labelled - 25))
        assert actual["cases"]["a"]["kidney"]["dice"] == pytest.approx(0.8)
        [note] = [event.message for event in warned if isinstance(event, Warned)]
        assert "In 1 of 1 cases structures reach them (kidney)" in note and note in actual["notes"]

    def test_a_structure_in_the_labelled_part_has_all_numbers(self, tmp_path: Path) -> None:
        reference = kidney()
        inside = [slice(max(0, int(at.min()) - 3), int(at.max()) + 4) for at in np.nonzero(reference)]
        boxed = np.full_like(reference, 9)
        boxed[tuple(inside)] = reference[tuple(inside)]
        parts = [pair(tmp_path, kidney(1), reference), pair(tmp_path, kidney(1), boxed, "b")]
        document = evaluate(parts, [KIDNEY], tmp_path / "out", ignore, title="t", ignore_label=9)
        whole, box = (document["cases"][name]["kidney"] for name in "ab")
        assert {key: box[key] for key in box if key not in ("accuracy", "specificity")} == {
            key: whole[key] for key in whole if key not in ("accuracy", "specificity")
        }
        assert not document["notes"]


class TestClassesFromFiles:
    def test_names_and_colours_of_segment_fields(self, tmp_path: Path) -> None:
        one = pair(tmp_path, kidney(), kidney())
        named = replace(one, prediction=tmp_path / "predictions" / "a.seg.nrrd")
        write_label_map(GEOMETRY.place(kidney()), named.prediction, [KIDNEY, CYST])
        document = evaluate([named], None, tmp_path / "out", ignore, title="t")
        assert [(item["value"], item["name"], item["color"]) for item in document["classes"]] == [
            (1, "kidney", [200, 80, 60]), (4, "cyst", [60, 80, 200]),
        ]  # fmt: skip
        assert document["cases"]["a"]["cyst"]["dice"] is None

    def test_else_the_union_of_all_cases(self, tmp_path: Path) -> None:
        second = kidney()
        second[0, 0, 0] = 3
        pairs = [pair(tmp_path, kidney(), kidney(), "a"), pair(tmp_path, kidney(), second, "b")]
        document = evaluate(pairs, None, tmp_path / "out", ignore, title="t")
        assert [item["name"] for item in document["classes"]] == ["label 1", "label 3"]
        assert document["cases"]["a"]["label 3"]["dice"] is None
        assert document["cases"]["b"]["label 3"]["dice"] == 0
        assert document["overall"]["missed"] == 1

    def test_a_value_with_two_names_is_two_structures(self, tmp_path: Path) -> None:
        events: list[Any] = []
        one = pair(tmp_path, kidney(), kidney())
        files = replace(
            one, prediction=tmp_path / "predictions" / "a.seg.nrrd", reference=tmp_path / "labels" / "a.seg.nrrd"
        )
        write_label_map(GEOMETRY.place(kidney()), files.prediction, [KIDNEY])
        write_label_map(GEOMETRY.place(kidney()), files.reference, [replace(KIDNEY, name="spleen")])
        document = evaluate([files], None, tmp_path / "out", events.append, title="t")
        assert any(isinstance(e, Warned) and "'kidney'" in e.message and "'spleen'" in e.message for e in events)
        assert document["overall"]["extra"] == document["overall"]["missed"] == 1
        assert set(document["summary"]) == {"kidney", "spleen"}

    def test_equal_names_are_told_apart(self, tmp_path: Path) -> None:
        twins = [KIDNEY, replace(CYST, name="kidney")]
        document = evaluate([pair(tmp_path, kidney(), kidney())], twins, tmp_path / "out", ignore, title="t")
        assert list(document["summary"]) == ["kidney (label 1)", "kidney (label 4)"]


class TestJob:
    def test_whole_job(self, tmp_path: Path) -> None:
        pair(tmp_path, kidney(1), kidney())
        save(tmp_path / "labels" / "unused.nii.gz", kidney())
        events: list[Any] = []
        config = EvaluateConfig(
            predictions=str(tmp_path / "predictions"), labels=str(tmp_path), output_dir=str(tmp_path / "out")
        )
        report = evaluate_files(config, events.append)
        assert report == str(tmp_path / "out" / "report.html")
        assert isinstance(events[-1], Measured)
        assert "unused" in Path(report).read_text(encoding="utf-8")

    def listed(self, tmp_path: Path, predictions: str, **settings: Any) -> EvaluateConfig:
        """Two cases, named otherwise than their references; the second is predicted badly."""
        for name, shift in (("a", 0), ("b", 2)):
            path = tmp_path / "p" / f"{name}.{predictions}"
            write_label_map(GEOMETRY.place(kidney(shift)), path, [KIDNEY])
            save(tmp_path / "set" / f"mask {name}.nii.gz", kidney())
            save(tmp_path / "set" / f"image {name}.nii.gz", kidney() * np.uint8(50))
        return EvaluateConfig(
            predictions=str(tmp_path / "p"),
            references={name: str(tmp_path / "set" / f"mask {name}.nii.gz") for name in "ab"},
            images={name: str(tmp_path / "set" / f"image {name}.nii.gz") for name in "ab"},
            output_dir=str(tmp_path / "out"),
            **settings,
        )

    @pytest.mark.parametrize("predictions", ["nii.gz", "npy"])
    def test_listed_cases(self, tmp_path: Path, predictions: str) -> None:
        """An array says nothing of where it lies: it has the grid of its reference."""
        evaluate_files(self.listed(tmp_path, predictions), ignore)
        document = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
        assert document["cases"]["a"]["label 1"]["dice"] == 1
        assert document["cases"]["b"]["label 1"]["dice"] == pytest.approx(0.6)
        assert document["cases"]["b"]["label 1"]["hd95_mm"] == pytest.approx(2 * GEOMETRY.spacing[0])
        assert "data:image/jpeg" in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")

    def test_a_listed_case_without_prediction(self, tmp_path: Path) -> None:
        config = self.listed(tmp_path, "nii.gz")
        (tmp_path / "p" / "b.nii.gz").unlink()
        with pytest.raises(DataError, match="has no prediction of b"):
            evaluate_files(config, ignore)

    def test_an_array_of_another_size(self, tmp_path: Path) -> None:
        config = self.listed(tmp_path, "npy")
        np.save(tmp_path / "p" / "b.npy", kidney()[1:])
        with pytest.raises(DataError, match="different grids"):
            evaluate_files(config, ignore)

    def test_only_what_is_asked_for(self, tmp_path: Path) -> None:
        events: list[Any] = []
        config = self.listed(tmp_path, "nii.gz", metrics=["HD95", "recall"], per_case=False)
        report = Path(evaluate_files(config, events.append)).read_text(encoding="utf-8")
        document = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
        assert list(document["summary"]["label 1"]) == ["hd95_mm", "recall"]
        assert list(events[-1].metrics["label 1"]) == ["hd95_mm", "recall"]
        assert "cases" not in document
        assert not (tmp_path / "out" / "metrics.csv").exists()
        assert "<h2>Every case" not in report and ">IoU<" not in report and ">Recall<" in report
        assert "Mean HD95" in report and "Mean Dice" not in report

    def test_everything_else_is_there_by_default(self, tmp_path: Path) -> None:
        report = Path(evaluate_files(self.listed(tmp_path, "nii.gz"), ignore)).read_text(encoding="utf-8")
        assert "<h2>Every case" in report and ">IoU<" in report and "Mean Dice" in report
        header = (tmp_path / "out" / "metrics.csv").read_text(encoding="utf-8").splitlines()[0]
        assert header == ",".join(["case", "class", "outcome", *METRICS])

    def test_pictures_as_opaque_as_asked(self, tmp_path: Path) -> None:
        folder = tmp_path / "pictures"
        config = self.listed(tmp_path, "seg.nrrd", pictures_dir=str(folder), overlay_alpha=0.9)
        evaluate_files(config, ignore)
        assert sorted(path.name for path in folder.iterdir()) == ["a.png", "b.png"]
        files = {
            "prediction": str(tmp_path / "p" / "b.seg.nrrd"), "reference": config.references["b"],
            "image": config.images["b"],
        }  # fmt: skip
        drawn = draw_case(read_case(files, [KIDNEY.value]), [KIDNEY], opacity=0.9)
        assert (folder / "b.png").read_bytes() == drawn
        assert draw_case(read_case(files, [KIDNEY.value]), [KIDNEY], opacity=0.1) != drawn

    def test_maps_beside_the_predictions_are_found(self, tmp_path: Path) -> None:
        config = self.listed(tmp_path, "nii.gz")
        save(tmp_path / "p" / "uncertainty" / "b_entropy.nrrd", (kidney(2) != kidney()).astype(np.float32))
        events: list[Any] = []
        report = Path(evaluate_files(config, events.append)).read_text(encoding="utf-8")
        assert "Uncertainty against error" in report
        assert any(isinstance(event, Warned) and "without a map of uncertainty: a" in event.message for event in events)

    def test_a_folder_without_any_map_is_refused(self, tmp_path: Path) -> None:
        config = self.listed(tmp_path, "nii.gz", uncertainty=str(tmp_path / "set"))
        with pytest.raises(DataError, match=r"no map of uncertainty for a, b.*a_entropy.nii.gz"):
            evaluate_files(config, ignore)

    def test_an_unknown_metric(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match=r"'dise' is no metric. Did you mean 'dice'"):
            evaluate_files(self.listed(tmp_path, "nii.gz", metrics=["dise"]), ignore)

    def test_missing_folders_are_all_named(self) -> None:
        with pytest.raises(ConfigError) as caught:
            evaluate_files(EvaluateConfig(predictions="p"), ignore)
        assert [problem.split(":")[0] for problem in caught.value.problems] == ["labels", "output_dir"]
