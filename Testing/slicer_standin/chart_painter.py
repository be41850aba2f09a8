"""Paints a chart node with its series and tables, in place of VTK's charts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import slicer
from PySide6 import QtCore, QtGui
from vtk.util import numpy_support

GRID = QtGui.QColor(225, 225, 225)
INK = QtGui.QColor(70, 70, 70)
TICKS = 5


@dataclass(frozen=True)
class Curve:
    """A series: its points, NaN where the table has none."""

    name: str
    color: QtGui.QColor
    points: list[tuple[float, float]]
    width: float
    is_line: bool
    has_markers: bool


@dataclass(frozen=True)
class Axis:
    lowest: float
    highest: float
    ticks: list[float]
    is_log: bool

    def share(self, value: float) -> float:
        """How far along the axis a value is, 0 to 1 inside of it; NaN for what a logarithmic axis cannot show."""
        if not self.is_log:
            return (value - self.lowest) / (self.highest - self.lowest)
        return math.log(value / self.lowest) / math.log(self.highest / self.lowest) if value > 0 else math.nan


Ranges = Mapping[str, tuple[float, float]]


def paint_chart(painter: QtGui.QPainter, area: QtCore.QRect, chart: Any, ranges: Ranges) -> None:
    """``chart`` is a vtkMRMLPlotChartNode or None; ``area`` is filled. ranges: of the axes X and Y."""
    painter.fillRect(area, QtGui.QColor("white"))
    if chart is None:
        return
    curves = read_curves(chart)
    horizontal, vertical = _axis(ranges["X"]), _axis(ranges["Y"], is_log=bool(chart.GetYAxisLogScale()))
    frame = area.adjusted(46, 8, -10, -32)
    if chart.GetTitleVisibility() and chart.GetTitle():
        frame.setTop(frame.top() + 16)
        _text(painter, QtCore.QRect(area.left(), area.top() + 4, area.width(), 16), chart.GetTitle())
    _paint_axes(painter, frame, horizontal, vertical, chart)
    painter.setClipRect(frame)
    painter.setRenderHint(QtGui.QPainter.Antialiasing)
    for curve in curves:
        _paint_curve(painter, frame, horizontal, vertical, curve)
    painter.setClipping(False)
    if chart.GetLegendVisibility():
        _paint_legend(painter, frame, curves)


def read_curves(chart: Any) -> list[Curve]:
    """The series of a chart as they are in their tables now."""
    curves = []
    for index in range(chart.GetNumberOfPlotSeriesNodes()):
        series = chart.GetNthPlotSeriesNode(index)
        if series is None or series.GetTableNode() is None:
            continue
        ys = _column(series, series.GetYColumnName())
        by_index = series.GetPlotType() in (series.PlotTypeLine, series.PlotTypeBar)
        xs = [float(row) for row in range(len(ys))] if by_index else _column(series, series.GetXColumnName())
        is_line = series.GetLineStyle() != slicer.vtkMRMLPlotSeriesNode.LineStyleNone
        has_markers = series.GetMarkerStyle() != slicer.vtkMRMLPlotSeriesNode.MarkerStyleNone
        color = QtGui.QColor.fromRgbF(*series.GetColor())
        points = list(zip(xs, ys, strict=False))
        curves.append(Curve(series.GetName(), color, points, series.GetLineWidth(), is_line, has_markers))
    return curves


def _column(series: Any, name: str) -> list[float]:
    column = series.GetTableNode().GetTable().GetColumnByName(name) if name else None
    return [] if column is None else numpy_support.vtk_to_numpy(column).astype(float).tolist()


def content_range(curves: list[Curve], letter: str) -> tuple[float, float] | None:
    """From the least to the most of all finite numbers along the axis X or Y; None where there are none."""
    place = "XY".index(letter)
    finite = [point[place] for curve in curves for point in curve.points if math.isfinite(point[place])]
    return (min(finite), max(finite)) if finite else None


def _axis(limits: tuple[float, float], *, is_log: bool = False) -> Axis:
    lowest, highest = limits
    if is_log and 0 < lowest < highest:
        powers = range(math.floor(math.log10(lowest)), math.ceil(math.log10(highest)) + 1)
        ticks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
        return Axis(lowest, highest, [tick for tick in ticks if lowest <= tick <= highest], is_log=True)
    if highest <= lowest:
        lowest, highest = lowest - 0.5, highest + 0.5
    step = _step(highest - lowest)
    first = math.ceil(lowest / step - 1e-9)
    count = math.floor(highest / step + 1e-9) - first + 1
    return Axis(lowest, highest, [(first + index) * step for index in range(count)], is_log=False)


def _step(span: float) -> float:
    """The roundest step (1, 2 or 5 times a power of ten) with about ``TICKS`` ticks."""
    power = 10.0 ** math.floor(math.log10(span / TICKS))
    return next(factor * power for factor in (1, 2, 5, 10) if span / (factor * power) <= TICKS + 1)


def _place(frame: QtCore.QRect, horizontal: Axis, vertical: Axis, x: float, y: float) -> QtCore.QPointF:
    right, up = horizontal.share(x), vertical.share(y)
    return QtCore.QPointF(frame.left() + right * frame.width(), frame.bottom() - up * frame.height())


def _paint_axes(painter: QtGui.QPainter, frame: QtCore.QRect, horizontal: Axis, vertical: Axis, chart: Any) -> None:
    for x in horizontal.ticks:
        place = _place(frame, horizontal, vertical, x, vertical.lowest).toPoint()
        painter.setPen(GRID)
        painter.drawLine(place.x(), frame.top(), place.x(), frame.bottom())
        _text(painter, QtCore.QRect(place.x() - 30, frame.bottom() + 2, 60, 14), f"{x:g}")
    for y in vertical.ticks:
        place = _place(frame, horizontal, vertical, horizontal.lowest, y).toPoint()
        painter.setPen(GRID)
        painter.drawLine(frame.left(), place.y(), frame.right(), place.y())
        _text(painter, QtCore.QRect(frame.left() - 34, place.y() - 7, 31, 14), f"{y:g}", QtCore.Qt.AlignRight)
    painter.setPen(INK)
    painter.drawRect(frame)
    if chart.GetXAxisTitleVisibility():
        _text(painter, QtCore.QRect(frame.left(), frame.bottom() + 15, frame.width(), 15), chart.GetXAxisTitle() or "")
    if chart.GetYAxisTitleVisibility():
        painter.save()
        painter.translate(frame.left() - 34, frame.center().y())
        painter.rotate(-90)
        _text(painter, QtCore.QRect(-60, -10, 120, 14), chart.GetYAxisTitle() or "")
        painter.restore()


def _paint_curve(painter: QtGui.QPainter, frame: QtCore.QRect, horizontal: Axis, vertical: Axis, curve: Curve) -> None:
    painter.setPen(QtGui.QPen(curve.color, curve.width))
    painter.setBrush(curve.color)

    def is_shown(point: tuple[float, float]) -> bool:
        return math.isfinite(horizontal.share(point[0])) and math.isfinite(vertical.share(point[1]))

    for shown, points in itertools.groupby(curve.points, is_shown):
        places = [_place(frame, horizontal, vertical, x, y) for x, y in points] if shown else []
        if curve.is_line and len(places) > 1:
            painter.drawLines([QtCore.QLineF(one, other) for one, other in itertools.pairwise(places)])
        if curve.has_markers:
            for place in places:
                painter.drawEllipse(place, 2.5, 2.5)


def _paint_legend(painter: QtGui.QPainter, frame: QtCore.QRect, curves: list[Curve]) -> None:
    widest = max((painter.fontMetrics().horizontalAdvance(curve.name) for curve in curves), default=0)
    box = QtCore.QRect(frame.right() - widest - 34, frame.top() + 4, widest + 30, 14 * len(curves) + 4)
    painter.fillRect(box, QtGui.QColor(255, 255, 255, 200))
    for row, curve in enumerate(curves):
        middle = box.top() + 9 + 14 * row
        painter.setPen(QtGui.QPen(curve.color, max(curve.width, 2)))
        painter.drawLine(box.left() + 4, middle, box.left() + 20, middle)
        _text(painter, QtCore.QRect(box.left() + 25, middle - 7, widest + 4, 14), curve.name, QtCore.Qt.AlignLeft)


def _text(painter: QtGui.QPainter, place: QtCore.QRect, text: str, side: int = QtCore.Qt.AlignHCenter) -> None:
    painter.setPen(INK)
    font = painter.font()
    font.setPixelSize(11)
    painter.setFont(font)
    painter.drawText(place, int(side) | int(QtCore.Qt.AlignVCenter), text)
