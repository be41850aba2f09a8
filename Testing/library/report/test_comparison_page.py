"""The page of a comparison, and its table in the console."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from MedSegTrainerLib.cli.console import show_comparison
from MedSegTrainerLib.evaluation.compare import comparison
from MedSegTrainerLib.metrics.metrics import METRICS
from MedSegTrainerLib.report.comparison_page import by_name, p_text, render
from MedSegTrainerLib.report.formatting import signed

CLASSES = ["<b>liver", "spleen"]
Scores = Mapping[str, Sequence[float | None]]


def compared(folder: Path, first: Scores, second: Scores, *metrics: str, length: str = "mm") -> dict[str, Any]:
    """Compares evaluations of cases 00, 01, ... with a Dice for each class; the HD95 is 10 times 1 - Dice."""
    for name, scores in (("a", first), ("b", second)):
        values = {
            f"case {index:02d}": {
                structure: {
                    **dict.fromkeys(METRICS, 0.5), "dice": dice, "hd95_mm": None if dice is None else 10 * (1 - dice),
                }
                for structure, dice in zip(scores, row, strict=True)
            }
            for index, row in enumerate(zip(*scores.values(), strict=True))
        }  # fmt: skip
        written = {
            "schema_version": 1, "length": length, "metrics": list(METRICS), "surface_tolerance_mm": 1.0,
            "cases": values,
            "classes": [{"value": 1, "name": structure, "color": [200, 80, 60]} for structure in scores],
        }  # fmt: skip
        (folder / name).mkdir()
        (folder / name / "metrics.json").write_text(json.dumps(written), encoding="utf-8")
    return comparison(folder / "a", folder / "b", metrics=metrics)


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The liver gets better in all cases but one; nothing happens to the spleen."""
    first = [0.8 + 0.002 * index for index in range(20)]
    second = [dice + 0.05 for dice in first]
    second[7] = 0.05
    folder = tmp_path_factory.mktemp("comparison")
    spleen = [0.7] * 20
    return compared(
        folder, {CLASSES[0]: first, "spleen": spleen}, {CLASSES[0]: second, "spleen": spleen}, "dice", "hd95"
    )


class TestPage:
    def test_needs_no_network_and_escapes_names(self, document: dict[str, Any]) -> None:
        page = render(document)
        assert not re.search(r"""(?:src|href)\s*=\s*["']?https?:|@import|url\((?!#)""", page)
        assert "<b>liver" not in page and "&lt;b&gt;liver" in page

    def test_tables_name_the_worst_case(self, document: dict[str, Any]) -> None:
        page = render(document)
        worst = page.split("Worse in B</h3>")[1].split("</table>")[0]
        assert worst.index("case 07") < worst.index("</tr>", worst.index("<tbody>"))
        assert "B is better" in page and "all structures" in page

    def test_a_plot_for_the_mean_and_for_each_structure(self, document: dict[str, Any]) -> None:
        page = render(document)
        plots = page.split("Case by case")[1].split("</section>")[0]
        assert plots.count("<svg") == 3
        assert "currentColor" in plots
        assert "#0072b2" in plots and "#d55e00" in plots

    def test_one_structure_has_no_mean_over_structures(self, tmp_path: Path) -> None:
        single = compared(tmp_path, {"liver": [0.5, 0.6, 0.7]}, {"liver": [0.5, 0.6, 0.7]}, "dice")
        assert list(by_name(single["results"]["dice"])) == ["liver"]
        page = render(single)
        assert "No case got worse" in page and "The other numbers" not in page
        assert page.count("<svg") == 1

    def test_of_pictures_counts_pixels(self, tmp_path: Path) -> None:
        """Half a millilitre is 500 voxels of 1 mm, which pixels of unknown size were taken for."""
        dice = [0.5, 0.6, 0.7]
        document = compared(
            tmp_path, {"nucleus": dice}, {"nucleus": dice[::-1]}, "volume_error_ml", "hd95", length="pixels"
        )
        page, stream = render(document), io.StringIO()
        assert "Area error, px" in page and "500.0 px" in page and "HD95, px" in page
        assert not re.search(r"\bmm\b|\bmL\b", page)
        show_comparison(document, Console(file=stream, width=100))
        assert "volume_error_px, 3 cases" in stream.getvalue() and "500.000" in stream.getvalue()

    def test_evaluations_of_pictures_and_of_volumes_are_in_mm(self, tmp_path: Path) -> None:
        liver = {"liver": [0.5, 0.6]}
        document = compared(tmp_path, liver, liver, "hd95", length="pixels")
        written = json.loads((tmp_path / "b" / "metrics.json").read_text(encoding="utf-8"))
        (tmp_path / "b" / "metrics.json").write_text(json.dumps({**written, "length": "mm"}), encoding="utf-8")
        assert document["length"] == "pixels" and comparison(tmp_path / "a", tmp_path / "b")["length"] == "mm"

    def test_a_number_that_nobody_has(self, tmp_path: Path) -> None:
        assert "<svg" not in render(compared(tmp_path, {"liver": [None, None]}, {"liver": [None, None]}, "dice"))


def test_texts() -> None:
    assert [signed(value, 2) for value in (0.126, -0.126, 0.001, -0.001, None)] == [
        "+0.13", "\N{MINUS SIGN}0.13", "0.00", "0.00", "\N{EN DASH}",
    ]  # fmt: skip
    assert [p_text(p) for p in (0.00001, 0.0042, 0.5, None)] == ["< 0.0001", "0.0042", "0.500", "\N{EN DASH}"]


def test_console(document: dict[str, Any]) -> None:
    stream = io.StringIO()
    show_comparison(document, Console(file=stream, width=80))
    output = stream.getvalue()
    row = next(line for line in output.splitlines() if line.startswith("spleen"))
    assert row.split() == ["spleen", "0.700", "0.700", "+0.000", "-", "1", "-", "0", "0"]
    liver = next(line for line in output.splitlines() if line.startswith("<b>liver"))
    assert liver.split()[-2:] == ["19", "1"]
    assert "In words: B is better" in output
    assert "most worse in B:\n  case 07 <b>liver" in output
    assert "hd95_mm, 20 cases" in output
