"""Surface distances against MONAI's, on masks that touch the border and on an anisotropic grid."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from MedSegTrainerLib.surface import surface_distances

SPACING = (3.0, 0.7, 1.1)


def blob(seed: int, shape: tuple[int, ...]) -> np.ndarray:
    """A random smooth mask; its parts reach the border of the array."""
    noise = gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    return noise > np.quantile(noise, 0.7)


def monai_hd95(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> float:
    metrics = pytest.importorskip("monai.metrics")
    masks = prediction[None, None], reference[None, None]
    settings = {"include_background": True, "percentile": 95, "spacing": list(spacing)}
    return float(metrics.compute_hausdorff_distance(*masks, **settings))


def monai_asd(prediction: np.ndarray, reference: np.ndarray, spacing: tuple[float, ...]) -> float:
    metrics = pytest.importorskip("monai.metrics")
    masks = prediction[None, None], reference[None, None]
    settings = {"include_background": True, "symmetric": True, "spacing": list(spacing)}
    return float(metrics.compute_average_surface_distance(*masks, **settings))


@pytest.mark.filterwarnings(
    "ignore:monai.metrics.utils get_mask_edges:FutureWarning"
)  # MONAI warns about its own calls
class TestAgainstMonai:
    @pytest.mark.parametrize("seed", range(4))
    def test_volumes(self, seed: int) -> None:
        prediction, reference = blob(seed, (9, 14, 21)), blob(seed + 100, (9, 14, 21))
        assert reference[0].any() and reference[:, :, -1].any()
        found = surface_distances(prediction, reference, SPACING)
        assert found is not None
        assert found.hd95() == pytest.approx(monai_hd95(prediction, reference, SPACING), rel=1e-6, abs=1e-6)
        assert found.asd() == pytest.approx(monai_asd(prediction, reference, SPACING), rel=1e-6, abs=1e-6)

    def test_images(self) -> None:
        prediction, reference = blob(1, (17, 26)), blob(2, (17, 26))
        found = surface_distances(prediction, reference, (0.5, 2.0))
        assert found is not None
        assert found.hd95() == pytest.approx(monai_hd95(prediction, reference, (0.5, 2.0)), rel=1e-6, abs=1e-6)
        assert found.asd() == pytest.approx(monai_asd(prediction, reference, (0.5, 2.0)), rel=1e-6, abs=1e-6)

    def test_cropping_to_the_joint_box_changes_nothing(self) -> None:
        prediction, reference = np.zeros((2, 12, 15, 18), bool)
        prediction[3:7, 4:9, 5:11] = True
        reference[4:9, 3:8, 6:13] = True
        box = (slice(3, 9), slice(3, 9), slice(5, 13))
        whole = surface_distances(prediction, reference, SPACING)
        cropped = surface_distances(prediction[box], reference[box], SPACING)
        assert whole is not None and cropped is not None
        assert (whole.hd95(), whole.asd()) == (cropped.hd95(), cropped.asd())
        assert cropped.hd95() == pytest.approx(monai_hd95(prediction, reference, SPACING), rel=1e-6)


class TestByHand:
    def test_two_voxels_along_each_axis(self) -> None:
        for axis, spacing in enumerate(SPACING):
            prediction, reference = np.zeros((2, 6, 7, 8), bool)
            prediction[1, 1, 1] = True
            reference[tuple(1 + 4 * (axis == other) for other in range(3))] = True
            found = surface_distances(prediction, reference, SPACING)
            assert found is not None
            assert found.hd95() == pytest.approx(4 * spacing)
            assert found.asd() == pytest.approx(4 * spacing)

    def test_the_inside_is_no_surface(self) -> None:
        mask = np.zeros((7, 8, 9), bool)
        mask[1:6, 1:6, 1:6] = True
        found = surface_distances(mask, mask, SPACING)
        assert found is not None
        assert found.to_reference.size == 5**3 - 3**3
        assert found.hd95() == found.asd() == 0

    def test_average_is_over_both_directions_together(self) -> None:
        prediction, reference = np.zeros((2, 3, 4, 12), bool)
        prediction[1, 1, 0] = True
        reference[1, 1, [0, 10]] = True
        found = surface_distances(prediction, reference, (1.0, 1.0, 1.0))
        assert found is not None
        assert found.asd() == pytest.approx((0 + 0 + 10) / 3)

    def test_an_empty_mask_has_no_distances(self) -> None:
        mask, empty = np.ones((3, 4, 5), bool), np.zeros((3, 4, 5), bool)
        assert surface_distances(mask, empty, SPACING) is None
        assert surface_distances(empty, mask, SPACING) is None
        assert surface_distances(empty, empty, SPACING) is None
