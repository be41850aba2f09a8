"""A few voxels far beyond all others, as defective detectors and overflowing programs leave them.

Where mean and deviation (or the range) of a whole volume normalise it, a single voxel of 1e9 makes all others alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from MedSegTrainerLib.data.checks.case_statistics import VOLUME_SAMPLES, sampling_step, value_range

FAR = 20.0  # ranges (0.5 to 99.5 percentile) beyond which a voxel is looked at
MOST_SHARE = 1e-4  # of the voxels; more are a structure
LEAST_FACTOR = 2.0  # by which they widen the standard deviation; less does no harm, and is left as it is


@dataclass(frozen=True, kw_only=True)
class HotVoxels:
    """low, high: smallest and largest of the other voxels. count, farthest: how many lie beyond, and the worst."""

    low: float
    high: float
    count: int
    farthest: float

    @property
    def text(self) -> str:
        return (
            f"{self.count} {'voxel' if self.count == 1 else 'voxels'} of up to {self.farthest:.4g}, where all others "
            f"lie between {self.low:.4g} and {self.high:.4g}"
        )


def find_hot_voxels(array: np.ndarray, usual: tuple[float, float] | None = None) -> HotVoxels | None:
    """The voxels of a channel that alone decide how it is normalised; None where there are none.

    usual: of ``value_range``, where it is known.
    """
    low, high = usual or value_range(array.ravel()[:: sampling_step(array.shape, VOLUME_SAMPLES)])
    reach = FAR * (high - low)
    lowest, highest = float(array.min()), float(array.max())
    if reach <= 0 or not np.isfinite((lowest, highest)).all() or (lowest >= low - reach and highest <= high + reach):
        return None
    kept = array[(array >= low - reach) & (array <= high + reach)].astype(np.float64)
    count = array.size - kept.size
    if count > max(1, MOST_SHARE * array.size) or array.std(dtype=np.float64) < LEAST_FACTOR * kept.std():
        return None
    farthest = max(lowest, highest, key=abs)
    return HotVoxels(low=float(kept.min()), high=float(kept.max()), count=count, farthest=farthest)


def without_hot_voxels(channel: sitk.Image) -> sitk.Image:
    """The channel, hot voxels clipped to the range of all others."""
    hot = find_hot_voxels(sitk.GetArrayViewFromImage(channel))
    return channel if hot is None else sitk.Clamp(channel, channel.GetPixelID(), hot.low, hot.high)


def clipping_text(channels: Sequence[sitk.Image]) -> list[str]:
    """What ``without_hot_voxels`` does to the channels of an image, a sentence each; nothing of most."""
    hot_voxels = [find_hot_voxels(sitk.GetArrayViewFromImage(channel)) for channel in channels]
    return [
        f"{f'channel {index}' if len(channels) > 1 else 'the image'} has {hot.text}: they were taken as the nearest "
        "of the others."
        for index, hot in enumerate(hot_voxels)
        if hot
    ]
