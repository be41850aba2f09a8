"""The HTML page: that it stands alone, what it says, and in which words and units."""

from __future__ import annotations

import base64
import re
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.evaluation.evaluate import evaluate
from MedSegTrainerLib.evaluation.file_pairs import Pair
from MedSegTrainerLib.guide.advisor import Advice
from MedSegTrainerLib.guide.remedies import Remedy
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.label_maps import write_label_map
from MedSegTrainerLib.report.curves import draw_curves
from MedSegTrainerLib.report.evaluation_page import render

LIVER = LabelClass(value=1, name="liver <b>& co</b>", color=(200, 80, 60))
GEOMETRY = Geometry(size=(15, 12, 9), spacing=(0.8, 1.5, 4.0))


def boxes(shift: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """A box of reference and a shifted prediction."""
    prediction, reference = np.zeros((2, *GEOMETRY.size_zyx), np.uint8)
    reference[3:6, 4:9, 5:11] = 1
    prediction[3:6, 4:9, 5 + shift : 11 + shift] = 1
    return prediction, reference


def save_pair(folder: Path, name: str = "case <1>", shift: int = 2, uncertain: bool = False) -> Pair:
    files = {side: folder / f"{side} {shift}.nrrd" for side in ("prediction", "reference", "doubt")}
    prediction, reference = boxes(shift)
    write_label_map(GEOMETRY.place(prediction), files["prediction"], [])
    write_label_map(GEOMETRY.place(reference), files["reference"], [])
    doubt = (prediction != reference).astype(np.float32) * 0.6
    sitk.WriteImage(GEOMETRY.place(doubt), str(files["doubt"]))
    return Pair(
        name=name, prediction=files["prediction"], reference=files["reference"], image=None,
        uncertainty=files["doubt"] if uncertain else None,
    )  # fmt: skip


def document_for(folder: Path, pairs: list[Pair] | None = None, **options: Any) -> dict[str, Any]:
    options = {"title": "Title & <more>", **options}
    return evaluate(pairs or [save_pair(folder)], [LIVER], folder / "out", lambda event: None, **options)


def page_for(folder: Path, pairs: list[Pair] | None = None, **options: Any) -> str:
    document_for(folder, pairs, **options)
    return (folder / "out" / "report.html").read_text(encoding="utf-8")


Made = tuple[dict[str, Any], str]


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """One case and nothing else: document and page."""
    folder = tmp_path_factory.mktemp("plain")
    return document_for(folder), (folder / "out" / "report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Four cases, uncertainty and curves: document and page."""
    folder = tmp_path_factory.mktemp("full")
    pairs = [save_pair(folder, f"c{shift}", shift, uncertain=True) for shift in (0, 1, 2, 3)]
    points = [{"minutes": 1.0, "epoch": 1, "mean_dice": 0.5, "dice": {LIVER.name: 0.5}}]
    document = document_for(folder, pairs, curves=points)
    return document, (folder / "out" / "report.html").read_text(encoding="utf-8")


class TestPage:
    def test_needs_nothing_else(self, full: Made) -> None:
        _, page = full
        namespaces = {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
        assert set(re.findall(r"https?://[^\"'\s<)]+", page.split("<metadata>")[0])) <= namespaces
        assert not re.search(r"<link|<script[^>]+src|@import|url\((?!#)", page)
        assert all(source.startswith("data:") for source in re.findall(r'<img[^>]* src="([^"]{5})', page))
        assert "default-src 'none'" in page

    def test_what_users_named_is_escaped(self, tmp_path: Path) -> None:
        page = page_for(tmp_path, facts={"Model": "<script>alert(1)</script>"}, notes=["<i>note</i>"])
        assert "liver &lt;b&gt;&amp; co&lt;/b&gt;" in page
        assert "case &lt;1&gt;" in page and "Title &amp; &lt;more&gt;" in page
        for raw in ("<b>& co", "<script>alert", "<i>note", "case <1>"):
            assert raw not in page

    def test_numbers_and_picture(self, plain: Made) -> None:
        document, page = plain
        assert f"{document['cases']['case <1>'][LIVER.name]['dice']:.3f}" in page
        pictures = re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)", page)
        assert [base64.b64decode(picture)[:2] for picture in pictures] == [b"\xff\xd8"] * 3  # planes, 3D, slices

    def test_missed_is_said_in_words(self, plain: Made) -> None:
        document = deepcopy(plain[0])
        values = document["cases"]["case <1>"][LIVER.name]
        values |= {"dice": 0.0, "recall": 0.0, "precision": None, "hd95_mm": None, "asd_mm": None}
        page = render(document)
        assert "1 missed" in page
        texts = re.findall(r'data-texts="([^"]*)"', page)[0].split("|")
        cells = dict(zip(document["metrics"], texts, strict=True))
        assert cells["dice"] == "0.000" and cells["precision"] == cells["hd95_mm"] == cells["asd_mm"] == "missed"

    def test_curves_only_when_there_are_some(self, plain: Made, full: Made) -> None:
        assert "How the model learned" not in plain[1]
        assert "How the model learned" in full[1]

    def test_advice_with_its_changes(self, tmp_path: Path) -> None:
        remedies = [
            Remedy(setting="loss_type", current="<none>", suggested="dice", why="overlap & size"),
            Remedy(setting="loss_type", current="<none>", suggested="focal", why="another way"),
            Remedy(setting="", current="", suggested="look at the pictures", why="to see it"),
        ]
        advice = [Advice(finding="class_at_zero", message=f"{LIVER.name}: 0.", remedies=tuple(remedies)).to_json()]
        page = page_for(tmp_path, advice=advice)
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

    def test_a_good_word_has_no_table(self, tmp_path: Path, plain: Made) -> None:
        assert "What the curves say" not in plain[1]
        advice = [Advice(finding="healthy", message="0.92.", remedies=()).to_json()]
        page = page_for(tmp_path, advice=advice)
        assert "The training went well. 0.92." in page and "Change to try" not in page and "<pre>" not in page

    def test_every_picture_and_plot_has_words(self, full: Made) -> None:
        _, page = full
        assert all(re.search(r'alt="[^"]{20,}"', tag) for tag in re.findall(r"<img[^>]*>", page))
        assert page.count("<img") == 3 * 4
        for tag in re.findall(r"<figure(?! class=\"turn\")[^>]*>", page):
            assert 'role="img"' in tag and re.search(r'aria-label="[^"]{10,}"', tag), tag
        for part in ("volumes", "confusion", "uncertainty", "training", "pictures", "structures"):
            assert page.count(f'id="{part}"') == page.count(f'href="#{part}"') == 1

    def test_says_how_many_cases_are_left_out(self, tmp_path: Path, full: Made) -> None:
        pairs = [save_pair(tmp_path, f"c{shift}", shift) for shift in range(4)]
        twice = [*pairs, *(Pair(name=f"again {pair.name}", **files(pair)) for pair in pairs)]
        page = page_for(tmp_path, twice)
        assert re.search(r"6 of 8,\s+2 are left out", page)
        assert page.count("<article") == 6 and "left out" not in full[1]

    def test_a_shown_case_is_linked(self, plain: Made) -> None:
        _, page = plain
        assert '<a href="#case-0">case &lt;1&gt;</a>' in page and 'id="case-0"' in page

    def test_the_sections_that_have_nothing_to_say_are_missing(self, plain: Made) -> None:
        _, page = plain
        assert 'id="uncertainty"' not in page and "Bland" not in page  # one case has no limits of agreement
        assert "Spread over the cases" not in page

    def test_all_statistics_are_unfolded(self, full: Made) -> None:
        document, page = full
        details = page.split("All numbers of each structure")[1].split("</details>")[0]
        assert details.count("<table>") == len(document["metrics"])
        dice = document["summary"][LIVER.name]["dice"]
        row = re.findall(r'<td class="number">(.*?)</td>', details.split("</table>")[0])
        assert row == [*(f"{dice[key]:.3f}" for key in ("mean", "std", "median", "min", "max")), "4"]


def files(pair: Pair) -> dict[str, Any]:
    return {"prediction": pair.prediction, "reference": pair.reference, "image": None}


class TestPixels:
    def test_photographs_have_no_millimetres(self, tmp_path: Path) -> None:
        prediction, reference = np.zeros((2, 30, 40), np.uint8)
        prediction[5:25, 8:30], reference[5:25, 10:30] = 1, 1
        for side, array in (("p", prediction), ("r", reference)):
            sitk.WriteImage(sitk.GetImageFromArray(array), str(tmp_path / f"{side}.png"))
        pair = Pair(name="photo", prediction=tmp_path / "p.png", reference=tmp_path / "r.png", image=None)
        page = page_for(tmp_path, [pair])
        text = re.sub(r'base64,[^"]*|<svg.*?</svg>|<style>.*?</style>|(href|id)="[^"]*"', "", page, flags=re.DOTALL)
        assert not re.search(r"\bmm\b|\bm[lL]\b|voxel|[Vv]olume", text)
        assert "Mean HD95" in text and " px</b>" in text
        assert "Reference area" in text
        assert "Surfaces are smoothed" not in text  # no 3D view of a picture


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
