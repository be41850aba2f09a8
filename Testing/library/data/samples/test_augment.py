"""Image and label move together, to where the draw says, and never further than documented."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.data.samples.augment import (
    AugmentationDraw,
    apply_augmentation,
    draw_augmentation,
    source_size,
    vary_intensity,
)
from MedSegTrainerLib.data.samples.patches import IGNORE, Triple

SIZES = [  # patch, source: odd and even of both
    ((9, 20, 15), (11, 25, 19)),
    ((9, 20, 15), (12, 24, 18)),
    ((8, 21, 16), (11, 26, 21)),
    ((8, 20, 16), (8, 20, 16)),
]


def identity(batch: int = 1) -> AugmentationDraw:
    return AugmentationDraw(
        affine=torch.eye(3).repeat(batch, 1, 1),
        translation=torch.zeros(batch, 3),
        elastic=None,
        contrast=torch.ones(batch),
        brightness=torch.zeros(batch),
        noise=torch.zeros(batch),
        blur=torch.zeros(batch),
        noise_seeds=(0,) * batch,
    )


def spatial_only(draw: AugmentationDraw) -> AugmentationDraw:
    plain = identity(len(draw.affine))
    return replace(plain, affine=draw.affine, translation=draw.translation, elastic=draw.elastic)


def with_patch(plan: Plan, patch: Triple, spacing: tuple[float, float, float] = (2.5, 1.1, 0.8)) -> Plan:
    return replace(plan, patch_size=patch, spacing=spacing)


def noise_batch(source: Triple, generator: np.random.Generator, batch: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    """Two channels of noise and labels of noise: nothing is symmetrical."""
    images = generator.standard_normal((batch, 2, *source)).astype(np.float32)
    labels = generator.integers(IGNORE, 4, (batch, *source)).astype(np.int16)
    return torch.from_numpy(images), torch.from_numpy(labels)


def central(tensor: torch.Tensor, patch: Triple) -> torch.Tensor:
    """The plain crop around the same voxel."""
    starts = [s // 2 - p // 2 for s, p in zip(tensor.shape[-3:], patch, strict=True)]
    return tensor[(..., *(slice(a, a + p) for a, p in zip(starts, patch, strict=True)))]


def blob(source: Triple, center: np.ndarray, spacing: tuple[float, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """A ball with soft edges (9 mm wide at half height) around a voxel position, and the label of its inner part."""
    positions = np.stack(np.meshgrid(*[np.arange(n) for n in source], indexing="ij"), axis=-1)
    distance = np.linalg.norm((positions - center) * spacing, axis=-1)
    image = np.exp(-0.5 * (distance / 3.8) ** 2).astype(np.float32)
    return torch.from_numpy(image)[None, None], torch.from_numpy((image > 0.4).astype(np.int16))[None]


def centroid(weights: torch.Tensor) -> np.ndarray:
    values = weights.numpy().astype(float)
    return np.array([(np.indices(values.shape)[axis] * values).sum() for axis in range(3)]) / values.sum()


def is_whole(bright: torch.Tensor, named: torch.Tensor, axes: tuple[int, ...]) -> bool:
    """Whether a bright part is there and neither it nor its label touches the patch's border or what is not known."""
    if not bright.any() or not (named == 1).any():
        return False
    for axis in axes:
        ends = torch.tensor([0, bright.shape[axis] - 1])
        if bright.index_select(axis, ends).any() or (named.index_select(axis, ends) == 1).any():
            return False
    return not (bright & (named == IGNORE)).any()


def expected_place(center: np.ndarray, source: Triple, plan: Plan, draw: AugmentationDraw) -> np.ndarray:
    """Voxel of the patch that shows the source voxel ``center``, from the words of the documentation alone."""
    patch, spacing = np.array(plan.patch_size), np.array(plan.spacing)
    middle = (patch - 1) / 2
    middle_in_source = np.array(source) // 2 - patch // 2 + middle
    offset = (center - middle_in_source - draw.translation[0].numpy() * patch) * spacing
    return middle + np.linalg.solve(draw.affine[0].numpy(), offset) / spacing


class TestIdentity:
    @pytest.mark.parametrize("patch, source", SIZES)
    def test_is_the_central_crop(
        self, tiny_plan: Plan, generator: np.random.Generator, patch: Triple, source: Triple
    ) -> None:
        images, labels = noise_batch(source, generator, batch=2)
        moved_images, moved_labels = apply_augmentation(images, labels, identity(2), with_patch(tiny_plan, patch))
        assert (moved_images.dtype, moved_labels.dtype) == (torch.float32, torch.int16)
        assert torch.equal(moved_labels, central(labels, patch))
        assert torch.allclose(moved_images, central(images, patch), atol=1e-4)


