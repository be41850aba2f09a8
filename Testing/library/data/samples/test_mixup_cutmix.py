"""MixUp and CutMix on small batches, voxel by voxel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from MedSegTrainerLib.data.samples.mixup_cutmix import mix

SHAPE = (4, 6, 10)


def batch(count: int = 3, shape: tuple[int, int, int] = SHAPE) -> tuple[torch.Tensor, torch.Tensor]:
    """Patch i has intensities i + 0.5 and -i, and label i, everywhere."""
    values = torch.arange(count, dtype=torch.float32).view(-1, 1, 1, 1, 1)
    images = torch.cat([values + 0.5, -values], dim=1).expand(count, 2, *shape).clone()
    return images, values[:, 0].expand(count, *shape).to(torch.int16).clone()


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_without_either_the_batch_is_as_it_was() -> None:
    images, labels = batch()
    mixed = mix(draw(1), images, labels, mixup=0, cutmix=0)
    assert len(mixed) == 2 and mixed[0] is images and mixed[1] is labels


def test_one_patch_has_no_other() -> None:
    images, labels = batch(1)
    assert mix(draw(1), images, labels, mixup=1, cutmix=1)[0] is images


class TestMixUp:
    def test_adds_images_with_the_weights_it_tells(self) -> None:
        images, labels = batch()
        mixed = mix(draw(2), images, labels, mixup=1, cutmix=0)
        assert len(mixed) == 4
        first, second, share = mixed[1], mixed[2], mixed[3]
        assert 0.5 <= share < 1
        assert first[:, 0, 0, 0].tolist() == [0, 1, 2] and second[:, 0, 0, 0].tolist() == [2, 0, 1]
        expected = share * (first + 0.5) + (1 - share) * (second + 0.5)
        torch.testing.assert_close(mixed[0][:, 0], expected.float())
        torch.testing.assert_close(mixed[0][:, 1], -(share * first + (1 - share) * second).float())

    def test_happens_as_often_as_asked(self) -> None:
        images, labels = batch()
        mixed = [len(mix(draw(seed), images, labels, mixup=0.3, cutmix=0)) == 4 for seed in range(300)]
        assert 60 < sum(mixed) < 120


class TestCutMix:
    @pytest.mark.parametrize("shape", [SHAPE, (1, 6, 10)])
    def test_image_and_label_change_in_the_same_box(self, shape: tuple[int, int, int]) -> None:
        boxes = set()
        for seed in range(20):
            images, labels = batch(3, shape)
            cut, cut_labels = mix(draw(seed), images, labels, mixup=0, cutmix=1)[:2]
            torch.testing.assert_close(cut[:, 0], cut_labels.float() + 0.5)
            torch.testing.assert_close(cut[:, 1], -cut_labels.float())
            changed = cut_labels[0] == 2  # the next patch of the first is the last
            voxels = torch.nonzero(changed)
            if len(voxels):
                low, high = voxels.min(0).values, voxels.max(0).values + 1
                assert int(changed.sum()) == int((high - low).prod())
                boxes.add((tuple(low.tolist()), tuple(high.tolist())))
        assert len(boxes) > 10

    def test_leaves_what_it_was_given_alone(self) -> None:
        images, labels = batch()
        before = images.clone(), labels.clone()
        mix(draw(3), images, labels, mixup=1, cutmix=1)
        assert torch.equal(images, before[0]) and torch.equal(labels, before[1])

    def test_follows_from_the_generator(self) -> None:
        images, labels = batch()
        first, again, other = (mix(draw(seed), images, labels, mixup=0, cutmix=1)[0] for seed in (5, 5, 6))
        assert torch.equal(first, again) and not torch.equal(first, other)

    def test_a_patch_does_not_lose_all_that_was_labelled(self) -> None:
        for seed in range(40):
            images, labels = batch(3)
            labels[:2], labels[0, 0], labels[1, :, 5] = -1, 0, 1
            cut, cut_labels = mix(draw(seed), images, labels, mixup=0, cutmix=1)[:2]
            assert (cut_labels >= 0).flatten(1).any(1).all()
            own = cut[:, 0] == images[:, 0]
            assert torch.equal(cut_labels[own], labels[own])
