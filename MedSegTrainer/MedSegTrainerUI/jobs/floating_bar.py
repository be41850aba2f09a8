"""The running training above whatever part of the panel is scrolled to.

Slicer shows a module in a scroll area, so what is at the top of the panel goes out of sight. A copy of it then covers
the upper edge of what is seen; no layout knows it.
"""

from __future__ import annotations

import qt

from MedSegTrainerUI.slicer_types import Widget

MARGIN = 4


class FloatingBar:
    """Stands for ``frame``, which holds ``bar`` (a QProgressBar) and ``label``, while that is out of sight."""

    def __init__(self, frame: Widget, bar: Widget, label: Widget) -> None:
        self._home, self._bar, self._label = frame, bar, label
        self._area: Widget = None
        self._copy: Widget = None

    def look(self, *_: object) -> None:
        """The panel was scrolled, or what it stands for has changed."""
        area = _scroll_area(self._home)
        if area is not None and area != self._area:
            self.cleanup()
            self._area = area
            self._copy = _Copy(area.viewport())
            area.verticalScrollBar().connect("valueChanged(int)", self.look)
        if self._copy is None:
            return
        if area is None or not self._home.visible or self._home.mapTo(area.viewport(), qt.QPoint(0, 0)).y() >= 0:
            self._copy.frame.hide()
        else:
            self._copy.show(self._bar, self._label.text, area.viewport().width)

    def hide(self) -> None:
        """Another module comes into the scroll area."""
        if self._copy is not None:
            self._copy.frame.hide()

    def cleanup(self) -> None:
        if self._copy is None:
            return
        self._area.verticalScrollBar().disconnect("valueChanged(int)", self.look)
        self._copy.frame.hide()
        self._copy.frame.deleteLater()
        self._area = self._copy = None


class _Copy:
    """``frame`` lies in ``viewport``, above what is scrolled."""

    def __init__(self, viewport: Widget) -> None:
        self.frame = qt.QFrame(viewport)
        self.frame.objectName = "floatingFrame"
        self.frame.frameShape = qt.QFrame.StyledPanel
        self.frame.autoFillBackground = True
        column = qt.QVBoxLayout(self.frame)
        column.setContentsMargins(MARGIN, MARGIN, MARGIN, MARGIN)
        self._bar, self._label = qt.QProgressBar(), qt.QLabel()
        self._bar.textVisible = False
        self._label.wordWrap = True
        column.addWidget(self._bar)
        column.addWidget(self._label)

    def show(self, bar: Widget, text: str, width: int) -> None:
        self._bar.maximumHeight = bar.maximumHeight
        if self._bar.maximum != bar.maximum:
            self._bar.maximum = bar.maximum
        if self._bar.value != bar.value:
            self._bar.value = bar.value
        if self._label.text != text:
            self._label.text = text
        height = self.frame.heightForWidth(width)
        if (self.frame.width, self.frame.height) != (width, height):
            self.frame.resize(width, height)
        if not self.frame.visible:
            self.frame.show()


def _scroll_area(widget: Widget) -> Widget:
    """The one that the widget lies in; None where it lies in none, as while another module is shown."""
    while widget is not None and widget.metaObject().className() != "QScrollArea":
        widget = widget.parent()
    return widget