class TestKnownAnswers:
    @pytest.mark.parametrize("patch, source", SIZES)
    @pytest.mark.parametrize("axes", [(0,), (1,), (2,), (0, 2), (0, 1, 2)])
    def test_flips(
        self, tiny_plan: Plan, generator: np.random.Generator, patch: Triple, source: Triple, axes: tuple[int, ...]
    ) -> None:
        images, labels = noise_batch(source, generator)
        draw = identity()
        draw.affine[:, axes, axes] = -1
        moved_images, moved_labels = apply_augmentation(images, labels, draw, with_patch(tiny_plan, patch))
        assert torch.equal(moved_labels, central(labels, patch).flip([axis - 3 for axis in axes]))
        assert torch.allclose(moved_images, central(images, patch).flip([axis - 3 for axis in axes]), atol=1e-4)

    @pytest.mark.parametrize("axis", [0, 1, 2])
    def test_a_quarter_turn(self, tiny_plan: Plan, generator: np.random.Generator, axis: int) -> None:
        first, second = [other for other in range(3) if other != axis]
        patch = [12, 12, 12]
        patch[axis] = 7
        images, labels = noise_batch((14, 14, 14), generator)
        draw = identity()
        draw.affine[0, [first, second], [first, second]] = 0
        draw.affine[0, first, second], draw.affine[0, second, first] = -1, 1
        plan = with_patch(tiny_plan, (patch[0], patch[1], patch[2]), (1.5, 1.5, 1.5))
        moved_images, moved_labels = apply_augmentation(images, labels, draw, plan)
        assert torch.equal(moved_labels, torch.rot90(central(labels, plan.patch_size), -1, (first - 3, second - 3)))
        expected = torch.rot90(central(images, plan.patch_size), -1, (first - 3, second - 3))
        assert torch.allclose(moved_images, expected, atol=1e-4)

    def test_a_quarter_turn_is_one_in_millimetres(self, tiny_plan: Plan, generator: np.random.Generator) -> None:
        """Voxels of 2 mm and 1 mm: two voxels of y become one of z."""
        _, labels = noise_batch((8, 16, 5), generator)
        draw = identity()
        draw.affine[0, :2, :2] = torch.tensor([[0.0, -1.0], [1.0, 0.0]])
        plan = with_patch(tiny_plan, (8, 16, 5), (2.0, 1.0, 1.0))
        ramp = torch.arange(16.0).view(1, 1, 1, 16, 1).expand(1, 2, 8, 16, 5).clone()  # grows by 1 a mm of y
        result, _ = apply_augmentation(ramp, labels, draw, plan)
        steps = result[0, 0, :, 8, 2].diff()
        assert steps == pytest.approx(torch.full((7,), 2.0), abs=1e-4)

    def test_translation_by_whole_voxels(self, tiny_plan: Plan, generator: np.random.Generator) -> None:
        patch, source = (8, 10, 12), (8, 10, 12)
        images, labels = noise_batch(source, generator)
        draw = replace(identity(), translation=torch.tensor([[0.0, -0.2, 0.25]]))  # 2 voxels of y, 3 of x
        moved_images, moved_labels = apply_augmentation(images, labels, draw, with_patch(tiny_plan, patch))
        assert torch.equal(moved_labels[:, :, 2:, :-3], labels[:, :, :-2, 3:])
        assert torch.allclose(moved_images[..., 2:, :-3], images[..., :-2, 3:], atol=1e-4)
        # what the source does not hold does not count in the loss, and the image repeats its border
        assert (moved_labels[:, :, :2] == IGNORE).all()
        assert (moved_labels[:, :, :, -3:] == IGNORE).all()
        assert torch.allclose(moved_images[..., 2:, -3:], images[..., :-2, -1:].expand(-1, -1, -1, -1, 3), atol=1e-4)


