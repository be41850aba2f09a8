"""Rows of controls that would make the panel wider than the dock are broken: with large fonts, and long words."""

from __future__ import annotations

import qt

from MedSegTrainerUI.slicer_types import QtObject, Widget

NARROWEST = 356  # pixels that the panel has at least: a dock of 380 less its margins
FRAME = 12  # pixels of a line edit beside its text


class RowBreaks:
    """The rows, forms and grids below ``root``, a widget with a layout.

    Forms and grids are arranged once. ``adjust`` breaks the rows that are too wide with what is shown in them now; it
    is called at every refresh, and takes about a millisecond.
    """

    def __init__(self, root: Widget) -> None:
        self._rows: list[Row] = []
        self._take(root.layout(), NARROWEST)

    def adjust(self) -> None:
        for row in self._rows:  # what lies inside another comes before it
            row.adjust()

    def _take(self, layout: QtObject, width: int) -> Row | None:
        """Looks through a layout that can be so wide; gives the row, where it is one."""
        margins = layout.contentsMargins
        margins = margins() if callable(margins) else margins  # a method in Qt 5, a property in Qt 6
        inner = width - margins.left() - margins.right()
        is_row = layout.inherits("QHBoxLayout")
        parts: list[Row | Control] = []
        for item in map(layout.itemAt, range(layout.count())):
            widget, inside = item.widget(), item.layout()
            if inside is not None:
                row = self._take(inside, inner)
                parts += [row] if row is not None else []
            elif widget is not None:
                parts += [Control(widget)] if is_row else []
                frame = widget.contentsMargins()
                if widget.layout() is not None:
                    self._take(widget.layout(), inner - frame.left() - frame.right())
        if is_row:
            self._rows.append(Row(layout, parts, inner))
            return self._rows[-1]
        if layout.inherits("QFormLayout") and _form_width(layout) > inner:
            layout.rowWrapPolicy = qt.QFormLayout.WrapAllRows
        elif layout.inherits("QGridLayout"):
            _narrow(layout, inner)
        return None


class Control:
    """A widget of a row. How wide it must be is asked once, but of labels that wrap and buttons, whose texts change."""

    def __init__(self, widget: Widget) -> None:
        self._widget = widget
        self._wraps = bool(widget.inherits("QLabel") and widget.wordWrap)
        self._is_button = bool(widget.inherits("QPushButton"))
        self._text, self._width = "", -1

    @property
    def is_shown(self) -> bool:
        """False where it was hidden itself; what lies in a folded section was not."""
        return not self._widget.isHidden()

    def width(self) -> int:
        if self._wraps:
            return _longest_word(self._widget)
        text = str(self._widget.text) if self._is_button else self._text
        if self._width < 0 or text != self._text:
            self._text, self._width = text, _least(self._widget)
        return self._width


class Row:
    """A QHBoxLayout with what lies in it, and the pixels that there are for it."""

    def __init__(self, layout: QtObject, parts: list[Row | Control], space: int) -> None:
        self._layout, self._parts, self._space = layout, parts, space
        self._spacing = int(layout.spacing)
        self._broken = False

    @property
    def is_shown(self) -> bool:
        return any(part.is_shown for part in self._parts)

    def width(self) -> int:
        """What it needs as it is now."""
        return max(self._widths(), default=0) if self._broken else self._unbroken()

    def adjust(self) -> None:
        broken = self._unbroken() > self._space
        if broken != self._broken:
            self._broken = broken
            self._layout.setDirection(qt.QBoxLayout.TopToBottom if broken else qt.QBoxLayout.LeftToRight)

    def _unbroken(self) -> int:
        widths = self._widths()
        return sum(widths) + self._spacing * max(0, len(widths) - 1)

    def _widths(self) -> list[int]:
        return [part.width() for part in self._parts if part.is_shown]


def _least(widget: Widget) -> int:
    """Pixels without which something is cut."""
    if widget.inherits("QLabel") and widget.wordWrap:
        return _longest_word(widget)
    if widget.inherits("QLineEdit"):
        return _shown_hint(widget)
    if widget.sizePolicy.horizontalPolicy() == qt.QSizePolicy.Ignored:
        return int(widget.minimumWidth)
    return int(max(widget.minimumWidth, widget.minimumSizeHint.width()))


def _longest_word(label: Widget) -> int:
    metrics = label.fontMetrics()
    return max((metrics.horizontalAdvance(word) for word in label.text.split()), default=0)


def _shown_hint(editor: Widget) -> int:
    """Of a line edit, the pixels of what it says while it is empty."""
    return int(editor.fontMetrics().horizontalAdvance(editor.placeholderText)) + FRAME


def _form_width(form: QtObject) -> int:
    """Pixels that a form needs with its labels beside the fields."""
    width = form.horizontalSpacing
    for role in (qt.QFormLayout.LabelRole, qt.QFormLayout.FieldRole):
        items = [form.itemAt(row, role) for row in range(form.rowCount())]
        width += max((_field_width(item) for item in items if item is not None), default=0)
    return int(width)


def _field_width(item: QtObject) -> int:
    """Of a label or a field, which may be a row of controls."""
    inside, widget = item.layout(), item.widget()
    if inside is None:
        return _least(widget) if widget is not None else 0
    widths = [_field_width(part) for part in map(inside.itemAt, range(inside.count()))]
    return sum(widths) + int(inside.spacing) * max(0, len(widths) - 1)


def _narrow(grid: QtObject, width: int) -> None:
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


def _grid_width(grid: QtObject, widgets: list[Widget], columns: int) -> int:
    widths = [max(one.sizeHint.width() for one in widgets[column::columns]) for column in range(columns)]
    return sum(widths) + int(grid.horizontalSpacing()) * (columns - 1)
