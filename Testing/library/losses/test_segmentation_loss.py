"""Losses against MONAI's, against numbers worked out by hand, and against numerical gradients."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from monai.losses import BoundaryLoss, DiceCELoss, DiceLoss, FocalLoss
from torch import nn
from torch.nn import functional

from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.losses.segmentation_loss import (
    SegmentationLoss,
    balanced_weights,
    build_loss,
    ramped_weights,
)

CPU = torch.device("cpu")
WEIGHTS = [0.1, 1.0, 2.0, 3.0]
SPACING = (2.5, 1.1, 0.8)
EVERYTHING = LossConfig(
    loss_type="combined", dice_weight=0.4, ce_weight=0.3, focal_weight=0.2, boundary_weight=0.1,
    class_weights=WEIGHTS, alpha=[0.2, 0.5, 1.0, 1.5],
)  # fmt: skip


def logits_and_target(
    batch: int = 2, classes: int = 4, size: tuple[int, ...] = (3, 5, 4)
) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    logits = 2 * torch.randn((batch, classes, *size), generator=generator)
    return logits, torch.randint(0, classes, (batch, *size), generator=generator, dtype=torch.int16)


def logits_of(probabilities: list[list[float]]) -> torch.Tensor:
    """Logits (1, classes, voxels) whose softmax is this; a row for each voxel."""
    return torch.tensor(probabilities, dtype=torch.float64).log().T[None]


def one_term(name: str, classes: int = 4, **changes: object) -> SegmentationLoss:
    """The loss of one term alone; the boundary term at its full weight, with a hundredth of Dice."""
    loss = build_loss(LossConfig(loss_type=name, **changes), classes, CPU)  # type: ignore[arg-type]
    loss.ramp = 1.0
    return loss


def boundary_alone(logits: torch.Tensor, target: torch.Tensor, spacing: tuple[float, ...] | None = None) -> float:
    """The boundary term: ``combined`` counts it beside a term that counts nothing."""
    config = LossConfig(loss_type="combined", boundary_weight=1.0, focal_weight=1.0, alpha=0.0)
    loss = build_loss(config, logits.shape[1], CPU, spacing)
    loss.ramp = 1.0
    return float(loss([logits], target))


class TestAgainstMonai:
    @pytest.mark.parametrize("size", [(3, 5, 4), (7, 5)])
    @pytest.mark.parametrize("classes", [2, 4])
    @pytest.mark.parametrize("smooth", [1.0, 1e-3])
    def test_dice(self, size: tuple[int, ...], classes: int, smooth: float) -> None:
        logits, target = logits_and_target(classes=classes, size=size)
        monai = DiceLoss(include_background=False, to_onehot_y=True, softmax=True, smooth_nr=smooth, smooth_dr=smooth)
        loss = one_term("dice", classes, smooth=smooth)([logits], target)
        torch.testing.assert_close(loss, monai(logits, target[:, None].long()))

    @pytest.mark.parametrize("weights", [None, WEIGHTS])
    def test_combined_is_the_mean_over_samples(self, weights: list[float] | None) -> None:
        logits, target = logits_and_target(batch=3)
        config = LossConfig(loss_type="combined", smooth=1.0, dice_weight=0.7, ce_weight=0.4, class_weights=weights)
        loss = build_loss(config, 4, CPU)([logits], target)
        given = None if weights is None else torch.tensor(weights)
        both = DiceCELoss(
            to_onehot_y=True, softmax=True, include_background=False, lambda_dice=0.7, lambda_ce=0.4,
            smooth_nr=1.0, smooth_dr=1.0,
        )  # fmt: skip
        expected = 0.0
        for one, goal in zip(logits.split(1), target.long().split(1), strict=True):
            entropy = functional.cross_entropy(one, goal, weight=given) - functional.cross_entropy(one, goal)
            expected += (float(both(one, goal[:, None])) + 0.4 * float(entropy)) / 3
        assert float(loss) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("gamma", [0.0, 2.0, 3.5])
    def test_focal(self, gamma: float) -> None:
        logits, target = logits_and_target()
        monai = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=gamma, alpha=WEIGHTS)
        loss = one_term("focal", gamma=gamma, alpha=WEIGHTS)([logits], target)
        torch.testing.assert_close(loss, 4 * monai(logits, target[:, None].long()))

    @pytest.mark.parametrize("size", [(6, 7, 8), (9, 7)])
    def test_boundary(self, size: tuple[int, ...]) -> None:
        """In boxes, where the distances are MONAI's; it averages over the classes and does not count ignored voxels."""
        logits, _ = logits_and_target(classes=3, size=size)
        target = torch.zeros((2, *size), dtype=torch.int16)
        target[0, 1:5, 2:6], target[1, 2:5, :3], target[1, :2] = 1, 2, 1
        monai = BoundaryLoss(include_background=False, to_onehot_y=True, softmax=True)
        assert boundary_alone(logits, target) == pytest.approx(2 * float(monai(logits, target[:, None])), rel=1e-5)


