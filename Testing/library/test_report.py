"""The HTML page, which cases it shows, how slices lie on the screen, and the curves."""

from __future__ import annotations

import base64
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.advisor import Advice
from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.label_maps import write_label_map
from MedSegTrainerLib.evaluation import evaluate
from MedSegTrainerLib.geometry import Geometry
from MedSegTrainerLib.pairing import Pair
from MedSegTrainerLib.remedies import Remedy
from MedSegTrainerLib.report.curves import draw_curves
from MedSegTrainerLib.report.html import noteworthy, render
from MedSegTrainerLib.report.pictures import (
    CaseArrays,
    case_views,
    differences,
    draw_case,
    read_case,
    scale_bar_mm,
)

LIVER = LabelClass(value=1, name="liver <b>& co</b>", color=(200, 80, 60))
SHAPE = (9, 12, 15)
SPACING = (4.0, 1.5, 0.8)


def case_arrays(with_image: bool = True) -> CaseArrays:
    """A box of reference and a shifted prediction."""
    prediction, reference = np.zeros((2, *SHAPE), np.int32)
    reference[3:6, 4:9, 5:11] = 1
    prediction[3:6, 4:9, 7:13] = 1
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32) if with_image else None
    return CaseArrays(prediction=prediction, reference=reference, image=image, spacing_zyx=SPACING)


def document_for(folder: Path, **options: Any) -> dict[str, Any]:
    arrays = case_arrays()
    geometry = Geometry(size=(15, 12, 9), spacing=(0.8, 1.5, 4.0))
    files = {name: folder / f"{name}.nrrd" for name in ("prediction", "reference")}
    write_label_map(geometry.place(arrays.prediction), files["prediction"], [])
    write_label_map(geometry.place(arrays.reference), files["reference"], [])
    pair = Pair(name="case <1>", prediction=files["prediction"], reference=files["reference"], image=None)
    options = {"title": "Title & <more>", **options}
    return evaluate([pair], [LIVER], folder / "out", lambda event: None, **options)


class TestPage:
    def test_needs_nothing_else(self, tmp_path: Path) -> None:
        document_for(tmp_path, curves=[{"minutes": 1.0, "epoch": 1, "mean_dice": 0.5, "dice": {LIVER.name: 0.5}}])
        page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
        namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert set(re.findall(r"https?://[^\"'\s<)]+", page.split("<metadata>")[0])) <= namespaces
        assert not re.search(r"<link|<script[^>]+src|@import|url\((?!#)", page)
        assert all(source.startswith("data:") for source in re.findall(r'<img[^>]* src="([^"]{5})', page))

    def test_what_users_named_is_escaped(self, tmp_path: Path) -> None:
        page = render(document_for(tmp_path, facts={"Model": "<script>alert(1)</script>"}, notes=["<i>note</i>"]))
        assert "liver &lt;b&gt;&amp; co&lt;/b&gt;" in page
        assert "case &lt;1&gt;" in page and "Title &amp; &lt;more&gt;" in page
        for raw in ("<b>& co", "<script>alert", "<i>note", "case <1>"):
            assert raw not in page

    def test_numbers_and_picture(self, tmp_path: Path) -> None:
        document = document_for(tmp_path)
        page = render(document)
        assert f"{document['cases']['case <1>'][LIVER.name]['dice']:.3f}" in page
        pictures = re.findall(r"data:image/png;base64,([A-Za-z0-9+/=]+)", page)
        assert [base64.b64decode(picture)[:4] for picture in pictures] == [b"\x89PNG"]

    def test_missed_is_said_in_words(self, tmp_path: Path) -> None:
        document = document_for(tmp_path)
        values = document["cases"]["case <1>"][LIVER.name]
        values |= {"dice": 0.0, "recall": 0.0, "precision": None, "hd95_mm": None, "asd_mm": None}
        page = render(document)
        assert "1 missed" in page
        texts = re.findall(r'data-texts="([^"]*)"', page)[0].split("|")
        shown = dict(zip(document["metrics"], texts, strict=True))
        assert shown["dice"] == "0.000" and shown["precision"] == shown["hd95_mm"] == shown["asd_mm"] == "missed"

    def test_curves_only_when_there_are_some(self, tmp_path: Path) -> None:
        document = document_for(tmp_path)
        assert "How the model learned" not in render(document)
        document["curves"] = [{"minutes": 1.0, "epoch": 1, "mean_dice": 0.5, "dice": {}, "train_loss": 1.0}]
        assert "How the model learned" in render(document)

    def test_advice_with_its_changes(self, tmp_path: Path) -> None:
        remedies = [
            Remedy(setting="loss_type", current="<none>", suggested="dice", why="overlap & size"),
            Remedy(setting="loss_type", current="<none>", suggested="focal", why="another way"),
            Remedy(setting="", current="", suggested="look at the pictures", why="to see it"),
        ]
        advice = [Advice(finding="class_at_zero", message=f"{LIVER.name}: 0.", remedies=tuple(remedies)).to_json()]
        page = render(document_for(tmp_path, advice=advice))
        assert "What the curves say" in page
        assert "A structure is not found at all. liver &lt;b&gt;&amp; co&lt;/b&gt;: 0." in page
        rows = re.findall(
            r"<td[^>]*>(?:<code>)?(.*?)(?:</code>)?</td>", page.split("Change to try")[1].split("</table>")[0]
        )
        assert rows == [
            "--set loss_type=dice", "&lt;none&gt;", "overlap &amp; size", "--set loss_type=focal", "&lt;none&gt;",
            "another way", "look at the pictures", "", "to see it",
        ]  # fmt: skip
        assert re.findall(r"<pre><code>(.*?)</code>", page) == ["--set loss_type=dice"]

    def test_a_good_word_has_no_table(self, tmp_path: Path) -> None:
        assert "What the curves say" not in render(document_for(tmp_path))
        advice = [Advice(finding="healthy", message="0.92.", remedies=()).to_json()]
        page = render(document_for(tmp_path, advice=advice))
        assert "The training went well. 0.92." in page and "Change to try" not in page and "<pre>" not in page