class TestAlignment:
    """A smooth ball and its label, followed through the resampling."""

    @pytest.mark.parametrize("patch, source", [((11, 30, 41), (13, 37, 50)), ((12, 31, 40), (15, 38, 49))])
    @pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, 1), (1, -1, -1)])
    @pytest.mark.parametrize("degrees", [(0, 0, 0), (24, 0, 0), (0, -24, 10), (-8, 12, 24)])
    @pytest.mark.parametrize("shift", [(0.0, 0.0, 0.0), (0.05, -0.1, 0.08)])
    def test_label_and_image_land_where_the_draw_says(
        self, tiny_plan: Plan, patch: Triple, source: Triple, flips: Triple, degrees: Triple,
        shift: tuple[float, float, float],
    ) -> None:  # fmt: skip
        plan = with_patch(tiny_plan, patch, (3.0, 1.1, 0.8))
        turn = Rotation.from_euler("xyz", degrees, degrees=True).as_matrix() * 1.05 * np.array(flips)
        draw = replace(
            identity(),
            affine=torch.from_numpy(turn[None].astype(np.float32)),
            translation=torch.tensor([shift]),
        )
        center = np.array(source) / 2 + (0.6, -2.3, 3.1)
        image, label = blob(source, center, plan.spacing)
        moved_image, moved_label = apply_augmentation(image, label, draw, plan)
        place = expected_place(center, source, plan, draw)
        label_place = centroid(moved_label[0] == 1)
        image_place = centroid((moved_image[0, 0] - 0.2).clamp(min=0))
        assert np.abs(image_place - place).max() < 0.1
        assert np.abs(label_place - place).max() <= 0.5  # nearest voxels move as much where all of them round alike

    @pytest.mark.parametrize("patch", [(8, 20, 29), (9, 21, 30)])
    def test_every_label_is_that_of_the_voxel_nearest_to_the_image(
        self, tiny_plan: Plan, generator: np.random.Generator, patch: Triple
    ) -> None:
        """The image shows the position in the source itself, and the label the number of the source voxel."""
        batch = 30
        plan = replace(with_patch(tiny_plan, patch, (3.0, 1.1, 0.8)), flip_axes=(0, 1, 2))
        source = source_size(plan, (100, 100, 100))
        images = torch.from_numpy(np.indices(source).astype(np.float32)).repeat(batch, 1, 1, 1, 1)
        labels = torch.arange(np.prod(source), dtype=torch.int16).view(1, *source).repeat(batch, 1, 1, 1)
        draw = spatial_only(draw_augmentation(generator, batch, plan, "strong"))
        assert draw.elastic is not None
        moved_images, moved_labels = apply_augmentation(images, labels, draw, plan)
        numbers = moved_labels.numpy()
        voxels = np.stack(np.unravel_index(numbers.clip(0), source), axis=1)
        inside = np.broadcast_to((numbers != IGNORE)[:, None], voxels.shape)
        assert inside.mean() > 0.8
        assert np.abs(moved_images.numpy() - voxels)[inside].max() < 0.501

    @pytest.mark.parametrize(
        ("patch", "spacing", "dims"),
        [
            ((13, 31, 40), (2.0, 1.1, 0.8), 3),
            ((12, 30, 41), (1.3, 1.0, 1.0), 3),
            ((7, 33, 38), (5.0, 0.9, 0.9), 3),
            ((1, 33, 46), (5.0, 0.9, 0.7), 2),
            ((1, 32, 45), (1.0, 0.7, 0.9), 2),
        ],
    )
    @pytest.mark.parametrize("architecture", ["PlannedUNet", "DeepLabV3Plus"])
    def test_a_landmark_stays_under_its_label_in_many_draws(
        self, tiny_plan: Plan, generator: np.random.Generator, patch: Triple, spacing: tuple[float, float, float],
        dims: int, architecture: str,
    ) -> None:  # fmt: skip
        """Where the ball is whole, the middle of its bright part and of its label differ by part of a voxel, and
        by nothing on average."""
        axes = (0, 1, 2) if dims == 3 else (1, 2)
        plan = replace(with_patch(tiny_plan, patch, spacing), dims=dims, flip_axes=axes, architecture=architecture)
        source = source_size(plan, (100, 100, 100), "strong")
        center = np.array(source) // 2 + (0, -2, 4)  # a voxel: the label is alike on all sides of it
        image, label = blob(source, center, plan.spacing)
        differences, mirrored = [], []
        for _ in range(5):
            draw = spatial_only(draw_augmentation(generator, 12, plan, "strong"))
            images, labels = apply_augmentation(
                image.repeat(12, 1, 1, 1, 1), label.repeat(12, 1, 1, 1), draw, plan
            )  # fmt: skip
            for seen, named, affine in zip(images[:, 0], labels, draw.affine, strict=True):
                bright = seen > 0.4
                if is_whole(bright, named, axes):
                    differences.append(centroid(bright.float()) - centroid(named == 1))
                    mirrored.append(np.sign(np.diagonal(affine)))
        assert len(differences) > 30
        assert np.abs(differences).max() < 0.8  # of a thick slice, of which the ball has two
        assert np.abs(np.mean(differences, axis=0)).max() < 0.1  # along the axes of the patch
        assert np.abs(np.mean(np.multiply(differences, mirrored), axis=0)).max() < 0.1  # along those of the source

    def test_the_elastic_field_moves_by_shares_of_the_patch(
        self, tiny_plan: Plan, generator: np.random.Generator
    ) -> None:
        plan = with_patch(tiny_plan, (8, 10, 20))
        images, labels = noise_batch((8, 10, 20), generator)
        field = torch.zeros(1, 3, 5, 5, 5)
        field[:, 1], field[:, 2] = 0.3, -0.1  # 3 voxels of y, -2 of x
        _, moved = apply_augmentation(images, labels, replace(identity(), elastic=field), plan)
        assert torch.equal(moved[:, :, :-3, 2:], labels[:, :, 3:, :-2])


