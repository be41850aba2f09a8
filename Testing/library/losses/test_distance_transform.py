"""Distances to contours: against numbers read off the grid, scipy's transform and MONAI's boundary loss."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from monai.losses import BoundaryLoss
from scipy.ndimage import binary_erosion, distance_transform_edt

from MedSegTrainerLib.losses.distance_transform import distances_at_once, signed_distances

CUBES = (1.0, 1.0, 1.0)


def two_bodies() -> torch.Tensor:
    """Two touching ellipsoids, one of them cut by the border, in (2, 9, 13, 17); the second sample lacks the other."""
    z, y, x = np.ogrid[:9, :13, :17]
    labels = np.zeros((2, 9, 13, 17), np.int16)
    labels[:, ((z - 4) / 3) ** 2 + ((y - 5) / 4) ** 2 + ((x - 6) / 3) ** 2 < 1] = 1
    labels[0, ((z - 5) / 3) ** 2 + ((y - 8) / 3) ** 2 + ((x - 15) / 6) ** 2 < 1] = 2
    return torch.from_numpy(labels)


class TestByHand:
    def test_on_a_line(self) -> None:
        labels = torch.tensor([[0, 0, 1, 1, 1, 1, 0, 0, 0]])
        assert signed_distances(labels, 2, [1.0]).tolist() == [[[2, 1, 0, -1, -1, 0, 1, 2, 3]]]

    def test_spacing_is_the_unit(self) -> None:
        labels = torch.zeros((1, 3, 5), dtype=torch.int16)
        labels[0, 1, 2] = 1
        (distance,) = signed_distances(labels, 2, [3.0, 4.0])[0]
        assert distance[:, 3].tolist() == [5, 4, 5]
        assert distance[:, 2].tolist() == [3, 0, 3]
        assert distance[1].tolist() == [8, 4, 0, 4, 8]

    def test_what_the_border_cuts_has_no_contour_there(self) -> None:
        assert signed_distances(torch.tensor([[1, 1, 1, 0, 0]]), 2, [1.0]).tolist() == [[[-2, -1, 0, 1, 2]]]

    def test_classes_touch(self) -> None:
        distance = signed_distances(torch.tensor([[1, 1, 2, 2, 0]]), 3, [1.0])
        assert distance.tolist() == [[[-1, 0, 1, 2, 3], [2, 1, 0, 0, 1]]]

    @pytest.mark.parametrize("value", [0, 1, -1])
    def test_without_contour_all_is_0(self, value: int) -> None:
        labels = torch.full((1, 3, 4, 5), value, dtype=torch.int16)
        assert not signed_distances(labels, 3, CUBES).any()

    def test_unlabelled_voxels_are_0_and_no_neighbours(self) -> None:
        distance = signed_distances(torch.tensor([[0, 1, 1, 1, -1, 0]]), 2, [1.0])
        assert distance.tolist() == [[[1, 0, -1, -2, 0, 4]]]
        alone = signed_distances(torch.tensor([[-1, 1, 1, -1, 0, 0]]), 2, [1.0])
        assert not alone.any()


class TestAtOnce:
    """As GPUs do it, where a look at the labels would have to be waited for."""

    @pytest.mark.parametrize("spacing", [CUBES, (2.5, 1.1, 0.8)])
    def test_is_the_same_to_the_bit(self, spacing: tuple[float, float, float]) -> None:
        labels = two_bodies()
        labels[1, :, 4] = -1
        expected = signed_distances(labels, 4, spacing)
        assert (expected[0, :2] != 0).any() and not expected[:, 2].any()  # with a contour, and without
        assert torch.equal(distances_at_once(labels, 4, spacing), expected)

    def test_of_a_slice(self) -> None:
        labels = two_bodies()[:, 4]
        assert torch.equal(distances_at_once(labels, 3, [1.1, 0.8]), signed_distances(labels, 3, [1.1, 0.8]))


class TestAgainstOthers:
    @pytest.mark.parametrize("spacing", [CUBES, (2.5, 1.1, 0.8)])
    def test_scipy(self, spacing: tuple[float, float, float]) -> None:
        labels = two_bodies()
        distance = signed_distances(labels, 3, spacing).numpy()
        for sample in (0, 1):
            for index in (1, 2):
                inside = labels[sample].numpy() == index
                contour = inside & ~binary_erosion(inside, border_value=1)
                expected = distance_transform_edt(~contour, sampling=spacing) * np.where(inside, -1, 1)
                expected = expected if contour.any() else np.zeros_like(expected)
                assert distance[sample, index - 1] == pytest.approx(expected, abs=1e-4)

    def test_monai(self) -> None:
        """Its map (the authors' one) has other numbers inside rounded bodies, and the same outside and in boxes."""
        labels = two_bodies()
        labels[1] = 0
        labels[1, 2:7, 3:11, 4:13] = 1
        one_hot = torch.stack([labels == 1, labels == 2], dim=1).float()
        expected = BoundaryLoss().compute_distance_map(one_hot)
        distance = signed_distances(labels, 3, CUBES)
        outside = one_hot == 0
        torch.testing.assert_close(distance[outside], expected[outside])
        torch.testing.assert_close(distance[1], expected[1])
        assert bool((distance <= 0)[~outside].all()) and float((distance - expected)[~outside].abs().max()) < 1

    def test_memory_order_and_type_of_the_labels_do_not_matter(self) -> None:
        labels = two_bodies()
        expected = signed_distances(labels, 3, CUBES)
        turned = labels.long().permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)
        assert torch.equal(signed_distances(turned, 3, CUBES), expected)
