"""How slices lie on the screen, which are chosen, and how large they are."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.report.case_arrays import CaseArrays
from MedSegTrainerLib.report.slice_views import case_views, slice_views

SHAPE = (9, 12, 15)
SPACING = (4.0, 1.5, 0.8)


def case_arrays() -> CaseArrays:
    """A box of reference and a shifted prediction."""
    prediction, reference = np.zeros((2, *SHAPE), np.int32)
    reference[3:6, 4:9, 5:11] = 1
    prediction[3:6, 4:9, 7:13] = 1
    return CaseArrays(prediction=prediction, reference=reference, image=None, spacing_zyx=SPACING)


class TestCaseViews:
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

    def test_uncertainty_is_cut_like_the_labels(self) -> None:
        case = case_arrays()
        marked = CaseArrays(
            prediction=case.prediction, reference=case.reference, image=None, spacing_zyx=SPACING,
            uncertainty=case.reference.astype(np.float32),
        )  # fmt: skip
        for view in case_views(marked):
            assert view.uncertainty is not None
            assert np.array_equal(view.uncertainty == 1, view.reference == 1)


class TestSliceViews:
    def test_from_the_first_to_the_last_label_of_either_side(self) -> None:
        case = case_arrays()
        case.prediction[7, 5, 5] = 1
        assert [view.position for view in slice_views(case, 12)] == [f"axial {n}/9" for n in (4, 5, 6, 7, 8)]
        assert [view.position for view in slice_views(case, 3)] == [f"axial {n}/9" for n in (4, 6, 8)]

    def test_of_labelled_slices_no_other_ones(self) -> None:
        """Coronal slices 2, 6 and 11, although axial ones are the thickest."""
        prediction, reference = np.zeros((2, *SHAPE), np.int32)
        reference[3:6, [1, 5, 10], 5:11] = 1
        case = CaseArrays(prediction=prediction, reference=reference, image=None, spacing_zyx=SPACING, labelled_along=1)
        assert [view.position for view in slice_views(case, 12)] == [f"coronal {n}/12" for n in (2, 6, 11)]
        assert [view.position for view in slice_views(case, 2)] == ["coronal 2/12", "coronal 11/12"]

    def test_in_the_plane_of_the_thickest_slices(self) -> None:
        case = case_arrays()
        thick = CaseArrays(
            prediction=case.prediction, reference=case.reference, image=None, spacing_zyx=(1.0, 1.5, 6.0)
        )
        assert {view.plane.name for view in slice_views(thick, 12)} == {"sagittal"}

    def test_nothing_for_an_image_or_without_labels(self) -> None:
        flat = np.ones((1, 5, 6), np.int32)
        empty = np.zeros(SHAPE, np.int32)
        for labels in (flat, empty):
            case = CaseArrays(prediction=labels, reference=labels, image=None, spacing_zyx=SPACING)
            assert slice_views(case, 12) == []