class TestPlane:
    """Slices are not turned, shifted or bent out of their plane."""

    def test_2d(self, tiny_plan: Plan, generator: np.random.Generator) -> None:
        plan = replace(tiny_plan, dims=2, patch_size=(1, 20, 24), spacing=(5.0, 0.9, 0.7), flip_axes=(1, 2))
        draw = draw_augmentation(generator, 50, plan, "strong")
        assert (draw.affine[:, 0] == torch.tensor([1.0, 0, 0])).all()
        assert (draw.affine[:, 1:, 0] == 0).all()
        assert (draw.translation[:, 0] == 0).all()
        assert draw.elastic is not None
        assert (draw.elastic[:, 0] == 0).all()

    def test_2d_patches_keep_their_slice(self, tiny_plan: Plan, generator: np.random.Generator) -> None:
        """Slices above and below hold another label; nothing of it may appear."""
        plan = replace(tiny_plan, dims=2, patch_size=(1, 20, 24), spacing=(5.0, 0.9, 0.7), flip_axes=(1, 2))
        labels = torch.full((30, 3, 25, 30), 9, dtype=torch.int16)
        labels[:, 1] = 1
        images = labels[:, None].float()
        draw = spatial_only(draw_augmentation(generator, 30, plan, "strong"))
        moved_images, moved_labels = apply_augmentation(images, labels, draw, plan)
        assert set(moved_labels.unique().tolist()) <= {1, IGNORE}
        assert moved_images == pytest.approx(torch.ones_like(moved_images), abs=1e-3)

    def test_thick_slices_are_not_turned(self, tiny_plan: Plan, generator: np.random.Generator) -> None:
        thick, thin = (
            draw_augmentation(generator, 50, replace(tiny_plan, spacing=(z, 1.0, 1.0)), "strong") for z in (3.1, 2.9)
        )
        assert (thick.affine[:, 0, 1:] == 0).all()
        assert (thick.affine[:, 1:, 0] == 0).all()
        assert (thin.affine[:, 0, 1:] != 0).any()


class TestReproducible:
    def test_the_same_draw_gives_the_same_patches(self, tiny_plan: Plan, generator: np.random.Generator) -> None:
        images, labels = noise_batch((5, 10, 15), generator, batch=8)
        draw = draw_augmentation(generator, 8, tiny_plan, "strong")
        draw.noise[:] = 0.1
        before = torch.random.get_rng_state()
        first = apply_augmentation(images.clone(), labels, draw, tiny_plan)
        second = apply_augmentation(images.clone(), labels, draw, tiny_plan)
        assert torch.equal(first[0], second[0])
        assert torch.equal(first[1], second[1])
        assert torch.equal(before, torch.random.get_rng_state())  # a resumed training draws what it would have drawn


