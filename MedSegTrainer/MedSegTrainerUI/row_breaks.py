"""Rows of controls that would make the panel wider than the dock are broken: with large fonts, and long words."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import qt

NARROWEST = 356  # pixels that the panel has at least: a dock of 380 less its margins
FRAME = 12  # pixels of a line edit beside its text


class RowBreaks:
    """The rows and forms below ``root``, a widget with a layout. ``adjust`` breaks those that are too wide."""

    def __init__(self, root: Any) -> None:
        self._rows: list[tuple[Any, int]] = []
        self._forms: list[tuple[Any, int]] = []
        for layout, width in _layouts(root.layout(), NARROWEST):
            if layout.inherits("QHBoxLayout"):
                self._rows.append((layout, width))
            elif layout.inherits("QFormLayout"):
                self._forms.append((layout, width))
            elif layout.inherits("QGridLayout"):
                _narrow(layout, width)

    def adjust(self) -> None:
        for row, width in self._rows:
            direction = qt.QBoxLayout.TopToBottom if _row_width(row) > width else qt.QBoxLayout.LeftToRight
            if row.direction() != direction:
                row.setDirection(direction)
        for form, width in self._forms:
            policy = qt.QFormLayout.WrapAllRows if _form_width(form) > width else qt.QFormLayout.DontWrapRows
            if form.rowWrapPolicy != policy:
                form.rowWrapPolicy = policy


def _layouts(layout: Any, width: int) -> Iterator[tuple[Any, int]]:
    """All layouts with the width that each can have; what lies inside another comes before it."""
    margins = layout.contentsMargins if not callable(layout.contentsMargins) else layout.contentsMargins()  # Qt 6 or 5
    inner = width - margins.left() - margins.right()
    for item in map(layout.itemAt, range(layout.count())):
        widget, inside = item.widget(), item.layout()
        if inside is not None:
            yield from _layouts(inside, inner)
        elif widget is not None and widget.layout() is not None:
            frame = widget.contentsMargins()
            yield from _layouts(widget.layout(), inner - frame.left() - frame.right())
    yield layout, inner


def _row_width(row: Any) -> int:
    """Pixels that a row needs that is not broken."""
    parts = _parts(row)
    return sum(parts) + row.spacing * max(0, len(parts) - 1)


def _parts(row: Any) -> list[int]:
    return [_least(item) for item in map(row.itemAt, range(row.count())) if not _is_hidden(item)]


def _least(item: Any) -> int:
    """Pixels without which something is cut."""
    widget, inside = item.widget(), item.layout()
    if inside is not None:
        if not inside.inherits("QBoxLayout"):
            return inside.minimumSize().width()
        is_row = inside.direction() == qt.QBoxLayout.LeftToRight
        return _row_width(inside) if is_row else max(_parts(inside), default=0)
    if widget is None:
        return 0
    if widget.inherits("QLabel") and widget.wordWrap:
        return _longest_word(widget)
    if widget.inherits("QLineEdit"):
        return _shown_hint(widget)
    if widget.sizePolicy.horizontalPolicy() == qt.QSizePolicy.Ignored:
        return int(widget.minimumWidth)
    return max(widget.minimumWidth, widget.minimumSizeHint.width())


def _longest_word(label: Any) -> int:
    metrics = label.fontMetrics()
    return max((metrics.horizontalAdvance(word) for word in label.text.split()), default=0)


def _shown_hint(editor: Any) -> int:
    """Of a line edit, the pixels of what it says while it is empty."""
    return int(editor.fontMetrics().horizontalAdvance(editor.placeholderText)) + FRAME


def _form_width(form: Any) -> int:
    """Pixels that a form needs with its labels beside the fields."""
    width = {}
    for role in (qt.QFormLayout.LabelRole, qt.QFormLayout.FieldRole):
        items = [form.itemAt(row, role) for row in range(form.rowCount())]
        width[role] = max((_least(item) for item in items if item is not None and not _is_hidden(item)), default=0)
    return sum(width.values()) + form.horizontalSpacing


def _is_hidden(item: Any) -> bool:
    """Whether it was hidden itself; what lies in a folded section was not."""
    widget, inside = item.widget(), item.layout()
    if inside is not None:
        return all(_is_hidden(one) for one in map(inside.itemAt, range(inside.count())))
    return widget is None or widget.isHidden()


def _narrow(grid: Any, width: int) -> None:
    """Lays out a grid of controls anew in fewer columns, where they are too wide for those that it has."""
    widgets = [grid.itemAt(index).widget() for index in range(grid.count())]
    columns = grid.columnCount()
    while columns > 1 and _grid_width(grid, widgets, columns) > width:
        columns -= 1
    if columns == grid.columnCount():
        return
    for widget in widgets:
        grid.removeWidget(widget)
    for index, widget in enumerate(widgets):
        grid.addWidget(widget, index // columns, index % columns)


def _grid_width(grid: Any, widgets: list[Any], columns: int) -> int:
    widths = [max(one.sizeHint.width() for one in widgets[column::columns]) for column in range(columns)]
    return sum(widths) + grid.horizontalSpacing() * (columns - 1)