class TestNoteworthy:
    def test_worst_median_and_best_of_many(self) -> None:
        chosen = noteworthy({f"c{index}": index / 10 for index in (4, 0, 9, 2, 7, 1, 3, 8, 5, 6)})
        assert chosen == [
            ("c0", "worst"), ("c1", "second worst"), ("c2", "third worst"), ("c4", "median"), ("c8", "second best"),
            ("c9", "best"),
        ]  # fmt: skip

    @pytest.mark.parametrize("count", range(8))
    def test_never_more_than_six_and_none_twice(self, count: int) -> None:
        names = [name for name, _ in noteworthy({f"c{index}": index / 10 for index in range(count)})]
        assert len(names) == len(set(names)) == min(count, 6)

    def test_cases_without_a_number_are_not_shown(self) -> None:
        assert noteworthy({"a": None, "b": 0.5}) == [("b", "the only case")]


class TestViews:
    def test_radiological_convention(self) -> None:
        """What is more to the Right (or Anterior, in sagittal), Superior or Anterior is further left and up."""
        case = case_arrays()
        case.prediction[:] = 0
        for marker in ((3, 1, 1), (8, 4, 1), (8, 1, 5)):  # (z, y, x) in the axial, coronal and sagittal slice
            case.prediction[marker] = 2
        views = case_views(case)
        assert [(view.plane.name, view.plane.letters) for view in views] == [
            ("axial", "RLAP"), ("coronal", "RLSI"), ("sagittal", "APSI"),
        ]  # fmt: skip
        for view in views:
            (row, column), rows_columns = np.argwhere(view.prediction == 2)[0], np.argwhere(view.reference == 1)
            assert row < rows_columns[:, 0].min() and column < rows_columns[:, 1].min(), view.plane.name

    def test_the_slice_with_the_most_reference(self) -> None:
        case = case_arrays()
        case.reference[7, 1:11, 1:14] = 1
        axial = case_views(case)[0]
        assert axial.position == "axial 8/9"

    def test_size_in_millimetres_follows_the_spacing(self) -> None:
        for view, (rows, columns) in zip(case_views(case_arrays()), [(1, 2), (0, 2), (0, 1)], strict=True):
            height, width = view.size_mm
            assert height == pytest.approx(view.reference.shape[0] * SPACING[rows])
            assert width == pytest.approx(view.reference.shape[1] * SPACING[columns])

    def test_cropped_to_the_labels(self) -> None:
        labels = np.zeros((30, 60, 70), np.int32)
        labels[14:16, 28:34, 30:40] = 1
        case = CaseArrays(prediction=labels, reference=labels, image=None, spacing_zyx=(3.0, 1.0, 1.0))
        assert case_views(case)[0].reference.shape == (6 + 24, 10 + 24)

    def test_an_image_has_one_view_without_letters(self) -> None:
        labels = np.zeros((1, 20, 30), np.int32)
        labels[0, 5:9, 6:14] = 1
        case = CaseArrays(prediction=labels, reference=labels, image=None, spacing_zyx=(1.0, 0.5, 0.8))
        views = case_views(case)
        assert [(view.plane.name, view.oriented, view.position) for view in views] == [("axial", False, "")]

    def test_empty_labels_show_the_whole_volume(self) -> None:
        empty = np.zeros(SHAPE, np.int32)
        case = CaseArrays(prediction=empty, reference=empty, image=None, spacing_zyx=SPACING)
        assert case_views(case)[0].reference.shape == SHAPE[1:]


