"""Losses against MONAI's, against numbers worked out by hand, and against numerical gradients."""

from __future__ import annotations

import math

import pytest
import torch
from monai.losses import DiceCELoss, DiceLoss
from torch.nn import functional

from MedSegTrainerLib.config import LossConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.losses import LOSSES, build_loss, cross_entropy_term, dice_term

CPU = torch.device("cpu")


def logits_and_target(classes: int = 4, size: tuple[int, ...] = (3, 5, 4)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    logits = 2 * torch.randn((2, classes, *size), generator=generator)
    return logits, torch.randint(0, classes, (2, *size), generator=generator, dtype=torch.int16)


def logs(probabilities: list[list[float]]) -> torch.Tensor:
    """Log probabilities (1, classes, voxels) from a row for each voxel."""
    return torch.tensor(probabilities).log().T[None]


class TestAgainstMonai:
    @pytest.mark.parametrize("size", [(3, 5, 4), (7, 5)])
    @pytest.mark.parametrize("smooth", [1.0, 1e-3])
    def test_dice(self, size: tuple[int, ...], smooth: float) -> None:
        logits, target = logits_and_target(size=size)
        monai = DiceLoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=smooth, smooth_dr=smooth
        )
        found = build_loss(LossConfig(loss_type="dice", smooth=smooth), 4, CPU)([logits], target)
        torch.testing.assert_close(found, monai(logits, target[:, None].long()))

    @pytest.mark.parametrize("weights", [None, [0.1, 1.0, 2.0, 3.0]])
    def test_combined(self, weights: list[float] | None) -> None:
        logits, target = logits_and_target()
        config = LossConfig(loss_type="combined", dice_weight=0.7, ce_weight=0.4, class_weights=weights)
        found = build_loss(config, 4, CPU)([logits], target)
        dice = DiceLoss(
            include_background=False, to_onehot_y=True, softmax=True, batch=True, smooth_nr=1.0, smooth_dr=1.0
        )
        entropy = DiceCELoss(
            to_onehot_y=True, softmax=True, lambda_dice=0, weight=None if weights is None else torch.tensor(weights)
        )
        wanted = 0.7 * dice(logits, target[:, None].long()) + 0.4 * entropy(logits, target[:, None].long())
        torch.testing.assert_close(found, wanted)


class TestByHand:
    def test_dice(self) -> None:
        """Two voxels of class 1 and one of background: (2 * 1.4 + 1) / (1.5 + 2 + 1)."""
        found = dice_term(logs([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]]), torch.tensor([[1, 1, 0]]), 1.0)
        assert float(found) == pytest.approx(1 - 3.8 / 4.5)

    def test_dice_is_the_mean_over_classes_of_sums_over_the_batch(self) -> None:
        one, other = logs([[0.2, 0.8, 0.0], [0.5, 0.0, 0.5]]), logs([[0.1, 0.4, 0.5], [1.0, 0.0, 0.0]])
        target = torch.tensor([[1, 2], [2, 0]])
        first = 1 - (2 * 0.8 + 1) / (0.8 + 0.4 + 1 + 1)
        second = 1 - (2 * (0.5 + 0.5) + 1) / (0.5 + 0.5 + 2 + 1)
        assert float(dice_term(torch.cat([one, other]), target, 1.0)) == pytest.approx((first + second) / 2)

    def test_cross_entropy(self) -> None:
        log_p, target = logs([[0.2, 0.8], [0.4, 0.6], [0.9, 0.1]]), torch.tensor([[1, 0, 0]])
        assert float(cross_entropy_term(log_p, target, None)) == pytest.approx(-math.log(0.8 * 0.4 * 0.9) / 3)
        weighted = -(3 * math.log(0.8) + math.log(0.4) + math.log(0.9)) / (3 + 1 + 1)
        assert float(cross_entropy_term(log_p, target, torch.tensor([1.0, 3.0]))) == pytest.approx(weighted)

    def test_perfect_and_opposite(self) -> None:
        _, target = logits_and_target()
        right = 50 * functional.one_hot(target.long(), 4).movedim(-1, 1).float()
        for name in LOSSES:
            loss = build_loss(LossConfig(loss_type=name, smooth=0.01), 4, CPU)
            assert float(loss([right], target)) == pytest.approx(0, abs=1e-4)
            assert float(loss([-right], target)) > 0.6