class TestByHand:
    def test_dice(self) -> None:
        """Two voxels of class 1 and one of background: (2 * 1.4 + 1) / (1.5 + 2 + 1)."""
        logits = logits_of([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]])
        loss = one_term("dice", 2, smooth=1.0)([logits], torch.tensor([[1, 1, 0]]))
        assert float(loss) == pytest.approx(1 - 3.8 / 4.5)

    def test_dice_is_the_mean_over_samples_and_classes(self) -> None:
        logits = torch.cat(
            [logits_of([[0.2, 0.7, 0.1], [0.5, 0.1, 0.4]]), logits_of([[0.1, 0.4, 0.5], [0.8, 0.1, 0.1]])]
        )
        first = (2 * 0.7 + 1) / (0.8 + 1 + 1), (2 * 0.4 + 1) / (0.5 + 1 + 1)
        second = 1 / (0.5 + 1), (2 * 0.5 + 1) / (0.6 + 1 + 1)  # the second sample has no class 1
        loss = one_term("dice", 3, smooth=1.0)([logits], torch.tensor([[1, 2], [2, 0]]))
        assert float(loss) == pytest.approx(1 - (sum(first) + sum(second)) / 4)

    def test_a_sample_that_lacks_a_class_does_not_push_it_away(self) -> None:
        """With a smooth of 1, small classes that few patches show never came: larynx and oesophagus of head-neck."""
        pushes = []
        for smooth in (1.0, LossConfig().smooth):
            logits = logits_of([[0.9, 0.1]] * 40).requires_grad_()
            one_term("dice", 2, smooth=smooth)([logits], torch.zeros((1, 40), dtype=torch.int64)).backward()
            assert logits.grad is not None
            pushes.append(float(logits.grad[:, 1].abs().sum()))
        assert pushes[1] < 1e-4 * pushes[0]

    def test_cross_entropy(self) -> None:
        logits, target = logits_of([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]]), torch.tensor([[1, 0, 0]])
        assert float(one_term("cross_entropy", 2)([logits], target)) == pytest.approx(-math.log(0.8 * 0.4 * 0.9) / 3)
        weighted = -(0.7 * math.log(0.8) + 0.3 * math.log(0.4) + 0.3 * math.log(0.9)) / (0.7 + 0.3 + 0.3)
        loss = one_term("cross_entropy", 2, class_weights=[0.3, 0.7])([logits], target)
        assert float(loss) == pytest.approx(weighted)

    def test_focal(self) -> None:
        """The guide's formula with its defaults, alpha 0.25 and gamma 2; then a number for each class."""
        logits, target = logits_of([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]]), torch.tensor([[1, 0, 0]])
        parts = [-(0.2**2) * math.log(0.8), -(0.6**2) * math.log(0.4), -(0.1**2) * math.log(0.9)]
        assert float(one_term("focal", 2)([logits], target)) == pytest.approx(0.25 * sum(parts) / 3)
        loss = one_term("focal", 2, alpha=[0.1, 0.9])([logits], target)
        assert float(loss) == pytest.approx((0.9 * parts[0] + 0.1 * parts[1] + 0.1 * parts[2]) / 3)

    def test_boundary(self) -> None:
        """Distances 1, 0, -1, 0, 1 on a line of five voxels."""
        logits = logits_of([[0.9, 0.1], [0.7, 0.3], [0.2, 0.8], [0.5, 0.5], [0.4, 0.6]])
        target = torch.tensor([[0, 1, 1, 1, 0]])
        assert boundary_alone(logits, target) == pytest.approx((0.1 - 0.8 + 0.6) / 5)

    def test_boundary_in_units_of_the_shortest_edge(self) -> None:
        """One voxel of 3 x 1 mm with neighbours above, below and beside it."""
        logits = torch.zeros((1, 2, 1, 3, 3), dtype=torch.float64)
        target = torch.zeros((1, 1, 3, 3), dtype=torch.int16)
        target[0, 0, 1, 1] = 1
        expected = 0.5 * (2 * 1 + 2 * 3 + 4 * math.sqrt(10)) / 9
        assert boundary_alone(logits, target, (9.0, 3.0, 1.0)) == pytest.approx(expected)
        assert boundary_alone(logits, target, (9e-3, 3e-3, 1e-3)) == pytest.approx(expected)
        assert boundary_alone(logits[:, :, 0], target[:, 0], (0.1, 3.0, 1.0)) == pytest.approx(expected)

    def test_combined_is_the_weighted_sum(self) -> None:
        logits, target = logits_and_target()
        expected = 0.4 * one_term("dice")([logits], target) + 0.1 * boundary_alone(logits, target)
        expected += 0.3 * one_term("cross_entropy", class_weights=WEIGHTS)([logits], target)
        expected += 0.2 * one_term("focal", alpha=EVERYTHING.alpha)([logits], target)
        loss = build_loss(EVERYTHING, 4, CPU)
        loss.ramp = 1.0
        torch.testing.assert_close(loss([logits], target), expected)

    @pytest.mark.parametrize("name", ["dice", "cross_entropy", "focal"])
    def test_perfect_and_opposite(self, name: str) -> None:
        _, target = logits_and_target()
        right = 50 * functional.one_hot(target.long(), 4).movedim(-1, 1).float()
        loss = one_term(name, smooth=0.01)
        assert float(loss([right], target)) == pytest.approx(0, abs=1e-4)
        assert float(loss([-right], target)) > 0.6

    def test_the_boundary_term_is_smallest_at_the_target(self) -> None:
        """Too small and too large are worse; the contour itself, at distance 0, is left to other terms."""
        target = torch.zeros((1, 9, 11), dtype=torch.int16)
        target[:, 2:7, 3:8] = 1
        values = []
        for grown in (-2, 0, 2):
            mask = torch.zeros(target.shape, dtype=torch.bool)
            mask[:, 2 - grown : 7 + grown, 3 - grown : 8 + grown] = True
            values.append(boundary_alone(20 * torch.stack([~mask, mask], 1).double(), target))
        assert values[1] < values[0] and values[1] < values[2]


