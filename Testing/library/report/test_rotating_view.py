"""The 3D view: what one sees from where."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.report.case_arrays import CaseArrays
from MedSegTrainerLib.report.rotating_view import FRAMES, PANEL, draw_rotating_view, screen_axes, side_letters

RED = LabelClass(value=1, name="right", color=(255, 0, 0))
BLUE = LabelClass(value=2, name="left and low", color=(0, 0, 255))
SPACING = (4.0, 1.5, 1.0)


def case(predicted: int = 3) -> CaseArrays:
    """Red at the patient's right (small x) and above, blue at the left and below; predicted: 1, 2 or both (3)."""
    reference = np.zeros((14, 30, 50), np.int32)
    reference[8:12, 10:20, 5:15], reference[2:6, 10:20, 32:42] = 1, 2
    prediction = np.where(np.isin(reference, [value for value in (1, 2) if value & predicted]), reference, 0)
    return CaseArrays(prediction=prediction, reference=reference, image=None, spacing_zyx=SPACING)


def frames(arrays: CaseArrays) -> np.ndarray:
    """(frame, panel, row, column, colour)."""
    rotating_view = draw_rotating_view(arrays, [RED, BLUE])
    assert rotating_view is not None and rotating_view.frames == FRAMES
    picture = np.asarray(Image.open(io.BytesIO(rotating_view.picture))).astype(int)
    assert picture.shape == (PANEL * FRAMES, 3 * PANEL, 3)
    return picture.reshape(FRAMES, PANEL, 3, PANEL, 3).transpose(0, 2, 1, 3, 4)


def middle(panel: np.ndarray, channel: int) -> np.ndarray:
    """Mean row and column of what has this colour."""
    others = [other for other in range(3) if other != channel]
    pixels = np.argwhere(panel[..., channel] > 60 + panel[..., others].max(axis=-1))
    assert len(pixels) > 50
    return pixels.mean(axis=0)


def test_from_the_front_right_is_left_and_superior_is_up() -> None:
    seen = frames(case())
    for panel in seen[0, :2]:
        red, blue = middle(panel, 0), middle(panel, 2)
        assert red[1] < PANEL / 2 < blue[1] and red[0] < blue[0]


def test_from_behind_they_have_changed_sides() -> None:
    panel = frames(case())[FRAMES // 2, 0]
    assert middle(panel, 0)[1] > PANEL / 2 > middle(panel, 2)[1]


def test_what_is_missing_is_shown_as_missing() -> None:
    seen = frames(case(predicted=1))
    prediction, apart = seen[0, 1], seen[0, 2]
    assert not (prediction[..., 2] > 60 + prediction[..., 0]).any()
    assert (apart[..., 2] > 60 + apart[..., 0]).any()


def test_none_for_an_image_and_for_nothing() -> None:
    flat, empty = np.ones((1, 9, 9), np.int32), np.zeros((5, 6, 7), np.int32)
    for labels in (flat, empty):
        arrays = CaseArrays(prediction=labels, reference=labels, image=None, spacing_zyx=SPACING)
        assert draw_rotating_view(arrays, [RED]) is None


def test_an_empty_side_is_drawn() -> None:
    one = case()
    for prediction, reference in ((one.prediction * 0, one.reference), (one.prediction, one.reference * 0)):
        arrays = CaseArrays(prediction=prediction, reference=reference, image=None, spacing_zyx=SPACING)
        assert draw_rotating_view(arrays, [RED, BLUE]) is not None


@pytest.mark.parametrize(
    ("degrees", "left", "right"), [(0, "R", "L"), (40, "RA", "LP"), (90, "A", "P"), (180, "L", "R"), (270, "P", "A")]
)
def test_letters(degrees: float, left: str, right: str) -> None:
    across = screen_axes(np.deg2rad(degrees))[0]
    assert (side_letters(-across), side_letters(across)) == (left, right)


def test_the_axes_of_the_screen_are_a_rotation() -> None:
    axes = screen_axes(0.7)
    assert axes @ axes.T == pytest.approx(np.eye(3))
    assert np.linalg.det(axes) == pytest.approx(1)