class TestIgnoredVoxels:
    @pytest.mark.parametrize("name", sorted(LOSSES))
    @pytest.mark.parametrize("weights", [None, [0.1, 1.0, 2.0, 3.0]])
    def test_do_not_count(self, name: str, weights: list[float] | None) -> None:
        logits, target = logits_and_target()
        loss = build_loss(LossConfig(loss_type=name, class_weights=weights), 4, CPU)
        wanted = loss([logits[..., :3]], target[..., :3])
        target[..., 3:] = -1
        other = logits.clone()
        other[..., 3:] += torch.randn_like(other[..., 3:])
        torch.testing.assert_close(loss([logits], target), wanted)
        torch.testing.assert_close(loss([other], target), wanted)

    @pytest.mark.parametrize("name", sorted(LOSSES))
    def test_get_no_gradient(self, name: str) -> None:
        logits, target = logits_and_target()
        target[0, 1] = -1
        logits.requires_grad_()
        build_loss(LossConfig(loss_type=name), 4, CPU)([logits], target).backward()
        assert logits.grad is not None
        assert float(logits.grad[0, :, 1].abs().max()) == 0
        assert float(logits.grad[0, :, 0].abs().min()) > 0

    @pytest.mark.parametrize("name", sorted(LOSSES))
    def test_nothing_but_ignored_voxels_is_no_nan(self, name: str) -> None:
        logits, target = logits_and_target()
        logits.requires_grad_()
        loss = build_loss(LossConfig(loss_type=name), 4, CPU)([logits], torch.full_like(target, -1))
        loss.backward()
        assert logits.grad is not None and float(logits.grad.abs().max()) == 0
        assert math.isfinite(loss.item())


class TestDeepSupervision:
    def test_each_level_weighs_half_of_the_one_above(self) -> None:
        logits, target = logits_and_target(size=(4, 8, 8))
        half, quarter = torch.randn(2, 4, 4, 4, 4), torch.randn(2, 4, 2, 2, 2)
        loss = build_loss(LossConfig(loss_type="combined"), 4, CPU)
        parts = [
            float(loss([logits], target)),
            float(loss([half], target[:, :, 1::2, 1::2])),
            float(loss([quarter], target[:, 1::2, 2::4, 2::4])),
        ]
        wanted = (4 * parts[0] + 2 * parts[1] + parts[2]) / 7
        assert float(loss([logits, half, quarter], target)) == pytest.approx(wanted, rel=1e-5)

    def test_one_level_weighs_all(self) -> None:
        logits, target = logits_and_target()
        loss = build_loss(LossConfig(loss_type="cross_entropy"), 4, CPU)
        torch.testing.assert_close(loss([logits], target), functional.cross_entropy(logits, target.long()))


class TestGradient:
    @pytest.mark.parametrize("smooth", [1.0, 0.0])
    def test_numerically(self, smooth: float) -> None:
        logits, target = logits_and_target(classes=3, size=(2, 3))
        target[0, 0, 0] = -1
        weights = torch.tensor([0.2, 1.0, 3.0], dtype=torch.float64)

        def loss(values: torch.Tensor) -> torch.Tensor:
            log_p = functional.log_softmax(values, dim=1)
            return dice_term(log_p, target, smooth) + cross_entropy_term(log_p, target, weights)

        assert torch.autograd.gradcheck(loss, logits.double().requires_grad_())

    def test_sixteen_bit_logits_are_worked_out_in_float32(self) -> None:
        logits, target = logits_and_target()
        loss = build_loss(LossConfig(loss_type="combined"), 4, CPU)
        rounded = logits.bfloat16()
        assert loss([rounded], target).dtype == torch.float32
        torch.testing.assert_close(loss([rounded], target), loss([rounded.float()], target))


class TestProblems:
    def test_wrong_number_of_class_weights(self) -> None:
        with pytest.raises(ConfigError, match="has 2 numbers; background and 3 classes need 4"):
            build_loss(LossConfig(loss_type="combined", class_weights=[1, 2]), 4, CPU)

    def test_auto_is_not_resolved_here(self) -> None:
        with pytest.raises(ConfigError, match="loss_type = 'auto'"):
            build_loss(LossConfig(), 4, CPU)
