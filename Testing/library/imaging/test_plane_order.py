"""Planes along their normal; how a wrong one is told is tested where series and frames are read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.imaging.geometry import Geometry
from MedSegTrainerLib.imaging.plane_order import Planes, in_order


def planes(places: list[float], grid: Geometry) -> Planes:
    row, column, normal = np.array(grid.direction).reshape(3, 3).T
    positions = np.array(grid.origin) + np.outer(places, normal)
    return Planes(names=[f"{z:g}" for z in places], positions=positions, row=row, column=column, pixel=0.8)


def test_order_and_distance(oblique_geometry: Geometry) -> None:
    order, gap = in_order(planes([5, 0, 7.5, 2.5], oblique_geometry), Path("a"))
    assert order == [1, 3, 0, 2]
    assert gap == pytest.approx(2.5)


@pytest.mark.parametrize(
    ("places", "says"),
    [([0, 2.5, 2.5], r"1 slices lie where another one lies \(first: 2.5\)"),
     ([0, 2.5, 5, 10], "missing between 5 and 10: 5 mm apart, and 2.5 mm elsewhere"),
     ([0, 2.5, 5, 8.5], "lie unevenly, 2.5 to 3.5 mm apart")],
)  # fmt: skip
def test_what_is_no_stack(places: list[float], says: str, oblique_geometry: Geometry) -> None:
    with pytest.raises(DataError, match=says):
        in_order(planes(places, oblique_geometry), Path("a"))