class TestIntensity:
    @pytest.fixture
    def images(self, generator: np.random.Generator) -> torch.Tensor:
        values = generator.normal((10.0, -3.0), (2.0, 5.0), (8, 16, 20, 2, 2))  # (z, y, x, channel, batch)
        return torch.from_numpy(values.astype(np.float32)).permute(4, 3, 0, 1, 2).contiguous()

    def test_nothing(self, images: torch.Tensor) -> None:
        assert torch.allclose(vary_intensity(images.clone(), identity(2)), images, atol=1e-5)

    def test_contrast_is_about_the_mean_of_each_channel(self, images: torch.Tensor) -> None:
        draw = replace(identity(2), contrast=torch.tensor([0.8, 1.0]))
        varied = vary_intensity(images.clone(), draw)
        mean = images[0].mean(dim=(1, 2, 3), keepdim=True)
        assert torch.allclose(varied[0], mean + 0.8 * (images[0] - mean), atol=1e-4)
        assert torch.allclose(varied[1], images[1], atol=1e-4)

    def test_brightness_is_in_deviations(self, images: torch.Tensor) -> None:
        draw = replace(identity(2), brightness=torch.tensor([0.0, -0.2]))
        moved = vary_intensity(images.clone(), draw) - images
        assert torch.allclose(moved[0], torch.zeros(()), atol=1e-4)
        for channel in range(2):
            expected = torch.full((), -0.2) * images[1, channel].std(correction=0)
            assert torch.allclose(moved[1, channel], expected, atol=1e-4)

    def test_noise_is_in_deviations_and_not_the_same_in_channels(self, images: torch.Tensor) -> None:
        draw = replace(identity(2), noise=torch.tensor([0.5, 0.0]), noise_seeds=(3, 4))
        added = vary_intensity(images.clone(), draw) - images
        assert torch.allclose(added[1], torch.zeros(()), atol=1e-4)
        for channel in range(2):
            assert float(added[0, channel].std() / images[0, channel].std()) == pytest.approx(0.5, rel=0.05)
        assert abs(np.corrcoef(added[0, 0].ravel(), added[0, 1].ravel())[0, 1]) < 0.1

    def test_blur_keeps_the_sum_and_lowers_the_peak(self) -> None:
        images = torch.zeros(2, 1, 9, 11, 13)
        images[:, :, 4, 5, 6] = 1
        varied = vary_intensity(images.clone(), replace(identity(2), blur=torch.tensor([0.7, 0.0])))
        assert torch.allclose(varied[1], images[1], atol=1e-6)
        assert varied[0].sum() == pytest.approx(1, abs=1e-4)
        assert varied[0, 0, 4, 5, 6] < 0.3
        neighbours = [varied[0, 0, 3, 5, 6], varied[0, 0, 4, 4, 6], varied[0, 0, 4, 5, 5]]
        assert neighbours[0] == pytest.approx(neighbours[1]) == pytest.approx(neighbours[2])

    def test_blur_leaves_an_axis_of_one_voxel_alone(self) -> None:
        images = torch.zeros(1, 1, 1, 9, 9)
        images[..., 4, 4] = 1
        varied = vary_intensity(images, replace(identity(1), blur=torch.tensor([1.0])))
        assert varied.shape == (1, 1, 1, 9, 9)
        assert varied.sum() == pytest.approx(1, abs=1e-4)


class TestSourceSize:
    @pytest.mark.parametrize(
        "patch, largest, expected",
        [
            ((8, 16, 20), (100, 100, 100), (10, 20, 25)),
            ((9, 17, 21), (100, 100, 100), (12, 22, 27)),  # rounded up
            ((8, 16, 20), (9, 16, 12), (9, 16, 20)),  # no larger than the volumes, no smaller than the patch
            ((1, 16, 20), (30, 100, 100), (1, 20, 25)),  # a slice stays a slice
        ],
    )
    def test_is_a_quarter_larger_where_it_helps(
        self, tiny_plan: Plan, patch: Triple, largest: Triple, expected: Triple
    ) -> None:
        assert source_size(replace(tiny_plan, patch_size=patch), largest) == expected

    def test_many_scales_need_more(self, tiny_plan: Plan) -> None:
        plan = replace(tiny_plan, dims=2, patch_size=(1, 16, 20), architecture="DeepLabV3Plus")
        assert source_size(plan, (30, 100, 100), "strong") == (1, 40, 50)
        assert source_size(plan, (30, 30, 100), "strong") == (1, 30, 50)
        assert source_size(replace(plan, architecture="UNet2D"), (30, 100, 100), "strong") == (1, 20, 25)


def test_a_patch_keeps_something_that_was_labelled(tiny_plan: Plan, generator: np.random.Generator) -> None:
    """A labelled plane at the patch's border, which every shift and turn may move out of it."""
    plan = replace(with_patch(tiny_plan, (8, 12, 10), (1.0, 1.0, 1.0)), ignore_label=-1)
    source = source_size(plan, (40, 40, 40), "strong")
    images, labels = noise_batch(source, generator, 6)
    labels[:] = IGNORE
    labels[:, :, source[1] // 2 - 6] = 1  # the first plane of the patch
    kept = 0
    for _ in range(20):
        draw = draw_augmentation(generator, 6, plan, "strong")
        _, moved = apply_augmentation(images, labels, draw, replace(plan, ignore_label=None))
        varied, known = apply_augmentation(images, labels, draw, plan)
        empty = (moved < 0).flatten(1).all(1)
        assert (known >= 0).flatten(1).any(1).all()
        assert torch.equal(known[~empty], moved[~empty])
        assert (known[empty][:, :, 0] == 1).all() and (known[empty][:, :, 1:] == IGNORE).all()
        assert varied.shape == (6, 2, 8, 12, 10)
        kept += int(empty.sum())
    assert kept > 3
