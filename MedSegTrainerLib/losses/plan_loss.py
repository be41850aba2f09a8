"""The loss that a plan trains with: of classes that exclude each other, or of some that overlap."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from MedSegTrainerLib.config.plan import Plan
from MedSegTrainerLib.losses.overlapping_loss import OverlappingLoss, build_overlapping_loss
from MedSegTrainerLib.losses.segmentation_loss import SegmentationLoss, build_loss


def plan_loss(
    plan: Plan, device: torch.device, spacing: Sequence[float] | None = None
) -> SegmentationLoss | OverlappingLoss:
    """spacing: of the voxels in mm, for the boundary term; None takes them for cubes. Raises ConfigError."""
    if plan.overlapping:
        return build_overlapping_loss(plan.loss, len(plan.classes), device, spacing, plan.label_codes)
    return build_loss(plan.loss, len(plan.classes) + 1, device, spacing, plan.label_codes)
