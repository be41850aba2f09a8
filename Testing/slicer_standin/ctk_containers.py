"""Collapsible containers of CTK."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtGui, QtWidgets

from .qt_properties import stored

HEADER = 24  # pixels
ANY_HEIGHT = 16777215


class _HiddenChildren(QtCore.QObject):
    """Hides the children of a collapsed container, and afterwards shows those that were not hidden themselves."""

    def __init__(self, container: QtWidgets.QWidget) -> None:
        super().__init__(container)
        self._container = container
        self._to_show: list[QtWidgets.QWidget] = []
        self._collapsed = False
        self._busy = False

    def set_collapsed(self, collapsed: bool) -> None:
        self._collapsed, self._busy = collapsed, True
        if collapsed:
            self._to_show = [child for child in self._children() if child in self._to_show or not child.isHidden()]
        for child in self._to_show:
            child.setVisible(not collapsed)
            child.installEventFilter(self)
        self._busy = False

    def eventFilter(self, child: Any, event: QtCore.QEvent) -> bool:
        """A child that is shown meanwhile stays hidden until the container opens."""
        if event.type() == QtCore.QEvent.ShowToParent and self._collapsed and not self._busy:
            self._busy = True
            child.setVisible(False)
            self._busy = False
            if child not in self._to_show:
                self._to_show.append(child)
        return False

    def _children(self) -> list[QtWidgets.QWidget]:
        return [child for child in self._container.children() if child.isWidgetType()]


class ctkCollapsibleButton(QtWidgets.QAbstractButton):
    """Checked is open; a click on the header toggles."""

    SIGNALS: ClassVar = {"contentsCollapsed(bool)": "contentsCollapsed"}
    contentsCollapsed = QtCore.Signal(bool)
    collapsed, setCollapsed = stored(bool, "collapsed", False, react="_on_collapsed", notify="contentsCollapsed")
    collapsedHeight, setCollapsedHeight = stored(int, "collapsedHeight", 0)
    flat, setFlat = stored(bool, "flat", False)
    contentsFrameShape, setContentsFrameShape = stored(int, "contentsFrameShape", 0)
    contentsFrameShadow, setContentsFrameShadow = stored(int, "contentsFrameShadow", 16)
    contentsLineWidth, setContentsLineWidth = stored(int, "contentsLineWidth", 1)
    contentsMidLineWidth, setContentsMidLineWidth = stored(int, "contentsMidLineWidth", 0)
    buttonTextAlignment, setButtonTextAlignment = stored(int, "buttonTextAlignment", 0x81)
    indicatorAlignment, setIndicatorAlignment = stored(int, "indicatorAlignment", 0x81)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*[item for item in arguments if not isinstance(item, str)])
        self.setText(next((item for item in arguments if isinstance(item, str)), ""))
        self._hidden = _HiddenChildren(self)
        self.setCheckable(True)
        self.setChecked(True)
        self.setContentsMargins(0, HEADER, 0, 0)
        self.setSizePolicy(QtWidgets.QSizePolicy.Preferred, QtWidgets.QSizePolicy.Preferred)
        self.toggled.connect(lambda checked: self.setCollapsed(not checked))

    def _on_collapsed(self, collapsed: bool) -> None:
        self._hidden.set_collapsed(collapsed)
        self.setMaximumHeight(HEADER + self.collapsedHeight if collapsed else ANY_HEIGHT)
        self.setChecked(not collapsed)

    def childEvent(self, event: QtCore.QChildEvent) -> None:
        """A layout inside begins below the header, and a widget added while collapsed stays hidden."""
        super().childEvent(event)
        child = event.child()
        if event.added() and self.__dict__.get("_collapsed") and child.isWidgetType():
            self._hidden.set_collapsed(True)

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < HEADER

    def sizeHint(self) -> QtCore.QSize:
        inner = self.layout()
        if self.collapsed or inner is None:
            return QtCore.QSize(100, HEADER)
        return inner.totalSizeHint()

    def minimumSizeHint(self) -> QtCore.QSize:
        inner = self.layout()
        if self.collapsed or inner is None:
            return QtCore.QSize(50, HEADER)
        return inner.totalMinimumSize()

    def paintEvent(self, event: QtGui.QPaintEvent) -> None:
        painter = QtGui.QPainter(self)
        option = QtWidgets.QStyleOptionButton()
        option.initFrom(self)
        option.rect = QtCore.QRect(0, 0, self.width, HEADER)
        style = QtWidgets.QApplication.style()
        style.drawControl(QtWidgets.QStyle.CE_PushButtonBevel, option, painter, self)
        arrow = QtWidgets.QStyle.PE_IndicatorArrowRight if self.collapsed else QtWidgets.QStyle.PE_IndicatorArrowDown
        option.rect = QtCore.QRect(6, 6, HEADER - 12, HEADER - 12)
        style.drawPrimitive(arrow, option, painter, self)
        place = QtCore.QRect(HEADER, 0, self.width - HEADER, HEADER)
        text = QtCore.Qt.AlignVCenter | QtCore.Qt.TextShowMnemonic
        style.drawItemText(painter, place, text, self.palette, self.enabled, self.text)


class ctkCollapsibleGroupBox(QtWidgets.QGroupBox):
    """A group box whose check mark opens and closes it."""

    collapsed, setCollapsed = stored(bool, "collapsed", False, react="_on_collapsed")
    collapsedHeight, setCollapsedHeight = stored(int, "collapsedHeight", 0)

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._hidden = _HiddenChildren(self)
        self.setCheckable(True)
        self.setChecked(True)
        self.toggled.connect(lambda checked: self.setCollapsed(not checked))

    def _on_collapsed(self, collapsed: bool) -> None:
        self._hidden.set_collapsed(collapsed)
        self.setMaximumHeight(HEADER + self.collapsedHeight if collapsed else ANY_HEIGHT)
        self.setChecked(not collapsed)


WIDGETS = (ctkCollapsibleButton, ctkCollapsibleGroupBox)
