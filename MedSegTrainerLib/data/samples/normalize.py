"""Intensity normalisation of one channel, with numbers fixed at planning time or taken from the volume itself."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from MedSegTrainerLib.config.plan import Normalization


def normalize(array: np.ndarray, scheme: Normalization, mask: np.ndarray | None = None) -> np.ndarray:
    """The channel (z, y, x) as float32, normalised; a constant volume becomes 0.

    mask (z, y, x): the voxels that ``Normalization.masked`` is about; the others stay as they are.
    """
    values = array.astype(np.float32)
    if scheme.masked and mask is not None:
        values[mask] = normalize(values[mask], replace(scheme, masked=False))
        return values
    if scheme.method == "ct":
        return (np.clip(values, scheme.low, scheme.high) - np.float32(scheme.mean)) / np.float32(max(scheme.std, 1e-6))
    if scheme.method == "sigmoid":
        scaled = 2 * (values - np.float32(scheme.low)) / np.float32(max(scheme.high - scheme.low, 1e-6)) - 1
        return 1 / (1 + np.exp(-scaled.clip(-80, 80)))
    if scheme.method == "zscore":
        return (values - values.mean()) / max(float(values.std()), 1e-6)
    if scheme.method in ("minmax", "percentile"):
        low, high = (values.min(), values.max()) if scheme.method == "minmax" else np.percentile(values, (0.5, 99.5))
        return np.clip((values - np.float32(low)) / np.float32(max(float(high - low), 1e-6)), 0, 1)
    return values
