"""The loss of whole held-out volumes, in a form that can be compared from epoch to epoch and costs little."""

from __future__ import annotations

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.hardware.device import to_device
from MedSegTrainerLib.losses.segmentation_loss import build_loss

LARGEST = 1 << 25  # logits that the loss looks at: 128 MB, and what it works out from them some times as much


class HeldOutLoss:
    """The training loss at full resolution, of a volume as one sample, without the boundary term: that grows while
    training (``losses.ramped_weights``), so the loss would change though the network did not.

    Where classes times voxels are more than ``largest``, voxels spread over the whole volume stand for all of
    them, in each epoch the same.
    """

    def __init__(self, plan: Plan, device: torch.device, largest: int = LARGEST) -> None:
        self.classes, self.largest = len(plan.classes) + 1, largest
        self.loss = build_loss(plan.loss, self.classes, device)  # its ramp stays at 0

    def __call__(self, logits: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
        """Scalar loss of float32 logits (classes, z, y, x) against class indices (z, y, x); below 0: not counted."""
        if logits.numel() > self.largest:
            logits, reference = self._sample(logits.flatten(1), reference.flatten())
        return self.loss([logits[None]], reference[None])

    def _sample(self, logits: torch.Tensor, reference: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Logits (classes, 1, 1, n) and class indices (1, 1, n): one voxel at a random place of each stride."""
        valid = torch.nonzero(reference >= 0)[:, 0] if reference.min() < 0 else None
        count = reference.numel() if valid is None else valid.numel()
        stride = max(1, -(-count * self.classes // self.largest))
        starts = torch.arange(0, count - stride + 1, stride)
        chosen = starts + torch.randint(stride, starts.shape, generator=torch.Generator().manual_seed(0))
        chosen = to_device(chosen, logits.device)
        places = chosen if valid is None else valid[chosen]
        return logits[:, None, None, places], reference[None, None, places]