class TestIgnoredVoxels:
    @pytest.mark.parametrize("name", ["dice", "cross_entropy", "focal"])
    def test_do_not_count(self, name: str) -> None:
        logits, target = logits_and_target()
        loss = one_term(name, class_weights=WEIGHTS, alpha=WEIGHTS)
        expected = loss([logits[..., :3]], target[..., :3])
        target[..., 3:] = -1
        other = logits.clone()
        other[..., 3:] += torch.randn_like(other[..., 3:])
        torch.testing.assert_close(loss([logits], target), expected)
        torch.testing.assert_close(loss([other], target), expected)

    def test_do_not_count_in_the_boundary_term(self) -> None:
        logits, target = logits_and_target()
        expected = boundary_alone(logits[..., :3], target[..., :3])
        target[..., 3:] = -1
        assert boundary_alone(logits, target) == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("name", sorted(LOSS_TERMS))
    def test_get_no_gradient(self, name: str) -> None:
        logits, target = logits_and_target()
        target[0, 1] = -1
        logits.requires_grad_()
        one_term(name)([logits], target).backward()
        assert logits.grad is not None
        assert float(logits.grad[0, :, 1].abs().max()) == 0
        assert float(logits.grad[0, :, 0].abs().max()) > 0

    @pytest.mark.parametrize("smooth", [0.0, 1.0])
    @pytest.mark.parametrize("name", sorted(LOSS_TERMS))
    def test_a_sample_of_nothing_else_is_no_nan(self, name: str, smooth: float) -> None:
        """And it counts as a sample: the other one weighs half."""
        logits, target = logits_and_target()
        logits.requires_grad_()
        loss = one_term(name, smooth=smooth)
        alone = loss([logits[1:]], target[1:])
        target[0] = -1
        result = loss([logits], target)
        result.backward()
        assert logits.grad is not None and float(logits.grad[0].abs().max()) == 0
        assert float(result.detach()) == pytest.approx(float(alone.detach()) / 2, abs=1e-6)


