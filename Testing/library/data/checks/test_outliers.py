"""Which case is unlike the others, and when nobody can say."""

from __future__ import annotations

import numpy as np
import pytest

from MedSegTrainerLib.data.checks.case_scan import CaseScan
from MedSegTrainerLib.data.checks.case_statistics import CaseStatistics
from MedSegTrainerLib.data.checks.outliers import is_few, odd_grids, odd_intensities, strays
from MedSegTrainerLib.imaging.geometry import Geometry


def scan(
    name: str,
    spacing: tuple[float, float, float] = (1.0, 1.2, 3.0),
    size: tuple[int, int, int] = (50, 40, 30),
    intensities: tuple[float, float] = (0.0, 800.0),
) -> CaseScan:
    stats = CaseStatistics(
        image_digest=name, label_digest=name, direction=(1, 0, 0, 0, 1, 0, 0, 0, 1), ranges=(intensities,),
        dark=0.0, padded=0.0, levels={}, centers={},
    )  # fmt: skip
    return CaseScan(
        name=name, geometry=Geometry(size=size, spacing=spacing), foreground=np.zeros((1, 1)), stats=stats,
        low=(intensities[0],), high=(intensities[1],), voxels={0: 1, 1: 1},
    )  # fmt: skip


def usual(count: int) -> list[CaseScan]:
    return [
        scan(f"c{i}", (1.0 + i / 50, 1.2, 3.0 + i / 10), intensities=(-2.0 * i, 700 + 40.0 * i)) for i in range(count)
    ]


class TestStrays:
    def test_far_from_all_others(self) -> None:
        assert strays([1.0, 1.1, 0.9, 1.0, 9.0], 0.5).tolist() == [0, 0, 0, 0, 8]

    def test_not_among_values_that_differ_anyway(self) -> None:
        assert not strays([1.0, 3.0, 5.0, 7.0, 9.0], 0.5).any()

    def test_not_by_little(self) -> None:
        assert not strays([1.0, 1.0, 1.0, 1.0, 1.4], 0.5).any()

    @pytest.mark.parametrize("values", [[], [1.0], [1.0, 9.0], [1.0, 1.0, 9.0]])
    def test_not_among_few(self, values: list[float]) -> None:
        assert not strays(values, 0.5).any()


class TestGrids:
    def test_healthy(self) -> None:
        assert odd_grids(usual(9)) == []
        assert odd_grids([]) == []

    def test_spacing(self) -> None:
        [(name, message, serious)] = odd_grids([*usual(9), scan("thick", (1.0, 1.2, 12.0))])
        assert (name, serious) == ("thick", True)
        assert message == "its voxels are 12 x 1.2 x 1 mm (z, y, x), those of the others 3.45 x 1.2 x 1.07 mm."

    def test_extent(self) -> None:
        [(name, message, serious)] = odd_grids([*usual(9), scan("whole body", size=(50, 40, 400))])
        assert (name, serious) == ("whole body", False)
        assert message.startswith("it is 1200 x 48 x 50 mm large")


class TestIntensities:
    def test_healthy(self) -> None:
        assert odd_intensities(usual(9)) == {}

    def test_other_units(self) -> None:
        odd = odd_intensities([*usual(9), scan("scaled", intensities=(0.0, 80000.0))])
        assert list(odd) == ["scaled"]
        assert "from 0 to 80000" in odd["scaled"]

    def test_another_zero(self) -> None:
        """CT of which one was not turned into Hounsfield units."""
        cts = [scan(f"c{i}", intensities=(-1000.0 - i, 1500.0 + 20 * i)) for i in range(8)]
        assert list(odd_intensities([*cts, scan("raw", intensities=(0.0, 2524.0))])) == ["raw"]

    def test_constant_images_are_said_to_be_that(self) -> None:
        assert odd_intensities([*usual(9), scan("flat", intensities=(5.0, 5.0))]) == {}


@pytest.mark.parametrize(("odd", "cases", "few"), [(1, 4, True), (2, 4, False), (3, 20, True), (69, 200, False)])
def test_odd_ones_are_few(odd: int, cases: int, few: bool) -> None:
    assert is_few(odd, cases) == few
