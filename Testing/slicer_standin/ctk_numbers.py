"""Numbers and ranges of CTK."""

from __future__ import annotations

from typing import Any, ClassVar

from PySide6 import QtCore, QtWidgets

from .qt_properties import forwarded, stored


class ctkSliderWidget(QtWidgets.QWidget):
    """A slider beside a spin box, with real numbers."""

    SIGNALS: ClassVar = {
        "valueChanged(double)": "valueChanged", "valueIsChanging(double)": "valueIsChanging",
        "decimalsChanged(int)": "decimalsChanged",
    }  # fmt: skip
    STEPS = 1000
    valueChanged = QtCore.Signal(float)
    valueIsChanging = QtCore.Signal(float)
    decimalsChanged = QtCore.Signal(int)
    value, setValue = forwarded(float, "value", "_spin")
    minimum, setMinimum = forwarded(float, "minimum", "_spin")
    maximum, setMaximum = forwarded(float, "maximum", "_spin")
    singleStep, setSingleStep = forwarded(float, "singleStep", "_spin")
    decimals, setDecimals = forwarded(int, "decimals", "_spin")
    prefix, setPrefix = forwarded(str, "prefix", "_spin")
    suffix, setSuffix = forwarded(str, "suffix", "_spin")
    pageStep, setPageStep = stored(float, "pageStep", 10.0)
    tickInterval, setTickInterval = stored(float, "tickInterval", 0.0)
    tracking, setTracking = stored(bool, "tracking", True)
    spinBoxVisible, setSpinBoxVisible = forwarded(bool, "visible", "_spin")

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Horizontal, self)
        self._slider.setRange(0, self.STEPS)
        self._spin = QtWidgets.QDoubleSpinBox(self)
        row = QtWidgets.QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self._slider, 1)
        row.addWidget(self._spin)
        self._spin.connect("valueChanged(double)", self._on_spin)
        self._slider.connect("valueChanged(int)", self._on_slider)

    def setRange(self, minimum: float, maximum: float) -> None:
        self._spin.setRange(minimum, maximum)

    def _on_spin(self, value: float) -> None:
        span = (self.maximum - self.minimum) or 1.0
        blocked = self._slider.blockSignals(True)
        self._slider.setValue(round(self.STEPS * (value - self.minimum) / span))
        self._slider.blockSignals(blocked)
        self.valueChanged.emit(value)

    def _on_slider(self, step: int) -> None:
        self._spin.setValue(self.minimum + step * (self.maximum - self.minimum) / self.STEPS)


class ctkDoubleSlider(QtWidgets.QWidget):
    """A slider with real numbers and without a spin box."""

    SIGNALS: ClassVar = {"valueChanged(double)": "valueChanged"}
    valueChanged = QtCore.Signal(float)
    value, setValue = stored(float, "value", 0.0, notify="valueChanged")
    minimum, setMinimum = stored(float, "minimum", 0.0)
    maximum, setMaximum = stored(float, "maximum", 99.0)
    singleStep, setSingleStep = stored(float, "singleStep", 1.0)


class ctkDoubleSpinBox(QtWidgets.QDoubleSpinBox):
    """A spin box as far as module code uses it."""


class ctkRangeWidget(QtWidgets.QWidget):
    """The two ends of a range."""

    SIGNALS: ClassVar = {
        "valuesChanged(double,double)": "valuesChanged", "minimumValueChanged(double)": "minimumValueChanged",
        "maximumValueChanged(double)": "maximumValueChanged",
    }  # fmt: skip
    valuesChanged = QtCore.Signal(float, float)
    minimumValueChanged = QtCore.Signal(float)
    maximumValueChanged = QtCore.Signal(float)
    minimum, setMinimum = stored(float, "minimum", 0.0)
    maximum, setMaximum = stored(float, "maximum", 99.0)
    singleStep, setSingleStep = stored(float, "singleStep", 1.0)
    decimals, setDecimals = stored(int, "decimals", 2)
    minimumValue = QtCore.Property(float, lambda self: self._ends[0], lambda self, value: self.setMinimumValue(value))
    maximumValue = QtCore.Property(float, lambda self: self._ends[1], lambda self, value: self.setMaximumValue(value))

    def __init__(self, parent: Any = None) -> None:
        super().__init__(parent)
        self._ends = [0.0, 99.0]

    def setRange(self, minimum: float, maximum: float) -> None:
        self.setMinimum(float(minimum))
        self.setMaximum(float(maximum))
        self.setValues(self.minimumValue, self.maximumValue)

    def setMinimumValue(self, value: float) -> None:
        self.setValues(value, self.maximumValue)

    def setMaximumValue(self, value: float) -> None:
        self.setValues(self.minimumValue, value)

    def setValues(self, lower: float, upper: float) -> None:
        """The ends in any order, brought into the bounds."""
        ends = sorted(min(max(float(value), self.minimum), self.maximum) for value in (lower, upper))
        if ends != self._ends:
            self._ends = ends
            self.minimumValueChanged.emit(ends[0])
            self.maximumValueChanged.emit(ends[1])
            self.valuesChanged.emit(*ends)


class ctkDoubleRangeSlider(ctkRangeWidget):
    """A range without its spin boxes."""


class qMRMLSliderWidget(ctkSliderWidget):
    """A slider that could follow the units of the scene."""

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene


class qMRMLSpinBox(ctkDoubleSpinBox):
    """A spin box that could follow the units of the scene."""

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene


class qMRMLRangeWidget(ctkRangeWidget):
    """A range that could follow the units of the scene."""

    def setMRMLScene(self, scene: Any) -> None:
        self._scene = scene


WIDGETS = (
    ctkSliderWidget, ctkDoubleSlider, ctkDoubleSpinBox, ctkRangeWidget, ctkDoubleRangeSlider, qMRMLSliderWidget,
    qMRMLSpinBox, qMRMLRangeWidget,
)  # fmt: skip
