"""Surface distances against MONAI's and SimpleITK's, on masks that touch the border and on anisotropic grids."""

from __future__ import annotations

import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import binary_erosion, gaussian_filter

from MedSegTrainerLib.metrics.surface_distance import SurfaceDistances, surface_distances

SPACING = (3.0, 0.7, 1.1)
SHAPES = [((9, 14, 21), SPACING), ((12, 11, 10), (1.0, 1.0, 1.0)), ((5, 23, 17), (6.5, 0.9, 0.35))]
NEAR = {"rel": 1e-6, "abs": 1e-6}


def blob(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """A random smooth mask; its parts reach the border of the array."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return noise > np.quantile(noise, 0.7)


def measured(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...] = SPACING) -> SurfaceDistances:
    distances = surface_distances(prediction, reference, spacing)
    assert distances is not None
    return distances


def edges(mask: np.ndarray) -> np.ndarray:
    return mask & ~binary_erosion(mask)


def image(mask: np.ndarray, spacing: tuple[float, ...]) -> sitk.Image:
    result = sitk.GetImageFromArray(mask.astype(np.uint8))
    result.SetSpacing(spacing[::-1])
    return result


def itk_distances(mask: np.ndarray, other: np.ndarray, spacing: tuple[float, ...]) -> np.ndarray:
    """From each voxel of ``mask`` to the nearest of ``other``, from SimpleITK's distance map."""
    distance = sitk.SignedMaurerDistanceMap(
        image(other, spacing), insideIsPositive=False, squaredDistance=False, useImageSpacing=True
    )
    return sitk.GetArrayFromImage(distance)[mask].clip(min=0)


def monai_metric(name: str, prediction: np.ndarray, reference: np.ndarray, **settings: object) -> float:
    metrics = pytest.importorskip("monai.metrics")
    torch = pytest.importorskip("torch")
    masks = torch.tensor(prediction[None, None]), torch.tensor(reference[None, None])
    return float(getattr(metrics, name)(*masks, include_background=True, **settings))


@pytest.mark.filterwarnings(
    "ignore:monai.metrics.utils get_mask_edges:FutureWarning"
)  # MONAI warns about its own calls
class TestAgainstMonai:
    @pytest.mark.parametrize("seed", range(2))
    @pytest.mark.parametrize("shape, spacing", [*SHAPES, ((17, 26), (0.5, 2.0))])
    def test_all_numbers(self, seed: int, shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
        prediction, reference = blob(seed, shape), blob(seed + 100, shape)
        assert reference[0].any() and reference[..., -1].any()
        distances, grid = measured(prediction, reference, spacing), {"spacing": list(spacing)}
        hausdorff = "compute_hausdorff_distance"
        assert distances.hd() == pytest.approx(monai_metric(hausdorff, prediction, reference, **grid), **NEAR)
        hd95 = monai_metric(hausdorff, prediction, reference, percentile=95, **grid)
        assert distances.hd95() == pytest.approx(hd95, **NEAR)
        asd = monai_metric("compute_average_surface_distance", prediction, reference, symmetric=True, **grid)
        assert distances.asd() == pytest.approx(asd, **NEAR)
        for tolerance in (0.4, 1.3, 4.0):
            share = monai_metric("compute_surface_dice", prediction, reference, class_thresholds=[tolerance], **grid)
            assert distances.dice(tolerance) == pytest.approx(share, **NEAR)


class TestAgainstSimpleItk:
    @pytest.mark.parametrize("shape, spacing", SHAPES)
    def test_each_distance_is_that_of_the_distance_map(
        self, shape: tuple[int, ...], spacing: tuple[float, ...]
    ) -> None:
        prediction, reference = blob(5, shape), blob(6, shape)
        distances = measured(prediction, reference, spacing)
        sides = edges(prediction), edges(reference)
        single = {"rel": 1e-6, "abs": 2e-6}  # the map is of single precision
        assert distances.to_reference == pytest.approx(itk_distances(*sides, spacing), **single)
        assert distances.to_prediction == pytest.approx(itk_distances(*sides[::-1], spacing), **single)

    @pytest.mark.parametrize("shape, spacing", SHAPES)
    def test_hausdorff_distance_of_the_edges(self, shape: tuple[int, ...], spacing: tuple[float, ...]) -> None:
        prediction, reference = blob(7, shape), blob(8, shape)
        measure = sitk.HausdorffDistanceImageFilter()
        measure.Execute(image(edges(prediction), spacing), image(edges(reference), spacing))
        assert measured(prediction, reference, spacing).hd() == pytest.approx(measure.GetHausdorffDistance(), **NEAR)

    def test_a_hole_is_farther_from_the_surface_than_from_the_mask(self) -> None:
        """Where the definitions differ: SimpleITK measures a hole to the mask around it."""
        reference = np.zeros((9, 11, 13), bool)
        reference[1:8, 1:10, 1:12] = True
        prediction = reference.copy()
        prediction[4, 5, 6] = False
        measure = sitk.HausdorffDistanceImageFilter()
        measure.Execute(image(prediction, SPACING), image(reference, SPACING))
        assert measure.GetHausdorffDistance() == pytest.approx(0.7)
        assert measured(prediction, reference).hd() == pytest.approx(4 * 0.7)  # from beside the hole to y = 1


class TestByHand:
    def test_two_voxels_along_each_axis(self) -> None:
        for axis, spacing in enumerate(SPACING):
            prediction, reference = np.zeros((2, 6, 7, 8), bool)
            prediction[1, 1, 1] = True
            reference[tuple(1 + 4 * (axis == other) for other in range(3))] = True
            distances = measured(prediction, reference)
            assert distances.hd() == distances.hd95() == distances.asd() == pytest.approx(4 * spacing)
            assert (distances.dice(4 * spacing), distances.dice(3.99 * spacing)) == (1, 0)

    def test_the_inside_is_no_surface(self) -> None:
        mask = np.zeros((7, 8, 9), bool)
        mask[1:6, 1:6, 1:6] = True
        distances = measured(mask, mask)
        assert distances.to_reference.size == 5**3 - 3**3
        assert distances.hd() == distances.hd95() == distances.asd() == 0
        assert distances.dice(0.0) == 1

    def test_a_mask_that_fills_the_array_has_its_border_as_surface(self) -> None:
        mask = np.ones((3, 4, 5), bool)
        assert measured(mask, mask).to_reference.size == 3 * 4 * 5 - 1 * 2 * 3

    def test_both_directions_count(self) -> None:
        """Prediction {0}, reference {0, 10}: one direction has the distance 0, the other 0 and 10."""
        prediction, reference = np.zeros((2, 3, 4, 12), bool)
        prediction[1, 1, 0] = True
        reference[1, 1, [0, 10]] = True
        for pair in ((prediction, reference), (reference, prediction)):
            distances = measured(*pair, (1.0, 1.0, 1.0))
            assert distances.hd() == 10
            assert distances.hd95() == pytest.approx(9.5)
            assert distances.asd() == pytest.approx((0 + 0 + 10) / 3)
            assert distances.dice(1.0) == pytest.approx(2 / 3)

    def test_a_distance_of_exactly_the_tolerance_counts(self) -> None:
        """3 voxels of 1.1 mm are a rounding error more than 3.3 mm."""
        prediction, reference = np.zeros((2, 3, 4, 12), bool)
        prediction[1, 1, 0] = reference[1, 1, 3] = True
        distances = measured(prediction, reference, (1.0, 1.0, 1.1))
        assert distances.hd() > 3.3
        assert distances.dice(3.3) == 1


class TestBox:
    def test_cropping_to_the_joint_box_changes_nothing(self) -> None:
        prediction, reference = np.zeros((2, 12, 15, 18), bool)
        prediction[3:7, 4:9, 5:11] = True
        reference[4:9, 3:8, 6:13] = True
        box = (slice(3, 9), slice(3, 9), slice(5, 13))
        whole, cropped = measured(prediction, reference), measured(prediction[box], reference[box])
        assert whole.to_reference == pytest.approx(cropped.to_reference, rel=1e-12, abs=1e-12)
        assert whole.to_prediction == pytest.approx(cropped.to_prediction, rel=1e-12, abs=1e-12)

    def test_an_empty_mask_has_no_distances(self) -> None:
        mask, empty = np.ones((3, 4, 5), bool), np.zeros((3, 4, 5), bool)
        assert surface_distances(mask, empty, SPACING) is None
        assert surface_distances(empty, mask, SPACING) is None
        assert surface_distances(empty, empty, SPACING) is None