class TestPictures:
    @pytest.mark.parametrize("with_image", [True, False])
    def test_three_planes(self, with_image: bool) -> None:
        png = draw_case(case_arrays(with_image), [LIVER])
        assert png.startswith(b"\x89PNG")

    def test_a_constant_image(self) -> None:
        case = case_arrays()
        assert case.image is not None
        case.image[:] = 7
        assert draw_case(case, [LIVER]).startswith(b"\x89PNG")

    def test_differences_partition_the_labels(self) -> None:
        prediction = np.array([[0, 1, 1, 2, 0]])
        reference = np.array([[0, 1, 2, 0, 1]])
        found = {kind: mask.astype(int).tolist() for kind, mask in differences(prediction, reference).items()}
        assert found == {
            "correct": [[0, 1, 0, 0, 0]], "confused": [[0, 0, 1, 0, 0]],
            "extra": [[0, 0, 0, 1, 0]], "missing": [[0, 0, 0, 0, 1]],
        }  # fmt: skip

    @pytest.mark.parametrize(("width", "length"), [(40.0, 10.0), (90.0, 20.0), (366.0, 50.0), (2.0, 0.5)])
    def test_scale_bar_is_round(self, width: float, length: float) -> None:
        assert scale_bar_mm(width) == pytest.approx(length)


class TestReadCase:
    def test_axes_become_nearest_to_lps(self, tmp_path: Path) -> None:
        """A volume stored as RAI-like axes: its first voxel is at the patient's left, posterior, inferior."""
        array = np.zeros((5, 6, 7), np.uint8)
        array[0, 0, 0] = 1
        stored = Geometry(size=(7, 6, 5), spacing=(1.0, 2.0, 3.0), direction=(-1, 0, 0, 0, -1, 0, 0, 0, 1))
        path = tmp_path / "a.nrrd"
        sitk.WriteImage(stored.place(array), str(path))
        case = read_case({"prediction": str(path), "reference": str(path), "image": None}, [1])
        assert np.argwhere(case.reference).tolist() == [[0, 5, 6]]
        assert case.spacing_zyx == (3.0, 2.0, 1.0)

    def test_other_labels_and_misplaced_images_are_left_out(self, tmp_path: Path) -> None:
        geometry = Geometry(size=(7, 6, 5), spacing=(1.0, 2.0, 3.0))
        labels = np.full((5, 6, 7), 3, np.uint8)
        labels[2] = 1
        sitk.WriteImage(geometry.place(labels), str(tmp_path / "a.nrrd"))
        moved = Geometry(size=(7, 6, 5), spacing=(1.0, 2.0, 3.0), origin=(50.0, 0.0, 0.0))
        sitk.WriteImage(moved.place(labels), str(tmp_path / "moved.nrrd"))
        sitk.WriteImage(geometry.place(labels), str(tmp_path / "fits.nrrd"))
        files: dict[str, str | None] = {side: str(tmp_path / "a.nrrd") for side in ("prediction", "reference")}
        assert set(np.unique(read_case(files, [1]).reference)) == {0, 1}
        assert read_case({**files, "image": str(tmp_path / "moved.nrrd")}, [1]).image is None
        assert read_case({**files, "image": str(tmp_path / "gone.nrrd")}, [1]).image is None
        assert read_case({**files, "image": str(tmp_path / "fits.nrrd")}, [1]).image is not None

    def test_what_nobody_labelled_is_left_out_of_both_sides(self, tmp_path: Path) -> None:
        geometry = Geometry(size=(7, 6, 5), spacing=(1.0, 2.0, 3.0))
        for name, value in (("prediction", 1), ("reference", 9)):
            labels = np.ones((5, 6, 7), np.uint8)
            labels[3] = value
            sitk.WriteImage(geometry.place(labels), str(tmp_path / f"{name}.nrrd"))
        files: dict[str, str | None] = {side: str(tmp_path / f"{side}.nrrd") for side in ("prediction", "reference")}
        case = read_case(files, [1], 9)
        assert case.prediction.any(axis=(1, 2)).tolist() == case.reference.any(axis=(1, 2)).tolist()
        assert case.prediction.any(axis=(1, 2)).tolist() == [True, True, True, False, True]


class TestCurves:
    POINTS = (
        {"minutes": 1.0, "epoch": 5, "mean_dice": 0.2, "dice": {"a": 0.4, "b": None}, "train_loss": 1.5},
        {"minutes": 2.5, "epoch": 9, "mean_dice": 0.6, "dice": {"a": 0.7, "b": 0.5}, "train_loss": 0.8},
    )

    def test_follows_the_colours_of_the_page(self) -> None:
        svg = draw_curves(self.POINTS, {"a": "#aa0011", "b": "#00bb22"})
        assert svg.startswith("<svg") and "<?xml" not in svg
        assert "currentColor" in svg and "#010203" not in svg
        assert "#aa0011" in svg and "#00bb22" in svg
        assert not re.search(r'<svg[^>]* (width|height)="', svg)

    def test_the_loss_is_drawn_where_there_is_one(self) -> None:
        without = [{key: value for key, value in point.items() if key != "train_loss"} for point in self.POINTS]
        assert "training loss" in draw_curves(self.POINTS, {})
        assert "training loss" not in draw_curves(without, {})
