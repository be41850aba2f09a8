"""Intensity normalisation of one channel, with numbers fixed at planning time or taken from the volume itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

MethodName = Literal["none", "zscore", "minmax", "percentile", "ct"]


@dataclass(frozen=True, kw_only=True)
class Normalization:
    """``ct`` clips to [low, high] and subtracts ``mean`` and divides by ``std`` of the training foreground;
    the other methods take their numbers from each volume."""

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    method: MethodName
    low: float = 0.0
    high: float = 0.0
    mean: float = 0.0
    std: float = 1.0


def normalize(array: np.ndarray, how: Normalization) -> np.ndarray:
    """The channel (z, y, x) as float32, normalised; a constant volume becomes 0."""
    values = array.astype(np.float32)
    if how.method == "ct":
        return (np.clip(values, how.low, how.high) - np.float32(how.mean)) / np.float32(max(how.std, 1e-6))
    if how.method == "zscore":
        return (values - values.mean()) / max(float(values.std()), 1e-6)
    if how.method in ("minmax", "percentile"):
        low, high = (values.min(), values.max()) if how.method == "minmax" else np.percentile(values, (0.5, 99.5))
        return np.clip((values - np.float32(low)) / np.float32(max(float(high - low), 1e-6)), 0, 1)
    return values
