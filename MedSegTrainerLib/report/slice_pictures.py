"""Pictures of a case in slices: the image, both label maps, their outlines, where they differ, and many slices."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.metrics.units import SHORT
from MedSegTrainerLib.report.case_arrays import CaseArrays
from MedSegTrainerLib.report.slice_views import View, case_views, label_box, slice_views

# Okabe-Ito colours, told apart with every kind of colour vision
ERROR_COLORS = {"correct": "#009E73", "extra": "#E69F00", "missing": "#56B4E9", "confused": "#CC79A7"}
ERROR_TITLES = {
    "correct": "correct (true positive)",
    "extra": "too much (false positive)",
    "missing": "missing (false negative)",
    "confused": "another structure",
}
TITLES = {
    "image": "Image",
    "overlay": "Prediction (filled) and reference (line)",
    "reference": "Reference",
    "prediction": "Prediction",
    "contours": "Outlines",
    "errors": "Differences",
    "uncertainty": "Uncertainty (bright: unsure)",
    "outline": "Prediction",
    "unsure": "Uncertainty (bright: unsure)",
}
WIDTH_INCHES, COLUMN_INCHES, DPI, JPEG_QUALITY = 9.0, 2.2, 150, 80
TITLE_INCHES, GAP_INCHES = 0.3, 0.06
LARGEST_HEIGHT_INCHES = 7.6
BACKGROUND, INK = "#000000", "#d7dce2"
TEXT_STYLE: dict[str, Any] = {
    "color": INK,
    "fontsize": 7.5,
    "path_effects": [withStroke(linewidth=2, foreground="#000000")],
}
OPACITY, MOST_OPAQUE = 0.45, 0.85
LEAST_BRIGHTEST = 0.1  # an uncertainty below it is none, however sure the model is elsewhere
PREDICTED_LINE = "#ffffff"
NO_IMAGE_GREY = 0.11
AIR_HU = -900  # a volume that goes as low as this is CT in Hounsfield units
CT_WINDOWS = {"lung": (-1350.0, 150.0), "soft tissue": (-160.0, 240.0), "bone": (-450.0, 1050.0)}
SLICES_SHOWN = 12
NARROW_INCHES = 1.65


def draw_case(case: CaseArrays, classes: Sequence[LabelClass], opacity: float = OPACITY) -> bytes:
    """PNG of a case: a row for each plane; columns as in ``draw_planes``."""
    return _encoded(_planes_figure(case, classes, opacity), "png")


def draw_planes(case: CaseArrays, classes: Sequence[LabelClass], opacity: float = OPACITY) -> bytes:
    """JPEG of a case: a row for each plane; columns image, reference, prediction, outlines, differences, uncertainty.

    The first and the last are left out where there is none. ``opacity`` (0 to 1) is that of labels over the image.
    """
    return _encoded(_planes_figure(case, classes, opacity), "jpeg")


def draw_slices(case: CaseArrays, classes: Sequence[LabelClass], opacity: float = OPACITY) -> bytes | None:
    """JPEG of slices through all that is labelled: the prediction filled, the reference as a line; None in 2D."""
    views = slice_views(case, SLICES_SHOWN)
    if not views:
        return None
    window = _window(case)
    figure, axes = _sheet(views)
    for view, ax in zip(views, axes, strict=True):
        _show_image(ax, view, window, dimmed=False)
        _show_overlay(ax, view, classes, opacity)
        _annotate([ax], view)
    _scale_bar(axes[0], views[0], SHORT[case.length])
    return _encoded(figure, "jpeg")


def draw_columns(
    case: CaseArrays,
    views: Sequence[View],
    columns: Sequence[str],
    classes: Sequence[LabelClass],
    opacity: float = OPACITY,
    width_inches: float = WIDTH_INCHES,
) -> Figure:
    """A row for each view and a column for each of the keys of ``TITLES`` that are asked for.

    Where prediction and reference are one array, the overlay is that of a label map.
    """
    window = _window(case)
    overlay = "Labels" if case.prediction is case.reference else TITLES["overlay"]
    titles = {**TITLES, "overlay": overlay}
    figure, rows = _grid(views, len(columns), width_inches)
    brightest = _brightest(case)
    for view, axes in zip(views, rows, strict=True):
        for column, ax in zip(columns, axes, strict=True):
            if column == "uncertainty":
                _show_uncertainty(ax, view, brightest)
                continue
            _show_image(ax, view, window, dimmed=column == "errors")
            if column == "overlay":
                _show_overlay(ax, view, classes, opacity)
            elif column == "errors":
                _show_errors(ax, view)
            elif column == "contours":
                _show_contours(ax, view, classes)
            elif column in ("outline", "unsure"):
                _show_outline(ax, view, classes, brightest if column == "unsure" else None)
            elif column != "image":
                _show_labels(ax, view, view.reference if column == "reference" else view.prediction, classes, opacity)
        _annotate(axes, view)
    _scale_bar(rows[0][0], views[0], SHORT[case.length])
    for column, ax in zip(columns, rows[0], strict=True):
        ax.set_title(titles[column], color=INK, fontsize=8.5, pad=5)
    return figure


def differences(prediction: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    """Boolean masks of what is correct, extra, missing and confused (labelled as another structure)."""
    return {
        "correct": (prediction == reference) & (reference != 0),
        "extra": (prediction != 0) & (reference == 0),
        "missing": (prediction == 0) & (reference != 0),
        "confused": (prediction != reference) & (prediction != 0) & (reference != 0),
    }


def overlap_differences(prediction: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    """The same of ``class_bits``: extra or missing is what has a class too many or too few, confused what has both."""
    extra, missing = (prediction & ~reference) != 0, (reference & ~prediction) != 0
    return {
        "correct": (prediction == reference) & (reference != 0),
        "extra": extra & ~missing,
        "missing": missing & ~extra,
        "confused": extra & missing,
    }


def scale_bar_mm(width_mm: float) -> float:
    """A round length (1, 2 or 5 times a power of ten) of about a quarter of the width."""
    target = width_mm / 4
    power = 10.0 ** np.floor(np.log10(target))
    return float(max(factor * power for factor in (1, 2, 5) if factor * power <= target))


def _planes_figure(case: CaseArrays, classes: Sequence[LabelClass], opacity: float) -> Figure:
    columns = ["reference", "prediction", "contours", "errors"]
    columns = columns if case.image is None else ["image", *columns]
    columns = columns if case.uncertainty is None else [*columns, "uncertainty"]
    return draw_columns(case, case_views(case), columns, classes, opacity, COLUMN_INCHES * len(columns))


def _encoded(figure: Figure, kind: str) -> bytes:
    stream = io.BytesIO()
    options: dict[str, Any] = {"pil_kwargs": {"quality": JPEG_QUALITY, "subsampling": 0}} if kind == "jpeg" else {}
    figure.savefig(stream, format=kind, dpi=DPI, facecolor=BACKGROUND, **options)
    return stream.getvalue()


def _window(case: CaseArrays) -> tuple[float, float]:
    """Grey values shown as black and white: a usual window for CT, else percentiles near the labels."""
    if case.image is None:
        return 0.0, 1.0
    labelled = case.image[(case.reference != 0) | (case.prediction != 0)]
    if case.image.min() <= AIR_HU and labelled.size:
        middle = float(np.median(labelled))
        return CT_WINDOWS["lung" if middle < -300 else "bone" if middle > 250 else "soft tissue"]
    low, high = np.percentile(case.image[label_box(case)], [1, 99.5])
    return float(low), float(max(high, low + 1e-6))


def _brightest(case: CaseArrays) -> float:
    if case.uncertainty is None:
        return 1.0
    return max(float(np.percentile(case.uncertainty[label_box(case)], 99.5)), 1e-6)


def _grid(views: Sequence[View], columns: int, width_inches: float) -> tuple[Figure, list[list[Axes]]]:
    """A black figure with axes in one scale (mm per inch) for all views, so that planes can be compared."""
    width = (width_inches - GAP_INCHES * (columns + 1)) / columns
    heights_mm, widths_mm = zip(*(view.size_mm for view in views), strict=True)
    gaps = TITLE_INCHES + GAP_INCHES * len(views)
    mm_per_inch = max(max(widths_mm) / width, sum(heights_mm) / (LARGEST_HEIGHT_INCHES - gaps))
    height = sum(heights_mm) / mm_per_inch + gaps
    figure = Figure(figsize=(width_inches, height))
    FigureCanvasAgg(figure)
    rows, top = [], height - TITLE_INCHES
    for tall in heights_mm:
        top -= tall / mm_per_inch
        lefts = [GAP_INCHES + column * (width + GAP_INCHES) for column in range(columns)]
        size = width / width_inches, tall / mm_per_inch / height
        rows.append([figure.add_axes((left / width_inches, top / height, *size)) for left in lefts])
        top -= GAP_INCHES
    return figure, rows


def _sheet(views: Sequence[View]) -> tuple[Figure, list[Axes]]:
    """Equal panels row by row, more of them in a row the narrower they are."""
    height_mm, width_mm = views[0].size_mm
    columns = min(len(views), 6 if width_mm < 1.6 * height_mm else 4 if width_mm < 3 * height_mm else 3)
    rows = math.ceil(len(views) / columns)
    width = (COLUMN_INCHES * 5 - GAP_INCHES * (columns + 1)) / columns
    tall = min(width * height_mm / width_mm, (LARGEST_HEIGHT_INCHES - GAP_INCHES) / rows - GAP_INCHES)
    size = GAP_INCHES + columns * (width + GAP_INCHES), GAP_INCHES + rows * (tall + GAP_INCHES)
    figure = Figure(figsize=size)
    FigureCanvasAgg(figure)
    axes = []
    for index in range(len(views)):
        row, column = divmod(index, columns)
        left, low = GAP_INCHES + column * (width + GAP_INCHES), size[1] - (row + 1) * (tall + GAP_INCHES)
        axes.append(figure.add_axes((left / size[0], low / size[1], width / size[0], tall / size[1])))
    return figure, axes


def _extent(view: View) -> tuple[float, float, float, float]:
    return 0.0, view.size_mm[1], view.size_mm[0], 0.0


def _show_image(ax: Axes, view: View, window: tuple[float, float], *, dimmed: bool) -> None:
    ax.set_axis_off()
    if view.image is None:
        grey = np.full(view.reference.shape, NO_IMAGE_GREY)
        ax.imshow(grey, cmap="gray", vmin=0, vmax=1, extent=_extent(view))
        return
    low, high = window
    high = low + (high - low) * 1.6 if dimmed else high
    ax.imshow(view.image, cmap="gray", vmin=low, vmax=high, extent=_extent(view), interpolation="bilinear")


def _show_overlay(ax: Axes, view: View, classes: Sequence[LabelClass], opacity: float) -> None:
    for item in classes:
        _fill(ax, view, view.where(view.prediction, item.value), _rgb(item), opacity)
        _outline(ax, view, view.where(view.reference, item.value), _rgb(item))


def _show_labels(ax: Axes, view: View, labels: np.ndarray, classes: Sequence[LabelClass], opacity: float) -> None:
    for item in classes:
        _fill(ax, view, view.where(labels, item.value), _rgb(item), opacity)
    for item in classes if view.overlapping else ():  # colours blend where classes lie in each other
        _outline(ax, view, view.where(labels, item.value), _rgb(item))


def _show_contours(ax: Axes, view: View, classes: Sequence[LabelClass]) -> None:
    """The reference as a line in the colour of its class, the prediction as a white broken one."""
    for item in classes:
        _outline(ax, view, view.where(view.reference, item.value), _rgb(item))
    for item in classes:
        _outline(ax, view, view.where(view.prediction, item.value), to_rgb(PREDICTED_LINE), broken=True)


def _show_outline(ax: Axes, view: View, classes: Sequence[LabelClass], brightest: float | None) -> None:
    """The prediction as lines over the image, and where ``brightest`` is given the uncertainty in colours under them:
    the more opaque, the less sure."""
    if brightest is not None and view.uncertainty is not None:
        strength = np.clip(view.uncertainty / max(brightest, LEAST_BRIGHTEST), 0, 1)
        layer = colormaps["magma"](strength)
        layer[..., 3] = strength * MOST_OPAQUE
        ax.imshow(layer, extent=_extent(view), interpolation="nearest")
    for item in classes:
        _outline(ax, view, view.where(view.prediction, item.value), _rgb(item))


def _show_uncertainty(ax: Axes, view: View, brightest: float) -> None:
    assert view.uncertainty is not None  # the column is only drawn for cases that have it
    ax.set_axis_off()
    ax.imshow(view.uncertainty, cmap="magma", vmin=0, vmax=brightest, extent=_extent(view), interpolation="nearest")


def _show_errors(ax: Axes, view: View) -> None:
    compared = overlap_differences if view.overlapping else differences
    for kind, mask in compared(view.prediction, view.reference).items():
        _fill(ax, view, mask, to_rgb(ERROR_COLORS[kind]), OPACITY if kind == "correct" else 0.85)


def _fill(ax: Axes, view: View, mask: np.ndarray, color: tuple[float, ...], opacity: float) -> None:
    if not mask.any():
        return
    layer = np.zeros((*mask.shape, 4))
    layer[mask] = (*color, opacity)
    ax.imshow(layer, extent=_extent(view), interpolation="nearest")


def _outline(ax: Axes, view: View, mask: np.ndarray, color: tuple[float, ...], *, broken: bool = False) -> None:
    """The border of a mask; padded, so that it is closed where the mask touches the edge of the picture."""
    if not mask.any():
        return
    steps = view.size_mm[0] / mask.shape[0], view.size_mm[1] / mask.shape[1]
    rows, columns = ((np.arange(size + 2) - 0.5) * step for size, step in zip(mask.shape, steps, strict=True))
    style: dict[str, Any] = {"linewidths": 1.0, "linestyles": [(0, (2.2, 1.6))]} if broken else {"linewidths": 1.3}
    contour = ax.contour(columns, rows, np.pad(mask, 1).astype(float), levels=[0.5], colors=[color], **style)
    if not broken:
        contour.set_path_effects([withStroke(linewidth=2.3, foreground="#000000aa")])


def _rgb(item: LabelClass) -> tuple[float, ...]:
    return tuple(part / 255 for part in item.color)


def _annotate(axes: Sequence[Axes], view: View) -> None:
    """Sides of the patient in every panel, the position in the first."""
    for index, ax in enumerate(axes):
        ax.set_xlim(0, view.size_mm[1])
        ax.set_ylim(view.size_mm[0], 0)
        if not view.oriented:
            continue
        top = 0.85 if index == 0 and _displayed_width(ax, view) < NARROW_INCHES else 0.5  # beside the position
        anchors = [
            (0.015, 0.5, "left", "center"),
            (0.985, 0.5, "right", "center"),
            (top, 0.985, "center", "top"),
            (0.5, 0.02, "center", "bottom"),
        ]
        for letter, (x, y, horizontal, vertical) in zip(view.plane.letters, anchors, strict=True):
            ax.text(x, y, letter, transform=ax.transAxes, ha=horizontal, va=vertical, **TEXT_STYLE)
    axes[0].text(0.015, 0.985, view.position, transform=axes[0].transAxes, ha="left", va="top", **TEXT_STYLE)


def _displayed_width(ax: Axes, view: View) -> float:
    """Inches that the slice takes in its panel, whose sides it keeps in proportion."""
    width, height = ax.bbox.width / ax.figure.dpi, ax.bbox.height / ax.figure.dpi
    return float(min(width, height * view.size_mm[1] / view.size_mm[0]))


def _scale_bar(ax: Axes, view: View, unit: str) -> None:
    """In one panel only: all have the same scale."""
    length = scale_bar_mm(view.size_mm[1])
    left, low = 0.03 * view.size_mm[1], 0.95 * view.size_mm[0]
    ax.plot([left, left + length], [low, low], color=INK, linewidth=2, solid_capstyle="butt")
    ax.annotate(f"{length:g} {unit}", (left, low), (0, 3), textcoords="offset points", **TEXT_STYLE)
