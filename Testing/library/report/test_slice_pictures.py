"""Pictures of a case: planes, slices, differences, and the scale bar."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.report.case_arrays import CaseArrays
from MedSegTrainerLib.report.slice_pictures import (
    differences,
    draw_case,
    draw_columns,
    draw_planes,
    draw_slices,
    overlap_differences,
    scale_bar_mm,
)
from MedSegTrainerLib.report.slice_views import case_views

LIVER = LabelClass(value=1, name="liver", color=(200, 80, 60))
SHAPE = (9, 12, 15)
SPACING = (4.0, 1.5, 0.8)


def case_arrays(with_image: bool = True) -> CaseArrays:
    """A box of reference and a shifted prediction."""
    prediction, reference = np.zeros((2, *SHAPE), np.int32)
    reference[3:6, 4:9, 5:11] = 1
    prediction[3:6, 4:9, 7:13] = 1
    image = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32) if with_image else None
    return CaseArrays(prediction=prediction, reference=reference, image=image, spacing_zyx=SPACING)


def open_picture(content: bytes) -> Image.Image:
    return Image.open(io.BytesIO(content))


class TestPlanes:
    @pytest.mark.parametrize(("with_image", "columns"), [(True, 5), (False, 4)])
    def test_a_column_for_each_thing_to_see(self, with_image: bool, columns: int) -> None:
        case = case_arrays(with_image)
        picture = open_picture(draw_planes(case, [LIVER]))
        assert picture.format == "JPEG"
        doubt = replace(case, uncertainty=case.reference.astype(np.float32))
        wider = open_picture(draw_planes(doubt, [LIVER]))
        assert wider.width / picture.width == pytest.approx((columns + 1) / columns, rel=0.01)

    def test_png_of_the_same(self) -> None:
        case = case_arrays()
        png, jpeg = open_picture(draw_case(case, [LIVER])), open_picture(draw_planes(case, [LIVER]))
        assert png.format == "PNG" and png.size == jpeg.size

    def test_a_constant_image(self) -> None:
        case = case_arrays()
        assert case.image is not None
        case.image[:] = 7
        assert open_picture(draw_case(case, [LIVER])).format == "PNG"

    def test_letters_and_titles(self) -> None:
        case = case_arrays()
        figure = draw_columns(case, case_views(case), ("reference", "contours"), [LIVER])
        titles = [ax.get_title() for ax in figure.axes[:2]]
        assert titles == ["Reference", "Outlines"]
        texts = [[text.get_text() for text in ax.texts] for ax in figure.axes]
        assert texts[1] == list("RLAP") and texts[3] == list("RLSI") and texts[5] == list("APSI")
        assert [lines[4] for lines in texts[::2]] == ["axial 4/9", "coronal 5/12", "sagittal 6/15"]

    def test_the_scale_bar_has_the_unit_of_the_case(self) -> None:
        case = case_arrays()
        for length, unit in (("mm", "mm"), ("pixels", "px")):
            same = replace(case, length=length)
            figure = draw_columns(same, case_views(same), ("reference",), [LIVER])
            lines = [text.get_text() for ax in figure.axes for text in ax.texts]
            assert [word for word in lines if word.endswith(unit)] == [f"2 {unit}"]

    def test_the_position_does_not_cover_the_upper_letter(self) -> None:
        """In a picture of narrow panels the letter gives way, in a wide one it stays in the middle."""
        case = case_arrays()
        positions = []
        for width in (1.5, 4.0):
            figure = draw_columns(case, case_views(case)[:1], ("reference",), [LIVER], width_inches=width)
            positions.append(next(text.get_position()[0] for text in figure.axes[0].texts if text.get_text() == "A"))
        assert positions[0] > positions[1] == 0.5

    def test_anisotropic_voxels_keep_their_proportions(self) -> None:
        case = case_arrays()
        figure = draw_columns(case, case_views(case), ("reference",), [LIVER])
        for ax, view in zip(figure.axes, case_views(case), strict=True):
            assert ax.get_aspect() == 1
            assert ax.images[0].get_extent() == [0.0, view.size_mm[1], view.size_mm[0], 0.0]


class TestSlices:
    def test_a_sheet(self) -> None:
        picture = draw_slices(case_arrays(), [LIVER])
        assert picture is not None and open_picture(picture).format == "JPEG"

    def test_none_for_an_image(self) -> None:
        flat = np.ones((1, 9, 9), np.int32)
        assert (
            draw_slices(CaseArrays(prediction=flat, reference=flat, image=None, spacing_zyx=SPACING), [LIVER]) is None
        )

    def test_stays_within_bounds_however_many_slices(self) -> None:
        labels = np.zeros((90, 6, 60), np.int32)
        labels[:, 2:4, 5:55] = 1
        case = CaseArrays(prediction=labels, reference=labels, image=None, spacing_zyx=(3.0, 1.0, 1.0))
        picture = draw_slices(case, [LIVER])
        assert picture is not None
        width, height = open_picture(picture).size
        assert width <= 1700 and height <= 1200


class TestDifferences:
    def test_differences_partition_the_labels(self) -> None:
        prediction = np.array([[0, 1, 1, 2, 0]])
        reference = np.array([[0, 1, 2, 0, 1]])
        masks = {kind: mask.astype(int).tolist() for kind, mask in differences(prediction, reference).items()}
        assert masks == {
            "correct": [[0, 1, 0, 0, 0]], "confused": [[0, 0, 1, 0, 0]],
            "extra": [[0, 0, 0, 1, 0]], "missing": [[0, 0, 0, 0, 1]],
        }  # fmt: skip

    def test_of_classes_that_overlap(self) -> None:
        """Too much and missing are whole classes of a voxel; both at once is confused."""
        prediction = np.array([[0, 0b11, 0b11, 0b1, 0b1, 0b10]])
        reference = np.array([[0, 0b11, 0b1, 0b11, 0b10, 0]])
        masks = {kind: mask.astype(int).tolist() for kind, mask in overlap_differences(prediction, reference).items()}
        assert masks == {
            "correct": [[0, 1, 0, 0, 0, 0]], "confused": [[0, 0, 0, 0, 1, 0]],
            "extra": [[0, 0, 1, 0, 0, 1]], "missing": [[0, 0, 0, 1, 0, 0]],
        }  # fmt: skip


class TestScaleBar:
    @pytest.mark.parametrize(("width", "length"), [(40.0, 10.0), (90.0, 20.0), (366.0, 50.0), (2.0, 0.5)])
    def test_scale_bar_is_round(self, width: float, length: float) -> None:
        assert scale_bar_mm(width) == pytest.approx(length)
