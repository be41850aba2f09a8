"""Losses of classes that overlap, against the same worked out voxel by voxel in float64."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from MedSegTrainerLib.config.loss_terms import LOSS_TERMS
from MedSegTrainerLib.config.plan import LabelCode
from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.errors import ConfigError
from MedSegTrainerLib.losses.distance_transform import signed_distances
from MedSegTrainerLib.losses.overlapping_loss import OverlappingLoss, build_overlapping_loss, state_table
from MedSegTrainerLib.losses.segmentation_loss import build_loss

CPU = torch.device("cpu")
CLASSES = 3
# numbers of prepared labels: 0 background, 1 to 3 the classes alone, 4 to 7 these
CODES = (
    LabelCode(present=(1, 2)),
    LabelCode(present=(1, 2, 3)),
    LabelCode(unknown=(2,)),
    LabelCode(present=(1, 3), unknown=(2,)),
)
STATES = {  # of each class: there, not there, unknown
    -1: (-1, -1, -1), 0: (0, 0, 0), 1: (1, 0, 0), 2: (0, 1, 0), 3: (0, 0, 1),
    4: (1, 1, 0), 5: (1, 1, 1), 6: (0, -1, 0), 7: (1, -1, 1),
}  # fmt: skip
SPACING = (2.5, 1.1, 0.8)
SIZE = (4, 6, 8)
WEIGHTS, ALPHA = [0.1, 1.0, 2.0, 3.0], [0.25, 0.5, 1.0, 1.5]
EVERYTHING = LossConfig(
    loss_type="combined", dice_weight=0.4, ce_weight=0.3, focal_weight=0.2, boundary_weight=0.1,
    class_weights=WEIGHTS, alpha=ALPHA,
)  # fmt: skip


def logits_and_target(numbers: Sequence[int], batch: int = 2) -> tuple[torch.Tensor, torch.Tensor]:
    """float64 logits (B, classes, z, y, x) and numbers of prepared labels."""
    generator = torch.Generator().manual_seed(11)
    logits = 2 * torch.randn((batch, CLASSES, *SIZE), generator=generator, dtype=torch.float64)
    picked = torch.randint(len(numbers), (batch, *SIZE), generator=generator)
    return logits, torch.tensor(numbers, dtype=torch.int16)[picked]


def build(config: LossConfig, ramp: float = 1.0) -> OverlappingLoss:
    loss = build_overlapping_loss(config, CLASSES, CPU, SPACING, CODES)
    loss.ramp = ramp
    return loss


def by_hand(name: str, logits: np.ndarray, target: np.ndarray, config: LossConfig) -> float:
    """A term of one sample, mean over the classes: ``logits`` (classes, z, y, x), numbers (z, y, x)."""
    values = []
    for index in range(CLASSES):
        state = np.vectorize(lambda number, index=index: STATES[int(number)][index])(target)
        known, there = state >= 0, state == 1
        p = 1 / (1 + np.exp(-logits[index]))
        right = np.where(there, p, 1 - p)
        count = max(known.sum(), 1e-6)
        if name == "dice":
            smooth = config.smooth
            values.append(1 - (2 * p[there].sum() + smooth) / (p[known].sum() + there.sum() + smooth))
        elif name == "cross_entropy":
            given = config.class_weights or [1.0] * (CLASSES + 1)
            weight = np.where(there, given[index + 1], given[0])
            values.append(-(weight * np.log(right))[known].sum() / max(weight[known].sum(), 1e-6))
        elif name == "focal":
            alpha = np.where(there, ALPHA[index + 1], ALPHA[0])
            values.append(-(alpha * (1 - right) ** config.gamma * np.log(right))[known].sum() / count)
        else:
            binary = torch.from_numpy(np.where(known, there, -1).astype(np.int16))[None]
            edges = [edge / min(SPACING) for edge in SPACING]
            distances = signed_distances(binary, 2, edges)[0, 0].numpy()
            values.append((p * distances)[known].sum() / count)
    return float(np.mean(values))


def combined_by_hand(logits: torch.Tensor, target: torch.Tensor, config: LossConfig) -> float:
    """With all weights as they are in the middle of a training and later."""
    samples = zip(logits.detach().numpy(), target.numpy(), strict=True)
    return float(
        np.mean(
            [
                sum(weight * by_hand(name, *sample, config) for name, weight in config.weights().items())
                for sample in samples
            ]
        )
    )


class TestAgainstBruteForce:
    @pytest.mark.parametrize("numbers", [[0, 1, 2, 3], [-1, 0, 1, 2, 3, 4, 5], [-1, 0, 1, 2, 3, 4, 5, 6, 7], [6, 7]])
    @pytest.mark.parametrize("name", ["dice", "cross_entropy", "focal"])
    def test_each_term(self, name: str, numbers: list[int]) -> None:
        config = LossConfig(loss_type=name, alpha=ALPHA, class_weights=WEIGHTS)
        logits, target = logits_and_target(numbers)
        expected = np.mean([by_hand(name, *one, config) for one in zip(logits.numpy(), target.numpy(), strict=True)])
        assert float(build(config)([logits], target)) == pytest.approx(expected, rel=1e-6)

    @pytest.mark.parametrize("numbers", [[0, 1, 2, 3, 4, 5], [-1, 0, 1, 2, 3, 4, 5, 6, 7]])
    def test_all_terms_together(self, numbers: list[int]) -> None:
        logits, target = logits_and_target(numbers)
        expected = combined_by_hand(logits, target, EVERYTHING)
        assert float(build(EVERYTHING)([logits], target)) == pytest.approx(expected, rel=1e-5)

    def test_lower_resolutions_weigh_half_of_the_one_above(self) -> None:
        config = LossConfig(loss_type="dice")
        logits, target = logits_and_target([0, 1, 2, 3, 4, 5])
        coarse = logits[:, :, ::2, ::2, ::2].clone()
        loss = build(config)
        expected = 2 / 3 * loss([logits], target) + 1 / 3 * loss([coarse], target[:, 1::2, 1::2, 1::2])
        assert float(loss([logits, coarse], target)) == pytest.approx(float(expected), rel=1e-6)


class TestGradient:
    @pytest.mark.parametrize("config", [*(LossConfig(loss_type=name) for name in LOSS_TERMS), EVERYTHING])
    def test_numerically(self, config: LossConfig) -> None:
        logits, target = logits_and_target(list(STATES), batch=1)
        logits, target = logits[..., :2, :3, :3].contiguous().requires_grad_(), target[..., :2, :3, :3].contiguous()
        loss = build(config)
        assert torch.autograd.gradcheck(lambda z: loss([z], target), (logits,), atol=1e-5)

    def test_classes_do_not_disturb_each_other(self) -> None:
        logits, target = logits_and_target([0, 1, 4])
        logits.requires_grad_()
        build(LossConfig(loss_type="dice"))([logits], target).backward()
        assert logits.grad is not None
        changed = logits.detach().clone()
        changed[:, 0] += 3
        changed.requires_grad_()
        build(LossConfig(loss_type="dice"))([changed], target).backward()
        assert changed.grad is not None
        torch.testing.assert_close(changed.grad[:, 1:], logits.grad[:, 1:])

    def test_unknown_classes_have_none(self) -> None:
        logits, target = logits_and_target([6, 7])
        logits.requires_grad_()
        build(EVERYTHING)([logits], target).backward()
        assert logits.grad is not None
        assert float(logits.grad[:, 1].abs().max()) == 0
        assert float(logits.grad[:, 0].abs().max()) > 0

    def test_nothing_known_is_a_number(self) -> None:
        logits, target = logits_and_target([-1])
        logits.requires_grad_()
        loss = build(EVERYTHING)([logits], target)
        loss.backward()
        assert logits.grad is not None
        assert bool(torch.isfinite(loss))
        assert float(logits.grad.abs().max()) == 0


class TestSettings:
    def test_a_single_class_is_the_loss_of_two(self) -> None:
        """sigmoid(z) is the softmax of 0 and z."""
        logits, target = logits_and_target([0, 1])
        alone = build_overlapping_loss(LossConfig(loss_type="combined", dice_weight=1, ce_weight=1), 1, CPU)
        pair = build_loss(LossConfig(loss_type="combined", dice_weight=1, ce_weight=1), 2, CPU)
        stacked = torch.stack([torch.zeros_like(logits[:, 0]), logits[:, 0]], dim=1)
        torch.testing.assert_close(alone([logits[:, :1]], target), pair([stacked], target))

    def test_class_weights_are_those_of_the_class_and_of_all_else(self) -> None:
        logits, target = logits_and_target([0, 1, 2, 3, 4, 5])
        config = LossConfig(loss_type="cross_entropy", class_weights=WEIGHTS)
        plain = replace(config, class_weights=None)
        assert float(build(config)([logits], target)) != pytest.approx(float(build(plain)([logits], target)), rel=1e-3)

    @pytest.mark.parametrize("weights", [[1.0, 2.0], [1.0] * 5])
    def test_a_wrong_number_of_weights(self, weights: list[float]) -> None:
        with pytest.raises(ConfigError, match="background and 3 classes need 4"):
            build(LossConfig(loss_type="cross_entropy", class_weights=weights))

    def test_the_ramp_is_that_of_all_classes(self) -> None:
        loss = build(LossConfig(loss_type="boundary"), ramp=0.0)
        logits, target = logits_and_target([0, 1, 4])
        start = float(loss([logits], target))
        loss.ramp = 1.0
        assert loss.ramp == 1.0
        assert float(loss([logits], target)) != pytest.approx(start, rel=1e-3)

    def test_labels_of_a_byte(self) -> None:
        """Number 255 is one, and not -1."""
        codes = [LabelCode(present=(1, 2))] * 253
        loss = build_overlapping_loss(LossConfig(loss_type="dice"), 2, CPU, None, codes)
        logits = torch.zeros((1, 2, 2, 2, 2))
        full = torch.full((1, 2, 2, 2), 255, dtype=torch.uint8)
        torch.testing.assert_close(loss([logits], full), loss([logits], full.to(torch.int16)))

    def test_states(self) -> None:
        table = state_table(CODES, CLASSES, CPU)
        assert {number: tuple(table[number + 1].tolist()) for number in range(-1, 8)} == STATES