class TestBoundaryRamp:
    def test_weight_moves_from_the_region_terms_until_the_middle(self) -> None:
        weights = {"dice": 0.4, "cross_entropy": 0.2, "boundary": 0.3}
        assert ramped_weights(weights, 0.0) == pytest.approx({"dice": 0.6, "cross_entropy": 0.3, "boundary": 0.0})
        quarter = {"dice": 0.5, "cross_entropy": 0.25, "boundary": 0.15}
        assert ramped_weights(weights, 0.25) == pytest.approx(quarter)
        assert ramped_weights(weights, 0.5) == ramped_weights(weights, 1.0) == pytest.approx(weights)

    def test_alone_it_begins_with_dice_and_keeps_a_hundredth_of_it(self) -> None:
        assert ramped_weights({"boundary": 1.0}, 0.0) == pytest.approx({"dice": 1.0, "boundary": 0.0})
        assert ramped_weights({"boundary": 1.0}, 1.0) == pytest.approx({"dice": 0.01, "boundary": 0.99})

    def test_other_terms_stay_as_they_are(self) -> None:
        assert ramped_weights({"dice": 0.3, "focal": 0.5}, 0.2) == {"dice": 0.3, "focal": 0.5}

    def test_a_loss_begins_without_boundary(self) -> None:
        logits, target = logits_and_target()
        loss = build_loss(LossConfig(loss_type="boundary"), 4, CPU)
        torch.testing.assert_close(loss([logits], target), one_term("dice")([logits], target))
        loss.ramp = 1.0
        expected = 0.01 * float(one_term("dice")([logits], target)) + 0.99 * boundary_alone(logits, target)
        assert float(loss([logits], target)) == pytest.approx(expected, rel=1e-5)


