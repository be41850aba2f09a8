"""Numbers and colours as text for pages."""

from __future__ import annotations

from MedSegTrainerLib.classes import LabelClass

DASH = "\N{EN DASH}"
MINUS = "\N{MINUS SIGN}"


def number(value: float | None, decimals: int) -> str:
    """Text of a number, a dash for one that is not defined."""
    return DASH if value is None else f"{value:.{decimals}f}"


def signed(value: float | None, decimals: int) -> str:
    """Text of a difference, with its sign; a dash where it is not defined."""
    if value is None:
        return DASH
    text = f"{abs(value):.{decimals}f}"
    return text if not float(text) else f"{'+' if value > 0 else MINUS}{text}"


def hex_color(item: LabelClass) -> str:
    return "#{:02x}{:02x}{:02x}".format(*item.color)
