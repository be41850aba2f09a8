"""Box plots and the confusion matrix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from MedSegTrainerLib.metrics.metrics import METRICS
from MedSegTrainerLib.report.curves import short, write_curves
from MedSegTrainerLib.report.plots import draw_boxes, draw_confusion, percent

COLORS = {"liver $a_1$": "#aa0011", "portal vein": "#00bb22"}


class TestBoxes:
    def test_every_case_is_a_point(self) -> None:
        values = {"liver $a_1$": [0.5, 0.6, 0.7, 0.8, 0.9, 0.95], "portal vein": [0.3]}
        svg = draw_boxes([(METRICS["dice"], values)], COLORS)
        assert svg.startswith("<svg") and "currentColor" in svg
        assert svg.count("fill: #aa0011; fill-opacity: 0.75") + svg.count("fill: #aa0011; opacity: 0.75") == 6

    def test_a_structure_without_values(self) -> None:
        svg = draw_boxes([(METRICS["hd95_mm"], {"liver $a_1$": [1.0], "portal vein": []})], COLORS)
        assert "#aa0011" in svg and "#00bb22" not in svg


class TestConfusion:
    @pytest.mark.parametrize("count", [2, 30])
    def test_cells_of_what_happened(self, count: int) -> None:
        shares = np.eye(count)
        shares[0, 1], shares[1] = 0.25, np.nan
        svg = draw_confusion([f"structure {i}" for i in range(count)], shares)
        assert svg.count("#1f5fa8") == count - 1 and svg.count("#c0451c") == 1


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100"), (0.99999, "100"), (0.123, "12.3"), (0.00234, "0.23"), (1e-6, "<0.01"), (0, "0")]
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == text


def test_names_fit_and_are_no_formulas() -> None:
    assert short("a$b$") == r"a\$b\$"
    assert len(short("x" * 60)) == 24 and short("x" * 24) == "x" * 24


@pytest.mark.parametrize("name", ["$a_$", "$$", "$\\frac$", "a\\$b$", "$" * 40, "x" * 20 + "$_$"])
def test_any_name_is_drawn(name: str, tmp_path: Path) -> None:
    assert draw_boxes([(METRICS["dice"], {name: [0.5]})], {name: "#aa0011"}).startswith("<svg")
    assert draw_confusion([name, "b"], np.eye(2)).startswith("<svg")
    write_curves([{"epoch": 1, "dice": {name: 0.5}}], {name: "#aa0011"}, tmp_path / "curves.png")
