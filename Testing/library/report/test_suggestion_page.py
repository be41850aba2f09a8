"""The page of suggested slices, and the picture of one."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
from matplotlib import image as mpl_image

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.report.case_arrays import CaseArrays
from MedSegTrainerLib.report.suggestion_page import draw_suggestion, render_suggestions

CLASSES = (LabelClass(value=1, name="tumor <1>", color=(255, 0, 0)),)
SIZE = (6, 20, 30)


def document(**given: Any) -> dict[str, Any]:
    item = {
        "case": "p <07>", "images": ["p07.nii.gz"], "axis": "z", "slice": 4, "center_ras": [1.25, -2, 3],
        "class": "tumor", "reason": "unsure", "text": "the model is unsure about the tumor here", "score": 0.37,
    }  # fmt: skip
    values = {"ranking": "entropy", "seed": 3, "images": 7, "notes": [], "suggestions": [item]}
    return {**values, **given}


def arrays(uncertainty: np.ndarray | None) -> CaseArrays:
    labels = np.zeros(SIZE, np.int32)
    labels[3, 5:15, 5:15] = 1
    image = np.random.default_rng(0).normal(size=SIZE).astype(np.float32)
    return CaseArrays(prediction=labels, reference=labels, image=image, spacing_zyx=(3, 1, 1), uncertainty=uncertainty)


def pixels(jpeg: bytes) -> np.ndarray:
    return np.asarray(mpl_image.imread(io.BytesIO(jpeg), format="jpeg")).astype(int)


class TestPage:
    def test_it_is_whole_and_what_comes_from_outside_is_escaped(self) -> None:
        page = render_suggestions(document(notes=["look <here>"]), [b"jpeg"], CLASSES)
        assert "data:image/jpeg;base64,anBlZw==" in page
        assert "The model is unsure about the tumor here." in page
        assert "Slice 4 along z" in page and "1.2, -2.0, 3.0 mm" in page
        for raw in ("p <07>", "look <here>", "tumor <1>"):
            assert raw not in page and raw.replace("<", "&lt;").replace(">", "&gt;") in page
        assert "http" not in page and "<script" not in page

    def test_without_a_picture_and_without_suggestions(self) -> None:
        assert "could not be read again" in render_suggestions(document(), [None], CLASSES)
        assert "No slice is left" in render_suggestions(document(suggestions=[]), [], CLASSES)


class TestPicture:
    def test_the_line_is_the_prediction_of_that_slice(self) -> None:
        plain = pixels(draw_suggestion(arrays(np.zeros(SIZE, np.float32)), "z", 0, CLASSES))
        drawn = pixels(draw_suggestion(arrays(np.zeros(SIZE, np.float32)), "z", 3, CLASSES))
        assert (red(plain), red(drawn) > 300) == (0, True)

    @pytest.mark.parametrize("axis, index", [("z", 3), ("y", 8), ("x", 8)])
    def test_the_right_half_is_coloured_where_the_model_is_unsure(self, axis: str, index: int) -> None:
        unsure = np.zeros(SIZE, np.float32)
        unsure[3:, 8:10, 8:12] = 0.9
        sure, found = (
            pixels(draw_suggestion(arrays(values), axis, index, ())) for values in (np.zeros(SIZE, np.float32), unsure)
        )
        middle = sure.shape[1] // 2
        changed = np.abs(found - sure).max(axis=-1) > 60
        assert changed[:, middle:].sum() > 200 and changed[:, :middle].sum() == 0

    def test_next_to_no_doubt_has_no_colour(self) -> None:
        little = np.full(SIZE, 0.001, np.float32)
        little[3, 8, 8] = 0.002
        sure = pixels(draw_suggestion(arrays(np.zeros(SIZE, np.float32)), "z", 3, ()))
        assert np.abs(pixels(draw_suggestion(arrays(little), "z", 3, ())) - sure).max() < 40


def red(picture: np.ndarray) -> int:
    return int((picture[..., 0] - picture[..., 1:].max(axis=-1) > 100).sum())
