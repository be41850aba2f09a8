"""The sums that losses are made of: against PyTorch's own arithmetic, and the same in every type and memory order."""

from __future__ import annotations

import torch
from torch.nn import functional

from MedSegTrainerLib.config.settings import LossConfig
from MedSegTrainerLib.losses.class_sums import class_sums
from MedSegTrainerLib.losses.segmentation_loss import SegmentationLoss, build_loss

CPU = torch.device("cpu")
SPACING = (2.5, 1.1, 0.8)
EVERYTHING = LossConfig(
    loss_type="combined", dice_weight=0.4, ce_weight=0.3, focal_weight=0.2, boundary_weight=0.1,
    class_weights=[0.1, 1.0, 2.0, 3.0], alpha=[0.2, 0.5, 1.0, 1.5],
)  # fmt: skip


def logits_and_target(size: tuple[int, ...] = (3, 5, 4)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    logits = 2 * torch.randn((2, 4, *size), generator=generator)
    return logits, torch.randint(-1, 4, (2, *size), generator=generator, dtype=torch.int16)


def test_sums_and_gradient_are_those_of_autograd() -> None:
    logits, target = logits_and_target()
    distances = torch.randn((2, 3, 3, 5, 4)) * (target >= 0)[:, None]
    mine, plain = logits.clone().requires_grad_(), logits.clone().requires_grad_()
    actual = class_sums(mine, target, overlap=True, log_p=True, gamma=1.5, distances=distances)
    logs = functional.log_softmax(plain, 1)
    one_hot = torch.stack([target == index for index in range(4)], 1).float()
    p, axes = logs.exp(), (2, 3, 4)
    sums = {
        "counts": one_hot.sum(axes),
        "predicted": (p * (target >= 0)[:, None]).sum(axes),
        "overlap": (p * one_hot).sum(axes),
        "log_p": (logs * one_hot).sum(axes),
        "focal": ((1 - p) ** 1.5 * logs * one_hot).sum(axes),
        "surface": (p[:, 1:] * distances).sum((1, *axes)),
    }
    first = second = torch.zeros(())
    for place, (name, value) in enumerate(sums.items()):
        torch.testing.assert_close(getattr(actual, name), value)
        factor = torch.arange(1.0, value.numel() + 1).view(value.shape) * (place + 1)
        first, second = first + (factor * getattr(actual, name)).sum(), second + (factor * value).sum()
    first.backward()
    second.backward()
    torch.testing.assert_close(mine.grad, plain.grad, rtol=1e-4, atol=1e-4)


def test_only_what_is_asked_for() -> None:
    logits, target = logits_and_target()
    sums = class_sums(logits, target, log_p=True)
    assert (sums.predicted, sums.overlap, sums.focal, sums.surface) == (None,) * 4


class TestPrecision:
    def loss(self) -> SegmentationLoss:
        loss = build_loss(EVERYTHING, 4, CPU, SPACING)
        loss.ramp = 1.0
        return loss

    def test_sixteen_bit_logits_are_worked_out_in_float32(self) -> None:
        logits, target = logits_and_target()
        rounded = logits.bfloat16().requires_grad_()
        exact = rounded.detach().float().requires_grad_()
        loss, expected = self.loss()([rounded], target), self.loss()([exact], target)
        assert loss.dtype == torch.float32
        torch.testing.assert_close(loss, expected)
        loss.backward()
        expected.backward()
        assert rounded.grad is not None and exact.grad is not None and rounded.grad.dtype == torch.bfloat16
        torch.testing.assert_close(rounded.grad, exact.grad.bfloat16())

    def test_under_autocast_it_is_the_same(self) -> None:
        logits, target = logits_and_target()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss = self.loss()([logits], target)
        assert torch.equal(loss, self.loss()([logits], target))

    def test_sixteen_bits_lose_little(self) -> None:
        logits, target = logits_and_target(size=(6, 10, 8))
        loss, expected = self.loss()([logits.bfloat16()], target), self.loss()([logits], target)
        torch.testing.assert_close(loss, expected, rtol=1e-2, atol=1e-3)

    def test_float64_stays(self) -> None:
        logits, target = logits_and_target()
        assert self.loss()([logits.double()], target).dtype == torch.float64

    def test_memory_order_changes_nothing(self) -> None:
        logits, target = logits_and_target()
        last = logits.contiguous(memory_format=torch.channels_last_3d).requires_grad_()
        first = logits.clone().requires_grad_()
        for leaf in (last, first):
            self.loss()([leaf], target).backward()
        torch.testing.assert_close(last.grad, first.grad)

    def test_without_gradients(self) -> None:
        logits, target = logits_and_target()
        with torch.inference_mode():
            loss = float(self.loss()([logits], target))
        assert loss == float(self.loss()([logits], target))


def test_what_the_sums_are_of_is_there_for_losses_that_need_more() -> None:
    """A loss of the logits themselves gets PyTorch's own gradient."""
    logits = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    target = torch.randint(3, (2, 4, 5), generator=torch.Generator().manual_seed(1))
    sums = class_sums(logits, target)
    functional.cross_entropy(sums.logits, sums.target).backward()
    assert logits.grad is not None
    mine = logits.grad.clone()
    logits.grad = None
    functional.cross_entropy(logits, target).backward()
    torch.testing.assert_close(mine, logits.grad)
