"""The picture of likely against true Dice, and its sentence."""

from __future__ import annotations

from typing import Any

from MedSegTrainerLib.report.likely_plot import Told, draw_likely, likely_text, told_and_measured

COLORS = {"liver": "#aa0011", "portal vein": "#00bb22"}


def told(name: str, likely: float, dice: float, reach: float = 0.05) -> Told:
    return Told(name=name, likely=likely, low=likely - reach, high=min(1.0, likely + reach), dice=dice)


def test_only_what_was_said_and_measured() -> None:
    said = {"likely_dice": 0.9, "low": 0.8, "high": 0.95}
    document: dict[str, Any] = {
        "likely_dice": {"a": {"liver": said, "gone": said}, "b": {"liver": said}, "other": {"liver": said}},
        "cases": {"a": {"liver": {"dice": 0.85}}, "b": {"liver": {"dice": None}}},
    }
    assert told_and_measured(document) == [Told(name="liver", likely=0.9, low=0.8, high=0.95, dice=0.85)]
    assert told_and_measured({"likely_dice": None, "cases": {}}) == told_and_measured({"cases": {}}) == []


def test_every_structure_is_a_point_with_its_interval() -> None:
    svg = draw_likely([told("liver", 0.9, 0.8), told("liver", 0.7, 0.75), told("portal vein", 0.5, 0.6)], COLORS)
    assert svg.startswith("<svg") and "currentColor" in svg
    points = svg.count("fill: #aa0011; fill-opacity: 0.85") + svg.count("fill: #aa0011; opacity: 0.85")
    assert points == 2 + 1  # and the legend
    assert svg.count("stroke: #00bb22") >= 1


def test_in_words() -> None:
    text = likely_text([told("liver", 0.9, 0.88), told("portal vein", 0.8, 0.5)])
    assert "Of 2 structures 1 lies within the interval" in text and "is 0.160 from the true one" in text
    assert "most overrated is a portal vein: 0.80 was likely, 0.50 is true" in text
    assert "overrated" not in likely_text([told("liver", 0.9, 0.88)])
