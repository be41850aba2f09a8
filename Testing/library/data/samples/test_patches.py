"""Which patches are drawn, and that they are cut where they were drawn."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from MedSegTrainerLib.data.samples.cache import CachedCase
from MedSegTrainerLib.data.samples.patches import (
    ANYWHERE,
    IGNORE,
    PatchDraw,
    Triple,
    classes_in,
    cut_batch,
    draw_patch,
    epoch_order,
    rarity_weights,
)
from MedSegTrainerLib.imaging.geometry import Geometry

CPU = torch.device("cpu")


def make_case(shape: Triple, generator: np.random.Generator, channels: int = 2) -> CachedCase:
    """Every voxel another intensity; a large structure 1, and structure 2 of one voxel in a corner."""
    label = np.zeros(shape, np.uint8)
    label[tuple(slice(1, n - 2) for n in shape)] = 1
    label[-1, -1, 0] = 2
    positions = np.argwhere(label)
    locations = np.concatenate([label[label > 0][:, None], positions], axis=1).astype(np.int32)
    return CachedCase(
        name="a",
        image=torch.from_numpy(generator.permutation(channels * label.size).reshape(channels, *shape)).float(),
        label=torch.from_numpy(label),
        locations=torch.from_numpy(locations),
        geometry=Geometry(size=(shape[2], shape[1], shape[0])),
    )


def cut_by_index(case: CachedCase, center: Triple, size: Triple) -> tuple[np.ndarray, np.ndarray]:
    """The same patch voxel by voxel: indices beyond the volume are those of its border, and count as outside."""
    indices = [np.arange(size[axis]) + center[axis] - size[axis] // 2 for axis in range(3)]
    borders = [i.clip(0, n - 1) for i, n in zip(indices, case.label.shape, strict=True)]
    in_z, in_y, in_x = (i == b for i, b in zip(indices, borders, strict=True))
    inside = in_z[:, None, None] & in_y[:, None] & in_x
    grid = np.ix_(*borders)
    image = np.stack([channel[grid] for channel in case.image.numpy()])
    return image, np.where(inside, case.label.numpy()[grid].astype(int), IGNORE)


class TestEpochOrder:
    def test_each_case_stands_as_often_as_asked(self) -> None:
        order = epoch_order(3, 0, cases=7, samples_per_volume=4)
        assert np.bincount(order).tolist() == [4] * 7

    def test_follows_from_seed_and_epoch(self) -> None:
        orders = [epoch_order(seed, epoch, 9, 5).tolist() for seed, epoch in ((1, 0), (1, 0), (1, 1), (2, 0))]
        assert orders[0] == orders[1]
        assert orders[0] != orders[2] != orders[3] != orders[0]
        assert orders[0] != sorted(orders[0])


class TestCutBatch:
    @pytest.mark.parametrize("size", [(4, 6, 8), (3, 5, 7), (9, 16, 12), (1, 6, 5), (20, 30, 40)])
    def test_is_plain_indexing(self, size: Triple, generator: np.random.Generator) -> None:
        cases = [make_case((9, 13, 11), generator), make_case((5, 7, 6), generator)]
        draws = []
        for index, case in enumerate(cases):
            shape = case.label.shape
            centers = [(0, 0, 0), tuple(n - 1 for n in shape), tuple(n // 2 for n in shape)]
            centers += [tuple(generator.integers(0, shape)) for _ in range(5)]
            draws += [PatchDraw(case=index, center=center) for center in centers]
        images, labels = cut_batch(cases, draws, size, CPU)
        assert (images.dtype, labels.dtype) == (torch.float32, torch.int16)
        assert images.shape == (len(draws), 2, *size)
        assert labels.shape == (len(draws), *size)
        for draw, image, label in zip(draws, images, labels, strict=True):
            expected_image, expected_label = cut_by_index(cases[draw.case], draw.center, size)
            assert np.array_equal(image, expected_image)
            assert np.array_equal(label, expected_label)

    def test_labels_past_a_byte_keep_their_value(self, generator: np.random.Generator) -> None:
        case = make_case((3, 4, 5), generator)
        many = replace(case, label=torch.full((3, 4, 5), 300, dtype=torch.int16))
        _, labels = cut_batch([many], [PatchDraw(case=0, center=(1, 2, 2))], (3, 4, 5), CPU)
        assert (labels == 300).all()

    def test_does_not_change_the_case(self, generator: np.random.Generator) -> None:
        case = make_case((3, 4, 5), generator)
        before = case.image.clone()
        images, _ = cut_batch([case], [PatchDraw(case=0, center=(1, 2, 2))], (3, 4, 5), CPU)
        images += 1
        assert torch.equal(case.image, before)


class TestDrawPatch:
    PATCH = (3, 6, 5)

    def labels(self, generator: np.random.Generator, case: CachedCase, oversampling: float, count: int) -> torch.Tensor:
        draws = [draw_patch(generator, 0, case, self.PATCH, oversampling) for _ in range(count)]
        return cut_batch([case], draws, self.PATCH, CPU)[1]

    def test_every_patch_has_a_structure_and_rare_ones_are_as_frequent(self, generator: np.random.Generator) -> None:
        labels = self.labels(generator, make_case((9, 17, 13), generator), 1.0, 200)
        assert (labels > 0).flatten(1).any(dim=1).all()
        with_rare = (labels == 2).flatten(1).any(dim=1).float().mean()
        assert 0.35 < with_rare < 0.65

    def test_without_oversampling_the_rare_structure_is_rare(self, generator: np.random.Generator) -> None:
        labels = self.labels(generator, make_case((9, 17, 13), generator), 0.0, 200)
        assert (labels == 2).flatten(1).any(dim=1).float().mean() < 0.3

    @pytest.mark.parametrize("oversampling", [0.0, 1.0])
    def test_patches_stay_inside_and_reach_every_border(
        self, generator: np.random.Generator, oversampling: float
    ) -> None:
        shape = (9, 17, 13)
        case = make_case(shape, generator)
        starts = np.array([
            np.array(draw_patch(generator, 0, case, self.PATCH, oversampling).center) - np.array(self.PATCH) // 2
            for _ in range(600)
        ])  # fmt: skip
        assert starts.min(axis=0).tolist() == [0, 0, 0]
        assert starts.max(axis=0).tolist() == [n - p for n, p in zip(shape, self.PATCH, strict=True)]

    def test_a_volume_smaller_than_the_patch_lies_in_its_middle(self, generator: np.random.Generator) -> None:
        case = make_case((4, 17, 4), generator)
        draw = draw_patch(generator, 5, case, (8, 6, 6), 1.0)
        assert draw.case == 5
        assert (draw.center[0], draw.center[2]) == (2, 2)
        _, labels = cut_batch([case], [PatchDraw(case=0, center=draw.center)], (8, 6, 6), CPU)
        assert (labels != IGNORE).sum() == case.label[:, :6].numel()

    def test_a_case_without_structures(self, generator: np.random.Generator) -> None:
        case = make_case((9, 17, 13), generator)
        empty = replace(case, label=case.label * 0, locations=case.locations[:0])
        assert draw_patch(generator, 0, empty, self.PATCH, 1.0).case == 0

    def test_follows_from_the_generator(self, generator: np.random.Generator) -> None:
        case = make_case((9, 17, 13), generator)
        first, second = (
            [draw_patch(np.random.default_rng(seed), 0, case, self.PATCH, 0.5) for seed in range(20)] for _ in range(2)
        )
        assert first == second
        assert len(set(first)) > 10


def partly_labelled(generator: np.random.Generator, planes: list[int]) -> CachedCase:
    """Labelled in a few planes along y, as class 1 in some of their voxels."""
    case = make_case((9, 17, 13), generator)
    label = torch.full(case.label.shape, IGNORE, dtype=torch.int16)
    label[:, planes] = 0
    label[3:6, planes, 4:9] = 1
    positions = {1: (label == 1).nonzero(), ANYWHERE: (label >= 0).nonzero()}
    rows = [torch.cat([torch.full((len(at), 1), index), at], dim=1) for index, at in positions.items()]
    return replace(case, label=label, locations=torch.cat(rows).to(torch.int32))


class TestPartlyLabelled:
    @pytest.mark.parametrize("patch", [(3, 6, 5), (1, 4, 4), (12, 3, 20), (4, 1, 13)])
    @pytest.mark.parametrize("planes", [[8], [0], [16], [2, 3, 11]])
    @pytest.mark.parametrize("oversampling", [0.0, 1.0])
    def test_every_patch_has_a_labelled_voxel(
        self, generator: np.random.Generator, patch: Triple, planes: list[int], oversampling: float
    ) -> None:
        case = partly_labelled(generator, planes)
        draws = [draw_patch(generator, 0, case, patch, oversampling) for _ in range(100)]
        _, labels = cut_batch([case], draws, patch, CPU)
        assert (labels != IGNORE).flatten(1).any(1).all()
        if oversampling:
            assert (labels == 1).flatten(1).any(1).all()

    def test_the_slice_lies_anywhere_in_the_patch(self, generator: np.random.Generator) -> None:
        case = partly_labelled(generator, [8])
        draws = [draw_patch(generator, 0, case, (3, 6, 5), 0.0) for _ in range(300)]
        _, labels = cut_batch([case], draws, (3, 6, 5), CPU)
        places = (labels != IGNORE).any(dim=3).any(dim=1).nonzero()[:, 1]
        assert torch.bincount(places, minlength=6).min() > 25

    def test_no_class_is_counted_for_it(self, generator: np.random.Generator) -> None:
        case = partly_labelled(generator, [8])
        assert classes_in(case) == {1}
        background = replace(case, locations=case.locations[case.locations[:, 0] == ANYWHERE])
        assert classes_in(background) == set()
        full = make_case((9, 17, 13), generator)
        assert rarity_weights([case, full, background]).tolist() == pytest.approx(
            [0.5 / 1.8333, 1 / 1.8333, 0.3333 / 1.8333], rel=1e-3
        )
