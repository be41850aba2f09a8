"""Neighbouring slices as channels: the same in training patches and in whole volumes, repeated at the ends."""

from __future__ import annotations

import pytest
import torch

from MedSegTrainerLib.data.samples.cache import CachedCase
from MedSegTrainerLib.data.samples.neighbour_slices import with_neighbours
from MedSegTrainerLib.data.samples.patches import PatchDraw, cut_batch
from MedSegTrainerLib.imaging.geometry import Geometry


def volume(slices: int = 5) -> torch.Tensor:
    """Two channels of 3 x 4 pixels, whose values are 10 times the slice, and 1000 more in the second channel."""
    image = torch.zeros(2, slices, 3, 4) + 10 * torch.arange(slices).view(1, -1, 1, 1)
    image[1] += 1000
    return image + torch.rand(3, 4, generator=torch.Generator().manual_seed(1))


def test_without_neighbours_it_is_the_image() -> None:
    image = volume()
    assert with_neighbours(image, 0) is image


def test_channel_by_channel_from_below_to_above() -> None:
    image = volume()
    seen = with_neighbours(image, 1)
    assert seen.shape == (6, 5, 3, 4)
    for z in (1, 2, 3):
        assert torch.equal(seen[:, z], torch.cat([image[0, z - 1 : z + 2], image[1, z - 1 : z + 2]]))


def test_the_ends_are_repeated() -> None:
    image = volume()
    seen = with_neighbours(image, 2)
    assert torch.equal(seen[:5, 0], image[0, [0, 0, 0, 1, 2]])
    assert torch.equal(seen[5:, 4], image[1, [2, 3, 4, 4, 4]])


def test_fewer_slices_than_neighbours() -> None:
    assert torch.equal(with_neighbours(volume(2), 3)[:7, 0], volume(2)[0, [0, 0, 0, 0, 1, 1, 1]])
    assert torch.equal(with_neighbours(volume(1), 2)[:5, 0], volume(1)[0, [0] * 5])


@pytest.mark.parametrize("z", [0, 2, 4])
@pytest.mark.parametrize("count", [0, 1, 2])
def test_a_training_patch_has_them_as_the_volume_does(count: int, z: int) -> None:
    label = torch.arange(5 * 3 * 4).view(5, 3, 4).to(torch.uint8)
    case = CachedCase(
        name="a", image=volume(), label=label, locations=torch.zeros(0, 4), geometry=Geometry(size=(4, 3, 5))
    )
    images, labels = cut_batch([case], [PatchDraw(case=0, center=(z, 1, 2))], (1, 3, 4), torch.device("cpu"), count)
    assert torch.equal(images[0, :, 0], with_neighbours(volume(), count)[:, z])
    assert torch.equal(labels[0, 0], label[z].to(torch.int16))
