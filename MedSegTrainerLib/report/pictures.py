"""Pictures of a case: the image, prediction against reference, and where they differ, in three planes.

Display convention is radiological: the patient's right is on the left of the screen, anterior and superior
are up. Arrays are (z, y, x) of a volume brought near to LPS, so x grows to Left, y to Posterior, z to Superior.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from MedSegTrainerLib.classes import LabelClass
from MedSegTrainerLib.data.images import read_channels
from MedSegTrainerLib.data.label_maps import labelled_parts, read_label_pair
from MedSegTrainerLib.errors import DataError
from MedSegTrainerLib.geometry import Geometry, to_canonical

# Okabe-Ito colours, told apart with every kind of colour vision
ERROR_COLORS = {"correct": "#009E73", "extra": "#E69F00", "missing": "#56B4E9", "confused": "#CC79A7"}
ERROR_TITLES = {
    "correct": "correct",
    "extra": "too much (false positive)",
    "missing": "missing (false negative)",
    "confused": "another structure",
}
MARGIN_MM = 12.0
WIDTH_INCHES, DPI = 9.0, 150
TITLE_INCHES, GAP_INCHES = 0.3, 0.06
LARGEST_HEIGHT_INCHES = 7.6
BACKGROUND, INK = "#000000", "#d7dce2"
TEXT_STYLE: dict[str, Any] = {
    "color": INK, "fontsize": 7.5, "path_effects": [withStroke(linewidth=2, foreground="#000000")]
}  # fmt: skip
OPACITY = 0.45
NO_IMAGE_GREY = 0.11
AIR_HU = -900  # a volume that goes as low as this is CT in Hounsfield units
CT_WINDOWS = {"lung": (-1350.0, 150.0), "soft tissue": (-160.0, 240.0), "bone": (-450.0, 1050.0)}


@dataclass(frozen=True, kw_only=True)
class CaseArrays:
    """One case near to LPS: int32 labels and image as (z, y, x), spacing in mm; ``image`` may be missing."""

    prediction: np.ndarray
    reference: np.ndarray
    image: np.ndarray | None
    spacing_zyx: tuple[float, float, float]


@dataclass(frozen=True, kw_only=True)
class Plane:
    """How a plane is cut and shown: ``axis`` is the one looked along, in (z, y, x).

    letters: left, right, top and bottom of the screen. The row axis is flipped where it would grow downwards.
    """

    name: str
    axis: int
    flipped: bool
    letters: str


PLANES = (
    Plane(name="axial", axis=0, flipped=False, letters="RLAP"),
    Plane(name="coronal", axis=1, flipped=True, letters="RLSI"),
    Plane(name="sagittal", axis=2, flipped=True, letters="APSI"),
)


@dataclass(frozen=True, kw_only=True)
class View:
    """One slice, cropped and flipped for the screen. Arrays are (rows, columns), ``size_mm`` is (height, width)."""

    plane: Plane
    position: str
    prediction: np.ndarray
    reference: np.ndarray
    image: np.ndarray | None
    size_mm: tuple[float, float]
    oriented: bool


def read_case(
    files: Mapping[str, str | None],
    values: Sequence[int],
    ignore_label: int | None = None,
    segment_values: Mapping[str, int] | None = None,
) -> CaseArrays:
    """Reads ``prediction``, ``reference`` and, where it is there and fits, ``image`` for pictures.

    Labels other than ``values`` become 0, and both sides where the reference has ``ignore_label``.
    An image that cannot be read or lies elsewhere is left out.
    """
    paths = Path(files["prediction"] or ""), Path(files["reference"] or "")
    predicted, expected = read_label_pair(*paths, segment_values)
    sides = [sitk.GetArrayFromImage(to_canonical(item)) for item in (predicted, expected)]
    prediction, reference = labelled_parts(sides[0], sides[1], ignore_label)
    geometry = Geometry.of(to_canonical(expected))
    return CaseArrays(
        prediction=np.where(np.isin(prediction, values), prediction, 0),
        reference=np.where(np.isin(reference, values), reference, 0),
        image=_read_image(files.get("image"), geometry),
        spacing_zyx=geometry.spacing_zyx,
    )


def draw_case(case: CaseArrays, classes: Sequence[LabelClass], opacity: float = OPACITY) -> bytes:
    """PNG of a case: a row for each plane; columns image, prediction and reference, differences.

    ``opacity`` (0 to 1) is that of the prediction over the image.
    """
    columns = ("overlay", "errors") if case.image is None else ("image", "overlay", "errors")
    figure = draw_columns(case, case_views(case), columns, classes, opacity)
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=DPI, facecolor=BACKGROUND)
    return stream.getvalue()


def draw_columns(
    case: CaseArrays,
    views: Sequence[View],
    columns: Sequence[str],
    classes: Sequence[LabelClass],
    opacity: float = OPACITY,
) -> Figure:
    """A row for each view and a column for each of ``image``, ``overlay`` and ``errors``.

    Where prediction and reference are one array, the overlay is that of a label map.
    """
    window = _window(case)
    overlay = "Labels" if case.prediction is case.reference else "Prediction (filled) and reference (line)"
    titles = {"image": "Image", "overlay": overlay, "errors": "Differences"}
    figure, rows = _grid(views, len(columns))
    for view, axes in zip(views, rows, strict=True):
        for column, ax in zip(columns, axes, strict=True):
            _show_image(ax, view, window, dimmed=column == "errors")
            if column == "overlay":
                _show_overlay(ax, view, classes, opacity)
            if column == "errors":
                _show_errors(ax, view)
        _annotate(axes, view)
    _scale_bar(rows[0][0], views[0])
    for column, ax in zip(columns, rows[0], strict=True):
        ax.set_title(titles[column], color=INK, fontsize=8.5, pad=5)
    return figure


def case_views(case: CaseArrays, *, whole: bool = False) -> list[View]:
    """The slices with the most reference (or prediction, where there is none), ``whole`` or cropped around the labels.

    Planes in which the volume is a single line are left out: a 2D image has one view.
    """
    shown = case.reference if case.reference.any() else case.prediction
    box = (slice(None), slice(None), slice(None)) if whole else _box(case)
    views = []
    for plane in PLANES:
        across = [axis for axis in range(3) if axis != plane.axis]
        if min(case.reference.shape[axis] for axis in across) == 1:
            continue
        counts = np.count_nonzero(shown, axis=(across[0], across[1]))
        index = int(np.argmax(counts)) if counts.any() else len(counts) // 2
        views.append(_cut(case, plane, index, box))
    return views


def differences(prediction: np.ndarray, reference: np.ndarray) -> dict[str, np.ndarray]:
    """Boolean masks of what is correct, extra, missing and confused (labelled as another structure)."""
    return {
        "correct": (prediction == reference) & (reference != 0),
        "extra": (prediction != 0) & (reference == 0),
        "missing": (prediction == 0) & (reference != 0),
        "confused": (prediction != reference) & (prediction != 0) & (reference != 0),
    }


def _read_image(path: str | None, geometry: Geometry) -> np.ndarray | None:
    if path is None:
        return None
    try:
        image = to_canonical(read_channels([Path(path)])[0])
    except DataError:
        return None
    if Geometry.of(image).disagreements(geometry):
        return None
    array: np.ndarray = np.nan_to_num(sitk.GetArrayFromImage(image).astype(np.float32))
    return array


def _box(case: CaseArrays) -> tuple[slice, slice, slice]:
    """Around all labels with a margin; the whole volume when there are none."""
    labelled = (case.prediction != 0) | (case.reference != 0)
    box = []
    for axis in range(3):
        across = tuple(other for other in range(3) if other != axis)
        found = np.flatnonzero(labelled.any(axis=across))
        size = labelled.shape[axis]
        low, high = (int(found[0]), int(found[-1]) + 1) if found.size else (0, size)
        margin = max(2, round(MARGIN_MM / case.spacing_zyx[axis]))
        box.append(slice(max(0, low - margin), min(size, high + margin)))
    return box[0], box[1], box[2]


def _cut(case: CaseArrays, plane: Plane, index: int, box: tuple[slice, slice, slice]) -> View:
    across = [axis for axis in range(3) if axis != plane.axis]
    window = (box[across[0]], box[across[1]])

    def cut(volume: np.ndarray) -> np.ndarray:
        part: np.ndarray = volume.take(index, axis=plane.axis)[window]
        return part[::-1] if plane.flipped else part

    prediction = cut(case.prediction)
    count = case.reference.shape[plane.axis]
    return View(
        plane=plane,
        position=f"{plane.name} {index + 1}/{count}" if count > 1 else "",
        prediction=prediction,
        reference=cut(case.reference),
        image=None if case.image is None else cut(case.image),
        size_mm=(
            prediction.shape[0] * case.spacing_zyx[across[0]],
            prediction.shape[1] * case.spacing_zyx[across[1]],
        ),
        oriented=count > 1,  # a single slice may be a photograph, whose sides have no names
    )


def _window(case: CaseArrays) -> tuple[float, float]:
    """Grey values shown as black and white: a usual window for CT, else percentiles near the labels."""
    if case.image is None:
        return 0.0, 1.0
    labelled = case.image[(case.reference != 0) | (case.prediction != 0)]
    if case.image.min() <= AIR_HU and labelled.size:
        middle = float(np.median(labelled))
        return CT_WINDOWS["lung" if middle < -300 else "bone" if middle > 250 else "soft tissue"]
    low, high = np.percentile(case.image[_box(case)], [1, 99.5])
    return float(low), float(max(high, low + 1e-6))


def _grid(views: Sequence[View], columns: int) -> tuple[Figure, list[list[Axes]]]:
    """A black figure with axes in one scale (mm per inch) for all views, so that planes can be compared."""
    width = (WIDTH_INCHES - GAP_INCHES * (columns + 1)) / columns
    heights_mm, widths_mm = zip(*(view.size_mm for view in views), strict=True)
    gaps = TITLE_INCHES + GAP_INCHES * len(views)
    mm_per_inch = max(max(widths_mm) / width, sum(heights_mm) / (LARGEST_HEIGHT_INCHES - gaps))
    height = sum(heights_mm) / mm_per_inch + gaps
    figure = Figure(figsize=(WIDTH_INCHES, height))
    FigureCanvasAgg(figure)
    rows, top = [], height - TITLE_INCHES
    for tall in heights_mm:
        top -= tall / mm_per_inch
        lefts = [GAP_INCHES + column * (width + GAP_INCHES) for column in range(columns)]
        size = width / WIDTH_INCHES, tall / mm_per_inch / height
        rows.append([figure.add_axes((left / WIDTH_INCHES, top / height, *size)) for left in lefts])
        top -= GAP_INCHES
    return figure, rows


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
        color = tuple(part / 255 for part in item.color)
        _fill(ax, view, view.prediction == item.value, color, opacity)
        _outline(ax, view, view.reference == item.value, color)


def _show_errors(ax: Axes, view: View) -> None:
    for kind, mask in differences(view.prediction, view.reference).items():
        _fill(ax, view, mask, to_rgb(ERROR_COLORS[kind]), OPACITY if kind == "correct" else 0.85)


def _fill(ax: Axes, view: View, mask: np.ndarray, color: tuple[float, ...], opacity: float) -> None:
    if not mask.any():
        return
    layer = np.zeros((*mask.shape, 4))
    layer[mask] = (*color, opacity)
    ax.imshow(layer, extent=_extent(view), interpolation="nearest")


def _outline(ax: Axes, view: View, mask: np.ndarray, color: tuple[float, ...]) -> None:
    """The border of a mask; padded, so that it is closed where the mask touches the edge of the picture."""
    if not mask.any():
        return
    steps = view.size_mm[0] / mask.shape[0], view.size_mm[1] / mask.shape[1]
    rows, columns = ((np.arange(size + 2) - 0.5) * step for size, step in zip(mask.shape, steps, strict=True))
    contour = ax.contour(columns, rows, np.pad(mask, 1).astype(float), levels=[0.5], colors=[color], linewidths=1.3)
    contour.set_path_effects([withStroke(linewidth=2.3, foreground="#000000aa")])


def _annotate(axes: Sequence[Axes], view: View) -> None:
    """Sides of the patient in every panel, the position in the first."""
    places = [(0.015, 0.5, "left", "center"), (0.985, 0.5, "right", "center"), (0.5, 0.985, "center", "top"),
              (0.5, 0.02, "center", "bottom")]  # fmt: skip
    for ax in axes:
        ax.set_xlim(0, view.size_mm[1])
        ax.set_ylim(view.size_mm[0], 0)
        if view.oriented:
            for letter, (x, y, horizontal, vertical) in zip(view.plane.letters, places, strict=True):
                ax.text(x, y, letter, transform=ax.transAxes, ha=horizontal, va=vertical, **TEXT_STYLE)
    axes[0].text(0.015, 0.985, view.position, transform=axes[0].transAxes, ha="left", va="top", **TEXT_STYLE)


def _scale_bar(ax: Axes, view: View) -> None:
    """In one panel only: all have the same scale."""
    length = scale_bar_mm(view.size_mm[1])
    left, low = 0.03 * view.size_mm[1], 0.95 * view.size_mm[0]
    ax.plot([left, left + length], [low, low], color=INK, linewidth=2, solid_capstyle="butt")
    ax.annotate(f"{length:g} mm", (left, low), (0, 3), textcoords="offset points", **TEXT_STYLE)


def scale_bar_mm(width_mm: float) -> float:
    """A round length (1, 2 or 5 times a power of ten) of about a quarter of the width."""
    target = width_mm / 4
    power = 10.0 ** np.floor(np.log10(target))
    return float(max(factor * power for factor in (1, 2, 5) if factor * power <= target))
