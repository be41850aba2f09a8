"""How images are prepared for nnU-Net's networks: as nnU-Net itself does it, so that it can run what was trained."""

from __future__ import annotations

from MedSegTrainerLib.config.plan import AXES, Preparation, Resampling

ORIENTATION = "RAS"  # which nnU-Net's readers can turn images to; they know no other one
IMAGE = Resampling(order=3, order_z=0)  # nnU-Net's defaults
LOGITS = Resampling(order=1, order_z=0)
REASON = "axes, cropping and resampling as in nnU-Net, which can then run the model: export --format nnunet"


def nnunet_preparation(slice_axis: str) -> Preparation:
    """For volumes whose slices lie along ``slice_axis`` of the patient; the network sees its axes as in ``AXES``."""
    first, second, third = ("zyx".index(axis) for axis in AXES[slice_axis])
    return Preparation(image=IMAGE, logits=LOGITS, transpose=(first, second, third), orientation=ORIENTATION)
