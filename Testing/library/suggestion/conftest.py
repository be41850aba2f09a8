"""Made-up doubts of a model about slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from MedSegTrainerLib.suggestion.case_slices import CaseSlices, SliceAxis


@pytest.fixture
def make_case() -> Callable[..., CaseSlices]:
    """A case of slices with 100 voxels of 2 mm2; ``unsure`` is (classes, n)."""

    def make(name: str, unsure: Sequence[Sequence[float]], **given: Any) -> CaseSlices:
        doubts = np.array(unsure, float)
        count = doubts.shape[1]
        axis = SliceAxis(name="y", place=1, reversed=False, slices=count, voxels=100, voxel_mm2=2.0)
        values: dict[str, Any] = {
            "entropy": doubts.mean(axis=0),
            "voxels": np.ones(doubts.shape, int),
            "drawn": np.zeros(count, bool),
        }
        return CaseSlices(name=name, axis=axis, unsure=doubts, **{**values, **given})

    return make