class TestDeepSupervision:
    def levels(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        logits, target = logits_and_target(size=(4, 8, 8))
        half, quarter = torch.randn(2, 4, 4, 4, 4), torch.randn(2, 4, 2, 2, 2)
        return [logits, half, quarter], [target, target[:, :, 1::2, 1::2], target[:, 1::2, 2::4, 2::4]]

    def test_each_level_weighs_half_of_the_one_above(self) -> None:
        logits, targets = self.levels()
        loss = build_loss(LossConfig(loss_type="combined", ce_weight=0.3, focal_weight=0.2), 4, CPU)
        parts = [float(loss([level], target)) for level, target in zip(logits, targets, strict=True)]
        expected = (4 * parts[0] + 2 * parts[1] + parts[2]) / 7
        assert float(loss(logits, targets[0])) == pytest.approx(expected, rel=1e-5)

    def test_the_boundary_term_counts_at_full_resolution_alone(self) -> None:
        logits, targets = self.levels()
        loss = one_term("boundary")
        boundary = 0.99 * boundary_alone(logits[0], targets[0])
        expected = boundary + 0.01 * float(one_term("dice")(logits, targets[0]))
        assert float(loss(logits, targets[0])) == pytest.approx(expected, rel=1e-5)

    def test_one_level_weighs_all(self) -> None:
        logits, target = logits_and_target()
        loss = one_term("cross_entropy")([logits], target)
        torch.testing.assert_close(loss, functional.cross_entropy(logits, target.long()))


class TestGradient:
    @pytest.mark.parametrize("size", [(2, 3, 2), (3, 4)])
    @pytest.mark.parametrize(
        "config",
        [
            LossConfig(loss_type="dice", smooth=0.0),
            LossConfig(loss_type="dice"),
            LossConfig(loss_type="cross_entropy", class_weights=[0.2, 1.0, 3.0]),
            LossConfig(loss_type="focal", gamma=2.0, alpha=[0.2, 0.5, 1.0]),
            LossConfig(loss_type="focal", gamma=0.5),
            LossConfig(loss_type="focal", gamma=0.0),
            LossConfig(loss_type="boundary"),
            replace(EVERYTHING, class_weights=[0.2, 1.0, 3.0], alpha=0.7),
        ],
        ids=lambda value: f"{value.loss_type}-{value.gamma}-{value.smooth}",
    )
    def test_numerically(self, config: LossConfig, size: tuple[int, ...]) -> None:
        logits, target = logits_and_target(classes=3, size=size)
        target[0, 0] = -1
        loss = build_loss(config, 3, CPU, SPACING)
        loss.ramp = 0.4
        assert torch.autograd.gradcheck(lambda values: loss([values], target), logits.double().requires_grad_())

    @pytest.mark.parametrize("name", sorted(LOSS_TERMS))
    def test_of_certain_predictions_is_finite(self, name: str) -> None:
        """Probabilities that are 0 and 1 in float32, right and wrong."""
        _, target = logits_and_target()
        for sign in (1, -1):
            logits = (sign * 1e4 * functional.one_hot(target.long(), 4).movedim(-1, 1).float()).requires_grad_()
            value = one_term(name, gamma=0.5)([logits], target)
            value.backward()
            assert logits.grad is not None
            assert bool(torch.isfinite(value)) and bool(torch.isfinite(logits.grad).all())

    def test_one_level_can_be_used_twice(self) -> None:
        """As MixUp does, with two targets."""
        logits, target = logits_and_target()
        loss, other = build_loss(LossConfig(loss_type="combined"), 4, CPU), target.roll(1, 0)
        apart: list[torch.Tensor] = []
        for goal in (target, other):
            leaf = logits.clone().requires_grad_()
            loss([leaf], goal).backward()
            assert leaf.grad is not None
            apart.append(leaf.grad)
        leaf = logits.clone().requires_grad_()
        (0.3 * loss([leaf], target) + 0.7 * loss([leaf], other)).backward()
        torch.testing.assert_close(leaf.grad, 0.3 * apart[0] + 0.7 * apart[1])


class TestAccumulation:
    @pytest.mark.parametrize("parts", [2, 4])
    def test_four_batches_of_two_are_one_of_eight(self, parts: int) -> None:
        """Weighted classes, ignored voxels (in one sample all of them), two levels, and a network that has norms."""
        generator = torch.Generator().manual_seed(3)
        images = torch.randn((8, 1, 4, 6, 8), generator=generator)
        target = (images[:, 0] > 0).to(torch.int16) + (images[:, 0] > 0.7) + 2 * (images[:, 0] > 1.5)
        target = target.clamp(max=3).to(torch.int16)
        target[1], target[2, :, :3], target[6, 1] = -1, -1, -1
        torch.manual_seed(5)
        body = nn.Sequential(nn.Conv3d(1, 6, 3, padding=1), nn.InstanceNorm3d(6, affine=True), nn.LeakyReLU())
        head, low = nn.Conv3d(6, 4, 1), nn.Conv3d(6, 4, 1)
        everything = nn.ModuleList([body, head, low])
        loss = build_loss(EVERYTHING, 4, CPU, SPACING)
        loss.ramp = 1.0

        def gradients(count: int) -> list[torch.Tensor]:
            everything.zero_grad()
            for image, goal in zip(images.chunk(count), target.chunk(count), strict=True):
                features = body(image)
                levels = [head(features), low(functional.avg_pool3d(features, 2))]
                (loss(levels, goal) / count).backward()
            return [weight.grad.clone() for weight in everything.parameters() if weight.grad is not None]

        whole, split = gradients(1), gradients(parts)
        assert len(whole) == 8 and max(float(gradient.abs().max()) for gradient in whole) > 0.01
        for one, other in zip(whole, split, strict=True):
            torch.testing.assert_close(other, one, atol=1e-6, rtol=1e-4)


class TestBalancedWeights:
    def test_are_inverse_to_the_shares(self) -> None:
        assert balanced_weights([0.9, 0.075, 0.025]) == pytest.approx([1 / 49, 12 / 49, 36 / 49])

    def test_of_a_class_without_voxels_are_those_of_the_rarest(self) -> None:
        assert balanced_weights([0.8, 0.0, 0.2]) == pytest.approx([1 / 9, 4 / 9, 4 / 9])
        assert balanced_weights([0.0, 0.0]) == [0.5, 0.5]


class TestProblems:
    @pytest.mark.parametrize(("loss_type", "name"), [("combined", "class_weights"), ("focal", "alpha")])
    def test_wrong_number_of_values(self, loss_type: str, name: str) -> None:
        config = LossConfig(loss_type=loss_type, **{name: [1.0, 2.0]})  # type: ignore[arg-type]
        with pytest.raises(ConfigError, match=f"{name} has 2 numbers; background and 3 classes need 4"):
            build_loss(config, 4, CPU)

    @pytest.mark.parametrize("setting", [{}, {"loss_type": "dice", "class_weights": "auto"}])
    def test_auto_is_not_resolved_here(self, setting: dict[str, str]) -> None:
        with pytest.raises(ConfigError, match="= 'auto'"):
            build_loss(LossConfig(**setting), 4, CPU)  # type: ignore[arg-type]
