"""What the voxels of a label map mean: one ``LabelClass`` a structure, background not among them."""

from __future__ import annotations

import colorsys
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

Color = tuple[int, int, int]
WHITE = 255


@dataclass(frozen=True, kw_only=True)
class LabelClass:
    """A structure. ``value`` is its number in label maps, ``color`` is 0-255 RGB.

    ``terminology`` is Slicer's text form of a coded entry, '' when there is none.
    """

    __pydantic_config__: ClassVar[Any] = {"extra": "forbid"}

    value: int
    name: str
    color: Color
    terminology: str = ""


def default_color(index: int) -> Color:
    """The ``index``-th of an endless list of well separated colours (golden-angle hues)."""
    hue = (0.02 + index * 0.618034) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.75 if index % 2 == 0 else 0.5, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)


def classes_from_values(values: Sequence[int], names: Mapping[int, str]) -> list[LabelClass]:
    """Classes for label values (0 is background and is left out), in rising order, named where a name is known."""
    return [
        LabelClass(value=value, name=names.get(value, f"label {value}"), color=default_color(index))
        for index, value in enumerate(sorted(set(values) - {0}))
    ]


def unknown_classes(names: Sequence[str], drawn: Collection[str] | None) -> tuple[int, ...]:
    """Indices, 1 the first, of the classes of these names that nobody looked for; ``drawn``: those that somebody did,
    None for all."""
    return tuple(index for index, name in enumerate(names, start=1) if drawn is not None and name not in drawn)


def class_names(values: Sequence[int], names: Mapping[int, str]) -> Mapping[int, str]:
    """Names by value: those a data set gives, whose label maps hold these ``values``.

    A mask of 0 and 255 is a binary mask, whatever number the data set's own list gives its class.
    """
    if set(values) - {0} == {WHITE} and WHITE not in names and len(names) <= 1:
        return {WHITE: next(iter(names.values()), "foreground")}
    return names
