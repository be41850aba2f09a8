"""The validation loss: that of the training, the same from epoch to epoch, of large volumes from some voxels."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.losses.segmentation_loss import build_loss
from MedSegTrainerLib.training.validation import ValidationLoss

SIZE = (9, 21, 34)
CONFIGS = (
    LossConfig(loss_type="dice"),
    LossConfig(loss_type="cross_entropy", class_weights=[0.1, 0.3, 0.6]),
    LossConfig(loss_type="focal"),
    LossConfig(loss_type="combined"),
)


def volume() -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are right more often than not, and class indices in blocks."""
    generator = torch.Generator().manual_seed(4)
    reference = torch.zeros(SIZE, dtype=torch.uint8)
    reference[2:6, 4:15, 5:20] = 1
    reference[4:7, 10:18, 12:30] = 2
    expected = torch.nn.functional.one_hot(reference.long(), 3).permute(3, 0, 1, 2)
    return expected + torch.randn((3, *SIZE), generator=generator), reference


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.loss_type)
def test_is_that_of_the_training(tiny_plan: Plan, cpu: torch.device, config: LossConfig) -> None:
    logits, reference = volume()
    expected = build_loss(config, 3, cpu)([logits[None]], reference[None])
    assert float(ValidationLoss(replace(tiny_plan, loss=config), cpu)(logits, reference)) == float(expected)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda config: config.loss_type)
def test_of_a_large_volume_some_voxels_say_nearly_the_same(
    tiny_plan: Plan, cpu: torch.device, config: LossConfig
) -> None:
    plan = replace(tiny_plan, loss=config)
    logits, reference = volume()
    expected = float(ValidationLoss(plan, cpu)(logits, reference))
    sampled = ValidationLoss(plan, cpu, largest=logits.numel() // 5)
    actual = float(sampled(logits, reference))
    assert actual != expected
    assert actual == pytest.approx(expected, rel=0.12)
    assert float(sampled(logits, reference)) == actual


def test_a_pattern_that_repeats_with_the_stride_does_not_deceive(tiny_plan: Plan, cpu: torch.device) -> None:
    """Every fifth column is wrong, and one in five voxels is looked at."""
    shape = (8, 20, 25)
    reference = torch.zeros(shape, dtype=torch.uint8)
    reference[..., ::5] = 1
    logits = torch.zeros((3, *shape))
    logits[0] = 4.0
    plan = replace(tiny_plan, loss=LossConfig(loss_type="cross_entropy"))
    expected = float(ValidationLoss(plan, cpu)(logits, reference))
    actual = float(ValidationLoss(plan, cpu, largest=logits.numel() // 5)(logits, reference))
    assert actual == pytest.approx(expected, rel=0.3)  # by chance; four times as much if only such columns were seen


def test_never_looks_at_more_than_it_may(tiny_plan: Plan, cpu: torch.device) -> None:
    logits, reference = volume()
    loss = ValidationLoss(tiny_plan, cpu, largest=1000)
    seen: list[int] = []
    whole = loss.loss

    def spy(levels: list[torch.Tensor], target: torch.Tensor) -> torch.Tensor:
        seen.append(levels[0].numel())
        assert target.numel() * 3 == levels[0].numel()
        return whole(levels, target)

    loss.loss = spy  # type: ignore[assignment]
    loss(logits, reference)
    assert 800 < seen[0] <= 1000


def test_the_few_labelled_slices_of_a_large_volume_are_all_looked_at(tiny_plan: Plan, cpu: torch.device) -> None:
    logits, reference = volume()
    sparse = torch.full(SIZE, -1, dtype=torch.int16)
    sparse[5] = reference[5].short()
    expected = ValidationLoss(tiny_plan, cpu)(logits, sparse)
    sampled = ValidationLoss(tiny_plan, cpu, largest=3 * SIZE[1] * SIZE[2])(logits, sparse)
    assert float(sampled) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize(
    ("with_boundary", "without"),
    [
        (LossConfig(loss_type="boundary"), LossConfig(loss_type="dice")),
        (LossConfig(loss_type="combined", dice_weight=0.5, boundary_weight=0.5), LossConfig(loss_type="dice")),
    ],
    ids=["alone", "combined"],
)
def test_the_boundary_term_that_grows_while_training_is_left_out(
    tiny_plan: Plan, cpu: torch.device, with_boundary: LossConfig, without: LossConfig
) -> None:
    logits, reference = volume()
    losses = [
        float(ValidationLoss(replace(tiny_plan, loss=config), cpu)(logits, reference))
        for config in (with_boundary, without)
    ]
    assert losses[0] == pytest.approx(losses[1])
